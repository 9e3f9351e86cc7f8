//! What clients see of targets that fail: health, outliers, breakers, limits, retries.

use portway_testkit::{Gateway, RawClient, RawReply, eventually, raw::get};

use crate::pool::{Config, ask, count, letters};

mod breaker;
mod health;
mod overload;
mod retry;

/// So many requests, one after the other on connections of their own.
fn statuses(gateway: &Gateway, count: usize) -> Vec<u16> {
    let replies = (0..count).map(|_| RawClient::get(gateway.addr(), "/").status);
    replies.collect()
}

/// One GET of `/`.
fn one(gateway: &Gateway) -> RawReply {
    RawClient::get(gateway.addr(), "/")
}

/// The number behind a metric line that starts so; 0 without one.
pub fn metric(gateway: &Gateway, start: &str) -> f64 {
    let text = gateway.metrics();
    let line = text.lines().find_map(|line| line.strip_prefix(start));
    line.and_then(|rest| rest.trim().parse().ok())
        .unwrap_or(0.0)
}

#[test]
fn a_target_that_dies_in_its_reply_cuts_that_reply_and_no_other() {
    let pool = letters(2);
    pool[0].set_handler(portway_testkit::replies::close_mid_body(100, 10));
    let config = Config {
        upstream: "load_balance: { policy: round_robin }",
        route: "filters: [ { retry: { max_retries: 2 } } ]",
        ..Config::PLAIN
    };
    let gateway = Gateway::start(&config.yaml(&pool));
    let mut cut = 0;
    for _ in 0..10 {
        let mut client = RawClient::connect(gateway.addr());
        client.send(get("/"));
        match client.try_reply("GET") {
            Ok(reply) => assert_eq!(reply.text(), "b"),
            Err(_) => cut += 1,
        }
    }
    assert_eq!(cut, 5, "a reply that has begun is not made again");
    eventually("it is counted", || {
        let errors = "portway_request_errors_total{route=\"all\",code=\"upstream_reset\"}";
        metric(&gateway, errors) == 5.0
    });
}

#[test]
fn one_dead_target_of_two_fails_no_request_when_retries_are_on() {
    let mut pool = letters(2);
    pool[1].stop();
    let config = Config {
        upstream: "load_balance: { policy: round_robin }",
        route: "filters: [ { retry: { retry_on: [connect_failure], budget: off, \
                backoff: { base: 0s, max: 0s } } } ]",
        ..Config::PLAIN
    };
    let gateway = Gateway::start(&config.yaml(&pool));
    assert_eq!(count(&ask(&gateway, 40), 'a'), 40);
    eventually("retries are counted", || {
        metric(&gateway, "portway_retries_total{upstream=\"pool\"}") >= 13.0
    });
}
