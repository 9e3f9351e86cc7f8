//! Clients that take their time (CVE-2007-6750): on by default, bounded, and no one else waits.

use std::time::Duration;

use portway_testkit::raw::get;
use portway_testkit::{Gateway, Origin, RawClient, eventually, replies};

use crate::support::{Setup, before};

#[test]
fn slow_clients_are_cut_off_by_default() {
    let origin = Origin::start(replies::text("x"));
    let (gateway, hand) = Gateway::with_manual_clock(&Setup::to(&origin).yaml());
    let beginnings = [
        "",
        "G",
        "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12",
    ];
    let mut clients: Vec<RawClient> = Vec::new();
    for bytes in beginnings {
        let mut client = RawClient::connect(gateway.addr());
        client.send(bytes);
        clients.push(client);
    }
    gateway.wait_connections(beginnings.len());
    eventually("all of them are let go", || {
        hand.advance(Duration::from_secs(1));
        std::thread::sleep(Duration::from_millis(10));
        gateway.open_connections() == 0
    });
    assert_eq!(origin.request_count(), 0);
}

#[test]
fn slow_clients_dripping_a_head_get_no_more_time_for_each_byte() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin).server("header_timeout: 150ms").start();
    let mut client = RawClient::connect(gateway.addr());
    let head = "GET / HTTP/1.1\r\nHost: a\r\n".to_owned() + &"X-Drip: 1\r\n".repeat(400);
    let sent = client.try_send_slowly(head, 2, Duration::from_millis(3));
    match client.try_reply("GET") {
        Ok(reply) => assert_eq!(reply.status, 408),
        Err(_) => assert!(sent.is_err(), "neither answered nor closed"),
    }
    assert_eq!(origin.connection_count(), 0);
}

#[test]
fn slow_clients_do_not_hold_up_others() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let slow: Vec<RawClient> = (0..200)
        .map(|_| {
            let mut client = RawClient::connect(gateway.addr());
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Le");
            client
        })
        .collect();
    gateway.wait_connections(slow.len());
    for _ in 0..20 {
        assert_eq!(RawClient::ask(gateway.addr(), get("/")).text(), "x");
    }
    assert_eq!(origin.connection_count(), 1);
}

#[test]
fn slow_clients_are_limited_in_number_per_listener() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin).listener("max_connections: 3").start();
    let _slow: Vec<RawClient> = (0..3)
        .map(|_| {
            let mut client = RawClient::connect(gateway.addr());
            client.send("GET / HT");
            client
        })
        .collect();
    gateway.wait_connections(3);
    RawClient::connect(gateway.addr()).expect_closed();
}

#[test]
fn slow_clients_endless_empty_lines_are_no_request() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin).server("header_timeout: 200ms").start();
    let mut client = RawClient::connect(gateway.addr());
    let sent = client.try_send_slowly("\r\n".repeat(1_000), 2, Duration::from_millis(2));
    match client.try_reply("GET") {
        Ok(reply) => assert!(matches!(reply.status, 400 | 408), "{}", reply.status),
        Err(_) => assert!(sent.is_err(), "neither answered nor closed"),
    }
}
