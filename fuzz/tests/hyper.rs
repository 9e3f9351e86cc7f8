//! The known differences between the gateway and hyper's server, one odd request each.
//!
//! Must hold: a difference is listed here with its reason, and is still one. `hyper_oracle` searches for
//! those that nobody has thought of.

use bytes::Bytes;
use portway_core::Code;
use portway_fuzz::hyper_oracle::{gateway, is_only_escaped_here, reason_to_be_stricter, serve};

/// Both refuse, or both accept and mean the same.
const SAME: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX(: b\r\n\r\n",
    "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    "GET / http/1.1\r\nHost: a\r\n\r\n",
    "GET /\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n",
    "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
];

/// hyper accepts, the gateway refuses, with this code.
const STRICTER: &[(&str, Code)] = &[
    ("GET / HTTP/1.1\nHost: a\n\n", Code::BadRequest),
    ("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", Code::BadRequest),
    (
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        Code::BadRequest,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        Code::AmbiguousFraming,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        Code::AmbiguousFraming,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        Code::AmbiguousFraming,
    ),
    ("GET / HTTP/1.1\r\n\r\n", Code::BadHost),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        Code::BadHost,
    ),
    ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", Code::BadHost),
    ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", Code::BadHost),
    ("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", Code::BadHost),
    ("GET /../a HTTP/1.1\r\nHost: a\r\n\r\n", Code::AmbiguousPath),
    (
        "GET /a%2f..%2fb HTTP/1.1\r\nHost: a\r\n\r\n",
        Code::AmbiguousPath,
    ),
    (
        "GET /a/..;/b HTTP/1.1\r\nHost: a\r\n\r\n",
        Code::AmbiguousPath,
    ),
    ("GET /a%00 HTTP/1.1\r\nHost: a\r\n\r\n", Code::AmbiguousPath),
    ("GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n", Code::AmbiguousPath),
    ("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", Code::BadRequest),
    ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", Code::BadRequest),
    ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", Code::BadRequest),
    ("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", Code::BadRequest),
    (
        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        Code::NotImplemented,
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n",
        Code::ExpectationFailed,
    ),
];

/// hyper refuses, the gateway writes the octet as an escape.
const LAXER: &[&str] = &[
    "GET /<a> HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /`a` HTTP/1.1\r\nHost: a\r\n\r\n",
];

fn accepted_by_hyper(request: &str) -> bool {
    !serve(Bytes::copy_from_slice(request.as_bytes())).is_empty()
}

#[test]
fn agrees_with_hyper() {
    for request in SAME {
        let ours = gateway(request.as_bytes())
            .expect("the head is complete")
            .is_ok();
        assert_eq!(ours, accepted_by_hyper(request), "{request:?}");
    }
}

#[test]
fn refuses_what_hyper_leaves_open() {
    for (request, code) in STRICTER {
        let ours = gateway(request.as_bytes()).expect("the head is complete");
        let error = ours.expect_err(request);
        assert_eq!(error.kind, *code, "{request:?}: {error}");
        assert!(
            reason_to_be_stricter(&error).is_some(),
            "{request:?}: {error}"
        );
        assert!(
            accepted_by_hyper(request),
            "hyper refuses it too now: {request:?}"
        );
    }
}

#[test]
fn escapes_what_hyper_refuses() {
    for request in LAXER {
        assert!(
            gateway(request.as_bytes())
                .expect("the head is complete")
                .is_ok(),
            "{request:?}"
        );
        assert!(
            !accepted_by_hyper(request),
            "hyper accepts it too now: {request:?}"
        );
        assert!(is_only_escaped_here(request.as_bytes()));
    }
}

#[test]
fn reads_the_same_pipelined_requests_and_bodies_as_hyper() {
    let input = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nabGET /2 HTTP/1.1\r\nHost: a\r\n\r\n";
    let seen = serve(Bytes::from(input));
    let paths: Vec<&str> = seen.iter().map(|s| s.uri.path()).collect();
    assert_eq!(paths, ["/1", "/2"]);
    assert_eq!(seen[0].body.as_deref(), Some(&b"ab"[..]));
}
