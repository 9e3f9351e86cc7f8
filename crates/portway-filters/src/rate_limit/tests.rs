use std::time::Duration;

use super::*;
use crate::testing::{
    chain, chain_with_clock, compile_in, exchange, header, problems, request, response,
};
use portway_filter::Chain;

/// The status of the next request; 200 if it passes.
fn next(chain: &Chain, change: impl FnOnce(&mut Exchange)) -> u16 {
    let mut exchange = exchange(&[]);
    exchange.started = Mono(1_000_000_000);
    change(&mut exchange);
    request(chain, &mut exchange).map_or(200, |reply| reply.status.as_u16())
}

fn from(ip: &str) -> impl FnOnce(&mut Exchange) {
    let ip = ip.parse().unwrap();
    move |exchange| exchange.client.ip = ip
}

#[test]
fn refuses_past_the_burst_until_tokens_come_back() {
    let (chain, hand) = chain_with_clock(kind(), "{qps: 2, burst: 3}");
    let statuses = || [(); 4].map(|()| next(&chain, |_| {}));
    assert_eq!(statuses(), [200, 200, 200, 429]);
    hand.advance(Duration::from_secs(1));
    assert_eq!(statuses(), [200, 200, 429, 429]);
}

#[test]
fn says_when_to_come_back_and_what_is_left() {
    let (chain, _hand) = chain_with_clock(kind(), "{qps: 0.4, burst: 2}");
    let mut exchange = exchange(&[]);
    exchange.started = Mono(1_000_000_000);
    exchange.seen_at = exchange.started;
    assert!(request(&chain, &mut exchange).is_none());
    let mut reply = Reply::new(http::StatusCode::OK, "");
    response(&chain, &mut exchange, &mut reply);
    assert_eq!(header(&reply, "ratelimit"), "\"route\";r=1;t=3");
    assert_eq!(header(&reply, "ratelimit-policy"), "\"route\";q=2;w=5");
    assert_eq!(header(&reply, "retry-after"), "");
    assert!(request(&chain, &mut exchange).is_none());
    let mut refusal = request(&chain, &mut exchange).unwrap();
    response(&chain, &mut exchange, &mut refusal);
    assert_eq!(refusal.status, 429);
    assert_eq!(header(&refusal, "retry-after"), "3");
    assert_eq!(header(&refusal, "ratelimit"), "\"route\";r=0;t=5");
    assert_eq!(header(&refusal, "content-type"), "application/problem+json");
    assert_eq!(exchange.notes.code, Some(Code::RateLimited));
}

#[test]
fn tells_a_keyed_caller_of_its_own_bucket() {
    let chain = chain(
        kind(),
        "{limit: 10, window: 1m, key: client_ip, headers: x}",
    );
    let mut reply = Reply::new(http::StatusCode::OK, "");
    let mut exchange = exchange(&[]);
    exchange.started = Mono(1_000_000_000);
    request(&chain, &mut exchange);
    response(&chain, &mut exchange, &mut reply);
    assert_eq!(header(&reply, "x-ratelimit-limit"), "10");
    assert_eq!(header(&reply, "x-ratelimit-remaining"), "9");
    assert_eq!(header(&reply, "x-ratelimit-reset"), "6");
}

#[test]
fn keeps_silent_if_told_to_but_still_says_when_to_come_back() {
    let chain = chain(kind(), "{qps: 1, headers: off}");
    let mut exchange = exchange(&[]);
    exchange.started = Mono(1_000_000_000);
    request(&chain, &mut exchange);
    let mut reply = request(&chain, &mut exchange).unwrap();
    response(&chain, &mut exchange, &mut reply);
    assert_eq!(header(&reply, "ratelimit"), "");
    assert_eq!(header(&reply, "retry-after"), "1");
}

#[test]
fn counts_clients_apart_and_an_ipv6_network_as_one() {
    let chain = chain(kind(), "{qps: 1, key: client_ip}");
    assert_eq!(next(&chain, from("192.0.2.1")), 200);
    assert_eq!(next(&chain, from("::ffff:192.0.2.1")), 429);
    assert_eq!(next(&chain, from("192.0.2.2")), 200);
    assert_eq!(next(&chain, from("2001:db8::1")), 200);
    assert_eq!(next(&chain, from("2001:db8::ffff:2")), 429);
    assert_eq!(next(&chain, from("2001:db8:0:1::1")), 200);
}

