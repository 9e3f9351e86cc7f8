//! `rate_limit`: how much passes, and what is told.

use std::time::Duration;

use portway_testkit::{Gateway, RawClient, RawReply};

use super::origin;
use crate::pool::advance;
use crate::support::{Setup, code, get_with};

fn from(gateway: &Gateway, ip: &str) -> RawReply {
    let field = format!("X-Forwarded-For: {ip}");
    RawClient::ask(gateway.addr(), get_with("/", &[&field]))
}

#[test]
fn past_the_burst_429_says_when_to_come_back() {
    let origin = origin();
    let yaml = Setup::to(&origin)
        .filter("rate_limit: { qps: 0.1, burst: 3 }")
        .yaml();
    let (gateway, hand) = Gateway::with_manual_clock(&yaml);
    for left in [2, 1, 0] {
        let reply = RawClient::get(gateway.addr(), "/");
        assert_eq!(
            reply.expect_status(200).field("ratelimit-policy"),
            Some("\"route\";q=3;w=30")
        );
        let rest = reply.field("ratelimit").unwrap_or_default();
        assert!(
            rest.starts_with(&format!("\"route\";r={left};t=")),
            "{rest}"
        );
    }
    let refused = RawClient::get(gateway.addr(), "/");
    refused.expect_status(429);
    assert_eq!(code(&refused), "rate_limited");
    assert_eq!(refused.field("retry-after"), Some("10"));
    assert!(
        refused
            .field("ratelimit")
            .is_some_and(|rest| rest.contains("r=0"))
    );
    assert_eq!(origin.request_count(), 3);
    advance(&gateway, &hand, Duration::from_secs(10));
    RawClient::get(gateway.addr(), "/").expect_status(200);
    RawClient::get(gateway.addr(), "/").expect_status(429);
}

/// A global filter stands before a route's own; the route may switch it off, and then has its own alone.
#[test]
fn a_routes_own_limit_comes_on_top_of_the_global_one_unless_that_is_off() {
    let origin = origin();
    let global = Setup::to(&origin).global("rate_limit: { qps: 0.001, burst: 2 }");
    let own = "rate_limit: { qps: 0.001, burst: 4 }";
    let passed = |setup: Setup| {
        let gateway = setup.start();
        let all = (0..6).map(|_| RawClient::get(gateway.addr(), "/").status);
        all.filter(|status| *status == 200).count()
    };
    assert_eq!(passed(global.clone().filter(own)), 2);
    assert_eq!(passed(global.filter("rate_limit: off").filter(own)), 4);
}

#[test]
fn a_routes_own_ip_filter_lets_in_nobody_whom_the_global_one_keeps_out() {
    let origin = origin();
    let global = Setup::to(&origin).global("ip_filter: { deny: [127.0.0.0/8] }");
    let own = "ip_filter: { allow: [127.0.0.1] }";
    let status = |setup: Setup| RawClient::get(setup.start().addr(), "/").status;
    assert_eq!(status(global.clone().filter(own)), 403);
    assert_eq!(status(global.filter("ip_filter: off").filter(own)), 200);
}

#[test]
fn clients_are_told_apart_behind_a_trusted_proxy_only() {
    let origin = origin();
    let setup = Setup::to(&origin)
        .filter("rate_limit: { qps: 0.001, burst: 1, key: client_ip, headers: x }");
    let trusting = setup
        .clone()
        .listener("trusted_proxies: [127.0.0.0/8]")
        .start();
    for ip in [
        "192.0.2.1",
        "192.0.2.2",
        "2001:db8:0:1::1",
        "2001:db8:0:2::1",
    ] {
        let reply = from(&trusting, ip);
        assert_eq!(
            reply.expect_status(200).field("x-ratelimit-limit"),
            Some("1")
        );
        assert_eq!(reply.field("x-ratelimit-remaining"), Some("0"));
        from(&trusting, ip).expect_status(429);
    }
    from(&trusting, "2001:db8:0:1::2").expect_status(429); // the same /64
    let wary = setup.start();
    from(&wary, "192.0.2.1").expect_status(200);
    from(&wary, "192.0.2.2").expect_status(429);
}

#[test]
fn each_of_many_clients_has_a_count_of_its_own() {
    let origin = origin();
    let gateway = Setup::to(&origin)
        .listener("trusted_proxies: [127.0.0.0/8]")
        .filter("rate_limit: { qps: 0.001, burst: 1, key: client_ip }")
        .start();
    let mut client = RawClient::connect(gateway.addr());
    let mut passed = 0;
    for n in 0..500u32 {
        let ip = std::net::Ipv4Addr::from(0x0a00_0000 + n);
        client.send(get_with("/", &[&format!("X-Forwarded-For: {ip}")]));
        passed += u32::from(client.reply().status == 200);
    }
    assert_eq!(passed, 500);
    from(&gateway, "10.0.1.243").expect_status(429); // the last of them
}

#[test]
fn header_and_path_keys_count_apart_and_off_tells_nothing() {
    let origin = origin();
    let by_header = Setup::to(&origin)
        .filter("rate_limit: { qps: 0.001, burst: 1, key: \"header:X-Team\", headers: off }")
        .start();
    let ask = |team: &str| {
        let field = format!("X-Team: {team}");
        RawClient::ask(by_header.addr(), get_with("/", &[&field]))
    };
    assert_eq!(ask("red").expect_status(200).field("ratelimit"), None);
    ask("blue").expect_status(200);
    let refused = ask("red");
    refused.expect_status(429);
    assert!(refused.field("retry-after").is_some());
    let by_path = Setup::to(&origin)
        .filter("rate_limit: { qps: 0.001, burst: 1, key: path }")
        .start();
    let paths = ["/a", "/b", "/a", "/%61", "/x/../b"];
    let statuses = paths.map(|path| RawClient::get(by_path.addr(), path).status);
    assert_eq!(
        statuses,
        [200, 200, 429, 429, 429],
        "spellings of a path are one path"
    );
}

#[test]
fn limit_and_window_are_a_rate_too() {
    let origin = origin();
    let yaml = Setup::to(&origin)
        .filter("rate_limit: { limit: 2, window: 1m }")
        .yaml();
    let (gateway, hand) = Gateway::with_manual_clock(&yaml);
    let ask = || RawClient::get(gateway.addr(), "/").status;
    assert_eq!([ask(), ask(), ask()], [200, 200, 429]);
    advance(&gateway, &hand, Duration::from_secs(30));
    assert_eq!([ask(), ask()], [200, 429]);
}
