//! What a rate limit costs an exchange that passes: one count for the route, or one for each client
//! address among 1, 10,000 and 1,000,000 of them; then what a refusal costs with its reply.
//!
//! Each client comes a little more slowly than it may, so that four buckets in five are in use and a
//! table of a million clients, more than it has room for, must give buckets up all the time.

use std::hint::black_box;
use std::net::Ipv4Addr;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use portway_bench::filters::filter;
use portway_core::Mono;
use portway_filter::{Filter, Flow, Step};
use portway_http::Exchange;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: [u32; 3] = [1, 10_000, 1_000_000];

/// One request a second for each key.
const EACH_MAY_NS: u64 = 1_000_000_000;

/// Whether the request passes. No clock is read: an exchange brings the time at which it began.
fn passes(limiter: &dyn Filter, exchange: &mut Exchange) -> bool {
    matches!(limiter.on_request(exchange), Step::Now(Flow::Continue))
}

/// The requests of `keys` clients, one after the other, far apart in the table.
struct Clients {
    keys: u32,
    number: u32,
    stride: u32,
    now: Mono,
    step_ns: u64,
}

impl Clients {
    fn new(keys: u32) -> Clients {
        Clients {
            keys,
            number: 0,
            now: Mono(1_000_000_000_000),
            stride: 7919 % keys,
            step_ns: EACH_MAY_NS * 5 / 4 / u64::from(keys),
        }
    }

    fn next(&mut self, exchange: &mut Exchange) {
        // What the gateway does between two exchanges, as far as limits are concerned.
        exchange.extensions.clear();
        exchange.marks.clear();
        // A stride that shares no factor with the number of keys visits each of them.
        self.number += self.stride;
        if self.number >= self.keys {
            self.number -= self.keys;
        }
        self.now = Mono(self.now.nanos() + self.step_ns);
        exchange.client.ip = Ipv4Addr::from(0x0a00_0000 + self.number).into();
        exchange.started = self.now;
    }
}

fn decide(c: &mut Criterion) {
    let mut group = c.benchmark_group("limiter");
    let limiter = filter("rate_limit", "{qps: 1000000, burst: 1000}");
    let mut clients = Clients::new(1_000_000);
    let mut exchange = Exchange::blank();
    group.bench_function("route", |bencher| {
        bencher.iter(|| {
            clients.next(&mut exchange);
            assert!(passes(&*limiter, black_box(&mut exchange)));
        });
    });
    for keys in KEYS {
        let limiter = filter("rate_limit", "{qps: 1, burst: 100, key: client_ip}");
        let mut clients = Clients::new(keys);
        for _ in 0..keys * 2 {
            clients.next(&mut exchange);
            passes(&*limiter, &mut exchange);
        }
        group.bench_function(BenchmarkId::new("client_ip", keys), |bencher| {
            bencher.iter(|| {
                clients.next(&mut exchange);
                assert!(passes(&*limiter, black_box(&mut exchange)));
            });
        });
    }
    group.finish();
}

fn refuse(c: &mut Criterion) {
    let limiter = filter("rate_limit", "{qps: 0.001, burst: 1, key: client_ip}");
    let mut exchange = Exchange::blank();
    passes(&*limiter, &mut exchange);
    c.bench_function("limiter_refusal/client_ip", |bencher| {
        bencher.iter(|| {
            exchange.clear();
            assert!(!passes(&*limiter, black_box(&mut exchange)));
        });
    });
}

criterion_group!(benches, decide, refuse);
criterion_main!(benches);
