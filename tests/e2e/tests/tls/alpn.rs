//! Targets that pick their protocol in the handshake.

use portway_testkit::{Gateway, RawClient, eventually};

use super::Authority;
use super::alpn_origin::AlpnOrigin;
use crate::support::code;

fn to(ca: &Authority, url: &str, more: &str) -> String {
    format!(
        "server: {{ workers: 1 }}\n\
         listeners: [ {{ name: public, bind: \"127.0.0.1:0\" }} ]\n\
         upstreams: [ {{ name: pool, targets: [ {{ addr: \"{url}\" }} ], tls: {{ ca: {} }}{more} }} ]\n\
         routes: [ {{ name: all, prefix: /, upstream: pool }} ]\n",
        ca.path("ca.pem")
    )
}

fn ask(gateway: &Gateway, path: &str) -> String {
    RawClient::get(gateway.addr(), path)
        .expect_status(200)
        .text()
        .to_string()
}

/// Asks so many times at once; the answers.
fn ask_at_once(gateway: &Gateway, times: usize) -> Vec<String> {
    let addr = gateway.addr();
    let threads: Vec<_> = (0..times)
        .map(|_| std::thread::spawn(move || RawClient::get(addr, "/").text().to_string()))
        .collect();
    threads.into_iter().map(|t| t.join().unwrap()).collect()
}

#[test]
fn exchanges_share_a_connection_to_a_target_that_picks_http2() {
    let ca = Authority::new();
    let origin = AlpnOrigin::start(&ca, &["h2", "http/1.1"]);
    let gateway = Gateway::start(&to(&ca, &origin.url(), ""));
    assert_eq!(ask_at_once(&gateway, 20), vec!["h2"; 20]);
    assert_eq!(ask(&gateway, "/"), "h2");
    assert_eq!(origin.connections(), (0, 1));
}

#[test]
fn a_target_that_picks_http1_or_nothing_has_a_pool() {
    for speaks in [&["http/1.1"][..], &[]] {
        let ca = Authority::new();
        let origin = AlpnOrigin::start(&ca, speaks);
        let gateway = Gateway::start(&to(&ca, &origin.url(), ""));
        for _ in 0..5 {
            assert_eq!(ask(&gateway, "/"), "h1");
        }
        assert_eq!(origin.connections(), (1, 0));
        assert_eq!(ask_at_once(&gateway, 10), vec!["h1"; 10]);
        let (h1, h2) = origin.connections();
        assert!((2..=11).contains(&h1) && h2 == 0, "{h1} {h2}");
    }
}

#[test]
fn a_target_may_change_its_mind() {
    let ca = Authority::new();
    let origin = AlpnOrigin::start(&ca, &["h2", "http/1.1"]);
    let gateway = Gateway::start(&to(&ca, &origin.url(), ""));
    assert_eq!(ask(&gateway, "/"), "h2");
    for (speaks, answer) in [("http/1.1", "h1"), ("h2", "h2"), ("http/1.1", "h1")] {
        origin.change(&[speaks]);
        eventually("the new protocol", || ask(&gateway, "/") == answer);
        assert_eq!(ask_at_once(&gateway, 5), vec![answer; 5]);
    }
}

#[test]
fn a_connection_that_says_goaway_is_replaced() {
    let ca = Authority::new();
    let origin = AlpnOrigin::start(&ca, &["h2"]);
    let gateway = Gateway::start(&to(&ca, &origin.url(), ""));
    for _ in 0..5 {
        assert_eq!(ask(&gateway, "/leave"), "h2");
    }
    let (_, h2) = origin.connections();
    assert!((2..=5).contains(&h2), "{h2} connections");
}

#[test]
fn the_upstreams_word_counts_before_the_targets() {
    let ca = Authority::new();
    let origin = AlpnOrigin::start(&ca, &["h2", "http/1.1"]);
    let gateway = Gateway::start(&to(&ca, &origin.url(), ", protocol: h1"));
    assert_eq!(ask(&gateway, "/"), "h1");
    let h2 = to(&ca, &origin.url(), ", protocol: h2");
    gateway.reload(&h2).unwrap();
    assert_eq!(ask(&gateway, "/"), "h2");
    origin.change(&["http/1.1"]);
    eventually("a refusal", || {
        let reply = RawClient::get(gateway.addr(), "/");
        reply.status == 502 && code(&reply) == "upstream_tls"
    });
}

#[test]
fn grpcs_is_http2_over_tls() {
    let ca = Authority::new();
    let origin = AlpnOrigin::start(&ca, &["h2", "http/1.1"]);
    let url = origin.url().replace("https://", "grpcs://");
    let gateway = Gateway::start(&to(&ca, &url, ""));
    assert_eq!(ask(&gateway, "/"), "h2");
}

#[test]
fn a_request_for_an_upgrade_goes_over_http1() {
    let ca = Authority::new();
    let origin = AlpnOrigin::start(&ca, &["h2", "http/1.1"]);
    let gateway = Gateway::start(&to(&ca, &origin.url(), ""));
    assert_eq!(ask(&gateway, "/"), "h2");
    let asked = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let reply = RawClient::ask(gateway.addr(), asked);
    assert_eq!(reply.text(), "h1", "a refusal, but one of HTTP/1");
    assert_eq!(origin.connections(), (1, 1));
}

#[test]
fn checks_speak_what_the_target_picks() {
    let ca = Authority::new();
    let origin = AlpnOrigin::start(&ca, &["h2"]);
    let check = ", health_check: { type: http, path: /, interval: 50ms, healthy_after: 1, unhealthy_after: 1 }";
    let gateway = Gateway::start(&to(&ca, &origin.url(), check));
    eventually("checks", || origin.connections().1 >= 3);
    assert_eq!(ask(&gateway, "/"), "h2");
    origin.change(&["http/1.1"]);
    eventually("checks", || origin.connections().0 >= 3);
    assert_eq!(ask(&gateway, "/"), "h1");
}
