//! Targets that are taken out and come back: active checks, outlier detection.

use std::time::Duration;

use portway_testkit::{Gateway, RawClient, eventually, raw::get, replies};

use super::{one, statuses};
use crate::pool::{Config, advance, ask, count, letters, says};

const ROUND_ROBIN: &str = "load_balance: { policy: round_robin }";

fn checked(check: &str) -> String {
    format!(
        "health_check: {{ {check}, interval: 20ms, timeout: 1s, healthy_after: 2, \
         unhealthy_after: 2 }}, {ROUND_ROBIN}"
    )
}

/// Sixteen requests in a row are answered, so many of them by `b`.
fn shares(gateway: &Gateway) -> Option<usize> {
    let all_good = statuses(gateway, 4).iter().all(|status| *status == 200);
    all_good.then(|| count(&ask(gateway, 12), 'b'))
}

#[test]
fn a_failing_http_check_takes_a_target_out_and_a_good_one_back() {
    let pool = letters(2);
    let upstream = checked("type: http, path: /health, expect: [200-299]");
    let config = Config {
        upstream: &upstream,
        ..Config::PLAIN
    };
    let gateway = Gateway::start(&config.yaml(&pool));
    assert_eq!(shares(&gateway), Some(6));
    pool[1].set_handler(|request, conn| match request.target() {
        "/health" => replies::status(503)(request, conn),
        _ => says(b'b')(request, conn),
    });
    eventually("b is out", || shares(&gateway) == Some(0));
    pool[1].set_handler(says(b'b'));
    eventually("b is back", || shares(&gateway) == Some(6));
    let probes = pool[1].requests();
    let probe = probes.iter().find(|probe| probe.target() == "/health");
    let probe = probe.expect("it was asked");
    assert_eq!(probe.field("host"), Some(&*pool[1].addr().to_string()));
}

#[test]
fn a_failing_tcp_check_takes_a_target_out_and_a_good_one_back() {
    let mut pool = letters(2);
    let upstream = checked("type: tcp");
    let config = Config {
        upstream: &upstream,
        ..Config::PLAIN
    };
    let gateway = Gateway::start(&config.yaml(&pool));
    pool[1].stop();
    eventually("b is out", || shares(&gateway) == Some(0));
    pool[1].restart();
    eventually("b is back", || shares(&gateway) == Some(6));
}

#[test]
fn a_check_that_is_never_answered_counts_as_failed() {
    let pool = letters(2);
    pool[1].set_handler(|request, conn| match request.target() {
        "/health" => replies::never()(request, conn),
        _ => says(b'b')(request, conn),
    });
    let config = Config {
        upstream: "health_check: { path: /health, interval: 20ms, timeout: 50ms, \
                   unhealthy_after: 1 }, load_balance: { policy: round_robin }",
        ..Config::PLAIN
    };
    let gateway = Gateway::start(&config.yaml(&pool));
    eventually("b is out", || shares(&gateway) == Some(0));
}

#[test]
fn a_target_that_breaks_its_replies_off_is_ejected() {
    let pool = letters(2);
    pool[1].set_handler(replies::close_mid_body(100, 10));
    let upstream = format!("outlier_detection: {{ consecutive_5xx: 3 }}, {ROUND_ROBIN}");
    let config = Config {
        upstream: &upstream,
        ..Config::PLAIN
    };
    let gateway = Gateway::start(&config.yaml(&pool));
    let whole = |_| {
        let mut client = RawClient::connect(gateway.addr());
        client.send(get("/")).try_reply("GET").is_ok()
    };
    assert_eq!((0..6).filter(|n| whole(*n)).count(), 3);
    assert_eq!(count(&ask(&gateway, 12), 'a'), 12);
}

#[test]
fn a_target_whose_exchanges_fail_is_ejected_and_returns() {
    let pool = letters(2);
    pool[1].set_handler(replies::status(500));
    let config = Config {
        upstream: "outlier_detection: { consecutive_5xx: 3, eject_for: 30s }, \
                   load_balance: { policy: round_robin }",
        ..Config::PLAIN
    };
    let (gateway, hand) = Gateway::with_manual_clock(&config.yaml(&pool));
    hand.advance(Duration::from_secs(1));
    let first = statuses(&gateway, 20);
    let failed = first.iter().filter(|status| **status == 500).count();
    assert_eq!(failed, 3, "{first:?}");
    assert_eq!(statuses(&gateway, 10), [200; 10], "while it is out");
    pool[1].set_handler(says(b'b'));
    advance(&gateway, &hand, Duration::from_secs(29));
    assert_eq!(count(&ask(&gateway, 10), 'a'), 10, "still out");
    advance(&gateway, &hand, Duration::from_secs(2));
    eventually("it is back", || count(&ask(&gateway, 10), 'b') == 5);
}

/// `max_ejected` keeps the others in, ill or not.
#[test]
fn no_more_than_the_allowed_share_is_ejected() {
    let pool = letters(2);
    for origin in &pool {
        origin.set_handler(replies::status(503));
    }
    let config = Config {
        upstream: "outlier_detection: { consecutive_5xx: 1, eject_for: 30s, max_ejected: 50% }, \
                   load_balance: { policy: round_robin, panic_threshold: 0% }",
        ..Config::PLAIN
    };
    let (gateway, _hand) = Gateway::with_manual_clock(&config.yaml(&pool));
    assert_eq!(statuses(&gateway, 10), [503; 10]);
    let counts = [pool[0].request_count(), pool[1].request_count()];
    assert!(counts == [1, 9] || counts == [9, 1], "{counts:?}");
    assert_eq!(one(&gateway).text(), "503", "the target's own");
}
