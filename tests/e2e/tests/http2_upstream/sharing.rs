//! How exchanges share connections: streams, their limits, more connections, idleness.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use h2::server::Builder;
use portway_testkit::{Gateway, RawClient, eventually, raw::get};

use super::gateway_to;
use crate::support::code;
use crate::support::h2_frames::FrameOrigin;
use crate::support::h2_origin::{H2Call, H2Origin};

/// An origin that answers nobody until the gate is opened.
fn gated(builder: Builder) -> (H2Origin, Arc<AtomicBool>) {
    let gate = Arc::new(AtomicBool::new(false));
    let held = Arc::clone(&gate);
    let origin = H2Origin::with(builder, move |call| hold(call, Arc::clone(&held)));
    (origin, gate)
}

async fn hold(mut call: H2Call, gate: Arc<AtomicBool>) {
    while !gate.load(Ordering::Acquire) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    call.reply(200, "ok");
}

fn ask(gateway: &Gateway, count: usize) -> Vec<RawClient> {
    let one = |_| {
        let mut client = RawClient::connect(gateway.addr());
        client.send(get("/"));
        client
    };
    (0..count).map(one).collect()
}

fn all_answered(clients: Vec<RawClient>) {
    for mut client in clients {
        client.set_timeout(Duration::from_secs(20));
        client.reply().expect_status(200);
    }
}

#[test]
fn a_thousand_exchanges_share_one_connection() {
    let (origin, gate) = gated(Builder::new());
    let gateway = gateway_to(origin.addr, "", "");
    let mut clients = ask(&gateway, 1);
    eventually("the first is there", || origin.seen().active == 1);
    clients.extend(ask(&gateway, 999));
    eventually("all are there", || origin.seen().active == 1000);
    assert_eq!(origin.seen().connections, 1);
    gate.store(true, Ordering::Release);
    all_answered(clients);
}

#[test]
fn more_connections_are_opened_when_all_streams_are_taken() {
    for (streams_max, exchanges, connections) in [(1, 8, 8), (10, 100, 10)] {
        let mut builder = Builder::new();
        builder.max_concurrent_streams(streams_max);
        let (origin, gate) = gated(builder);
        let gateway = gateway_to(origin.addr, "", "");
        let clients = ask(&gateway, exchanges);
        eventually("all are there", || origin.seen().active == exchanges);
        let opened = origin.seen().connections;
        assert!(
            (connections..=connections * 3 / 2).contains(&opened),
            "{opened} for {streams_max}"
        );
        gate.store(true, Ordering::Release);
        all_answered(clients);
        all_answered(ask(&gateway, exchanges));
        assert_eq!(origin.seen().connections, opened, "the same are used again");
    }
}

#[test]
fn no_more_connections_than_allowed() {
    let mut builder = Builder::new();
    builder.max_concurrent_streams(2);
    let (origin, gate) = gated(builder);
    let limit = "circuit_breaker: { failure_threshold: 0, max_connections: 1 }";
    let gateway = gateway_to(origin.addr, limit, "");
    let mut clients = ask(&gateway, 1);
    eventually("it is there", || origin.seen().active == 1);
    clients.extend(ask(&gateway, 1));
    eventually("both are there", || origin.seen().active == 2);
    let refused = RawClient::get(gateway.addr(), "/");
    assert_eq!(code(&refused), "upstream_overloaded");
    gate.store(true, Ordering::Release);
    all_answered(clients);
    assert_eq!(origin.seen().connections, 1);
}

#[test]
fn no_more_exchanges_wait_than_allowed() {
    // It takes the connection and says nothing, so nobody knows how many streams there may be.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = silent.local_addr().expect("an address");
    let limits = "circuit_breaker: { failure_threshold: 0, max_pending: 3 }";
    let timeouts = "timeouts: { connect: 400ms, response_header: 1200ms }";
    let gateway = gateway_to(addr, &format!("{limits}, {timeouts}"), "");
    let mut clients = ask(&gateway, 1);
    let (mut first, _) = silent.accept().expect("a connection");
    first.read_exact(&mut [0; 24]).expect("the preface");
    clients.extend(ask(&gateway, 5));
    let mut codes: Vec<String> = clients
        .iter_mut()
        .map(|client| code(&client.reply()))
        .collect();
    codes.sort_unstable();
    let count = |name: &str| codes.iter().filter(|code| *code == name).count();
    assert_eq!(count("upstream_timeout"), 1, "{codes:?}");
    assert_eq!(count("connect_timeout"), 3, "{codes:?}");
    assert_eq!(count("upstream_overloaded"), 2, "{codes:?}");
}

#[test]
fn an_idle_connection_is_closed() {
    let (origin, gate) = gated(Builder::new());
    gate.store(true, Ordering::Release);
    let gateway = gateway_to(origin.addr, "timeouts: { idle: 100ms }", "");
    all_answered(ask(&gateway, 3));
    eventually("it is closed", || origin.seen().open == 0);
    all_answered(ask(&gateway, 1));
}

#[test]
fn an_idle_connection_that_the_target_closes_is_not_used() {
    let origin = FrameOrigin::start(&[], |conn| {
        let stream = conn.request().expect("a request");
        conn.reply(stream, "ok");
        conn.hang_up();
    });
    let gateway = gateway_to(origin.addr, "", "");
    for count in 1..=3 {
        RawClient::ask(
            gateway.addr(),
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        )
        .expect_status(200);
        assert_eq!(origin.connections(), count);
        std::thread::sleep(Duration::from_millis(200)); // the gateway hears of it
    }
}
