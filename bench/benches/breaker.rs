//! What a circuit breaker costs an exchange: leave to send and the verdict while it is closed, by
//! failures in a row or by their rate; and the refusal while it is open.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use portway_core::Mono;
use portway_filter::BreakerPolicy;
use portway_upstream::Breaker;

/// Between two exchanges, nanoseconds: 100,000 a second.
const STEP_NS: u64 = 10_000;

fn policy(failure_rate: Option<f64>) -> BreakerPolicy {
    BreakerPolicy {
        failure_threshold: 5,
        failure_rate,
        minimum_requests: 20,
        window: Duration::from_secs(10),
        open_for: Duration::from_secs(3600),
        half_open_requests: 3,
    }
}

fn exchange(breaker: &Breaker, ok: bool, now: Mono) -> bool {
    match breaker.admit(black_box(now)) {
        Ok(permit) => {
            permit.record(black_box(ok), now);
            true
        }
        Err(_) => false,
    }
}

fn decide(c: &mut Criterion) {
    let mut group = c.benchmark_group("breaker");
    for (name, rate, fails) in [
        ("closed", None, u64::MAX),
        ("closed_now_and_then_a_failure", None, 10),
        ("closed_with_rate", Some(0.5), 10),
    ] {
        let breaker = Breaker::new(policy(rate));
        let mut turn = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                turn += 1;
                assert!(exchange(&breaker, turn % fails != 0, Mono(turn * STEP_NS)));
            });
        });
    }
    let open = Breaker::new(policy(None));
    while exchange(&open, false, Mono(1)) {}
    let mut turn = 0;
    group.bench_function("open", |bencher| {
        bencher.iter(|| {
            turn += 1;
            // Stays inside the hour that it is open.
            assert!(!exchange(&open, true, Mono(turn % 1_000_000 * STEP_NS)));
        });
    });
    group.finish();
}

criterion_group!(benches, decide);
criterion_main!(benches);
