//! What is too large, too long or too many.

use portway_testkit::raw::{get, post};
use portway_testkit::{Origin, RawClient, eventually, replies};

use crate::resilience::metric;
use crate::support::{Setup, code, expect_alive, expect_refused, get_with, with_body};

#[test]
fn a_declared_body_over_the_limit_is_a_413_before_it_is_read() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin)
        .listener("http: { max_request_body: 1KiB }")
        .start();
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\n\r\n";
    let reply = RawClient::ask(gateway.addr(), request);
    assert_eq!(
        (reply.status, code(&reply).as_str()),
        (413, "payload_too_large")
    );
    assert_eq!(origin.connection_count(), 0);
    let largest = post("/", &"x".repeat(1024));
    RawClient::ask(gateway.addr(), largest).expect_status(200);
}

/// Refused as all are: behind the route's filters, so that a browser may see why.
#[test]
fn a_declared_body_over_the_limit_passes_the_filters_of_its_route() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin)
        .listener("http: { max_request_body: 1KiB }")
        .global("request_id: {}")
        .global("security_headers: {}")
        .global("cors: { allow_origins: [\"https://a.example\"] }")
        .start();
    let fields = ["Origin: https://a.example", "Content-Length: 1025"];
    for method in ["POST", "PUT"] {
        let reply = RawClient::ask(gateway.addr(), with_body(method, "/", &fields, ""));
        assert_eq!(code(&reply), "payload_too_large");
        let id = reply.field("x-request-id").expect("an id").to_owned();
        assert!(reply.text().contains(&id), "{}", reply.text());
        assert_eq!(reply.field("x-content-type-options"), Some("nosniff"));
        let allowed = reply.field("access-control-allow-origin");
        assert_eq!(allowed, Some("https://a.example"));
    }
    eventually("it is counted for its route", || {
        let line = "portway_request_errors_total{route=\"all\",code=\"payload_too_large\"}";
        metric(&gateway, line) == 2.0
    });
}

#[test]
fn a_413_does_not_make_the_client_wait_for_a_continue() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin)
        .listener("http: { max_request_body: 1KiB }")
        .start();
    let request =
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9999\r\n\r\n";
    let mut client = RawClient::connect(gateway.addr());
    let reply = client.send(request).reply();
    assert_eq!((reply.status, reply.interim.len()), (413, 0));
    client.half_close().expect_closed();
}

#[test]
fn a_chunked_body_over_the_limit_is_a_413_and_never_whole_at_the_origin() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin)
        .listener("http: { max_request_body: 1KiB }")
        .start();
    let mut client = RawClient::connect(gateway.addr());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("200\r\n{}\r\n", "x".repeat(0x200));
    client.send(&chunk).send(&chunk);
    client.try_send(chunk + "0\r\n\r\n").ok();
    let reply = client.reply();
    assert_eq!(
        (reply.status, code(&reply).as_str()),
        (413, "payload_too_large")
    );
    assert_eq!(reply.field("connection"), Some("close"));
    client.half_close().expect_closed();
    origin.wait("no whole request", |seen| seen.open == 0);
    assert_eq!(origin.request_count(), 0);
    assert!(!origin.seen().all_bytes().ends_with(b"0\r\n\r\n"));
}

#[test]
fn a_routes_own_body_limit_holds_for_both_framings() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin).filter("body_limit: { max: 4B }").start();
    RawClient::ask(gateway.addr(), post("/", "1234")).expect_status(200);
    RawClient::ask(gateway.addr(), post("/", "12345")).expect_status(413);
    let chunked = ["Transfer-Encoding: chunked"];
    let request = with_body("POST", "/", &chunked, "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n");
    RawClient::ask(gateway.addr(), request).expect_status(413);
    assert_eq!(origin.request_count(), 1);
}

#[test]
fn a_target_over_the_limit_is_a_414() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin).start();
    let longest = "/".to_owned() + &"a".repeat(16 * 1024 - 1);
    expect_refused(&gateway, &origin, get(&(longest.clone() + "a")), 414);
    expect_refused(
        &gateway,
        &origin,
        get(&("/?".to_owned() + &"a".repeat(20_000))),
        414,
    );
    // Even if its line never ends.
    expect_refused(
        &gateway,
        &origin,
        "GET /".to_owned() + &"a".repeat(80 * 1024),
        414,
    );
    RawClient::get(gateway.addr(), &longest).expect_status(200);
    assert_eq!(origin.last_request().target(), longest);
}

