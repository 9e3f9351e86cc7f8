//! Exchanges that break: what is not whole must never look whole, and what nobody waits for must end.

use std::io::ErrorKind;
use std::time::Duration;

use portway_testkit::origin::{OriginConn, RawRequest};
use portway_testkit::raw::{get, post};
use portway_testkit::{Origin, RawClient, replies};

use crate::support::{before, code, expect_alive};

type Handler = Box<dyn Fn(&RawRequest, &mut OriginConn) + Send + Sync>;

#[test]
fn a_reply_that_is_cut_off_never_looks_complete() {
    let cut: [(&str, Handler); 7] = [
        ("close mid body", Box::new(replies::close_mid_body(10, 4))),
        ("reset mid body", Box::new(replies::reset_mid_body(10, 4))),
        (
            "close at once",
            Box::new(replies::close_mid_body(1_000_000, 300_000)),
        ),
        (
            "chunks without end",
            Box::new(replies::chunked_cut(&["abc", "def"])),
        ),
        ("no chunk", Box::new(replies::chunked_cut(&[]))),
        ("bad chunk", Box::new(replies::bad_chunk())),
        (
            "cut in the trailers",
            Box::new(replies::raw_then_close(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-T: 1\r\n",
            )),
        ),
    ];
    let origin = Origin::start(replies::never());
    let gateway = before(&origin);
    for (name, handler) in cut {
        origin.set_handler(handler);
        for request in [get("/"), get("/").replace("HTTP/1.1", "HTTP/1.0")] {
            let mut client = RawClient::connect(gateway.addr());
            let reply = client.send(&request).try_reply("GET");
            let Err(error) = reply else {
                panic!("{name} looks complete: {:?}", reply.map(|r| r.raw.len()));
            };
            let told = [ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof];
            assert!(told.contains(&error.kind()), "{name}: {error}");
        }
    }
    origin.set_handler(replies::text("x"));
    expect_alive(&gateway);
}

#[test]
fn a_reply_that_never_began_is_a_bad_gateway() {
    let none: [(&str, Handler, &str); 7] = [
        (
            "close",
            Box::new(replies::close_before_reply()),
            "upstream_reset",
        ),
        (
            "reset",
            Box::new(replies::reset_before_reply()),
            "upstream_reset",
        ),
        (
            "half a head",
            Box::new(replies::close_mid_head()),
            "upstream_reset",
        ),
        (
            "two framings",
            Box::new(replies::two_framings()),
            "upstream_bad_reply",
        ),
        (
            "two lengths",
            Box::new(replies::two_lengths()),
            "upstream_bad_reply",
        ),
        (
            "no http",
            Box::new(replies::raw_then_close("SSH-2.0-x\r\n\r\n")),
            "upstream_bad_reply",
        ),
        (
            "a bare lf",
            Box::new(replies::raw_then_close(
                "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
            )),
            "upstream_bad_reply",
        ),
    ];
    let origin = Origin::start(replies::never());
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    for (name, handler, expected) in none {
        origin.set_handler(handler);
        let reply = client.send(post("/", "x")).reply();
        assert_eq!(
            (reply.status, code(&reply).as_str()),
            (502, expected),
            "{name}"
        );
    }
    origin.set_handler(replies::text("x"));
    assert_eq!(
        client.send(get("/")).reply().text(),
        "x",
        "the client's side goes on"
    );
}

#[test]
fn a_client_that_leaves_ends_the_work_for_it() {
    let origin = Origin::start(replies::never());
    let gateway = before(&origin);
    for leave in [RawClient::reset as fn(RawClient), drop] {
        origin.forget();
        let mut client = RawClient::connect(gateway.addr());
        client.send(get("/"));
        origin.wait("a request", |seen| {
            seen.request_count == 1 && seen.open == 1
        });
        leave(client);
        origin.wait("its connection closed", |seen| seen.open == 0);
        gateway.wait_connections(0);
    }
}

#[test]
fn a_client_that_leaves_in_the_middle_of_the_reply_ends_it() {
    let origin = Origin::start(replies::hang_mid_body(1_000, 10));
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    client.send(get("/"));
    assert_eq!(client.try_head().unwrap().word(1), "200");
    drop(client);
    origin.wait("its connection closed", |seen| seen.open == 0);
    gateway.wait_connections(0);
}

#[test]
fn a_client_that_leaves_in_the_middle_of_its_body_leaves_no_whole_request() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    for head in [
        "Content-Length: 10\r\n\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let mut client = RawClient::connect(gateway.addr());
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{head}"));
        origin.wait("the beginning", |seen| {
            seen.all_bytes().ends_with(b"abc\r\n") || seen.all_bytes().ends_with(b"abc")
        });
        drop(client);
        origin.wait("the end", |seen| seen.open == 0 && seen.broken == 1);
        assert_eq!(origin.request_count(), 0);
        origin.forget();
    }
}

#[test]
fn an_early_reply_reaches_a_client_that_is_still_sending() {
    let origin = Origin::start_early(|request, conn| {
        conn.reply(403, &[], "no need to go on");
        conn.read_body(request);
    });
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf");
    let reply = client.reply();
    assert_eq!(
        (reply.status, reply.text().as_str()),
        (403, "no need to go on")
    );
    // Closed, or drained: the rest of the body is never a request.
    if client.try_send("half".to_owned() + &get("/next")).is_ok()
        && let Ok(next) = client.try_reply("GET")
    {
        assert_eq!(next.status, 403);
        assert_eq!(origin.last_request().target(), "/next");
    }
}

#[test]
fn an_early_reply_of_a_target_that_closes_reaches_the_client() {
    let origin = Origin::start_early(|_, conn| {
        conn.reply(413, &["Connection: close"], "too much");
        conn.half_close();
    });
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    let body = vec![b'x'; 1_000_000];
    let _ = client.try_send_slowly(&body, 100_000, Duration::from_millis(2));
    let reply = client.reply();
    assert_eq!((reply.status, reply.text().as_str()), (413, "too much"));
}

#[test]
fn a_client_that_sends_all_of_a_large_body_before_it_reads_gets_its_refusal() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    let body = vec![b'x'; 16 * 1024 * 1024];
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    client.send(&body);
    let reply = client.reply();
    assert_eq!(reply.status, 413);
    assert!(
        reply.text().contains("payload_too_large"),
        "{}",
        reply.text()
    );
}

#[test]
fn a_refused_target_is_a_bad_gateway_and_said_so() {
    let mut origin = Origin::start(replies::text("x"));
    origin.stop();
    let gateway = before(&origin);
    let reply = RawClient::get(gateway.addr(), "/");
    assert_eq!(
        (reply.status, code(&reply).as_str()),
        (502, "connect_failure")
    );
    assert!(
        reply
            .field("proxy-status")
            .unwrap()
            .contains("connection_refused")
    );
    assert!(
        !reply.text().contains("127.0.0.1"),
        "addresses are not for clients"
    );
    origin.restart();
    RawClient::get(gateway.addr(), "/").expect_status(200);
}
