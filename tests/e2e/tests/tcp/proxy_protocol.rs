//! PROXY protocol: believed from trusted peers only, whole or not at all, and told on to targets.

use std::io::Write;
use std::time::Duration;

use portway_testkit::{Gateway, Origin, RawClient, raw::get};

use super::{Config, Peer, ask, connect, expect_closed, turn};
use crate::resilience::metric;
use crate::support::Setup;

const V1: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 5432\r\n";

/// The same in version 2, with a TLV behind the addresses.
fn v2() -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10".to_vec();
    bytes.extend([192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 0x15, 0x38]);
    bytes.extend([0xea, 0, 1, b'x']);
    bytes
}

const TRUSTED: &str = "proxy_protocol: auto, trusted_proxies: [127.0.0.1]";

fn refused(gateway: &Gateway) -> f64 {
    let name = "portway_connections_total{listener=\"db\",code=\"bad_proxy_header\"}";
    metric(gateway, name)
}

#[test]
fn a_trusted_proxy_says_who_the_client_is() {
    let peer = Peer::echo();
    let mut config = Config::to(&[&peer]);
    config.listener = TRUSTED;
    let gateway = config.start();
    assert_eq!(ask(gateway.addr(), format!("{V1}hello")), b"hello");
    assert_eq!(
        ask(gateway.addr(), [&v2()[..], b"hello"].concat()),
        b"hello"
    );
    for record in config.records(2) {
        assert_eq!(record["client_ip"], "192.0.2.7");
        assert_eq!(record["bytes_in"], 5, "the header is not the client's");
    }
}

/// CVE-2026-47692 and its kind: who may speak for others is fixed by the config, not by who does.
#[test]
fn an_untrusted_peer_is_closed_and_counted_whatever_it_says() {
    let peer = Peer::echo();
    let mut config = Config::to(&[&peer]);
    config.listener = "proxy_protocol: auto, trusted_proxies: [10.0.0.0/8]";
    let gateway = config.start();
    expect_closed(gateway.addr(), format!("{V1}hello"));
    expect_closed(gateway.addr(), "hello");
    assert_eq!((peer.accepted(), refused(&gateway)), (0, 2.0));
}

#[test]
fn a_malformed_or_missing_header_closes_the_connection() {
    let peer = Peer::echo();
    let mut config = Config::to(&[&peer]);
    config.listener = "proxy_protocol: v1, trusted_proxies: [127.0.0.1]";
    let gateway = config.start();
    let mut too_long = v2();
    too_long[14..16].copy_from_slice(&u16::MAX.to_be_bytes());
    for bytes in [
        &b"hello, no header"[..],
        b"PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 5432\n",
        &v2(),
        &too_long,
    ] {
        expect_closed(gateway.addr(), bytes);
    }
    assert_eq!((peer.accepted(), refused(&gateway)), (0, 5.0));
    assert_eq!(ask(gateway.addr(), format!("{V1}hello")), b"hello");
}

#[test]
fn a_header_that_is_not_whole_in_time_is_not_waited_for() {
    let peer = Peer::echo();
    let mut config = Config::to(&[&peer]);
    config.listener = TRUSTED;
    let (gateway, hand) = Gateway::with_manual_clock(&config.yaml());
    let mut stream = connect(gateway.addr());
    stream.write_all(&V1.as_bytes()[..20]).unwrap();
    gateway.wait_connections(1);
    turn(&gateway, &hand, Duration::from_secs(11));
    gateway.wait_connections(0);
    assert_eq!(peer.accepted(), 0);
}

#[test]
fn policies_look_at_the_client_that_the_proxy_named() {
    let peer = Peer::echo();
    let mut config = Config::to(&[&peer]);
    config.listener = "proxy_protocol: v1, trusted_proxies: [127.0.0.1], filters: [ { ip_filter: { allow: [198.51.100.0/24] } } ]";
    let gateway = config.start();
    expect_closed(gateway.addr(), V1);
    assert_eq!(config.records(1)[0]["code"], "ip_denied");
    let other = V1.replace("192.0.2.7", "198.51.100.9");
    assert_eq!(ask(gateway.addr(), format!("{other}hello")), b"hello");
}

#[test]
fn a_target_is_told_who_the_client_is_before_its_first_byte() {
    let (peer, kept) = Peer::keeping();
    let mut config = Config::to(&[&peer]);
    config.listener = TRUSTED;
    for (version, expected) in [("v1", V1.as_bytes().to_vec()), ("v2", v2()[..28].to_vec())] {
        let upstream = format!("proxy_protocol: {version}");
        let config = Config {
            upstream: &upstream,
            listener: config.listener,
            ..Config::to(&[&peer])
        };
        let gateway = config.start();
        ask(gateway.addr(), [&v2()[..], b"hello"].concat());
        let mut expected = [&expected[..], b"hello"].concat();
        if version == "v2" {
            expected[15] = 12; // without the TLV that came
        }
        assert_eq!(kept.lock().unwrap().pop().unwrap(), expected, "{version}");
    }
}

#[test]
fn an_http_listener_takes_the_client_from_the_header_too() {
    let origin = Origin::start(portway_testkit::replies::text("hi"));
    let gateway = Setup::to(&origin)
        .listener("proxy_protocol: v2")
        .listener("trusted_proxies: [127.0.0.1]")
        .start();
    let mut client = RawClient::connect(gateway.addr());
    client.send([&v2()[..], get("/").as_bytes()].concat());
    client.reply().expect_status(200);
    client.send(get("/again"));
    client.reply().expect_status(200);
    for request in origin.requests() {
        assert_eq!(request.field("x-forwarded-for"), Some("192.0.2.7"));
    }
    let mut stranger = RawClient::connect(gateway.addr());
    stranger.send(get("/"));
    stranger.expect_closed();
}
