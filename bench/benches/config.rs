//! From a document's text to a plan: what a reload does before anything changes.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use portway_bench::documents;
use portway_config::FixedEnv;
use portway_core::Clock;
use portway_filter::FilterKind;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn compile(text: &str, kinds: &[FilterKind], clock: &Clock) -> usize {
    let (document, problems) = portway_config::parse("bench.yaml", text, &FixedEnv::new());
    assert!(!problems.has_errors(), "{problems:?}");
    let document = document.expect("a document without errors");
    let (plan, problems) = portway_plan::compile(&document, kinds, clock);
    assert!(!problems.has_errors(), "{problems:?}");
    plan.expect("a plan without errors").routes.len()
}

fn text_to_plan(c: &mut Criterion) {
    let (kinds, clock) = (portway_filters::all(), Clock::system());
    for (name, document, sizes) in [
        (
            "config_compile",
            documents::plain as fn(usize) -> String,
            &[1_000, 10_000][..],
        ),
        ("config_compile_filters", documents::with_filters, &[10_000]),
    ] {
        let mut group = c.benchmark_group(name);
        group.sample_size(10);
        for size in sizes {
            let text = document(*size);
            group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
                bencher.iter(|| {
                    assert_eq!(compile(black_box(&text), &kinds, &clock), *size);
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, text_to_plan);
criterion_main!(benches);
