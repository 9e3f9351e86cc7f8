//! Who may connect, and how many.

use std::io::{Read, Write};

use portway_testkit::eventually;

use super::{Config, Peer, ask, connect, expect_closed};
use crate::resilience::metric;

#[test]
fn an_address_that_is_not_let_in_is_closed_before_a_target_hears_of_it() {
    let peer = Peer::echo();
    let mut config = Config::to(&[&peer]);
    config.listener = "filters: [ { ip_filter: { deny: [127.0.0.0/8] } } ]";
    let gateway = config.start();
    expect_closed(gateway.addr(), "hello");
    assert_eq!(peer.accepted(), 0);
    assert_eq!(config.records(1)[0]["code"], "ip_denied");
    let counted = "portway_connections_total{listener=\"db\",code=\"ip_denied\"}";
    assert_eq!(metric(&gateway, counted), 1.0);
}

#[test]
fn connections_past_a_rate_are_closed_and_a_reload_does_not_forget_them() {
    let peer = Peer::named("hi ");
    let mut config = Config::to(&[&peer]);
    config.listener = "filters: [ { rate_limit: { qps: 0.001, burst: 3, key: client_ip } } ]";
    let gateway = config.start();
    assert_eq!(ask(gateway.addr(), ""), b"hi ");
    assert_eq!(ask(gateway.addr(), ""), b"hi ");
    gateway.reload(&(config.yaml() + "# changed\n")).unwrap();
    assert_eq!(ask(gateway.addr(), ""), b"hi ");
    expect_closed(gateway.addr(), "");
    assert_eq!(config.records(4)[3]["code"], "rate_limited");
}

#[test]
fn a_listener_closes_what_is_over_its_connections() {
    let peer = Peer::echo();
    let mut config = Config::to(&[&peer]);
    config.listener = "max_connections: 2";
    let gateway = config.start();
    let held: Vec<_> = (0..2).map(|_| connect(gateway.addr())).collect();
    gateway.wait_connections(2);
    expect_closed(gateway.addr(), "hello");
    let counted = "portway_connections_total{listener=\"db\",code=\"overloaded\"}";
    eventually("it is counted", || metric(&gateway, counted) == 1.0);
    drop(held);
    gateway.wait_connections(0);
    assert_eq!(ask(gateway.addr(), "again"), b"again");
}

#[test]
fn an_upstream_takes_no_more_connections_than_it_may() {
    let peer = Peer::echo();
    let mut config = Config::to(&[&peer]);
    config.upstream = "circuit_breaker: { max_connections: 1 }";
    let gateway = config.start();
    let mut held = connect(gateway.addr());
    held.write_all(b"ping").unwrap();
    held.read_exact(&mut [0; 4]).unwrap();
    expect_closed(gateway.addr(), "hello");
    assert_eq!(config.records(1)[0]["code"], "upstream_overloaded");
    drop(held);
    gateway.wait_connections(0);
    assert_eq!(ask(gateway.addr(), "again"), b"again");
}

#[test]
fn connections_are_spread_and_a_client_can_be_kept_on_a_target() {
    let peers = [Peer::named("a"), Peer::named("b")];
    let all: Vec<&Peer> = peers.iter().collect();
    let gateway = Config::to(&all).start();
    let seen: Vec<Vec<u8>> = (0..4).map(|_| ask(gateway.addr(), "")).collect();
    assert_eq!(seen.iter().filter(|name| **name == b"a").count(), 2);
    let mut config = Config::to(&all);
    config.upstream = "load_balance: { policy: maglev, hash_on: client_ip }";
    let gateway = config.start();
    let first = ask(gateway.addr(), "");
    assert!((0..6).all(|_| ask(gateway.addr(), "") == first));
}
