use super::*;
use crate::testing::{chain, exchange, header, problems, request, response};

const LISTED: &str = "{allow_origins: ['https://a.example', 'https://*.b.example']}";

/// The reply to a preflight from this origin.
fn preflight(yaml: &str, origin: &str, asks: &[(&'static str, &str)]) -> Reply {
    let chain = chain(kind(), yaml);
    let mut exchange = exchange(asks);
    exchange.request.method = Method::OPTIONS;
    exchange
        .request
        .headers
        .insert(ORIGIN, origin.parse().unwrap());
    let asked = HeaderValue::from_static("PUT");
    exchange
        .request
        .headers
        .insert(ACCESS_CONTROL_REQUEST_METHOD, asked);
    let mut reply = request(&chain, &mut exchange).expect("answered without a target");
    response(&chain, &mut exchange, &mut reply);
    assert_eq!(reply.status, 204);
    assert!(reply.body.is_empty());
    reply
}

/// A target's reply to a GET after the filter saw it.
fn actual(yaml: &str, origin: Option<&str>, from_target: &[(&'static str, &'static str)]) -> Reply {
    let chain = chain(kind(), yaml);
    let mut exchange = exchange(&[]);
    if let Some(origin) = origin {
        exchange
            .request
            .headers
            .insert(ORIGIN, origin.parse().unwrap());
    }
    assert!(request(&chain, &mut exchange).is_none());
    let mut reply = Reply::new(StatusCode::OK, "");
    for (name, value) in from_target {
        reply.headers.insert(*name, HeaderValue::from_static(value));
    }
    response(&chain, &mut exchange, &mut reply);
    reply
}

#[test]
fn answers_a_preflight_with_sensible_defaults() {
    let asks = [("access-control-request-headers", "x-a, x-b")];
    let reply = preflight("{}", "https://any.example", &asks);
    assert_eq!(header(&reply, "access-control-allow-origin"), "*");
    let methods = header(&reply, "access-control-allow-methods");
    assert_eq!(methods, "GET, HEAD, POST, PUT, PATCH, DELETE");
    assert_eq!(header(&reply, "access-control-allow-headers"), "x-a, x-b");
    assert_eq!(header(&reply, "access-control-max-age"), "600");
    let vary = "Access-Control-Request-Method, Access-Control-Request-Headers";
    assert_eq!(header(&reply, "vary"), vary);
}

#[test]
fn answers_a_preflight_as_configured() {
    let yaml = "{allow_origins: https://a.example, allow_methods: [GET, PUT], \
                allow_headers: [X-A], allow_credentials: true, max_age: 1h}";
    let reply = preflight(yaml, "https://a.example", &[]);
    assert_eq!(
        header(&reply, "access-control-allow-origin"),
        "https://a.example"
    );
    assert_eq!(header(&reply, "access-control-allow-methods"), "GET, PUT");
    assert_eq!(header(&reply, "access-control-allow-headers"), "X-A");
    assert_eq!(header(&reply, "access-control-allow-credentials"), "true");
    assert_eq!(header(&reply, "access-control-max-age"), "3600");
    assert_eq!(header(&reply, "vary"), "Origin");
}

#[test]
fn allows_any_method_by_naming_the_one_asked_for() {
    let reply = preflight("{allow_methods: '*'}", "https://a.example", &[]);
    assert_eq!(header(&reply, "access-control-allow-methods"), "PUT");
}

#[test]
fn gives_no_permission_to_an_origin_that_is_not_listed() {
    let reply = preflight(LISTED, "https://evil.example", &[]);
    assert_eq!(reply.headers.keys().collect::<Vec<_>>(), ["vary"]);
    let from_target = [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-credentials", "true"),
    ];
    let reply = actual(LISTED, Some("https://evil.example"), &from_target);
    assert_eq!(reply.headers.keys().collect::<Vec<_>>(), ["vary"]);
    assert_eq!(header(&reply, "vary"), "Origin");
}

#[test]
fn names_the_origin_that_may_read_the_reply() {
    let from_target = [
        ("access-control-allow-origin", "https://other"),
        ("vary", "Accept"),
    ];
    let reply = actual(LISTED, Some("https://x.b.example"), &from_target);
    assert_eq!(
        header(&reply, "access-control-allow-origin"),
        "https://x.b.example"
    );
    assert_eq!(header(&reply, "vary"), "Accept | Origin");
}

#[test]
fn says_that_replies_differ_by_origin_also_to_those_without_one() {
    let reply = actual(LISTED, None, &[]);
    assert_eq!(header(&reply, "vary"), "Origin");
    assert_eq!(header(&reply, "access-control-allow-origin"), "");
}

#[test]
fn gives_the_same_permission_to_all_without_a_vary() {
    for origin in [None, Some("https://a.example")] {
        let reply = actual("{expose_headers: [X-A, X-B]}", origin, &[]);
        assert_eq!(header(&reply, "access-control-allow-origin"), "*");
        assert_eq!(header(&reply, "access-control-expose-headers"), "X-A, X-B");
        assert_eq!(header(&reply, "vary"), "");
    }
}

#[test]
fn passes_other_options_requests_on() {
    let chain = chain(kind(), "{}");
    for fields in [
        &[("origin", "https://a.example")][..],
        &[("access-control-request-method", "PUT")][..],
    ] {
        let mut exchange = exchange(fields);
        exchange.request.method = Method::OPTIONS;
        assert!(request(&chain, &mut exchange).is_none());
    }
}

#[test]
fn says_what_is_wrong_with_a_config() {
    assert_eq!(
        problems(kind(), "allow_origins: ['*']\nallow_credentials: true"),
        "t.yaml:2:20: error: credentials cannot be allowed to every origin\n  \
         hint: list the origins in `allow_origins`, without `*`"
    );
    assert_eq!(
        problems(
            kind(),
            "allow_origins: [a.example]\nallow_methods: [G T]\nallow_header: [x]"
        ),
        "t.yaml:1:17: error: `a.example` is not an origin: an origin starts with its scheme\n  \
         hint: write https://host or https://*.host, with :port if any\n\
         t.yaml:2:17: error: `G T` is not a method\n  \
         hint: use methods as in [GET, POST], or \"*\" for all\n\
         t.yaml:3:1: error: unknown key `allow_header`\n  hint: did you mean `allow_headers`?"
    );
    assert!(problems(kind(), "{allow_credentials: true}").contains("every origin"));
    assert!(problems(kind(), "allow_headers: [a b]").contains("`a b` is not a header name"));
}