#[test]
fn counts_header_values_apart_and_whoever_sends_none_by_address() {
    let chain = chain(kind(), "{qps: 1, key: 'header:X-Tenant-ID'}");
    let tenant = |values: &'static [&'static str]| {
        move |exchange: &mut Exchange| {
            for value in values {
                let value = http::HeaderValue::from_static(value);
                exchange.request.headers.append("x-tenant-id", value);
            }
        }
    };
    assert_eq!(next(&chain, tenant(&["a"])), 200);
    assert_eq!(next(&chain, tenant(&["a"])), 429);
    assert_eq!(next(&chain, tenant(&["b"])), 200);
    assert_eq!(next(&chain, tenant(&["b", "c"])), 200);
    assert_eq!(next(&chain, tenant(&["b", "c"])), 429);
    assert_eq!(next(&chain, from("192.0.2.1")), 200);
    assert_eq!(next(&chain, from("192.0.2.1")), 429);
    assert_eq!(next(&chain, from("192.0.2.2")), 200);
}

#[test]
fn counts_consumers_and_paths_apart() {
    let by_consumer = chain(kind(), "{qps: 1, key: consumer}");
    let ann = |exchange: &mut Exchange| exchange.consumer = Some("ann".into());
    let bob = |exchange: &mut Exchange| exchange.consumer = Some("bob".into());
    assert_eq!(next(&by_consumer, ann), 200);
    assert_eq!(next(&by_consumer, ann), 429);
    assert_eq!(next(&by_consumer, bob), 200);
    assert_eq!(next(&by_consumer, |_| {}), 200);
    let by_path = chain(kind(), "{qps: 1, key: path}");
    assert_eq!(next(&by_path, |e| e.request.path = "/a".into()), 200);
    assert_eq!(next(&by_path, |e| e.request.path = "/a".into()), 429);
    assert_eq!(next(&by_path, |e| e.request.path = "/b".into()), 200);
}

#[test]
fn forgives_a_head_that_took_long_to_arrive() {
    let (chain, hand) = chain_with_clock(kind(), "{qps: 1, burst: 1}");
    let early = |e: &mut Exchange| e.started = Mono(1_000_000_000);
    assert_eq!(next(&chain, early), 200);
    hand.advance(Duration::from_secs(5));
    assert_eq!(next(&chain, early), 200);
    assert_eq!(next(&chain, early), 429);
}

#[test]
fn lets_both_of_two_limits_tell() {
    let make = |scope, yaml| match compile_in(scope, kind(), yaml).0 {
        Some(Built::Filter(filter)) => portway_filter::Entry {
            name: "rate_limit",
            phase: Phase::RateLimit,
            fingerprint: 0,
            filter,
        },
        _ => panic!("{yaml}"),
    };
    let chain = Chain::new(vec![
        make(Scope::Global, "{qps: 5, key: client_ip}"),
        make(Scope::Route, "{qps: 1, key: client_ip}"),
    ]);
    let mut exchange = exchange(&[]);
    request(&chain, &mut exchange);
    let mut reply = Reply::new(http::StatusCode::OK, "");
    response(&chain, &mut exchange, &mut reply);
    let expected = "\"client_ip\";r=0;t=1 | \"global-client_ip\";r=4;t=1";
    assert_eq!(header(&reply, "ratelimit"), expected);
}

#[test]
fn bursts_as_much_as_a_second_brings_unless_told_otherwise() {
    let count = |yaml| {
        let chain = chain(kind(), yaml);
        (0..2000).filter(|_| next(&chain, |_| {}) == 200).count()
    };
    assert_eq!(count("{qps: 500}"), 500);
    assert_eq!(count("{qps: 0.2}"), 1);
    assert_eq!(count("{limit: 100, window: 1h}"), 100);
    assert_eq!(count("{qps: 1, burst: 7}"), 7);
}

#[test]
fn says_what_is_wrong_with_a_config() {
    assert_eq!(
        problems(kind(), "key: clientip\nalgorithm: fixed_window\nburst: 5"),
        "t.yaml:1:1: error: it is not clear how much may pass\n  \
         hint: set either `qps`, or `limit` and `window`\n\
         t.yaml:1:6: error: `clientip` is not something that can be counted apart\n  \
         hint: did you mean `client_ip`?\n\
         t.yaml:2:12: error: `fixed_window` is not supported yet by this version\n  \
         hint: use `token_bucket`"
    );
    assert!(problems(kind(), "{qps: 1, limit: 5, window: 1s}").contains("not clear"));
    assert!(problems(kind(), "{limit: 5}").contains("not clear"));
    assert!(problems(kind(), "qps: 0").contains("this rate cannot be kept"));
    assert!(problems(kind(), "{limit: 5, window: 0s}").contains("this rate cannot be kept"));
    assert!(problems(kind(), "{qps: 1, burst: 0}").contains("0 would refuse every request"));
    assert!(problems(kind(), "{qps: 1, key: 'jwt:org'}").contains("not supported yet"));
    assert!(problems(kind(), "{qps: 1, scope: cluster}").contains("not supported yet"));
    assert!(problems(kind(), "{qps: 1, key: 'header:a b'}").contains("a header's name"));
}
