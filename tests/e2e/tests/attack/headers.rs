//! Fields that belong to one hop, that pose as ours, or that only trusted proxies may send.

use portway_testkit::{Gateway, Origin, RawClient, RawRequest, replies};

use crate::support::{Setup, before, get_with};

#[track_caller]
fn forwarded(gateway: &Gateway, origin: &Origin, fields: &[&str]) -> RawRequest {
    RawClient::ask(gateway.addr(), get_with("/", fields)).expect_status(200);
    origin.last_request()
}

#[test]
fn hop_by_hop_abuse_a_fixed_set_is_removed_from_requests() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let hops = [
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "Proxy-Authorization: Basic eDp5",
        "Proxy-Authenticate: Basic",
        "Proxy-Authentication-Info: x",
        "Proxy: http://evil",
        "TE: trailers, gzip",
        "Trailer: X-T",
        "Upgrade: h2c",
        "HTTP2-Settings: AAAA",
        "Connection: keep-alive",
    ];
    let seen = forwarded(&gateway, &origin, &hops);
    for line in hops {
        let name = line.split(':').next().unwrap();
        assert_eq!(seen.head.all(name), [""; 0], "{name}");
    }
}

#[test]
fn hop_by_hop_abuse_a_fixed_set_is_removed_from_replies() {
    let origin = Origin::start(|_, conn| {
        let fields = [
            "Keep-Alive: timeout=5",
            "Proxy-Connection: keep-alive",
            "Proxy-Authenticate: Basic",
            "Upgrade: h2c",
            "Trailer: X",
            "Connection: X-Hop, keep-alive",
            "X-Hop: gone",
            "X-Stays: here",
        ];
        conn.reply(200, &fields, "");
    });
    let gateway = before(&origin);
    let reply = RawClient::get(gateway.addr(), "/");
    for name in [
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "upgrade",
        "trailer",
        "x-hop",
        "connection",
    ] {
        assert_eq!(reply.field(name), None, "{name}");
    }
    assert_eq!(reply.field("x-stays"), Some("here"));
}

#[test]
fn hop_by_hop_abuse_connection_removes_what_it_names() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let fields = [
        "Connection: X-One, x-two",
        "Connection: X-Three",
        "X-One: 1",
        "X-Two: 2",
        "X-Three: 3",
        "X-Four: 4",
    ];
    let seen = forwarded(&gateway, &origin, &fields);
    for name in ["x-one", "x-two", "x-three", "connection"] {
        assert_eq!(seen.field(name), None, "{name}");
    }
    assert_eq!(seen.field("x-four"), Some("4"));
}

#[test]
fn hop_by_hop_abuse_connection_cannot_remove_what_decides() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin)
        .global("request_id: {}")
        .filter("headers: { request: { set: { X-Added: ours } } }")
        .start();
    let fields = [
        "Connection: close, X-Real-IP, X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, \
         Forwarded, X-Request-ID, Host, Content-Length, Transfer-Encoding, Authorization, Cookie, \
         Content-Type, Cache-Control, X-Added",
        "Authorization: Bearer x",
        "Cookie: a=b",
        "Content-Type: text/plain",
        "Cache-Control: no-store",
    ];
    let seen = forwarded(&gateway, &origin, &fields);
    for name in [
        "x-real-ip",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "forwarded",
        "x-request-id",
        "host",
        "authorization",
        "cookie",
        "content-type",
        "cache-control",
        "x-added",
    ] {
        assert!(seen.field(name).is_some(), "{name} is gone");
    }
}

#[test]
fn hop_by_hop_abuse_connection_cannot_hide_a_key_from_policy_or_a_length_from_the_origin() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let request =
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: Content-Length\r\nContent-Length: 3\r\n\r\nabc";
    RawClient::ask(gateway.addr(), request).expect_status(200);
    let seen = origin.last_request();
    assert_eq!(
        (&seen.body[..], seen.field("content-length")),
        (&b"abc"[..], Some("3"))
    );
}

