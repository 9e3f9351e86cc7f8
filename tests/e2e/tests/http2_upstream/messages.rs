//! What a message is on the other side: heads, lengths, trailers, informational replies.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use portway_testkit::frames::kind::{DATA, HEADERS};
use portway_testkit::frames::{END_HEADERS, END_STREAM, field};
use portway_testkit::{RawClient, RawReply, raw::get};

use super::gateway_to;
use crate::support::h2_frames::{FrameOrigin, STATUS_200};
use crate::support::h2_origin::{H2Call, H2Origin};
use crate::support::{code, get_with, with_body};

async fn hello(mut call: H2Call) {
    call.reply(200, "hello");
}

#[test]
fn a_request_arrives_with_its_pseudo_headers_and_without_hop_by_hop_fields() {
    let origin = H2Origin::start(hello);
    let gateway = gateway_to(origin.addr, "", "");
    let fields = [
        "Accept: */*",
        "Connection: keep-alive, X-Drop",
        "Keep-Alive: 5",
        "X-Drop: me",
        "TE: gzip",
        "Upgrade: h2c",
        "X-Forwarded-For: 9.9.9.9",
        "X-Two: 1",
        "X-Two: 2",
    ];
    let reply = RawClient::ask(gateway.addr(), get_with("/a/b?c=d%20e", &fields));
    assert_eq!(reply.expect_status(200).text(), "hello");
    let seen = origin.seen();
    let head = &seen.requests[0];
    assert_eq!(head.version, Version::HTTP_2);
    assert_eq!(head.method, Method::GET);
    assert_eq!(head.uri.to_string(), "http://test.example/a/b?c=d%20e");
    let mut names: Vec<&str> = head.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    let wanted = [
        "accept",
        "forwarded",
        "te",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
        "x-two",
    ];
    assert_eq!(names, wanted);
    assert_eq!(head.headers["te"], "trailers");
    assert_eq!(head.headers["x-forwarded-for"], "127.0.0.1");
    assert_eq!(head.headers.get_all("x-two").iter().count(), 2);
}

#[test]
fn a_query_that_no_uri_has_is_escaped() {
    let origin = H2Origin::start(hello);
    let gateway = gateway_to(origin.addr, "", "");
    RawClient::get(gateway.addr(), "/?q=<a>{b}`^|\"").expect_status(200);
    let query = origin.seen().requests[0].uri.query().map(str::to_owned);
    assert_eq!(query.as_deref(), Some("q=%3Ca%3E%7Bb%7D%60%5E%7C%22"));
}

#[test]
fn bodies_keep_their_length_and_trailers_go_both_ways() {
    let origin = H2Origin::start(|mut call| async move {
        let (body, trailers) = call.read().await.expect("a whole body");
        let length = call.head.headers.get("content-length").cloned();
        let mut stream = call.respond(Response::new(()));
        let text = format!("{length:?} {}", String::from_utf8_lossy(&body));
        stream.send_data(Bytes::from(text), false).expect("room");
        let mut answer = HeaderMap::new();
        for (name, value) in &trailers.unwrap_or_default() {
            answer.insert(name, value.clone());
        }
        answer.insert("x-status", HeaderValue::from_static("done"));
        stream.send_trailers(answer).expect("an open stream");
    });
    let gateway = gateway_to(origin.addr, "", "");
    let request = with_body("POST", "/", &["Content-Length: 5"], "12345");
    let reply = RawClient::ask(gateway.addr(), request);
    assert_eq!(reply.text(), "Some(\"5\") 12345");
    let trailers = |reply: &RawReply| format!("{:?}", reply.trailers);
    assert_eq!(trailers(&reply), r#"[("x-status", "done")]"#);
    let chunked = "3\r\nabc\r\n0\r\nX-Sum: 3\r\nContent-Length: 9\r\n\r\n";
    let request = with_body("POST", "/", &["Transfer-Encoding: chunked"], chunked);
    let reply = RawClient::ask(gateway.addr(), request);
    assert_eq!(reply.text(), "None abc");
    let wanted = r#"[("x-sum", "3"), ("x-status", "done")]"#;
    assert_eq!(trailers(&reply), wanted);
}

#[test]
fn a_post_without_a_body_says_so() {
    let origin = H2Origin::start(hello);
    let gateway = gateway_to(origin.addr, "", "");
    let request = with_body("POST", "/", &["Content-Length: 0"], "");
    RawClient::ask(gateway.addr(), request).expect_status(200);
    let seen = origin.seen();
    assert_eq!(seen.requests[0].headers["content-length"], "0");
}

#[test]
fn replies_without_a_body_stay_so() {
    let origin = H2Origin::start(|mut call| async move {
        let status: u16 = call.path()[1..].parse().unwrap_or(200);
        let mut head = Response::new(());
        *head.status_mut() = StatusCode::from_u16(status).expect("a status");
        let length = HeaderValue::from_static("1000");
        if status != 204 {
            head.headers_mut().insert("content-length", length);
        }
        let _ = call.respond.send_response(head, true);
    });
    let gateway = gateway_to(origin.addr, "", "");
    let mut client = RawClient::connect(gateway.addr());
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.reply_to_head().field("content-length"), Some("1000"));
    client.send(get("/304"));
    assert_eq!(client.reply().expect_status(304).body, b"");
    client.send(get("/204"));
    assert_eq!(client.reply().expect_status(204).body, b"");
    assert_eq!(origin.seen().connections, 1);
}

#[test]
fn informational_replies_are_passed_on() {
    let origin = FrameOrigin::start(&[], |conn| {
        let stream = conn.request().expect("a request");
        // `:status: 103` has no entry of its own in the static table.
        let mut early = vec![0x08, 3];
        early.extend(b"103");
        early.extend(field("link", "</a.css>"));
        conn.send(HEADERS, END_HEADERS, stream, &early);
        conn.reply(stream, "done");
        conn.wait_closed();
    });
    let gateway = gateway_to(origin.addr, "", "");
    let reply = RawClient::get(gateway.addr(), "/");
    assert_eq!(reply.expect_status(200).text(), "done");
    let [early] = &reply.interim[..] else {
        panic!("{:?}", reply.interim)
    };
    assert_eq!(early.field("link"), Some("</a.css>"));
}

#[test]
fn a_reply_that_is_no_message_is_refused() {
    let broken: [(&str, Vec<u8>); 4] = [
        (
            "two lengths",
            [
                &field("content-length", "1")[..],
                &field("content-length", "2"),
            ]
            .concat(),
        ),
        ("a length that is none", field("content-length", "+1")),
        ("an upper-case name", field("X-Up", "1")),
        ("a connection field", field("connection", "close")),
    ];
    for (what, field) in broken {
        let origin = FrameOrigin::start(&[], move |conn| {
            let stream = conn.request().expect("a request");
            let block = [STATUS_200, &field].concat();
            conn.send(HEADERS, END_HEADERS, stream, &block);
            conn.send(DATA, END_STREAM, stream, b"x");
            conn.wait_closed();
        });
        let gateway = gateway_to(origin.addr, "", "");
        let reply = RawClient::get(gateway.addr(), "/");
        assert_eq!(reply.status, 502, "{what}");
        assert_eq!(code(&reply), "upstream_bad_reply", "{what}");
    }
}
