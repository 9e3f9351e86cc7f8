//! Hosts, paths, methods, fields, queries, cookies, and which of several routes wins.

use portway_testkit::{Gateway, RawClient, RawReply, raw::get};

use crate::support::{code, get_with};

/// A gateway of routes that answer with their names: each is a name and its conditions in flow
/// style.
fn named(routes: &[(&str, &str)]) -> Gateway {
    let mut yaml = String::from("server: { host: 127.0.0.1, port: 0, workers: 1 }\nroutes:\n");
    for (name, conditions) in routes {
        let route = format!("  - {{ name: {name}, {conditions}, respond: {{ body: {name} }} }}\n");
        yaml.push_str(&route);
    }
    Gateway::start(&yaml)
}

/// The name of the route that answers; `-` for a 404.
#[track_caller]
fn route_of(gateway: &Gateway, request: impl AsRef<[u8]>) -> String {
    let reply = RawClient::ask(gateway.addr(), request);
    match reply.status {
        200 => reply.text(),
        404 => "-".into(),
        other => format!("{other}"),
    }
}

fn on(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

#[test]
fn hosts_exact_before_wildcard_before_any() {
    let gateway = named(&[
        ("any", "prefix: /"),
        ("wild", "hosts: ['*.example.com'], prefix: /"),
        (
            "api",
            "hosts: [api.example.com, api.example.org], prefix: /",
        ),
        ("deep", "hosts: ['*.deep.example.com'], prefix: /"),
    ]);
    for (host, expected) in [
        ("api.example.com", "api"),
        ("API.EXAMPLE.COM:8080", "api"),
        ("api.example.org", "api"),
        ("www.example.com", "wild"),
        ("a.deep.example.com", "deep"),
        ("example.com", "any"),
        ("xexample.com", "any"),
        ("example.com.evil", "any"),
        ("127.0.0.1", "any"),
        ("[::1]:80", "any"),
    ] {
        assert_eq!(route_of(&gateway, on(host, "/")), expected, "{host}");
    }
    assert_eq!(route_of(&gateway, "GET / HTTP/1.0\r\n\r\n"), "any");
}

#[test]
fn prefixes_end_at_segments_and_the_longest_wins() {
    let gateway = named(&[
        ("a", "prefix: /a"),
        ("ab", "prefix: /a/b"),
        ("slash", "prefix: /s/"),
    ]);
    for (path, expected) in [
        ("/a", "a"),
        ("/a/", "a"),
        ("/a/x", "a"),
        ("/a?x", "a"),
        ("/a/bc", "a"),
        ("/a/b", "ab"),
        ("/a/b/c", "ab"),
        ("/ab", "-"),
        ("/A", "-"),
        ("/", "-"),
        ("/s/x", "slash"),
        ("/sx", "-"),
    ] {
        assert_eq!(route_of(&gateway, get(path)), expected, "{path}");
    }
}

#[test]
fn exact_before_regex_before_prefix() {
    let gateway = named(&[
        ("prefix", "prefix: /v"),
        ("regex", "regex: '/v/[0-9]+'"),
        ("exact", "path: /v/7"),
    ]);
    for (path, expected) in [
        ("/v/7", "exact"),
        ("/v/7?q", "exact"),
        ("/v/8", "regex"),
        ("/v/8/x", "prefix"),
        ("/x/v/8", "-"),
        ("/v/7/", "prefix"),
    ] {
        assert_eq!(route_of(&gateway, get(path)), expected, "{path}");
    }
}

#[test]
fn parameters_stand_for_one_segment() {
    let gateway = named(&[
        ("user", "path: '/users/{id}'"),
        ("me", "path: /users/me"),
        ("posts", "prefix: '/users/{id}/posts'"),
    ]);
    for (path, expected) in [
        ("/users/7", "user"),
        ("/users/me", "me"),
        ("/users/7/posts", "posts"),
        ("/users/me/posts/1", "posts"),
        ("/users/7/other", "-"),
        ("/users", "-"),
        ("/users//", "-"),
    ] {
        assert_eq!(route_of(&gateway, get(path)), expected, "{path}");
    }
}

#[test]
fn a_method_that_no_route_takes_is_a_405_with_those_that_do() {
    let gateway = named(&[
        ("read", "path: /thing, methods: [GET]"),
        ("write", "path: /thing, methods: [PUT, DELETE]"),
        ("all", "path: /all"),
    ]);
    let ask = |method: &str, path: &str| -> RawReply {
        RawClient::ask(gateway.addr(), get(path).replace("GET", method))
    };
    assert_eq!(ask("GET", "/thing").text(), "read");
    assert_eq!(ask("DELETE", "/thing").text(), "write");
    assert_eq!(ask("BREW", "/all").text(), "all");
    let refused = ask("POST", "/thing");
    assert_eq!(
        (refused.status, code(&refused).as_str()),
        (405, "method_not_allowed")
    );
    let allow = refused.field("allow").unwrap();
    let mut allowed: Vec<&str> = allow.split(',').map(str::trim).collect();
    allowed.retain(|method| *method != "HEAD");
    allowed.sort_unstable();
    assert_eq!(allowed, ["DELETE", "GET", "PUT"]);
    assert_eq!(ask("POST", "/nothing").status, 404);
}

#[test]
fn fields_must_all_hold() {
    let gateway = named(&[
        ("plain", "prefix: /"),
        ("tenant", "prefix: /, headers: { X-Tenant: acme }"),
        (
            "both",
            "prefix: /, headers: { X-Tenant: acme, X-Beta: { present: true } }",
        ),
        (
            "mobile",
            "prefix: /, headers: { User-Agent: { regex: '.*Mobile.*' } }",
        ),
        (
            "starts",
            "prefix: /, headers: { X-Version: { prefix: v2 } }",
        ),
        (
            "without",
            "prefix: /w, headers: { X-Old: { absent: true } }",
        ),
    ]);
    for (path, fields, expected) in [
        ("/", &[][..], "plain"),
        ("/", &["X-Tenant: other"], "plain"),
        ("/", &["X-Tenant: acme"], "tenant"),
        ("/", &["x-tenant: acme", "X-Beta: "], "both"),
        ("/", &["X-Beta: 1"], "plain"),
        ("/", &["User-Agent: A Mobile B"], "mobile"),
        ("/", &["User-Agent: Desktop"], "plain"),
        ("/", &["X-Version: v2.1"], "starts"),
        ("/", &["X-Version: v3"], "plain"),
        ("/w", &[], "without"),
        ("/w", &["X-Old: 1"], "plain"),
    ] {
        assert_eq!(
            route_of(&gateway, get_with(path, fields)),
            expected,
            "{fields:?}"
        );
    }
}

#[test]
fn queries_and_cookies_must_hold() {
    let gateway = named(&[
        ("plain", "prefix: /"),
        ("beta", "prefix: /, query: { beta: '1' }"),
        ("group", "prefix: /, cookies: { group: b }"),
    ]);
    for (path, fields, expected) in [
        ("/", &[][..], "plain"),
        ("/?beta=1", &[], "beta"),
        ("/?x=y&beta=1&z", &[], "beta"),
        ("/?beta=2", &[], "plain"),
        ("/?xbeta=1", &[], "plain"),
        ("/", &["Cookie: group=b"], "group"),
        ("/", &["Cookie: a=1; group=b; c=2"], "group"),
        ("/", &["Cookie: a=1", "Cookie: group=b"], "group"),
        ("/", &["Cookie: group=a"], "plain"),
        ("/", &["Cookie: xgroup=b"], "plain"),
    ] {
        assert_eq!(
            route_of(&gateway, get_with(path, fields)),
            expected,
            "{path} {fields:?}"
        );
    }
}

#[test]
fn a_priority_goes_before_everything_and_the_file_decides_at_last() {
    let gateway = named(&[
        ("exact", "path: /a/b"),
        ("urgent", "prefix: /a, priority: 10"),
        ("last", "prefix: /, priority: -1"),
        ("first", "prefix: /same, headers: { X: y }"),
        ("second", "prefix: /same, headers: { Z: y }"),
    ]);
    assert_eq!(route_of(&gateway, get("/a/b")), "urgent");
    assert_eq!(route_of(&gateway, get("/other")), "last");
    assert_eq!(
        route_of(&gateway, get_with("/same", &["Z: y", "X: y"])),
        "first"
    );
    assert_eq!(route_of(&gateway, get_with("/same", &["Z: y"])), "second");
}

#[test]
fn routes_belong_to_the_listeners_they_name() {
    let gateway = Gateway::start(
        "listeners:\n\
         \x20 - { name: outside, bind: '127.0.0.1:0' }\n\
         \x20 - { name: inside, bind: '127.0.0.1:0' }\n\
         routes:\n\
         \x20 - { name: all, path: /all, respond: { body: all } }\n\
         \x20 - { name: internal, path: /internal, listeners: [inside], respond: { body: internal } }\n",
    );
    let (outside, inside) = (gateway.addr_of("outside"), gateway.addr_of("inside"));
    assert_eq!(RawClient::get(outside, "/all").status, 200);
    assert_eq!(RawClient::get(inside, "/all").status, 200);
    assert_eq!(RawClient::get(inside, "/internal").status, 200);
    assert_eq!(RawClient::get(outside, "/internal").status, 404);
}

#[test]
fn no_route_is_a_problem_document_with_the_request_id() {
    let gateway = Gateway::start(
        "server: { host: 127.0.0.1, port: 0 }\n\
         routes: [{ name: one, path: /one, respond: { body: one } }]\n\
         global_filters: [{ request_id: {} }]\n",
    );
    let reply = RawClient::get(gateway.addr(), "/two");
    assert_eq!((reply.status, code(&reply).as_str()), (404, "no_route"));
    let id = reply.field("x-request-id").unwrap();
    assert_eq!(id.len(), 36);
    let text = reply.text();
    assert!(text.contains(&format!("\"request_id\":\"{id}\"")), "{text}");
    assert!(text.contains("\"status\":404"), "{text}");
    let status = reply.field("proxy-status").unwrap();
    assert!(status.contains("destination_not_found"), "{status}");
}