#[test]
fn a_head_over_the_limit_is_a_431() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin)
        .listener("http: { max_header_bytes: 2KiB }")
        .start();
    let large = format!("X-Large: {}", "a".repeat(2048));
    expect_refused(&gateway, &origin, get_with("/", &[&large]), 431);
    let many = vec!["X-A: aaaaaaaaaaaaaaaaaaaaaaaaaa"; 80];
    expect_refused(&gateway, &origin, get_with("/", &many), 431);
    let endless = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "a".repeat(4096));
    expect_refused(&gateway, &origin, endless, 431);
    let fits = format!("X-Large: {}", "a".repeat(1900));
    RawClient::ask(gateway.addr(), get_with("/", &[&fits])).expect_status(200);
}

#[test]
fn too_many_fields_are_a_431() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin)
        .listener("http: { max_headers: 10 }")
        .start();
    expect_refused(&gateway, &origin, get_with("/", &["A: b"; 10]), 431);
    RawClient::ask(gateway.addr(), get_with("/", &["A: b"; 9])).expect_status(200);
}

#[test]
fn other_versions_of_http_are_a_505() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin).start();
    for version in ["HTTP/1.2", "HTTP/2.0", "HTTP/3.0", "HTTP/0.9", "HTTP/9.9"] {
        let request = format!("GET / {version}\r\nHost: a\r\n\r\n");
        expect_refused(&gateway, &origin, request, 505);
    }
    // A space in the target is no version.
    for line in [
        "GET /a b HTTP/1.1",
        "GET /a b HTTP/1.2",
        "GET / HTTP/1.1 HTTP/1.1",
    ] {
        expect_refused(&gateway, &origin, format!("{line}\r\nHost: a\r\n\r\n"), 400);
    }
}

#[test]
fn what_is_no_http_is_a_400() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin).start();
    for request in [
        "GARBAGE\r\n\r\n",
        "GET\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/1\r\nHost: a\r\n\r\n",
        "GET / http/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1x\r\nHost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        "G\u{e9}T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    ] {
        expect_refused(&gateway, &origin, request, 400);
    }
    expect_alive(&gateway);
}

#[test]
fn connections_over_the_limit_are_closed_and_the_others_served() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin).listener("max_connections: 2").start();
    let mut first = RawClient::connect(gateway.addr());
    let mut second = RawClient::connect(gateway.addr());
    gateway.wait_connections(2);
    let mut third = RawClient::connect(gateway.addr());
    third.expect_closed();
    first.send(get("/")).reply().expect_status(200);
    second.send(get("/")).reply().expect_status(200);
    drop(first);
    gateway.wait_connections(1);
    let mut fourth = RawClient::connect(gateway.addr());
    fourth.send(get("/")).reply().expect_status(200);
}

#[test]
fn a_reply_head_over_the_limit_is_a_bad_gateway() {
    let large = format!(
        "HTTP/1.1 200 OK\r\nX-Large: {}\r\n\r\n",
        "a".repeat(200 * 1024)
    );
    let origin = Origin::start(replies::raw_then_close(large));
    let gateway = Setup::to(&origin).start();
    RawClient::get(gateway.addr(), "/").expect_status(502);
}

#[test]
fn an_upstreams_limits_answer_at_once() {
    let origin = Origin::start(replies::never());
    let gateway = Setup::to(&origin)
        .upstream("circuit_breaker: { max_requests: 1 }")
        .start();
    let mut waiting = RawClient::connect(gateway.addr());
    waiting.send(get("/"));
    origin.wait("a request", |seen| seen.request_count == 1);
    let reply = RawClient::get(gateway.addr(), "/");
    assert_eq!(
        (reply.status, code(&reply).as_str()),
        (503, "upstream_overloaded")
    );
    drop(waiting);
    origin.wait("room again", |seen| seen.open == 0);
    origin.set_handler(replies::text("x"));
    RawClient::get(gateway.addr(), "/").expect_status(200);
}
