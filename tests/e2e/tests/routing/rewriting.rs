//! What the target is asked instead of what the client asked.

use portway_testkit::raw::get;
use portway_testkit::{Gateway, Origin, RawClient, replies};

use crate::support::code;

/// A gateway with one route to the origin, and the targets that the origin is asked for.
fn one(origin: &Origin, route: &str) -> Gateway {
    Gateway::start(&format!(
        "server: {{ host: 127.0.0.1, port: 0, workers: 1 }}\n\
         routes: [{{ name: one, {route}, targets: [{{ addr: '{}' }}] }}]\n",
        origin.url()
    ))
}

#[track_caller]
fn expect_targets(route: &str, pairs: &[(&str, &str)]) {
    let origin = Origin::start(replies::text("x"));
    let gateway = one(&origin, route);
    for (asked, target) in pairs {
        RawClient::get(gateway.addr(), asked).expect_status(200);
        assert_eq!(origin.last_request().target(), *target, "{asked}");
    }
}

#[test]
fn a_prefix_is_stripped_at_its_segment() {
    expect_targets(
        "prefix: /api/v1, strip_prefix: true",
        &[
            ("/api/v1/users", "/users"),
            ("/api/v1", "/"),
            ("/api/v1/", "/"),
            ("/api/v1?q=1", "/?q=1"),
            ("/api/v1/api/v1/x", "/api/v1/x"),
            ("/api//v1/./a/../b", "/b"),
        ],
    );
}

#[test]
fn stripping_the_root_changes_nothing() {
    expect_targets(
        "prefix: /, strip_prefix: true",
        &[("/", "/"), ("/a/b?c", "/a/b?c")],
    );
}

#[test]
fn a_path_is_rewritten_and_keeps_its_query() {
    expect_targets(
        "prefix: /, rewrite: { path: '^/v1/(.*)$ => /$1' }",
        &[
            ("/v1/a/b?c=d", "/a/b?c=d"),
            ("/v2/a", "/v2/a"),
            ("/v1/", "/"),
        ],
    );
}

#[test]
fn what_a_rewrite_makes_is_canonical_again() {
    expect_targets(
        "prefix: /files, rewrite: { path: '^/files/(.*)$ => /data/../safe//$1' }",
        &[("/files/a", "/safe/a")],
    );
}

/// The rules are the listener's, and a client cannot choose that a rewrite does not happen.
#[test]
fn what_a_rewrite_makes_follows_the_rules_of_the_listener() {
    let origin = Origin::start(replies::text("x"));
    let start = |rules: &str, rewrite: &str| {
        Gateway::start(&format!(
            "server: {{ workers: 1 }}\n\
             listeners: [{{ name: l, bind: '127.0.0.1:0', http: {{ normalize_path: {{ {rules} }} }} }}]\n\
             routes: [{{ name: one, prefix: /pub, rewrite: {{ path: '{rewrite}' }}, \
             targets: [{{ addr: '{}' }}] }}]\n",
            origin.url()
        ))
    };
    let gateway = start(
        "encoded_slashes: keep, merge_slashes: false",
        "^/pub/(.*)$ => /in/$1",
    );
    for (asked, target) in [
        ("/pub/a%2Fb", "/in/a%2Fb"),
        ("/pub//a", "/in//a"),
        ("/pub", "/pub"),
    ] {
        RawClient::get(gateway.addr(), asked).expect_status(200);
        assert_eq!(origin.last_request().target(), target, "{asked}");
    }
    origin.forget();
    // Only together with what the rewrite puts before them do the dots become a segment.
    let gateway = start("dot_segments: reject", "^/pub/x(.*)$ => /in/$1");
    for asked in ["/pub/x..", "/pub/x../secret"] {
        let refused = RawClient::get(gateway.addr(), asked);
        assert_eq!(
            (refused.status, code(&refused).as_str()),
            (400, "ambiguous_path")
        );
    }
    assert_eq!(origin.request_count(), 0);
}

#[test]
fn a_host_is_rewritten_and_the_clients_told_aside() {
    let origin = Origin::start(replies::text("x"));
    let gateway = one(&origin, "prefix: /, rewrite: { host: users.internal }");
    RawClient::get(gateway.addr(), "/").expect_status(200);
    let seen = origin.last_request();
    assert_eq!(seen.field("host"), Some("users.internal"));
    assert_eq!(seen.field("x-forwarded-host"), Some("test.example"));
}

#[test]
fn without_a_rewrite_the_host_is_the_clients() {
    let origin = Origin::start(replies::text("x"));
    let gateway = one(&origin, "prefix: /");
    RawClient::ask(
        gateway.addr(),
        get("/").replace("test.example", "a.example:81"),
    )
    .expect_status(200);
    assert_eq!(origin.last_request().field("host"), Some("a.example:81"));
    RawClient::ask(gateway.addr(), "GET / HTTP/1.0\r\n\r\n").expect_status(200);
    let seen = origin.last_request();
    assert_eq!(seen.field("host"), Some(origin.addr().to_string().as_str()));
}

#[test]
fn the_log_and_policies_see_what_the_client_asked() {
    let origin = Origin::start(replies::text("x"));
    let gateway = one(
        &origin,
        "prefix: /api, strip_prefix: true, filters: [{ auth: { type: apikey, exclude_paths: [/open], \
         keys: [{ key: k, consumer: c }] } }]",
    );
    // Stripped, it is `/open`; asked for it was `/api/open`, which is not excluded.
    RawClient::get(gateway.addr(), "/api/open").expect_status(401);
    assert_eq!(origin.connection_count(), 0);
}
