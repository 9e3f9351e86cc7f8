//! Which requests are made again, how often, and with what body.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use portway_testkit::{Gateway, Origin, RawClient, eventually, replies};

use super::{metric, one};
use crate::pool::{Config, letters, says};
use crate::support::{code, with_body};

const NO_PAUSE: &str = "budget: off, backoff: { base: 0s, max: 0s }";

fn start(retry: &str, pool: &[Origin]) -> Gateway {
    let route = format!("filters: [ {{ retry: {{ {retry} }} }} ]");
    let config = Config {
        upstream: "load_balance: { policy: round_robin }",
        route: &route,
        ..Config::PLAIN
    };
    Gateway::start(&config.yaml(pool))
}

fn counts(pool: &[Origin]) -> Vec<u64> {
    pool.iter().map(Origin::request_count).collect()
}

fn body(method: &str, body: &str) -> String {
    let length = format!("Content-Length: {}", body.len());
    with_body(method, "/", &[&length], body)
}

#[test]
fn each_try_goes_to_another_target() {
    for status in [502, 503, 504] {
        let pool = letters(3);
        pool[0].set_handler(replies::status(status));
        pool[1].set_handler(replies::status(status));
        let gateway = start(
            &format!("max_retries: 2, retry_on: [502, 503, 504], {NO_PAUSE}"),
            &pool,
        );
        for _ in 0..9 {
            assert_eq!(one(&gateway).expect_status(200).text(), "c");
        }
        assert_eq!(pool[2].request_count(), 9);
        // The turns of round robin: 3 of 9 begin at each.
        let total: u64 = counts(&pool).iter().sum();
        eventually("retries are counted", || {
            metric(&gateway, "portway_retries_total{upstream=\"pool\"}") == (total - 9) as f64
        });
    }
}

#[test]
fn when_all_fail_the_last_reply_is_the_answer() {
    let pool = letters(3);
    for origin in &pool {
        origin.set_handler(replies::status(503));
    }
    let gateway = start(&format!("max_retries: 2, {NO_PAUSE}"), &pool);
    assert_eq!(one(&gateway).expect_status(503).text(), "503");
    assert_eq!(counts(&pool), [1, 1, 1]);
}

#[test]
fn a_reply_that_is_not_used_does_not_cost_its_connection() {
    let pool = letters(2);
    let gateway = start(&format!("max_retries: 1, {NO_PAUSE}"), &pool);
    pool[0].set_handler(replies::status(503));
    for _ in 0..10 {
        one(&gateway).expect_status(200);
    }
    assert!(pool[0].request_count() >= 5, "{:?}", counts(&pool));
    assert_eq!(pool[0].connection_count(), 1);
    // A long one is not worth reading.
    pool[0].set_handler(|_, conn| conn.reply(503, &[], vec![b'x'; 100_000]));
    for _ in 0..10 {
        one(&gateway).expect_status(200);
    }
    assert!(pool[0].connection_count() >= 5);
}

#[test]
fn only_what_is_named_is_retried() {
    let pool = letters(2);
    for origin in &pool {
        origin.set_handler(replies::status(500));
    }
    let gateway = start(&format!("max_retries: 3, {NO_PAUSE}"), &pool);
    one(&gateway).expect_status(500);
    assert_eq!(counts(&pool).iter().sum::<u64>(), 1);
}

#[test]
fn a_post_that_was_sent_is_not_sent_again() {
    let pool = letters(2);
    for origin in &pool {
        origin.set_handler(replies::status(503));
    }
    let gateway = start(&format!("max_retries: 2, {NO_PAUSE}"), &pool);
    RawClient::ask(gateway.addr(), body("POST", "pay")).expect_status(503);
    assert_eq!(counts(&pool).iter().sum::<u64>(), 1);
    for origin in &pool {
        origin.set_handler(replies::close_before_reply());
    }
    let cut = RawClient::ask(gateway.addr(), body("POST", "pay"));
    assert_eq!((cut.status, &*code(&cut)), (502, "upstream_reset"));
    assert_eq!(counts(&pool).iter().sum::<u64>(), 2);
}

#[test]
fn a_post_that_was_never_sent_is_retried() {
    let mut pool = letters(2);
    pool[0].stop();
    let gateway = start(&format!("max_retries: 2, {NO_PAUSE}"), &pool);
    for _ in 0..6 {
        let reply = RawClient::ask(gateway.addr(), body("POST", "pay"));
        assert_eq!(reply.expect_status(200).text(), "b");
        assert_eq!(pool[1].last_request().body, b"pay");
    }
}

