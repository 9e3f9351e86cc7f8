//! Bodies of every framing and size, both ways.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use portway_testkit::raw::{Framing, get, post};
use portway_testkit::wait::within;
use portway_testkit::{Origin, RawClient, eventually, replies};
use socket2::SockRef;

use crate::support::{Setup, before, get_with, with_body};

const MIB: usize = 1024 * 1024;

#[test]
fn a_body_with_a_length_keeps_its_length_both_ways() {
    let origin = Origin::start(|request, conn| conn.reply(200, &[], &request.body));
    let gateway = before(&origin);
    let reply = RawClient::ask(gateway.addr(), post("/", "hello"));
    assert_eq!(
        (reply.framing, reply.text().as_str()),
        (Framing::Length, "hello")
    );
    let seen = origin.last_request();
    assert_eq!(seen.field("content-length"), Some("5"));
    assert_eq!(seen.field("transfer-encoding"), None);
}

#[test]
fn a_chunked_body_stays_chunked_both_ways_with_its_trailers() {
    let origin = Origin::start(replies::chunked(&["ab", "cd"], &["X-Sum: 4", "X-Two: 2"]));
    let gateway = before(&origin);
    let request = with_body(
        "POST",
        "/",
        &["Transfer-Encoding: chunked", "Trailer: X-Check"],
        "3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Check: yes\r\n\r\n",
    );
    let mut client = RawClient::connect(gateway.addr());
    for _ in 0..2 {
        let reply = client.send(&request).reply();
        assert_eq!(
            (reply.framing, reply.text().as_str()),
            (Framing::Chunked, "abcd")
        );
        let trailers: Vec<_> = reply
            .trailers
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        assert_eq!(trailers.join(" ").to_lowercase(), "x-sum=4 x-two=2");
        let seen = origin.last_request();
        assert_eq!(seen.body, b"abcde");
        assert_eq!(seen.field("content-length"), None);
        assert_eq!(seen.trailers.len(), 1);
        assert!(seen.trailers[0].0.eq_ignore_ascii_case("x-check"));
        assert!(!seen.raw_body.contains(&b';'), "extensions are for one hop");
    }
    assert_eq!(origin.connection_count(), 1);
}

#[test]
fn requests_without_a_body_get_none() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    RawClient::get(gateway.addr(), "/").expect_status(200);
    assert_eq!(origin.last_request().field("content-length"), None);
    RawClient::ask(gateway.addr(), "POST / HTTP/1.1\r\nHost: a\r\n\r\n").expect_status(200);
    assert_eq!(origin.last_request().field("content-length"), Some("0"));
    let with_length = get_with("/", &["Content-Length: 3"]) + "abc";
    RawClient::ask(gateway.addr(), with_length).expect_status(200);
    assert_eq!(origin.last_request().body, b"abc");
}

#[test]
fn eight_mebibytes_go_up_unchanged() {
    let origin = Origin::start(|request, conn| {
        conn.reply(
            200,
            &[],
            if request.body == replies::pattern(8 * MIB) {
                "same"
            } else {
                "other"
            },
        );
    });
    let gateway = before(&origin);
    let head = format!(
        "PUT /big HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        8 * MIB
    );
    let mut client = RawClient::connect(gateway.addr());
    client.send(head).send(replies::pattern(8 * MIB));
    assert_eq!(client.reply().text(), "same");

    client.send("PUT /big HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in replies::pattern(8 * MIB).chunks(100_000) {
        client
            .send(format!("{:x}\r\n", piece.len()))
            .send(piece)
            .send("\r\n");
    }
    assert_eq!(client.send("0\r\n\r\n").reply().text(), "same");
    assert_eq!(origin.connection_count(), 1);
}

#[test]
fn eight_mebibytes_come_down_unchanged() {
    let origin = Origin::start(replies::big(8 * MIB));
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    let reply = client.send(get("/")).reply();
    assert!(reply.body == replies::pattern(8 * MIB));
    origin.set_handler(|_, conn| {
        conn.chunked_head(200, &[]);
        replies::pattern(8 * MIB)
            .chunks(70_001)
            .for_each(|piece| conn.chunk(piece));
        conn.end_chunks(&[]);
    });
    let reply = client.send(get("/")).reply();
    assert_eq!(reply.framing, Framing::Chunked);
    assert!(reply.body == replies::pattern(8 * MIB));
    assert_eq!(origin.connection_count(), 1);
}

