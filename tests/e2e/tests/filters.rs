//! Every filter through the front door: what clients, origins and operators see of it.

use portway_testkit::{Origin, RawClient, replies};

use crate::support::{Setup, code, get_with, with_body};

mod auth;
mod cors;
mod limits;
mod record;

fn origin() -> Origin {
    Origin::start(replies::echo())
}

#[test]
fn request_id_gives_client_and_origin_the_same_new_id() {
    let origin = origin();
    let gateway = Setup::to(&origin).global("request_id: {}").start();
    let reply = RawClient::ask(gateway.addr(), get_with("/", &["X-Request-ID: forged"]));
    let id = reply.field("x-request-id").expect("an id").to_owned();
    assert_eq!(origin.last_request().field("x-request-id"), Some(&*id));
    assert_ne!(id, "forged");
    let other = RawClient::get(gateway.addr(), "/");
    assert_ne!(other.field("x-request-id"), Some(&*id));
}

#[test]
fn request_id_of_a_trusted_proxy_stays_if_asked_for() {
    let origin = origin();
    let setup = Setup::to(&origin).global("request_id: { header: X-Trace, trust_incoming: true }");
    let incoming = get_with("/", &["X-Trace: abc-123"]);
    let trusting = setup
        .clone()
        .listener("trusted_proxies: [127.0.0.0/8]")
        .start();
    let reply = RawClient::ask(trusting.addr(), &incoming);
    assert_eq!(reply.field("x-trace"), Some("abc-123"));
    assert_eq!(origin.last_request().field("x-trace"), Some("abc-123"));
    let wary = setup.start();
    let reply = RawClient::ask(wary.addr(), &incoming);
    assert_ne!(reply.field("x-trace"), Some("abc-123"));
}

#[test]
fn headers_are_set_added_and_removed_both_ways() {
    let origin = Origin::start(|_, conn| {
        conn.reply(200, &["Server: old", "X-Kept: 1", "X-Set: theirs"], "ok");
    });
    let gateway = Setup::to(&origin)
        .filter("headers: { request: { set: { X-Env: prod }, add: { X-Tag: two }, remove: [X-Debug] }, response: { set: { X-Set: ours }, add: { X-Kept: 2 }, remove: [Server] } }")
        .start();
    let request = get_with(
        "/",
        &["X-Env: dev", "X-Tag: one", "X-Debug: 1", "x-debug: 2"],
    );
    let reply = RawClient::ask(gateway.addr(), request);
    let sent = origin.last_request();
    assert_eq!(sent.field("x-env"), Some("prod"));
    assert_eq!(sent.head.all("x-tag"), ["one", "two"]);
    assert_eq!(sent.field("x-debug"), None);
    assert_eq!(reply.field("server"), None);
    assert_eq!(reply.field("x-set"), Some("ours"));
    assert_eq!(reply.head.all("x-kept"), ["1", "2"]);
}

#[test]
fn ip_filter_refuses_by_the_clients_address() {
    let origin = origin();
    let gateway = Setup::to(&origin)
        .listener("trusted_proxies: [127.0.0.0/8]")
        .global("ip_filter: { deny: [203.0.113.0/24, \"2001:db8::/32\"] }")
        .start();
    let from = |ip: &str| {
        let field = format!("X-Forwarded-For: {ip}");
        RawClient::ask(gateway.addr(), get_with("/", &[&field]))
    };
    for denied in ["203.0.113.9", "2001:db8::1"] {
        let reply = from(denied);
        reply.expect_status(403);
        assert_eq!(code(&reply), "ip_denied", "{denied}");
    }
    from("198.51.100.1").expect_status(200);
    assert_eq!(origin.request_count(), 1);

    let gateway = Setup::to(&origin)
        .filter("ip_filter: { allow: [192.0.2.0/24] }")
        .start();
    // No trusted proxy here: the forged address does not count.
    let forged = get_with("/", &["X-Forwarded-For: 192.0.2.1"]);
    RawClient::ask(gateway.addr(), forged).expect_status(403);
}

