//! `cors`: preflights and what follows them.

use portway_testkit::{RawClient, RawReply};

use super::origin;
use crate::support::{Setup, get_with, with_body};

const CORS: &str = "cors: { allow_origins: [\"https://app.example.com\", \"https://*.dev.example\"], \
                    allow_methods: [GET, PUT], allow_headers: [X-A], allow_credentials: true, max_age: 5m }";

fn preflight(addr: std::net::SocketAddr, origin: &str) -> RawReply {
    let origin = format!("Origin: {origin}");
    let fields = [
        &origin,
        "Access-Control-Request-Method: PUT",
        "Access-Control-Request-Headers: x-a",
    ];
    RawClient::ask(addr, with_body("OPTIONS", "/", &fields, ""))
}

#[test]
fn a_preflight_is_answered_by_the_gateway() {
    let origin = origin();
    let gateway = Setup::to(&origin)
        .route("methods: [GET, PUT]")
        .global(CORS)
        .start();
    for allowed in ["https://app.example.com", "https://a.dev.example"] {
        let reply = preflight(gateway.addr(), allowed);
        reply.expect_status(204);
        let field = |name| reply.field(name);
        assert_eq!(field("access-control-allow-origin"), Some(allowed));
        assert_eq!(field("access-control-allow-methods"), Some("GET, PUT"));
        assert_eq!(field("access-control-allow-headers"), Some("X-A"));
        assert_eq!(field("access-control-allow-credentials"), Some("true"));
        assert_eq!(field("access-control-max-age"), Some("300"));
    }
    for denied in [
        "https://evil.example",
        "https://dev.example",
        "http://app.example.com",
        "null",
    ] {
        let reply = preflight(gateway.addr(), denied);
        assert_eq!(reply.field("access-control-allow-origin"), None, "{denied}");
        assert_eq!(
            reply.field("access-control-allow-methods"),
            None,
            "{denied}"
        );
    }
    assert_eq!(origin.request_count(), 0);
}

#[test]
fn a_preflight_needs_no_token() {
    let origin = origin();
    let gateway = Setup::to(&origin)
        .global(CORS)
        .filter("auth: { type: apikey, keys: [ { key: k1, consumer: mobile } ] }")
        .start();
    preflight(gateway.addr(), "https://app.example.com").expect_status(204);
}

#[test]
fn an_actual_request_passes_and_its_reply_says_who_may_read_it() {
    let origin = origin();
    let gateway = Setup::to(&origin).global(CORS).start();
    let from = |origin: &str| {
        let origin = format!("Origin: {origin}");
        RawClient::ask(gateway.addr(), get_with("/", &[&origin]))
    };
    let allowed = from("https://app.example.com");
    assert_eq!(
        allowed
            .expect_status(200)
            .field("access-control-allow-origin"),
        Some("https://app.example.com")
    );
    assert_eq!(allowed.field("vary"), Some("Origin"));
    let denied = from("https://evil.example");
    assert_eq!(
        denied
            .expect_status(200)
            .field("access-control-allow-origin"),
        None
    );
    let plain = RawClient::get(gateway.addr(), "/");
    assert_eq!(plain.field("access-control-allow-origin"), None);
    assert_eq!(plain.field("vary"), Some("Origin"));
}

/// What the target says about CORS does not count.
#[test]
fn the_gateways_word_replaces_the_targets() {
    let origin = portway_testkit::Origin::start(|_, conn| {
        conn.reply(
            200,
            &[
                "Access-Control-Allow-Origin: *",
                "Access-Control-Allow-Credentials: true",
            ],
            "",
        );
    });
    let gateway = Setup::to(&origin).global(CORS).start();
    let denied = get_with("/", &["Origin: https://evil.example"]);
    let denied = RawClient::ask(gateway.addr(), denied);
    assert_eq!(denied.field("access-control-allow-origin"), None);
}
