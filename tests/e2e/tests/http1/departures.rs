//! Clients that end their side of a connection, and clients that leave: a FIN says only that nothing
//! more will be sent.

use std::time::Duration;

use portway_testkit::{Gateway, Origin, RawClient, eventually, raw::get, replies};

use crate::pool::{Gate, advance};
use crate::resilience::metric;
use crate::support::{Setup, before};

const GONE: &str = "portway_request_errors_total{route=\"all\",code=\"client_gone\"}";

/// An origin that answers when the gate opens.
fn waiting(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::start(move |_, conn| {
        gate.wait();
        conn.reply(200, &[], "late");
    })
}

#[test]
fn a_client_that_ends_its_side_gets_its_reply() {
    let gate = Gate::default();
    let origin = waiting(&gate);
    let gateway = before(&origin);
    let ask = |request: String| {
        let mut client = RawClient::connect(gateway.addr());
        client.send(request).half_close();
        client
    };
    let mut clients = [
        ask(get("/")),
        ask("GET / HTTP/1.0\r\n\r\n".to_owned()),
        ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".to_owned()),
    ];
    origin.wait("all are asked", |seen| seen.request_count == 3);
    clients[0].expect_silence(Duration::from_millis(100));
    gate.open();
    for client in &mut clients {
        assert_eq!(client.reply().expect_status(200).text(), "late");
        client.expect_closed();
    }
}

#[test]
fn all_of_its_pipelined_requests_are_answered_and_a_slow_reply_is_read_to_its_end() {
    let origin = Origin::start(|request, conn| {
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
        std::thread::sleep(Duration::from_millis(100));
        conn.send("to ");
        std::thread::sleep(Duration::from_millis(100));
        conn.send(&request.target()[1..]);
    });
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    client.send(get("/one") + &get("/two")).half_close();
    assert_eq!(client.reply().text(), "to one");
    assert_eq!(client.reply().text(), "to two");
    client.expect_closed();
}

/// Nobody can tell a client that waits from one that closed, so neither is worked for for long.
#[test]
fn what_nobody_takes_is_cancelled_after_two_seconds() {
    for origin in [
        Origin::start(replies::never()),
        Origin::start(replies::hang_mid_body(1_000, 10)),
    ] {
        let (gateway, hand) = Gateway::with_manual_clock(&Setup::to(&origin).yaml());
        advance(&gateway, &hand, Duration::from_secs(1));
        let mut client = RawClient::connect(gateway.addr());
        client.send(get("/")).half_close();
        origin.wait("a request", |seen| {
            seen.request_count == 1 && seen.open == 1
        });
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(origin.seen().open, 1, "it is waited for");
        // More than once: the two seconds begin when the gateway has seen the client's FIN.
        eventually("nothing is waited for", || {
            advance(&gateway, &hand, Duration::from_secs(2));
            origin.seen().open == 0
        });
        eventually("it is counted", || metric(&gateway, GONE) == 1.0);
    }
}

#[test]
fn a_reset_cancels_at_once() {
    let origin = Origin::start(replies::never());
    // Time stands still: nothing is cancelled because it took too long.
    let (gateway, _hand) = Gateway::with_manual_clock(&Setup::to(&origin).yaml());
    let mut client = RawClient::connect(gateway.addr());
    client.send(get("/"));
    origin.wait("a request", |seen| {
        seen.request_count == 1 && seen.open == 1
    });
    client.reset();
    origin.wait("its connection closed", |seen| seen.open == 0);
    eventually("it is counted", || metric(&gateway, GONE) == 1.0);
}

#[test]
fn half_a_request_and_a_fin_is_no_request() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    for half in [
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc",
    ] {
        let mut client = RawClient::connect(gateway.addr());
        client.send(half).half_close().expect_closed();
    }
    eventually("no reply is sent", || gateway.open_connections() == 0);
}