#[test]
fn body_limit_holds_for_told_and_untold_lengths() {
    let origin = origin();
    let gateway = Setup::to(&origin).filter("body_limit: { max: 4B }").start();
    let told = |body: &str| {
        let length = format!("Content-Length: {}", body.len());
        RawClient::ask(gateway.addr(), with_body("POST", "/", &[&length], body))
    };
    told("four").expect_status(200);
    let refused = told("five!");
    assert_eq!(
        (refused.status, &*code(&refused)),
        (413, "payload_too_large")
    );
    let chunked = with_body(
        "POST",
        "/",
        &["Transfer-Encoding: chunked"],
        "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n",
    );
    RawClient::ask(gateway.addr(), chunked).expect_status(413);
    assert_eq!(origin.request_count(), 1, "no whole request but the first");
}

#[test]
fn security_headers_fill_in_and_override() {
    let origin = Origin::start(|_, conn| conn.reply(200, &["X-Frame-Options: DENY"], "ok"));
    let setup = Setup::to(&origin);
    let filled = setup.clone().global("security_headers: {}").start();
    let reply = RawClient::get(filled.addr(), "/");
    assert_eq!(reply.field("x-content-type-options"), Some("nosniff"));
    assert_eq!(reply.field("x-frame-options"), Some("DENY"));
    assert_eq!(
        reply.field("strict-transport-security"),
        None,
        "not over plain http"
    );
    let strict = setup
        .global(
            "security_headers: { frame_options: SAMEORIGIN, referrer_policy: off, override: true }",
        )
        .start();
    let reply = RawClient::get(strict.addr(), "/");
    assert_eq!(reply.field("x-frame-options"), Some("SAMEORIGIN"));
    assert_eq!(reply.field("referrer-policy"), None);
}

#[test]
fn circuit_breaker_and_retry_work_as_route_filters() {
    let origin = Origin::start(replies::first(1, replies::status(503), replies::echo()));
    let gateway = Setup::to(&origin)
        .filter("retry: { max_retries: 1 }")
        .filter("circuit_breaker: { threshold: 1, timeout: 30s }")
        .start();
    RawClient::get(gateway.addr(), "/").expect_status(200);
    assert_eq!(
        origin.request_count(),
        2,
        "the breaker judges what is left after retries"
    );
    origin.set_handler(replies::status(500));
    RawClient::get(gateway.addr(), "/").expect_status(500);
    let open = RawClient::get(gateway.addr(), "/");
    assert_eq!(code(&open), "circuit_open");
}

#[test]
fn a_route_switches_a_global_filter_off() {
    let origin = origin();
    let setup = Setup::to(&origin)
        .global("cors: { allow_origins: [\"*\"] }")
        .global("security_headers: {}");
    let with_origin = get_with("/", &["Origin: https://app.example.com"]);
    let on = setup.clone().start();
    let reply = RawClient::ask(on.addr(), &with_origin);
    assert_eq!(reply.field("access-control-allow-origin"), Some("*"));
    let off = setup.filter("{ cors: off }").start();
    let reply = RawClient::ask(off.addr(), &with_origin);
    assert_eq!(reply.field("access-control-allow-origin"), None);
    assert_eq!(reply.field("x-content-type-options"), Some("nosniff"));
}

/// Written in the wrong order on purpose: phases decide.
#[test]
fn a_refusal_still_has_what_earlier_and_later_phases_give() {
    let origin = origin();
    let gateway = Setup::to(&origin)
        .global("security_headers: {}")
        .global("cors: { allow_origins: [\"https://app.example.com\"] }")
        .global("request_id: {}")
        .filter("rate_limit: { qps: 0.001, burst: 1 }")
        .filter("auth: { type: apikey, keys: [ { key: k1, consumer: mobile } ] }")
        .start();
    let anonymous = get_with("/", &["Origin: https://app.example.com"]);
    for _ in 0..3 {
        let reply = RawClient::ask(gateway.addr(), &anonymous);
        reply.expect_status(401); // and never 429: who is not let in is not counted
        assert_eq!(
            reply.field("access-control-allow-origin"),
            Some("https://app.example.com")
        );
        let id = reply.field("x-request-id").expect("an id");
        assert!(reply.text().contains(id), "{}", reply.text());
        assert_eq!(reply.field("x-content-type-options"), Some("nosniff"));
    }
    let known = get_with("/", &["X-API-Key: k1"]);
    RawClient::ask(gateway.addr(), &known).expect_status(200);
    RawClient::ask(gateway.addr(), &known).expect_status(429);
}
