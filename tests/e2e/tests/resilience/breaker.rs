//! The circuit breaker, of an upstream and of a route, in its three states.

use std::time::Duration;

use portway_core::clock::ManualClock;
use portway_testkit::{Gateway, Origin, RawClient, raw::get, replies};

use super::{one, statuses};
use crate::pool::{Config, Gate, advance, letters, says};
use crate::support::code;

const OF_UPSTREAM: Config<'static> = Config {
    upstream: "circuit_breaker: { failure_threshold: 5, open_for: 30s, half_open_requests: 2 }",
    route: "",
    more: "",
};
const OF_ROUTE: Config<'static> = Config {
    upstream: "",
    route: "filters: [ { circuit_breaker: { threshold: 5, timeout: 30s, half_open_requests: 2 } } ]",
    more: "",
};

fn start(config: &Config<'_>) -> (Gateway, ManualClock, Origin) {
    let mut pool = letters(1);
    let (gateway, hand) = Gateway::with_manual_clock(&config.yaml(&pool));
    hand.advance(Duration::from_secs(1));
    (gateway, hand, pool.remove(0))
}

fn expect_open(gateway: &Gateway, origin: &Origin, retry_after: &str) {
    let before = origin.request_count();
    let refused = one(gateway);
    refused.expect_status(503);
    assert_eq!(code(&refused), "circuit_open");
    assert_eq!(refused.field("retry-after"), Some(retry_after));
    assert_eq!(origin.request_count(), before, "the origin is left alone");
}

const LATER: Duration = Duration::from_secs(31);

fn expect_three_states(config: &Config<'_>) {
    let (gateway, hand, origin) = start(config);
    origin.set_handler(replies::status(500));
    assert_eq!(statuses(&gateway, 4), [500; 4]);
    origin.set_handler(says(b'a'));
    assert_eq!(
        statuses(&gateway, 1),
        [200],
        "a success starts the count anew"
    );
    origin.set_handler(replies::status(503));
    assert_eq!(statuses(&gateway, 5), [503; 5]);
    assert_eq!(origin.request_count(), 10, "five failures pass");
    expect_open(&gateway, &origin, "30");

    // A probe that fails opens it again at once, for the whole time.
    advance(&gateway, &hand, LATER);
    assert_eq!(one(&gateway).text(), "503", "the origin's own");
    expect_open(&gateway, &origin, "30");

    // Two that succeed close it.
    origin.set_handler(says(b'a'));
    advance(&gateway, &hand, LATER);
    assert_eq!(statuses(&gateway, 10), [200; 10]);
    origin.set_handler(replies::status(500));
    assert_eq!(statuses(&gateway, 5), [500; 5], "closed: five count again");
    expect_open(&gateway, &origin, "30");
}

#[test]
fn an_upstreams_breaker_opens_probes_and_closes() {
    expect_three_states(&OF_UPSTREAM);
}

#[test]
fn a_routes_breaker_opens_probes_and_closes() {
    expect_three_states(&OF_ROUTE);
}

#[test]
fn half_open_lets_only_so_many_probes_through_at_once() {
    let (gateway, hand, origin) = start(&OF_ROUTE);
    origin.set_handler(replies::status(500));
    let _ = statuses(&gateway, 5);
    advance(&gateway, &hand, LATER);
    let gate = Gate::default();
    let held = gate.clone();
    origin.set_handler(move |request, conn| {
        held.wait();
        says(b'a')(request, conn);
    });
    origin.forget();
    let mut probes = [(); 2].map(|()| RawClient::connect(gateway.addr()));
    for probe in &mut probes {
        probe.send(get("/"));
    }
    origin.wait("both wait at the origin", |seen| seen.request_count == 2);
    expect_open(&gateway, &origin, "1");
    gate.open();
    for probe in &mut probes {
        probe.reply().expect_status(200);
    }
    assert_eq!(one(&gateway).status, 200, "closed");
}

#[test]
fn connect_failures_open_it_and_a_restart_closes_it() {
    let mut pool = letters(1);
    let (gateway, hand) = Gateway::with_manual_clock(&OF_UPSTREAM.yaml(&pool));
    hand.advance(Duration::from_secs(1));
    pool[0].stop();
    assert_eq!(statuses(&gateway, 5), [502; 5]);
    assert_eq!(code(&one(&gateway)), "circuit_open");
    pool[0].restart();
    advance(&gateway, &hand, LATER);
    assert_eq!(statuses(&gateway, 5), [200; 5]);
}

/// A reply that breaks off is a failed exchange, though its head said 200.
#[test]
fn replies_that_break_off_open_it() {
    for config in [&OF_UPSTREAM, &OF_ROUTE] {
        let (gateway, hand, origin) = start(config);
        for handler in [true, false].repeat(3).into_iter().take(5) {
            match handler {
                true => origin.set_handler(replies::close_mid_body(100, 10)),
                false => origin.set_handler(replies::reset_mid_body(100, 10)),
            }
            cut(&gateway);
        }
        expect_open(&gateway, &origin, "30");
        // So is a probe's.
        advance(&gateway, &hand, LATER);
        cut(&gateway);
        expect_open(&gateway, &origin, "30");
    }
}

/// One GET whose reply is not complete.
#[track_caller]
fn cut(gateway: &Gateway) {
    let mut client = RawClient::connect(gateway.addr());
    assert!(client.send(get("/")).try_reply("GET").is_err());
}

/// What clients do says nothing of the upstream.
#[test]
fn clients_that_leave_in_the_middle_of_a_reply_do_not_open_it() {
    let (gateway, _hand, origin) = start(&OF_UPSTREAM);
    origin.set_handler(replies::hang_mid_body(100, 10));
    for round in 1..=6 {
        let mut client = RawClient::connect(gateway.addr());
        client.send(get("/"));
        assert_eq!(client.try_head().unwrap().word(1), "200");
        client.reset();
        origin.wait("let go", |seen| {
            seen.request_count == round && seen.open == 0
        });
    }
    origin.set_handler(says(b'a'));
    assert_eq!(statuses(&gateway, 2), [200; 2]);
}

/// 4xx are the client's; a failure rate needs its minimum of requests.
#[test]
fn client_errors_never_open_it_and_a_rate_waits_for_enough_requests() {
    let (gateway, _hand, origin) = start(&OF_UPSTREAM);
    origin.set_handler(replies::status(404));
    assert_eq!(statuses(&gateway, 12), [404; 12]);
    drop(gateway);

    let rate = Config {
        upstream: "circuit_breaker: { failure_threshold: 0, failure_rate: 50%, \
                   minimum_requests: 10, window: 1h, open_for: 30s }",
        ..Config::PLAIN
    };
    let (gateway, _hand, origin) = start(&rate);
    origin.set_handler(replies::status(500));
    assert_eq!(statuses(&gateway, 10), [500; 10]);
    expect_open(&gateway, &origin, "30");
}
