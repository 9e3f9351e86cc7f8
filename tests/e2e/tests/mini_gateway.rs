//! `examples/mini-gateway/config.yaml`, whose form other gateways share: it loads as it is and does
//! what it says. Only its ports and its secret are filled in.

use std::time::Duration;

use portway_core::clock::ManualClock;
use portway_testkit::{Gateway, Origin, RawClient, RawReply, raw::get, replies};

use crate::jwt::{GOOD, SECRET, token};
use crate::pool::{advance, count, letters, says};
use crate::support::{code, get_with};

const CONFIG: &str = include_str!("../../../examples/mini-gateway/config.yaml");

fn yaml(pool: &[Origin]) -> String {
    let mut yaml = CONFIG
        .replace("port: 8080", "port: 0")
        .replace("${JWT_SECRET}", SECRET);
    for (port, origin) in ["8081", "8082", "8083"].iter().zip(pool) {
        yaml = yaml.replace(&format!("127.0.0.1:{port}"), &origin.addr().to_string());
    }
    yaml
}

fn start() -> (Vec<Origin>, Gateway, ManualClock) {
    let pool = letters(3);
    let (gateway, hand) = Gateway::with_manual_clock(&yaml(&pool));
    (pool, gateway, hand)
}

fn user_request() -> String {
    let field = format!("Authorization: Bearer {}", token("HS256", GOOD));
    get_with("/api/v1/users/7", &[&field])
}

fn ask(gateway: &Gateway) -> RawReply {
    RawClient::ask(gateway.addr(), user_request())
}

#[test]
fn users_are_shared_three_to_one_without_the_prefix() {
    let (pool, gateway, _hand) = start();
    // Each worker takes its own turns: one connection is one worker's.
    let mut client = RawClient::connect(gateway.addr());
    let mut all = String::new();
    for _ in 0..40 {
        client.send(user_request());
        all += &client.reply().expect_status(200).text();
    }
    assert_eq!((count(&all, 'a'), count(&all, 'b')), (30, 10), "{all}");
    assert_eq!(pool[0].last_request().target(), "/7");
}

#[test]
fn users_need_a_token_and_orders_do_not() {
    let (pool, gateway, _hand) = start();
    let missing = RawClient::get(gateway.addr(), "/api/v1/users/7");
    assert_eq!((missing.status, &*code(&missing)), (401, "unauthorized"));
    let wrong = format!("Authorization: Bearer {}x", token("HS256", GOOD));
    let wrong = get_with("/api/v1/users/7", &[&wrong]);
    RawClient::ask(gateway.addr(), wrong).expect_status(401);
    ask(&gateway).expect_status(200);
    let order = RawClient::get(gateway.addr(), "/api/v1/orders/1");
    assert_eq!(order.expect_status(200).text(), "c");
    assert_eq!(pool[2].last_request().target(), "/api/v1/orders/1");
    let delete = "DELETE /api/v1/orders/1 HTTP/1.1\r\nHost: a\r\n\r\n";
    let refused = RawClient::ask(gateway.addr(), delete);
    assert_eq!(refused.status, 405);
    RawClient::get(gateway.addr(), "/api/v1/usersx").expect_status(404);
}

#[test]
fn past_500_orders_at_once_the_answer_is_429_until_tokens_return() {
    let (_pool, gateway, hand) = start();
    let mut client = RawClient::connect(gateway.addr());
    let mut ask = |count: usize| {
        let statuses = (0..count).map(|_| {
            client.send(get("/api/v1/orders/1"));
            client.reply().status
        });
        statuses.filter(|status| *status == 200).count()
    };
    assert_eq!(ask(510), 500);
    advance(&gateway, &hand, Duration::from_secs(1));
    assert_eq!(ask(510), 500);
    let refused = RawClient::get(gateway.addr(), "/api/v1/orders/1");
    refused.expect_status(429);
    assert_eq!(refused.field("retry-after"), Some("1"));
}

#[test]
fn the_breaker_opens_after_five_failures_and_closes_after_recovery() {
    let (pool, gateway, hand) = start();
    for origin in &pool {
        origin.set_handler(replies::status(500));
    }
    // A reply counts once it is out: only the same connection's next request surely comes after.
    let ask_all = |count: usize| -> Vec<RawReply> {
        let mut client = RawClient::connect(gateway.addr());
        let ask = |_| {
            client.send(user_request());
            client.reply()
        };
        (0..count).map(ask).collect()
    };
    let mut replies = ask_all(6);
    let open = replies.pop().unwrap();
    for reply in &replies {
        reply.expect_status(500);
    }
    assert_eq!((open.status, &*code(&open)), (503, "circuit_open"));
    assert_eq!(open.field("retry-after"), Some("30"));
    RawClient::get(gateway.addr(), "/api/v1/orders/1").expect_status(500); // has none
    for origin in &pool {
        origin.set_handler(says(b'a'));
    }
    ask(&gateway).expect_status(503);
    advance(&gateway, &hand, Duration::from_secs(31));
    for reply in ask_all(10) {
        reply.expect_status(200);
    }
}

#[test]
fn bad_gateways_are_retried_on_the_other_target() {
    for status in [502, 503, 504] {
        let pool = letters(3);
        let gateway = Gateway::start(&yaml(&pool)); // retries pause by the clock
        pool[1].set_handler(replies::status(status));
        let mut client = RawClient::connect(gateway.addr());
        for _ in 0..12 {
            client.send(user_request());
            assert_eq!(client.reply().expect_status(200).text(), "a");
        }
        assert!(pool[1].request_count() >= 1);
    }
}

#[test]
fn pages_of_all_origins_may_read_replies() {
    let (_pool, gateway, _hand) = start();
    let page = get_with("/api/v1/orders/1", &["Origin: https://a.example"]);
    let reply = RawClient::ask(gateway.addr(), page);
    assert_eq!(reply.field("access-control-allow-origin"), Some("*"));
}
