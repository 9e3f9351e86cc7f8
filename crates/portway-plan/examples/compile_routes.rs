//! How long a config of many routes takes from its text to a plan.
//!
//! `cargo run --release -p portway-plan --example compile_routes -- 10000`

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use portway_config::{FixedEnv, parse};
use portway_core::Clock;
use portway_plan::compile;

/// As in the `portway` binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 21;

fn main() {
    let count = std::env::args().nth(1);
    let count = count.map_or(10_000, |n| n.parse().expect("a number of routes"));
    let text = routes(count);
    let (env, kinds, clock) = (FixedEnv::new(), portway_filters::all(), Clock::system());
    let mut times: Vec<[Duration; 3]> = (0..ROUNDS)
        .map(|_| {
            let start = now();
            let (document, problems) = parse("routes.yaml", &text, &env);
            assert!(problems.is_empty(), "{:?}", problems.sorted());
            let document = document.expect("no problems");
            let parsed = now();
            let (plan, problems) = compile(&document, &kinds, &clock);
            assert!(problems.is_empty(), "{:?}", problems.sorted());
            let compiled = now();
            drop(document);
            let dropped = now();
            drop(plan);
            [parsed - start, compiled - parsed, dropped - compiled]
        })
        .collect();
    times.sort_by_key(|t| t.iter().sum::<Duration>());
    println!(
        "{count} routes, {} lines, {} bytes",
        text.lines().count(),
        text.len()
    );
    for (name, [parsed, compiled, dropped]) in [("best", times[0]), ("median", times[ROUNDS / 2])] {
        println!(
            "{name} of {ROUNDS}: parse {parsed:.1?}, compile {compiled:.1?}, drop the document {dropped:.1?}, \
             together {:.1?}",
            parsed + compiled + dropped
        );
    }
}

#[allow(clippy::disallowed_methods)] // an example that measures
fn now() -> Instant {
    Instant::now()
}

/// Routes of 15 lines each, as people write them.
fn routes(count: usize) -> String {
    let mut text = String::from("server:\n  port: 8080\nroutes:\n");
    for n in 0..count {
        let host = n % 100;
        write!(
            text,
            "  - name: route-{n}
    hosts: [api{host}.example.com]
    prefix: /api/v1/service-{n}
    methods: [GET, POST]
    strip_prefix: true
    targets:
      - addr: http://127.0.0.1:8081
        weight: 3
      - addr: http://127.0.0.1:8082
        weight: 1
    filters:
      - rate_limit:
          qps: 1000
          burst: 2000
    timeouts: {{ request: 10s }}
"
        )
        .expect("a string takes everything");
    }
    text
}