#[test]
fn a_post_is_retried_when_the_config_says_so() {
    let pool = letters(2);
    pool[0].set_handler(replies::status(503));
    let gateway = start(
        &format!("max_retries: 1, non_idempotent: true, {NO_PAUSE}"),
        &pool,
    );
    for _ in 0..4 {
        let reply = RawClient::ask(gateway.addr(), body("POST", "pay"));
        assert_eq!(reply.expect_status(200).text(), "b");
        assert_eq!(pool[1].last_request().body, b"pay");
    }
}

#[test]
fn a_body_is_sent_again_from_the_buffer_up_to_its_limit() {
    let pool = letters(2);
    pool[0].set_handler(replies::status(503));
    let gateway = start(&format!("max_retries: 1, {NO_PAUSE}"), &pool);
    let small = "x".repeat(60 * 1024);
    for _ in 0..4 {
        let reply = RawClient::ask(gateway.addr(), body("PUT", &small));
        assert_eq!(reply.expect_status(200).text(), "b");
        assert_eq!(pool[1].last_request().body, small.as_bytes());
    }
    let chunked = with_body(
        "PUT",
        "/",
        &["Transfer-Encoding: chunked"],
        "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    );
    for _ in 0..2 {
        RawClient::ask(gateway.addr(), &chunked).expect_status(200);
        assert_eq!(pool[1].last_request().body, b"abcde");
    }
    // Past the limit the first answer stands.
    let large = "x".repeat(200 * 1024);
    let statuses: Vec<u16> = (0..4)
        .map(|_| RawClient::ask(gateway.addr(), body("PUT", &large)).status)
        .collect();
    assert_eq!(
        statuses.iter().filter(|s| **s == 503).count(),
        2,
        "{statuses:?}"
    );
}

#[test]
fn a_try_that_takes_too_long_is_given_up_for_another() {
    let pool = letters(2);
    pool[0].set_handler(replies::never());
    let gateway = start(
        &format!("max_retries: 1, retry_on: [timeout], per_try_timeout: 100ms, {NO_PAUSE}"),
        &pool,
    );
    for _ in 0..4 {
        assert_eq!(one(&gateway).expect_status(200).text(), "b");
    }
    eventually("the slow exchanges were cut", || pool[0].seen().open == 0);
}

/// 10 retries are always there, one more for every five requests: 100 failing requests earn 20.
#[test]
fn a_budget_bounds_retries() {
    let pool = letters(2);
    for origin in &pool {
        origin.set_handler(replies::status(503));
    }
    let config = Config {
        route: "filters: [ { retry: { max_retries: 1, budget: 20%, \
                backoff: { base: 0s, max: 0s } } } ]",
        ..Config::PLAIN
    };
    let (gateway, _hand) = Gateway::with_manual_clock(&config.yaml(&pool));
    for _ in 0..100 {
        one(&gateway).expect_status(503);
    }
    let tries: u64 = counts(&pool).iter().sum();
    assert!((125..=131).contains(&tries), "{tries}");
}

#[test]
fn a_broken_connection_is_retried_for_a_get() {
    let pool = letters(2);
    pool[0].set_handler(replies::reset_before_reply());
    let gateway = start(
        &format!("max_retries: 1, retry_on: [reset], {NO_PAUSE}"),
        &pool,
    );
    for _ in 0..6 {
        assert_eq!(one(&gateway).expect_status(200).text(), "b");
    }
}

/// The target closes its idle connection just when the request comes: no retry policy is needed.
#[test]
fn a_stale_pooled_connection_costs_no_request() {
    let pool = letters(1);
    let served = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&served);
    // Every second request of a connection is met by a close without a word.
    pool[0].set_handler(move |request, conn| {
        if request.number == 2 {
            conn.close();
        } else {
            seen.fetch_add(1, Ordering::Relaxed);
            says(b'a')(request, conn);
        }
    });
    let gateway = Gateway::start(&Config::PLAIN.yaml(&pool));
    for _ in 0..10 {
        one(&gateway).expect_status(200);
    }
    assert_eq!(served.load(Ordering::Relaxed), 10);
}
