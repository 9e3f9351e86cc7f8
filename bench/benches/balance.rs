//! One pick of each balancing policy over 10 and over 100 targets; then all that an exchange costs the
//! balancer: the pick, counting the exchange in and another one out, and learning from how it ended.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use portway_balance::{Balancer, NAMES, Outcome, PolicyKind, build};
use portway_bench::balance::Targets;
use portway_core::Mono;

const SIZES: [u16; 2] = [10, 100];
const SEED: u64 = 42;

/// Exchanges a policy has learned from before its picks are timed.
const LEARNED: u64 = 10_000;

/// The caller hashes a key; here any spread of values will do.
fn hash(turn: u64) -> Option<u64> {
    Some(turn.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn now(turn: u64) -> Mono {
    Mono(turn * 10_000)
}

fn pick(balancer: &mut dyn Balancer, targets: &Targets, turn: u64) -> Option<usize> {
    balancer.pick(black_box(&targets.view(now(turn))), hash(turn))
}

fn exchange(balancer: &mut dyn Balancer, targets: &mut Targets, turn: u64) {
    if let Some(target) = pick(balancer, targets, turn) {
        targets.begin_and_end(target);
        let latency = Duration::from_micros(200 + turn % 100);
        balancer.done(target, Outcome { latency, ok: true }, now(turn));
    }
}

fn policies(c: &mut Criterion) {
    for name in NAMES {
        let kind = PolicyKind::parse(name).expect("every listed name parses");
        for size in SIZES {
            let mut targets = Targets::new(kind, size);
            let mut balancer = build(kind, &targets.infos, SEED);
            let mut turn = 0_u64;
            for _ in 0..LEARNED {
                turn += 1;
                exchange(&mut *balancer, &mut targets, turn);
            }
            c.bench_function(&format!("balance/{name}/{size}"), |bencher| {
                bencher.iter(|| {
                    turn += 1;
                    pick(&mut *balancer, &targets, turn)
                });
            });
            c.bench_function(&format!("balance_exchange/{name}/{size}"), |bencher| {
                bencher.iter(|| {
                    turn += 1;
                    exchange(&mut *balancer, &mut targets, turn);
                });
            });
        }
    }
}

criterion_group!(benches, policies);
criterion_main!(benches);
