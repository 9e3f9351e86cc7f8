//! Splits by weight, clients that stay on their side, and mirrors.

use std::time::Duration;

use portway_testkit::raw::{get, post};
use portway_testkit::{Gateway, Origin, RawClient, eventually, replies};

use crate::resilience::metric;
use crate::support::get_with;

fn split(one: &Origin, two: &Origin, weights: [u32; 2], more: &str) -> Gateway {
    Gateway::start(&format!(
        "server: {{ host: 127.0.0.1, port: 0, workers: 1 }}\n\
         upstreams:\n\
         \x20 - {{ name: one, targets: [{{ addr: '{}' }}] }}\n\
         \x20 - {{ name: two, targets: [{{ addr: '{}' }}] }}\n\
         routes:\n\
         \x20 - name: all\n\
         \x20   prefix: /\n\
         \x20   split: [{{ upstream: one, weight: {} }}, {{ upstream: two, weight: {} }}]\n\
         {more}",
        one.url(),
        two.url(),
        weights[0],
        weights[1],
    ))
}

#[test]
fn a_split_gives_each_side_its_share() {
    let (one, two) = (
        Origin::start(replies::text("1")),
        Origin::start(replies::text("2")),
    );
    let gateway = split(&one, &two, [80, 20], "");
    let mut client = RawClient::connect(gateway.addr());
    for _ in 0..1_000 {
        client.send(get("/")).reply().expect_status(200);
    }
    let share = two.request_count();
    assert_eq!(one.request_count() + share, 1_000);
    // Of 1000 with p = 0.2 the standard deviation is 12.6; seven of them never happen by chance.
    assert!((112..=288).contains(&share), "{share} of 1000");
}

#[test]
fn a_weight_of_zero_gets_nothing() {
    let (one, two) = (
        Origin::start(replies::text("1")),
        Origin::start(replies::text("2")),
    );
    let gateway = split(&one, &two, [1, 0], "");
    let mut client = RawClient::connect(gateway.addr());
    for _ in 0..50 {
        client.send(get("/")).reply().expect_status(200);
    }
    assert_eq!((one.request_count(), two.request_count()), (50, 0));
}

#[test]
fn sticky_clients_stay_on_their_side_and_sides_keep_their_share() {
    let (one, two) = (
        Origin::start(replies::text("1")),
        Origin::start(replies::text("2")),
    );
    let sticky = "    sticky_by: header:X-User-Id\n";
    let gateway = split(&one, &two, [50, 50], sticky);
    let mut client = RawClient::connect(gateway.addr());
    let mut sides = [0; 2];
    for user in 0..300 {
        let request = get_with("/", &[&format!("X-User-Id: user-{user}")]);
        let first = client.send(&request).reply().text();
        for _ in 0..2 {
            assert_eq!(client.send(&request).reply().text(), first, "user {user}");
        }
        sides[usize::from(first == "2")] += 1;
    }
    // p = 0.5 of 300: standard deviation 8.7.
    assert!((90..=210).contains(&sides[0]), "{sides:?}");
    // Another gateway (a restart, a neighbour) puts the same users on the same sides.
    let other = split(&one, &two, [50, 50], sticky);
    for user in 0..20 {
        let request = get_with("/", &[&format!("X-User-Id: user-{user}")]);
        let there = RawClient::ask(other.addr(), &request).text();
        assert_eq!(client.send(&request).reply().text(), there);
    }
}

fn mirrored(real: &Origin, shadow: &Origin, percent: u32) -> Gateway {
    Gateway::start(&format!(
        "server: {{ host: 127.0.0.1, port: 0, workers: 1 }}\n\
         upstreams:\n\
         \x20 - {{ name: real, targets: [{{ addr: '{}' }}] }}\n\
         \x20 - {{ name: shadow, targets: [{{ addr: '{}' }}] }}\n\
         routes:\n\
         \x20 - {{ name: all, prefix: /, upstream: real, mirror: {{ upstream: shadow, percent: {percent} }} }}\n",
        real.url(),
        shadow.url(),
    ))
}

#[test]
fn a_mirror_gets_the_same_request() {
    let (real, shadow) = (
        Origin::start(replies::text("real")),
        Origin::start(replies::text("no")),
    );
    let gateway = mirrored(&real, &shadow, 100);
    let request = post("/pay?x=1", "twice but for the shadow");
    let reply = RawClient::ask(gateway.addr(), request);
    assert_eq!(reply.text(), "real");
    shadow.wait("the copy", |seen| seen.request_count == 1);
    let (sent, copy) = (real.last_request(), shadow.last_request());
    assert_eq!((copy.method(), copy.target()), ("POST", "/pay?x=1"));
    assert_eq!(copy.body, sent.body);
    assert_eq!(copy.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(real.request_count(), 1);
}

#[test]
fn a_slow_or_broken_mirror_does_not_matter() {
    let real = Origin::start(replies::text("real"));
    let mut shadow = Origin::start(replies::never());
    let gateway = mirrored(&real, &shadow, 100);
    let mut client = RawClient::connect(gateway.addr());
    client.set_timeout(Duration::from_secs(3));
    for _ in 0..10 {
        assert_eq!(client.send(get("/")).reply().text(), "real");
    }
    shadow.wait("the copies", |seen| seen.request_count == 10);
    for handler in [replies::status(500), replies::status(404)] {
        shadow.set_handler(handler);
        assert_eq!(client.send(get("/")).reply().text(), "real");
    }
    shadow.set_handler(replies::reset_before_reply());
    assert_eq!(client.send(get("/")).reply().text(), "real");
    shadow.stop();
    for _ in 0..10 {
        assert_eq!(client.send(get("/")).reply().text(), "real");
    }
    assert_eq!(real.request_count(), 23);
}

#[test]
fn a_body_too_large_to_keep_is_not_mirrored_and_arrives_all_the_same() {
    let real = Origin::start(|request, conn| conn.reply(200, &[], request.body.len().to_string()));
    let shadow = Origin::start(replies::text("no"));
    let gateway = mirrored(&real, &shadow, 100);
    let mut client = RawClient::connect(gateway.addr());
    let large = post("/large", &"x".repeat(1_000_000));
    assert_eq!(client.send(large).reply().text(), "1000000");
    assert_eq!(client.send(post("/small", "x")).reply().text(), "1");
    shadow.wait("the small copy", |seen| seen.request_count == 1);
    assert_eq!(shadow.last_request().target(), "/small");
    let dropped = "portway_mirror_dropped_total";
    eventually("it is counted", || metric(&gateway, dropped) == 1.0);
}

#[test]
fn a_mirror_of_a_share_gets_that_share() {
    let (real, shadow) = (
        Origin::start(replies::text("real")),
        Origin::start(replies::text("no")),
    );
    let gateway = mirrored(&real, &shadow, 0);
    for _ in 0..20 {
        RawClient::get(gateway.addr(), "/").expect_status(200);
    }
    assert_eq!((real.request_count(), shadow.connection_count()), (20, 0));
}
