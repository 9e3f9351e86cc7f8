//! Replies of every kind, and the forms of request targets.

use portway_testkit::raw::{Framing, get};
use portway_testkit::{Origin, RawClient, replies};

use crate::support::{before, get_with};

#[test]
fn a_reply_to_head_has_the_length_and_no_body() {
    let origin = Origin::start(replies::raw(
        "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
    ));
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    for _ in 0..2 {
        client.send("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n");
        let reply = client.reply_to_head();
        assert_eq!(reply.field("content-length"), Some("1234"));
        assert_eq!(reply.framing, Framing::None);
    }
    assert_eq!(origin.last_request().method(), "HEAD");
    assert_eq!(origin.connection_count(), 1);
}

#[test]
fn bodiless_statuses_leave_the_connection_usable() {
    for status in [204, 304] {
        let origin = Origin::start(replies::status(status));
        let gateway = before(&origin);
        let mut client = RawClient::connect(gateway.addr());
        for _ in 0..2 {
            let reply = client.send(get("/")).reply();
            assert_eq!((reply.status, reply.framing), (status, Framing::None));
            assert_eq!(reply.field("transfer-encoding"), None);
        }
        assert_eq!(origin.connection_count(), 1);
    }
}

#[test]
fn not_modified_keeps_the_length_it_tells() {
    let origin = Origin::start(replies::raw(
        "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 77\r\n\r\n",
    ));
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    for _ in 0..2 {
        let reply = client.send(get("/")).reply();
        assert_eq!(reply.field("content-length"), Some("77"));
        assert_eq!(reply.field("etag"), Some("\"a\""));
    }
}

#[test]
fn early_hints_are_passed_on_before_the_reply() {
    let origin = Origin::start(replies::interim(&[103, 103], replies::text("done")));
    let gateway = before(&origin);
    let reply = RawClient::get(gateway.addr(), "/");
    assert_eq!(reply.text(), "done");
    assert_eq!(reply.interim.len(), 2);
    assert_eq!(reply.interim[0].word(1), "103");
    assert_eq!(reply.interim[0].field("link"), Some("</a.css>"));
}

#[test]
fn early_hints_are_not_for_http10() {
    let origin = Origin::start(replies::interim(&[103], replies::text("done")));
    let gateway = before(&origin);
    let reply = RawClient::ask(gateway.addr(), "GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!((reply.interim.len(), reply.text().as_str()), (0, "done"));
}

#[test]
fn an_unasked_100_of_the_target_is_not_passed_on() {
    let origin = Origin::start(replies::interim(&[100, 100], replies::text("done")));
    let gateway = before(&origin);
    let reply = RawClient::get(gateway.addr(), "/");
    assert_eq!((reply.interim.len(), reply.text().as_str()), (0, "done"));
}

#[test]
fn endless_informational_replies_are_a_bad_gateway() {
    let origin = Origin::start(replies::interim(&[103; 100], replies::text("done")));
    let gateway = before(&origin);
    RawClient::get(gateway.addr(), "/").expect_status(502);
}

#[test]
fn a_close_delimited_reply_is_framed_anew() {
    let origin = Origin::start(replies::http10("as long as it takes"));
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    for _ in 0..2 {
        let reply = client.send(get("/")).reply();
        assert_eq!(reply.framing, Framing::Chunked);
        assert_eq!(reply.text(), "as long as it takes");
        assert_eq!(reply.field("server"), Some("old"));
    }
}

#[test]
fn absolute_form_is_served_as_its_path() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let request = "GET http://Test.Example:81/a?b=c HTTP/1.1\r\nHost: test.example:81\r\n\r\n";
    RawClient::ask(gateway.addr(), request).expect_status(200);
    let seen = origin.last_request();
    assert_eq!(seen.target(), "/a?b=c");
    assert_eq!(seen.field("host"), Some("test.example:81"));
    RawClient::ask(gateway.addr(), "GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n").expect_status(200);
    assert_eq!(origin.last_request().target(), "/?q");
}

#[test]
fn options_asterisk_is_about_the_gateway() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let reply = RawClient::ask(gateway.addr(), "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(reply.status, 204);
    assert!(reply.field("allow").unwrap().contains("GET"));
    assert_eq!(origin.request_count(), 0);
}

#[test]
fn every_other_method_is_passed_on() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    for method in ["OPTIONS", "PUT", "DELETE", "PATCH", "PROPFIND", "WHATEVER"] {
        let request = format!("{method} /m HTTP/1.1\r\nHost: a\r\n\r\n");
        RawClient::ask(gateway.addr(), request).expect_status(200);
        assert_eq!(origin.last_request().method(), method);
    }
    let reply = RawClient::ask(
        gateway.addr(),
        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
    );
    reply.expect_status(501);
}

#[test]
fn repeated_fields_keep_their_number_order_and_bytes() {
    let origin = Origin::start(|_, conn| {
        conn.reply(
            200,
            &[
                "Set-Cookie: a=1",
                "Set-Cookie: b=2",
                "X-Bytes: \u{e9}\u{fc}",
            ],
            "",
        );
    });
    let gateway = before(&origin);
    let request = get_with("/", &["X-A: 1", "x-a: 2", "X-Latin: \u{e9}", "X-Empty:"]);
    let reply = RawClient::ask(gateway.addr(), request);
    assert_eq!(reply.head.all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(reply.field("x-bytes"), Some("\u{e9}\u{fc}"));
    let seen = origin.last_request();
    assert_eq!(seen.head.all("x-a"), ["1", "2"]);
    assert_eq!(seen.field("x-latin"), Some("\u{e9}"));
    assert_eq!(seen.field("x-empty"), Some(""));
}

#[test]
fn unknown_statuses_are_passed_on() {
    for status in [299, 418, 451, 599, 799] {
        let origin = Origin::start(replies::status(status));
        let gateway = before(&origin);
        RawClient::get(gateway.addr(), "/").expect_status(status);
    }
}
