//! Heads: one host, one path, the limits of HTTP/1, and nothing about the connection.

use portway_testkit::frames::{self, END_HEADERS, END_STREAM, Frame, error, frame, kind};
use portway_testkit::{FrameClient, Origin, replies};

use super::client::{Client, get};
use crate::support::{Setup, before};

#[test]
fn heads_are_read_as_http1s_are() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let mut client = Client::connect(gateway.addr());
    let mut refused = |request, status, code: &str| {
        let reply = client.send(request, b"");
        assert_eq!((reply.status, &*reply.code()), (status, code));
    };
    refused(get("/a%2fb"), 400, "ambiguous_path");
    refused(get("/a/..%2f../secret"), 400, "ambiguous_path");
    refused(get("/..;/admin"), 400, "ambiguous_path");
    refused(get("/").header("host", "other.example"), 400, "bad_host");
    refused(
        get("/").header("expect", "magic"),
        417,
        "expectation_failed",
    );
    refused(get("/").header("x-role", "admin "), 400, "bad_request");
    refused(
        get(&format!("/{}", "p".repeat(20_000))),
        414,
        "uri_too_long",
    );
    let long = get("/").header("x-long", "v".repeat(70_000));
    refused(long, 431, "headers_too_large");
    let many = (0..101).fold(get("/"), |r, n| r.header(format!("x-{n}"), "1"));
    refused(many, 431, "headers_too_large");
    assert_eq!(origin.request_count(), 0);
    assert_eq!(client.send(get("/a/./b/../c//d"), b"").status, 200);
    assert_eq!(origin.last_request().target(), "/a/c/d");
}

#[test]
fn a_refused_head_has_an_id() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin).global("request_id: {}").start();
    let reply = Client::ask(gateway.addr(), get("/a%2fb"));
    assert_eq!(reply.status, 400);
    let id = reply.headers["x-request-id"].to_str().unwrap();
    let told = format!("\"request_id\":\"{id}\"");
    assert!(reply.text().contains(&told), "{}", reply.text());
}

#[test]
fn far_too_large_heads_are_refused_without_being_kept() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin)
        .listener("http: { max_header_bytes: 4KiB }")
        .start();
    let mut client = Client::connect(gateway.addr());
    let reply = client.send(get("/").header("x-long", "v".repeat(12_000)), b"");
    assert_eq!(reply.status, 431);
    assert_eq!(
        client.send(get("/"), b"").text(),
        "x",
        "the connection goes on"
    );
}

#[test]
fn what_a_client_may_not_say_about_others_is_dropped() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let request = get("/")
        .header("x-forwarded-for", "6.6.6.6")
        .header("x-real-ip", "6.6.6.6")
        .header("x_forwarded_for", "6.6.6.6")
        .header("x-internal-user", "root")
        .header("te", "trailers")
        .header("cookie", "a=1")
        .header("cookie", "b=2");
    assert_eq!(Client::ask(gateway.addr(), request).status, 200);
    let seen = origin.last_request();
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-internal-user"), None);
    assert_eq!(seen.field("te"), None);
    assert_eq!(seen.field("cookie"), Some("a=1; b=2"));
    assert!(!String::from_utf8_lossy(&seen.raw()).contains("6.6.6.6"));
}

/// Sends a header block on stream 1: the stream is reset, or the connection ended, and nothing of it
/// reaches the origin.
#[track_caller]
fn expect_reset(block: &[Vec<u8>]) {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let mut client = FrameClient::connect(gateway.addr());
    let flags = END_HEADERS | END_STREAM;
    let shown = String::from_utf8_lossy(&block.concat()).into_owned();
    client.send(&frame(kind::HEADERS, flags, 1, &block.concat()));
    let told = |f: &Frame| matches!(f.kind, kind::RST_STREAM | kind::GOAWAY | kind::HEADERS);
    let told = client.expect(&format!("RST_STREAM for {shown:?}"), told);
    assert_ne!(told.kind, kind::HEADERS, "{shown:?} was answered");
    assert_eq!(told.code(), error::PROTOCOL_ERROR, "{shown:?}");
    if told.kind == kind::RST_STREAM {
        client.get(3, "/fine");
        client.expect("a reply", |f| f.stream == 3 && f.kind == kind::HEADERS);
        assert_eq!(origin.last_request().target(), "/fine");
    }
    assert!(origin.request_count() <= 1, "{shown:?}");
}

#[test]
fn malformed_heads_reset_their_stream() {
    let with = |name, value| vec![frames::get("/"), frames::field(name, value)];
    for (name, value) in [
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("X-Upper", "1"),
        ("x\r\ninjected: 1", "1"),
        ("x-line", "1\r\ninjected: 1"),
        ("x-nul", "\0"),
        ("", "empty"),
        (":path", "/second"),
        (":unknown", "1"),
        (":status", "200"),
        ("content-length", "5"),
        ("content-length", "-1"),
    ] {
        expect_reset(&with(name, value));
    }
    expect_reset(&[frames::field(":method", "GET"), frames::field(":path", "/")]);
    expect_reset(&[frames::field("x-first", "1"), frames::get("/")]);
}

#[test]
fn octets_that_disagree_with_the_length_never_make_a_whole_request() {
    for (declared, sent) in [("3", "12345"), ("8", "12345")] {
        let origin = Origin::start(replies::echo());
        let gateway = before(&origin);
        let mut client = FrameClient::connect(gateway.addr());
        let block = [
            frames::field(":method", "POST"),
            frames::field(":scheme", "http"),
            frames::field(":path", "/"),
            frames::field(":authority", "a"),
            frames::field("content-length", declared),
        ];
        client.send(&frame(kind::HEADERS, END_HEADERS, 1, &block.concat()));
        client.send(&frame(kind::DATA, END_STREAM, 1, sent.as_bytes()));
        let reset = client.expect("RST_STREAM", |f| f.stream == 1);
        assert_eq!(
            (reset.kind, reset.code()),
            (kind::RST_STREAM, error::PROTOCOL_ERROR)
        );
        client.get(3, "/fine");
        client.expect("a reply", |f| f.stream == 3 && f.kind == kind::HEADERS);
        let whole: Vec<_> = origin
            .requests()
            .iter()
            .map(|r| r.target().to_owned())
            .collect();
        assert_eq!(whole, ["/fine"]);
    }
}
