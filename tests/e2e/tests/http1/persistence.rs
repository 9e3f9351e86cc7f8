//! Which connections live on, on either side.

use std::time::Duration;

use portway_testkit::raw::{Framing, get, post};
use portway_testkit::{Origin, RawClient, replies};

use crate::support::{Setup, before, get_with};

#[test]
fn one_connection_serves_many_requests_on_both_sides() {
    let origin = Origin::start(replies::text("hi"));
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    for _ in 0..5 {
        let reply = client.send(get("/")).reply();
        assert_eq!((reply.status, reply.text().as_str()), (200, "hi"));
        assert_eq!(reply.field("connection"), None);
        assert!(reply.field("date").is_some());
    }
    assert_eq!((origin.request_count(), origin.connection_count()), (5, 1));
}

#[test]
fn clients_share_upstream_connections() {
    let origin = Origin::start(replies::text("hi"));
    let gateway = before(&origin);
    for _ in 0..5 {
        assert_eq!(RawClient::get(gateway.addr(), "/").status, 200);
    }
    assert_eq!((origin.request_count(), origin.connection_count()), (5, 1));
}

#[test]
fn pipelined_requests_are_answered_in_order_bodies_or_not() {
    let origin = Origin::start(|request, conn| {
        let body = [request.target().as_bytes(), b" ", &request.body].concat();
        conn.reply(200, &[], body);
    });
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    let chunked = "POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n0\r\n\r\n";
    client.send(get("/1") + &post("/2", "two") + chunked + &get("/4") + &post("/5", ""));
    let answers: Vec<String> = (0..5).map(|_| client.reply().text()).collect();
    assert_eq!(answers, ["/1 ", "/2 two", "/3 abc", "/4 ", "/5 "]);
    client.expect_silence(Duration::from_millis(20));
    client.send(get("/6"));
    assert_eq!(client.reply().text(), "/6 ");
}

#[test]
fn many_pipelined_requests_are_all_answered() {
    let origin = Origin::start(|request, conn| conn.reply(200, &[], request.target()));
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    let all: String = (0..300).map(|n| get(&format!("/{n}"))).collect();
    client.send(all);
    for n in 0..300 {
        assert_eq!(client.reply().text(), format!("/{n}"));
    }
}

#[test]
fn a_request_that_comes_byte_by_byte_is_understood() {
    let origin = Origin::start(|request, conn| conn.reply(200, &[], &request.body));
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    let request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                   2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n";
    let pause = Duration::from_micros(300);
    client.try_send_slowly(request, 1, pause).unwrap();
    assert_eq!(client.reply().text(), "hi");
    assert_eq!(origin.request_count(), 1);
}

#[test]
fn http10_closes_unless_asked_to_keep_the_connection() {
    let origin = Origin::start(replies::text("old"));
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    let reply = client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").reply();
    assert_eq!(reply.text(), "old");
    assert_eq!(reply.field("connection"), Some("close"));
    client.expect_closed();

    let mut client = RawClient::connect(gateway.addr());
    let keep = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    for _ in 0..2 {
        let reply = client.send(keep).reply();
        assert_eq!(reply.text(), "old");
        assert_eq!(reply.field("connection"), Some("keep-alive"));
    }
    assert_eq!(origin.last_request().version(), "HTTP/1.1");
}

#[test]
fn http10_gets_no_chunks_but_a_body_to_the_close() {
    let origin = Origin::start(replies::chunked(&["one", "two"], &["X-T: 1"]));
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    let keep = "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
    let reply = client.send(keep).reply();
    assert_eq!(
        (reply.framing, reply.text().as_str()),
        (Framing::Close, "onetwo")
    );
    assert_eq!(reply.field("connection"), Some("close"));
}

#[test]
fn a_client_that_says_close_is_closed_and_the_target_kept() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    for _ in 0..2 {
        let mut client = RawClient::connect(gateway.addr());
        let reply = client.send(get_with("/", &["Connection: close"])).reply();
        assert_eq!(reply.field("connection"), Some("close"));
        client.expect_closed();
    }
    assert_eq!(origin.connection_count(), 1);
    assert_eq!(origin.last_request().field("connection"), None);
}

#[test]
fn a_target_that_says_close_is_let_go_and_the_client_kept() {
    let origin = Origin::start(|_, conn| {
        conn.reply(200, &["Connection: close"], "bye");
        conn.close();
    });
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    for _ in 0..3 {
        let reply = client.send(get("/")).reply();
        assert_eq!(
            (reply.text().as_str(), reply.field("connection")),
            ("bye", None)
        );
    }
    assert_eq!(origin.connection_count(), 3);
}

#[test]
fn a_pooled_connection_that_closed_while_idle_is_not_used() {
    let mut origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    for _ in 0..3 {
        let mut client = RawClient::connect(gateway.addr());
        client
            .send(post("/", "not to be repeated"))
            .reply()
            .expect_status(200);
        origin.stop();
        origin.restart();
    }
    assert_eq!(origin.request_count(), 3);
}

#[test]
fn a_safe_request_lost_on_a_stale_connection_is_sent_again() {
    let origin = Origin::start(|request, conn| match request.number {
        1 => conn.reply(200, &[], "fresh"),
        _ => conn.close(),
    });
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    for _ in 0..3 {
        assert_eq!(client.send(get("/")).reply().text(), "fresh");
    }
    assert_eq!((origin.request_count(), origin.connection_count()), (5, 3));
}

#[test]
fn a_post_lost_on_a_stale_connection_is_never_sent_again() {
    let origin = Origin::start(|request, conn| match request.number {
        1 => conn.reply(200, &[], "fresh"),
        _ => conn.close(),
    });
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    client.send(post("/pay", "1")).reply().expect_status(200);
    client.send(post("/pay", "2")).reply().expect_status(502);
    assert_eq!(origin.request_count(), 2);
}

#[test]
fn idle_connections_over_the_pools_size_are_closed() {
    let origin = Origin::start(replies::delay(
        Duration::from_millis(30),
        replies::text("x"),
    ));
    let gateway = Setup::to(&origin)
        .upstream("pool: { max_idle_per_target: 1 }")
        .start();
    let mut clients: Vec<_> = (0..4).map(|_| RawClient::connect(gateway.addr())).collect();
    for client in &mut clients {
        client.send(get("/"));
    }
    for client in &mut clients {
        client.reply().expect_status(200);
    }
    origin.wait("one idle connection", |seen| seen.open == 1);
}

#[test]
fn an_empty_line_before_a_request_is_forgiven() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    // What some old clients send behind a POST's body (RFC 9112, section 2.2).
    client.send(post("/", "a") + "\r\n" + &get("/"));
    client.reply().expect_status(200);
    client.reply().expect_status(200);
    client.send("\r\n\r\n".to_owned() + &get("/"));
    client.reply().expect_status(200);
}

/// It is no request that has begun, so nothing is said about one that did not arrive.
#[test]
fn an_empty_line_after_a_request_leaves_the_connection_idle() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin)
        .server("header_timeout: 50ms")
        .server("idle_timeout: 400ms")
        .start();
    let mut client = RawClient::connect(gateway.addr());
    client.send(post("/", "a") + "\r\n");
    client.reply().expect_status(200);
    client.expect_silence(Duration::from_millis(150));
    client.send(get("/")).reply().expect_status(200);
    client.send("\r\n").expect_closed();
}