#[test]
fn header_aliases_twins_of_our_headers_are_dropped() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin).global("request_id: {}").start();
    let twins = [
        "X_Forwarded_For: 6.6.6.6",
        "X-Forwarded_For: 6.6.6.6",
        "X_Forwarded-Proto: https",
        "X.Forwarded.Host: evil",
        "X_Real_IP: 6.6.6.6",
        "x_request_id: evil",
        "X_Internal: 1",
        "X_Internal_User: root",
        "Content_Length: 5",
        "Transfer_Encoding: chunked",
        "Proxy_Authorization: x",
    ];
    let seen = forwarded(&gateway, &origin, &twins);
    for line in twins {
        let name = line.split(':').next().unwrap();
        assert_eq!(seen.head.all(name), [""; 0], "{name}");
    }
    let ordinary = forwarded(&gateway, &origin, &["X_Mine: 1"]);
    assert_eq!(ordinary.field("x_mine"), Some("1"));
}

const CLAIMS: [&str; 9] = [
    "X-Forwarded-For: 6.6.6.6",
    "X-Forwarded-For: 7.7.7.7",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: evil.example",
    "X-Forwarded-Prefix: /evil",
    "X-Real-IP: 6.6.6.6",
    "Forwarded: for=6.6.6.6;proto=https",
    "X-Request-ID: evil-id",
    "X-Internal-User: root",
];

#[test]
fn trusted_headers_of_anyone_are_replaced() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin).global("request_id: {}").start();
    let seen = forwarded(&gateway, &origin, &CLAIMS);
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.field("x-forwarded-host"), Some("test.example"));
    assert_eq!(seen.field("x-forwarded-prefix"), None);
    assert_eq!(seen.field("x-internal-user"), None);
    assert!(!seen.field("forwarded").unwrap().contains("6.6.6.6"));
    let raw = String::from_utf8(seen.head.raw).unwrap();
    for evil in ["6.6.6.6", "7.7.7.7", "evil", "https", "root"] {
        assert!(!raw.contains(evil), "{evil} in {raw}");
    }
}

#[test]
fn trusted_headers_of_a_trusted_proxy_count() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin)
        .listener("trusted_proxies: [127.0.0.0/8]")
        .start();
    let fields = [
        "X-Forwarded-For: 6.6.6.6, 203.0.113.9",
        "X-Forwarded-Proto: https",
    ];
    let seen = forwarded(&gateway, &origin, &fields);
    assert_eq!(
        seen.field("x-forwarded-for"),
        Some("6.6.6.6, 203.0.113.9, 127.0.0.1")
    );
    // The rightmost that is no proxy of ours; what stands left of it anyone can have written.
    assert_eq!(seen.field("x-real-ip"), Some("203.0.113.9"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("https"));
}

#[test]
fn trusted_headers_a_forged_client_address_does_not_pass_an_ip_filter() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin)
        .filter("ip_filter: { allow: [10.0.0.0/8] }")
        .start();
    let fields = [
        "X-Forwarded-For: 10.0.0.1",
        "X-Real-IP: 10.0.0.1",
        "Forwarded: for=10.0.0.1",
    ];
    RawClient::ask(gateway.addr(), get_with("/", &fields)).expect_status(403);
    assert_eq!(origin.connection_count(), 0);
}

#[test]
fn trusted_headers_a_client_cannot_pick_its_rate_limit_bucket() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin)
        .filter("rate_limit: { qps: 1, burst: 1, key: client_ip }")
        .start();
    let ask = |n: u32| {
        let claim = format!("X-Forwarded-For: 10.0.0.{n}");
        RawClient::ask(gateway.addr(), get_with("/", &[&claim])).status
    };
    let answers: Vec<u16> = (0..6).map(ask).collect();
    assert!(answers.contains(&429), "{answers:?}");
}

#[test]
fn trusted_headers_identity_comes_from_the_gateway_alone() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin)
        .filter("headers: { request: { set: { X-User-Id: real }, remove: [X-Role] } }")
        .start();
    let seen = forwarded(
        &gateway,
        &origin,
        &["X-User-Id: evil", "x-user-id: evil2", "X-Role: root"],
    );
    assert_eq!(seen.head.all("x-user-id"), ["real"]);
    assert_eq!(seen.field("x-role"), None);
}