#[test]
fn encoded_and_binary_bodies_are_not_touched() {
    let bytes: Vec<u8> = (0..=255).cycle().take(5_000).collect();
    let sent = bytes.clone();
    let origin = Origin::start(move |_, conn| {
        conn.reply(
            200,
            &["Content-Encoding: gzip", "Content-MD5: x", "ETag: \"1\""],
            &sent,
        );
    });
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    let head = with_body(
        "POST",
        "/",
        &["Content-Encoding: br", "Content-Length: 5000"],
        "",
    );
    let reply = client.send(head).send(&bytes).reply();
    assert_eq!(reply.body, bytes);
    assert_eq!(reply.field("content-encoding"), Some("gzip"));
    assert_eq!(reply.field("etag"), Some("\"1\""));
    let seen = origin.last_request();
    assert_eq!(seen.body, bytes);
    assert_eq!(seen.field("content-encoding"), Some("br"));
}

#[test]
fn a_slow_reply_is_passed_on_as_it_comes() {
    let origin = Origin::start(|_, conn| {
        conn.chunked_head(200, &[]);
        conn.chunk("first");
        // The client says when to go on, by closing: nothing more comes by itself.
        conn.hang();
    });
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    client.send(get("/"));
    assert_eq!(client.try_head().unwrap().word(1), "200");
    assert_eq!(client.wire().exactly(10).unwrap(), b"5\r\nfirst\r\n");
}

#[test]
fn a_slow_request_body_is_passed_on_as_it_comes() {
    let origin = Origin::start_early(|request, conn| {
        let first = conn.wire().exactly(5).unwrap();
        conn.reply(200, &[], first);
        conn.read_body(request);
    });
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nfirst");
    assert_eq!(
        client.reply().text(),
        "first",
        "with 95 octets still to come"
    );
}

#[test]
fn a_client_that_does_not_read_keeps_the_origin_from_being_drained() {
    const ALL: usize = 48 * MIB;
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let origin = Origin::start(move |_, conn| {
        conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {ALL}\r\n\r\n"));
        let piece = vec![b'x'; 64 * 1024];
        while count.load(Ordering::Relaxed) < ALL && !conn.is_gone() {
            conn.send(&piece);
            count.fetch_add(piece.len(), Ordering::Relaxed);
        }
    });
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    SockRef::from(client.wire().stream())
        .set_recv_buffer_size(64 * 1024)
        .unwrap();
    client.send(get("/"));
    // Until the sockets between are full; these hold a few MiB each, the gateway itself far less.
    let mut last = usize::MAX;
    eventually("the origin has to wait", || {
        std::thread::sleep(Duration::from_millis(150));
        let now = sent.load(Ordering::Relaxed);
        now != 0 && std::mem::replace(&mut last, now) == now
    });
    assert!(last < 32 * MIB, "{last} of {ALL} octets were taken");
    assert_eq!(client.reply().body.len(), ALL);
}

#[test]
fn an_origin_that_does_not_read_holds_the_client_back() {
    let origin = Origin::start_early(|_, conn| {
        // Waits without reading; at most as long as the test takes.
        within(Duration::from_secs(3), || conn.is_gone());
        conn.reset();
    });
    let gateway = Setup::to(&origin)
        .listener("http: { max_request_body: 0 }")
        .start();
    let mut client = RawClient::connect(gateway.addr());
    client.send(format!(
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        64 * MIB
    ));
    client.set_timeout(Duration::from_millis(300));
    let sent = client.try_send(vec![0; 64 * MIB]);
    assert_eq!(sent.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
}

/// Replies of many sizes, so that of some the last octets have come from the origin and wait for the client.
/// The connections that they came on are in the middle of other replies when the client reads on.
#[test]
fn what_waits_for_a_slow_client_and_what_its_connection_brings_next_are_kept_apart() {
    const CLIENTS: usize = 30;
    let body_of = |n: usize| vec![b'a' + (n % 26) as u8; n];
    let origin = Origin::start(move |request, conn| {
        let n = request.target().trim_start_matches('/').parse().unwrap();
        conn.reply(200, &[], body_of(n));
    });
    let gateway = before(&origin);
    let ask = |size: usize| {
        let mut client = RawClient::connect(gateway.addr());
        client.send(get(&format!("/{size}")));
        (size, client)
    };
    let first: Vec<_> = (1..=CLIENTS).map(|n| ask(n * 300_001)).collect();
    eventually("all are asked for", || {
        origin.request_count() >= CLIENTS as u64
    });
    std::thread::sleep(Duration::from_millis(200)); // until nothing more of them moves
    let second: Vec<_> = (0..CLIENTS).map(|n| ask(16 * MIB + n)).collect();
    eventually("so are these", || {
        origin.request_count() >= 2 * CLIENTS as u64
    });
    for (size, mut client) in first.into_iter().chain(second) {
        assert!(client.reply().body == body_of(size), "{size} octets");
        // Nothing of another one stands between this reply and the next.
        client.send(get("/5"));
        assert_eq!(client.reply().text(), "fffff", "after {size} octets");
    }
}
