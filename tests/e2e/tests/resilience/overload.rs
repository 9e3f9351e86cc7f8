//! Limits of what may be under way to an upstream: over them the answer is 503 at once.

use portway_testkit::{Gateway, RawClient, eventually, raw::get};

use super::one;
use crate::pool::{Config, Gate, ask, count, letters, says, who};
use crate::support::code;

/// One request is under way; the next is over the limit.
fn expect_overloaded(limit: &str) {
    let pool = letters(1);
    let gate = Gate::default();
    let held = gate.clone();
    pool[0].set_handler(move |request, conn| {
        if request.target() == "/hold" {
            held.wait();
        }
        says(b'a')(request, conn);
    });
    let upstream = format!("circuit_breaker: {{ {limit}: 1 }}");
    let config = Config {
        upstream: &upstream,
        ..Config::PLAIN
    };
    let gateway = Gateway::start(&config.yaml(&pool));
    let mut first = RawClient::connect(gateway.addr());
    first.send(get("/hold"));
    pool[0].wait("the first is under way", |seen| seen.request_count == 1);
    let refused = one(&gateway);
    refused.expect_status(503);
    assert_eq!(code(&refused), "upstream_overloaded");
    assert_eq!(pool[0].request_count(), 1);
    gate.open();
    first.reply().expect_status(200);
    for _ in 0..3 {
        one(&gateway).expect_status(200);
    }
}

#[test]
fn requests_over_max_requests_are_refused_at_once() {
    expect_overloaded("max_requests");
}

#[test]
fn requests_over_max_connections_are_refused_at_once() {
    expect_overloaded("max_connections");
}

/// An idle connection is no use to anybody but the next exchange with its target: it must not keep one
/// with another target, or of another worker, from being made.
#[test]
fn an_idle_connection_makes_room_for_another_target() {
    let pool = letters(3);
    let config = Config {
        upstream: "load_balance: { policy: round_robin }, circuit_breaker: { max_connections: 1 }",
        ..Config::PLAIN
    };
    let gateway = Gateway::start(&config.yaml(&pool));
    let answers = ask(&gateway, 12);
    assert_eq!((count(&answers, 'a'), count(&answers, 'b')), (4, 4));
    eventually("no more than one is open", || {
        pool.iter().map(|origin| origin.seen().open).sum::<u64>() == 1
    });
}

#[test]
fn an_idle_connection_makes_room_for_another_worker() {
    let pool = letters(1);
    let config = Config {
        upstream: "circuit_breaker: { max_connections: 1 }",
        ..Config::PLAIN
    };
    let yaml = config.yaml(&pool).replace("workers: 1", "workers: 3");
    let gateway = Gateway::start(&yaml);
    // Which worker gets a connection is the kernel's choice: among so many, each gets some.
    let mut clients: Vec<_> = (0..16)
        .map(|_| RawClient::connect(gateway.addr()))
        .collect();
    for round in 0..48 {
        let client = &mut clients[round % 16];
        assert_eq!(who(client, &get("/")), "a");
    }
    assert!(pool[0].connection_count() > 1, "several workers took part");
    eventually("no more than one is open", || pool[0].seen().open == 1);
}

/// A listener whose queue is full takes no more connections: one request waits there for its own,
/// the next is over the limit.
#[test]
fn requests_over_max_pending_are_refused_at_once() {
    let (port, _queued) = portway_testkit::ports::deaf();
    let config = Config {
        upstream: "circuit_breaker: { max_pending: 1 }, timeouts: { connect: 60s }",
        ..Config::PLAIN
    };
    let gateway = Gateway::start(&config.yaml_of([(format!("http://{port}"), 1)]));
    let mut first = RawClient::connect(gateway.addr());
    first.send(get("/"));
    let is_pending = || {
        let snapshot = gateway.inner().snapshot();
        snapshot.upstreams[0].upstream.usage.pending.now() == 1
    };
    eventually("the first is pending", is_pending);
    let refused = one(&gateway);
    refused.expect_status(503);
    assert_eq!(code(&refused), "upstream_overloaded");
}
