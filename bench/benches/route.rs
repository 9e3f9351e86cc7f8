//! Finding a route: at 10, 1,000 and 10,000 routes, spread over hosts or all in one tree.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use portway_bench::routes::{Input, Shape, specs};
use portway_route::{Params, RouteTable};

const SIZES: [usize; 3] = [10, 1_000, 10_000];

fn find(c: &mut Criterion) {
    let mut group = c.benchmark_group("route_find");
    for (shape, name) in Shape::ALL {
        for size in SIZES {
            let input = Input::new(size, shape);
            let mut params = Params::new();
            let mut number = 0;
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| {
                    number += 1;
                    input
                        .table
                        .find(black_box(&input.lookup(number)), &mut params)
                });
            });
        }
    }
    group.finish();
}

fn build(c: &mut Criterion) {
    let mut group = c.benchmark_group("route_build");
    group.sample_size(10);
    let specs = specs(10_000, Shape::Hosts);
    group.bench_function(BenchmarkId::new("hosts", specs.len()), |bencher| {
        bencher.iter(|| RouteTable::build(black_box(&specs)));
    });
    group.finish();
}

criterion_group!(benches, find, build);
criterion_main!(benches);
