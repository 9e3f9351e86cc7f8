//! HTTP/2 written on as HTTP/1: nothing that a client puts into a pseudo-header, a field or a trailer
//! becomes another line, another field or another request (CVE-2023-27491, CVE-2021-39240, CVE-2025-12642).

use portway_testkit::frames::{self, END_HEADERS, END_STREAM, frame, kind};
use portway_testkit::{FrameClient, Gateway, Origin, RawClient, eventually, replies};

use crate::support::{MARK, before, expect_no_mark};

/// Nothing of the mark reached the origin, in whatever form, and the gateway still serves.
#[track_caller]
fn expect_unmarked(gateway: &Gateway, origin: &Origin, shown: &str) {
    eventually("nothing runs", || {
        gateway.metrics().contains("active_requests 0\n")
    });
    let seen = String::from_utf8_lossy(&origin.seen().all_bytes()).into_owned();
    assert!(!seen.contains(MARK), "{shown:?}: {seen}");
    expect_no_mark(origin);
    assert_eq!(RawClient::get(gateway.addr(), "/next").status, 200);
}

/// The block of a request with these pseudo-header fields.
fn pseudo(method: &str, scheme: &str, authority: &str, path: &str) -> Vec<u8> {
    [
        frames::field(":method", method),
        frames::field(":scheme", scheme),
        frames::field(":authority", authority),
        frames::field(":path", path),
    ]
    .concat()
}

#[test]
fn h2_downgrade_pseudo_headers_never_make_another_line_or_request() {
    let split = format!("\r\nx-y: {MARK}\r\n\r\nGET /{MARK} HTTP/1.1\r\nhost: a\r\n\r\n");
    let methods = ["GET / HTTP/1.1", "GET /x", "GET\t/", "G\u{e9}T"];
    let paths = ["/ HTTP/1.1", "/a\tb", "//", "", "x", "*", "http://b/"];
    let hosts = ["a b", "a\r\n", "u@a", "a/b", "a,b", "a:99999", "[::1", ""];
    let schemes = ["http://b/x?", "https ", "ht\ntp", "file"];
    let method = methods.map(|m| pseudo(&format!("{m}{split}"), "http", "a", "/x"));
    let path = paths.map(|p| pseudo("GET", "http", "a", &format!("{p}{split}")));
    let host = hosts.map(|h| pseudo("GET", "http", &format!("{h}{split}"), "/x"));
    let scheme = schemes.map(|s| pseudo("GET", &format!("{s}{split}"), "a", "/x"));
    let all = method.iter().chain(&path).chain(&host).chain(&scheme);
    let (origin, mut sent) = (Origin::start(replies::text("x")), 0);
    let gateway = before(&origin);
    for block in all {
        let mut client = FrameClient::connect(gateway.addr());
        client.send(&frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, block));
        let shown = String::from_utf8_lossy(block).into_owned();
        client.expect("an answer", |f| {
            matches!(f.kind, kind::RST_STREAM | kind::GOAWAY | kind::HEADERS)
        });
        drop(client);
        expect_unmarked(&gateway, &origin, &shown);
        sent += 1;
    }
    assert_eq!(origin.request_count(), sent, "only what came next");
}

#[test]
fn h2_downgrade_field_values_of_every_octet_stay_values() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    for octet in 0..=255_u8 {
        let mut field = vec![0x10, 3];
        field.extend(b"x-v");
        field.extend([3, b'a', octet, b'b']);
        let block = [frames::get("/octet"), field].concat();
        let mut client = FrameClient::connect(gateway.addr());
        client.send(&frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &block));
        client.expect("an answer", |f| {
            matches!(f.kind, kind::RST_STREAM | kind::GOAWAY | kind::HEADERS)
        });
    }
    for request in origin.requests() {
        let value = request.field("x-v").expect("the field").as_bytes().to_vec();
        assert!(
            value.starts_with(b"a") && value.ends_with(b"b"),
            "{value:?}"
        );
        let control = value.iter().any(|o| *o != b'\t' && *o < b' ' || *o == 0x7f);
        assert!(!control, "{value:?}");
    }
    assert!(origin.request_count() > 90, "ordinary text passes");
}

/// A request that is whole but for its trailers, which are these.
fn with_trailers(gateway: &Gateway, trailers: &[u8]) -> FrameClient {
    let mut client = FrameClient::connect(gateway.addr());
    let head = pseudo("POST", "http", "a", "/up");
    client.send(&frame(kind::HEADERS, END_HEADERS, 1, &head));
    client.send(&frame(kind::DATA, 0, 1, b"data"));
    for (n, piece) in trailers.chunks(16_000).enumerate() {
        let is_last = (n + 1) * 16_000 >= trailers.len();
        let end = if is_last { END_HEADERS } else { 0 };
        client.send(&match n {
            0 => frame(kind::HEADERS, END_STREAM | end, 1, piece),
            _ => frame(kind::CONTINUATION, end, 1, piece),
        });
    }
    client
}

#[test]
fn trailers_of_http2_are_never_merged_into_headers() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    for name in [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "authorization",
        "cookie",
        "x-forwarded-for",
        "x_forwarded_for",
        "x-real-ip",
        "forwarded",
        "x-internal-user",
        "x-request-id",
        "content-type",
        ":path",
        ":authority",
    ] {
        let mut client = with_trailers(&gateway, &frames::field(name, MARK));
        client.expect("an answer", |f| {
            matches!(f.kind, kind::RST_STREAM | kind::GOAWAY | kind::HEADERS)
        });
        drop(client);
        expect_unmarked(&gateway, &origin, name);
    }
    let mut client = with_trailers(&gateway, &frames::field("x-sum", MARK));
    client.expect("a reply", |f| f.kind == kind::HEADERS);
    let last = origin.last_request();
    assert_eq!(last.field("x-sum"), None, "it is no header field");
    let raw = String::from_utf8_lossy(&last.raw()).into_owned();
    assert!(
        raw.ends_with(&format!("0\r\nx-sum: {MARK}\r\n\r\n")),
        "{raw}"
    );
}

#[test]
fn trailers_of_http2_have_limits_of_their_own() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let many: Vec<u8> = (0..300)
        .flat_map(|n| frames::field(&format!("x-{n}"), MARK))
        .collect();
    let large: Vec<u8> = (0..900)
        .flat_map(|n| frames::field(&format!("x-{n}"), &MARK.repeat(8)))
        .collect();
    for trailers in [many, large] {
        let mut client = with_trailers(&gateway, &trailers);
        client.expect("an answer", |f| {
            matches!(f.kind, kind::RST_STREAM | kind::GOAWAY | kind::HEADERS)
        });
        drop(client);
        expect_unmarked(&gateway, &origin, "too many");
    }
}
