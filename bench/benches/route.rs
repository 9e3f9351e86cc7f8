//! Finding a route: at 10, 1,000 and 10,000 routes, spread over hosts or all in one tree; and among
//! 10, 100 and 1,000 routes of one path that differ by the value of a header.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use portway_bench::routes::{Input, Shape, Tenants, specs};
use portway_route::{Found, Params, RouteTable};

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

fn find_by_header(c: &mut Criterion) {
    let mut group = c.benchmark_group("route_find_by_header");
    for size in [10, 100, 1_000] {
        let tenants = Tenants::new(size);
        let mut params = Params::new();
        let mut number = 0;
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                number += 1;
                let lookup = tenants.lookup(number);
                let found = tenants.table.find(black_box(&lookup), &mut params);
                assert!(matches!(found, Found::Route(_)));
            });
        });
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

criterion_group!(benches, find, find_by_header, build);
criterion_main!(benches);
