use std::time::Duration;

use super::*;
use crate::raw::{Framing, RawClient, get, post};

#[test]
fn echo_gives_back_the_bytes_it_was_sent() {
    let origin = Origin::start(replies::echo());
    let request = "POST /a?b HTTP/1.1\r\nhOST:  x \r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n";
    let mut client = RawClient::connect(origin.addr());
    assert_eq!(client.send(request).reply().text(), request);
    assert_eq!(
        client.send(post("/two", "hi")).reply().text(),
        post("/two", "hi")
    );

    let first = origin.requests().remove(0);
    assert_eq!((first.method(), first.target()), ("POST", "/a?b"));
    assert_eq!(first.field("host"), Some("x"));
    assert_eq!(
        (&first.body[..], &first.chunks[..]),
        (&b"abc"[..], &[3][..])
    );
    assert_eq!(first.trailers, [("X-T".to_owned(), "1".to_owned())]);
    let last = origin.last_request();
    assert_eq!((last.connection, last.number), (1, 2));
    let sent = request.to_owned() + &post("/two", "hi");
    assert_eq!(origin.seen().bytes(1), sent.as_bytes());
}

#[test]
fn bytes_that_are_no_request_are_kept_all_the_same() {
    let origin = Origin::start(replies::echo());
    let mut client = RawClient::connect(origin.addr());
    client.send("garbage").half_close().expect_closed();
    origin.wait("broken", |seen| seen.broken == 1 && seen.open == 0);
    assert_eq!(origin.seen().all_bytes(), b"garbage");
    assert_eq!(origin.request_count(), 0);
}

#[test]
fn a_stopped_origin_refuses_and_comes_back_on_its_port() {
    let mut origin = Origin::start(replies::text("here"));
    for round in 1..=3 {
        let mut client = RawClient::connect(origin.addr());
        assert_eq!(client.send(get("/")).reply().text(), "here");
        origin.stop();
        client.expect_closed();
        assert!(RawClient::try_connect(origin.addr()).is_err());
        origin.restart();
        assert_eq!(origin.connection_count(), round);
    }
}

#[test]
fn every_way_to_break_off_is_told_apart() {
    let origin = Origin::start(replies::close_before_reply());
    let fails = || {
        let mut client = RawClient::connect(origin.addr());
        client.send(get("/")).try_reply("GET").unwrap_err().kind()
    };
    use std::io::ErrorKind::{ConnectionReset, InvalidData, UnexpectedEof};
    assert_eq!(fails(), UnexpectedEof);
    origin.set_handler(replies::reset_before_reply());
    assert_eq!(fails(), ConnectionReset);
    origin.set_handler(replies::close_mid_head());
    assert_eq!(fails(), UnexpectedEof);
    origin.set_handler(replies::close_mid_body(10, 4));
    assert_eq!(fails(), UnexpectedEof);
    origin.set_handler(replies::reset_mid_body(10, 4));
    assert_eq!(fails(), ConnectionReset);
    origin.set_handler(replies::chunked_cut(&["a"]));
    assert_eq!(fails(), UnexpectedEof);
    origin.set_handler(replies::two_framings());
    assert_eq!(fails(), InvalidData);
    origin.set_handler(replies::two_lengths());
    assert_eq!(fails(), InvalidData);
    origin.set_handler(replies::bad_chunk());
    assert_eq!(fails(), InvalidData);
}

#[test]
fn good_replies_of_every_framing_are_read_whole() {
    let origin = Origin::start(replies::chunked(&["ab", "c"], &["X-Sum: 3"]));
    let reply = RawClient::get(origin.addr(), "/");
    assert_eq!(
        (reply.text().as_str(), reply.framing),
        ("abc", Framing::Chunked)
    );
    assert_eq!(reply.trailers, [("X-Sum".to_owned(), "3".to_owned())]);
    assert_eq!(reply.field("trailer"), Some("X-Sum"));

    origin.set_handler(replies::http10("old"));
    let reply = RawClient::get(origin.addr(), "/");
    assert_eq!(
        (reply.text().as_str(), reply.framing),
        ("old", Framing::Close)
    );

    origin.set_handler(replies::interim(&[103, 102], replies::status(204)));
    let reply = RawClient::get(origin.addr(), "/");
    assert_eq!((reply.status, reply.framing), (204, Framing::None));
    assert_eq!(reply.interim.len(), 2);

    origin.set_handler(replies::big(1_000_000));
    assert_eq!(
        RawClient::get(origin.addr(), "/").body,
        replies::pattern(1_000_000)
    );

    origin.set_handler(replies::slow("xy", 3, Duration::from_millis(1)));
    assert_eq!(RawClient::get(origin.addr(), "/").text(), "xyxyxy");

    origin.set_handler(replies::first(1, replies::status(503), replies::echo()));
    assert_eq!(RawClient::get(origin.addr(), "/").status, 503);
    RawClient::ask(origin.addr(), "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").expect_status(200);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::start(|request, conn| conn.reply(200, &[], request.target()));
    let mut client = RawClient::connect(origin.addr());
    client.send(get("/1") + &get("/2") + &get("/3"));
    let answers: Vec<String> = (0..3).map(|_| client.reply().text()).collect();
    assert_eq!(answers, ["/1", "/2", "/3"]);
    client.expect_silence(Duration::from_millis(20));
}

#[test]
fn an_early_handler_answers_before_it_reads_the_body() {
    let origin = Origin::start_early(|request, conn| {
        conn.reply(413, &[], "");
        assert_eq!(conn.read_body(request), b"late");
    });
    let mut client = RawClient::connect(origin.addr());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n");
    let early = client.reply();
    assert_eq!(early.status, 413);
    client.send("late");
    assert_eq!(client.send(post("/", "late")).reply().status, 413);
}

#[test]
fn an_origin_that_never_answers_notices_when_the_peer_gives_up() {
    let origin = Origin::start(replies::never());
    let mut client = RawClient::connect(origin.addr());
    client
        .send(get("/"))
        .expect_silence(Duration::from_millis(20));
    origin.wait("a request", |seen| {
        seen.request_count == 1 && seen.open == 1
    });
    client.reset();
    origin.wait("closed", |seen| seen.open == 0);
}

#[test]
fn stopping_does_not_wait_for_what_hangs() {
    let origin = Origin::start(replies::never());
    let mut client = RawClient::connect(origin.addr());
    client.send(get("/"));
    origin.wait("a request", |seen| seen.request_count == 1);
    drop(origin);
    client.expect_closed();
}

#[test]
#[should_panic(expected = "handlers panicked")]
fn a_handlers_panic_fails_the_test() {
    let origin = Origin::start(|_, _| panic!("as told"));
    let mut client = RawClient::connect(origin.addr());
    client.send(get("/")).expect_closed();
}
