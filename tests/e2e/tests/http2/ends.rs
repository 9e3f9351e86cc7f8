//! How connections end: drained, reloaded away, idle, late; and what is finished before.

use std::time::Duration;

use bytes::Bytes;
use portway_core::clock::ManualClock;
use portway_testkit::frames::{self, END_HEADERS, error, frame, kind};
use portway_testkit::{Folder, FrameClient, Gateway, Origin, eventually, ports, replies};

use super::client::{Client, get, post, read};
use crate::pool::Gate;
use crate::support::Setup;

fn gated(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::start(move |request, conn| {
        if request.target() == "/hold" {
            gate.wait();
        }
        conn.reply(200, &[], "done");
    })
}

#[test]
fn a_drain_says_goaway_and_lets_streams_finish() {
    let gate = Gate::default();
    let origin = gated(&gate);
    let gateway = Setup::to(&origin).start();
    let mut client = Client::connect(gateway.addr());
    assert_eq!(client.send(get("/"), b"").status, 200);
    let (reply, _out) = client.begin(get("/hold"), true);
    origin.wait("it is under way", |seen| seen.request_count == 2);
    gateway.drain(Duration::from_secs(60));
    let mut requests = client.requests.clone();
    client.run(async {
        // Told to open no more, the client's side refuses by itself.
        loop {
            let ready = std::future::poll_fn(|cx| requests.poll_ready(cx)).await;
            let asked =
                ready.and_then(|()| requests.send_request(get("/late").body(()).unwrap(), true));
            if asked.is_err() {
                break;
            }
            let (late, _) = asked.unwrap();
            let _ = late.await;
        }
    });
    gate.open();
    assert_eq!(client.run(read(reply)).unwrap().text(), "done");
    drop(client);
    gateway.wait_connections(0);
}

#[test]
fn idle_connections_are_told_at_once_when_a_drain_begins() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin).start();
    let mut client = FrameClient::connect(gateway.addr());
    client.get(1, "/");
    client.expect("a reply", |f| f.kind == kind::DATA);
    gateway.drain(Duration::from_secs(60));
    let goaway = client.goaway().expect("GOAWAY");
    assert_eq!(goaway.code(), error::NO_ERROR);
    let ping = client.expect("PING", |f| f.kind == kind::PING);
    client.send(&frame(kind::PING, frames::ACK, 0, &ping.payload));
    client.expect_closed();
    drop(client);
    gateway.wait_connections(0);
}

#[test]
fn a_client_that_never_answers_the_goaway_is_left_behind() {
    let origin = Origin::start(replies::text("x"));
    let (gateway, hand) = Gateway::with_manual_clock(&Setup::to(&origin).yaml());
    let mut client = FrameClient::connect(gateway.addr());
    client.get(1, "/");
    client.expect("a reply", |f| f.kind == kind::DATA);
    gateway.drain(Duration::from_secs(60));
    assert!(client.goaway().is_some());
    turn_until(&hand, "it is closed", || gateway.open_connections() == 0);
}

#[test]
fn a_reload_keeps_streams_and_a_removed_listener_lets_them_finish() {
    let gate = Gate::default();
    let origin = gated(&gate);
    let port = ports::reserve();
    let one = Setup::to(&origin).yaml();
    let second = format!("listeners:\n  - name: second\n    bind: {}\n", port.addr());
    let two = one.replace("listeners:\n", &second);
    let gateway = Gateway::start(&two);
    let mut stays = Client::connect(gateway.addr_of("public"));
    let mut goes = Client::connect(port.addr());
    let held: Vec<_> = [&mut stays, &mut goes]
        .into_iter()
        .map(|client| client.begin(get("/hold"), true))
        .collect();
    origin.wait("both are under way", |seen| seen.request_count == 2);
    gateway.reload(&one).unwrap();
    assert_eq!(stays.send(get("/"), b"").text(), "done");
    gate.open();
    let mut held = held.into_iter();
    assert_eq!(
        stays.run(read(held.next().unwrap().0)).unwrap().text(),
        "done"
    );
    assert_eq!(
        goes.run(read(held.next().unwrap().0)).unwrap().text(),
        "done"
    );
    assert_eq!(
        stays.send(get("/"), b"").text(),
        "done",
        "the same connection"
    );
    let mut requests = goes.requests.clone();
    goes.run(async {
        while std::future::poll_fn(|cx| requests.poll_ready(cx))
            .await
            .is_ok()
        {
            let sent = requests.send_request(get("/").body(()).unwrap(), true);
            if sent.is_err() || sent.unwrap().0.await.is_err() {
                break;
            }
        }
    });
}

/// Turns the clock on, a little at a time, until it is so.
fn turn_until(hand: &ManualClock, what: &str, mut is_so: impl FnMut() -> bool) {
    eventually(what, || {
        hand.advance(Duration::from_millis(500));
        is_so()
    });
}

fn manual(server: &str, origin: &Origin) -> (Gateway, ManualClock) {
    Gateway::with_manual_clock(&Setup::to(origin).server(server).yaml())
}

#[test]
fn idle_connections_end_in_order() {
    let origin = Origin::start(replies::text("x"));
    let (gateway, hand) = manual("idle_timeout: 60s", &origin);
    let mut client = FrameClient::connect(gateway.addr());
    client.get(1, "/");
    client.expect("a reply", |f| f.kind == kind::DATA);
    hand.advance(Duration::from_secs(50));
    let quiet = Duration::from_millis(60); // the wheel turns meanwhile
    assert!(!client.stirs(quiet), "it is not yet idle that long");
    client.get(3, "/");
    client.expect("a reply", |f| f.kind == kind::DATA && f.stream == 3);
    hand.advance(Duration::from_secs(50));
    assert!(!client.stirs(quiet), "it is idle since the last reply");
    turn_until(&hand, "it says so", || {
        client.stirs(Duration::from_millis(15))
    });
    assert_eq!(client.goaway().expect("GOAWAY").code(), error::NO_ERROR);
    turn_until(&hand, "it is closed", || gateway.open_connections() == 0);
}

#[test]
fn a_connection_that_never_asks_or_never_ends_its_head_is_closed() {
    let origin = Origin::start(replies::text("x"));
    let (gateway, hand) = manual("header_timeout: 10s", &origin);
    let mut silent = FrameClient::connect(gateway.addr());
    assert!(silent.stirs(Duration::from_secs(5)), "SETTINGS");
    turn_until(&hand, "it is closed", || gateway.open_connections() == 0);
    silent.expect_closed();

    let mut slow = FrameClient::connect(gateway.addr());
    slow.send(&frame(kind::HEADERS, 0, 1, &frames::get("/")));
    gateway.wait_connections(1);
    turn_until(&hand, "it is closed", || gateway.open_connections() == 0);
    assert_eq!(origin.request_count(), 0);
}

#[test]
fn a_body_that_does_not_come_is_a_408() {
    let origin = Origin::start(replies::echo());
    let (gateway, hand) = manual("read_timeout: 10s", &origin);
    let mut client = FrameClient::connect(gateway.addr());
    let block = [
        frames::field(":method", "POST"),
        frames::field(":scheme", "http"),
        frames::field(":path", "/"),
        frames::field(":authority", "a"),
    ];
    client.send(&frame(kind::HEADERS, END_HEADERS, 1, &block.concat()));
    client.send(&frame(kind::DATA, 0, 1, b"some"));
    client.expect("our settings are acknowledged", |f| {
        f.kind == kind::SETTINGS && f.flags == frames::ACK
    });
    let told = || gateway.metrics().contains("code=\"request_timeout\"} 1");
    turn_until(&hand, "the exchange ends", told);
    client.expect("a reply", |f| f.kind == kind::HEADERS && f.stream == 1);
    let waved_off = client.expect("RST_STREAM", |f| f.kind == kind::RST_STREAM);
    assert_eq!(waved_off.code(), error::NO_ERROR);
}

#[test]
fn a_reader_that_makes_no_room_for_long_loses_its_stream_and_no_other() {
    let origin = Origin::start(replies::big(1 << 20));
    let (gateway, hand) = manual("write_timeout: 5s", &origin);
    let mut client = FrameClient::connect(gateway.addr());
    client.get(1, "/"); // 64 KiB and no room for more
    let told = || gateway.metrics().contains("code=\"client_gone\"} 1");
    turn_until(&hand, "the stream is given up", told);
    let reset = client.expect("RST_STREAM", |f| f.kind == kind::RST_STREAM);
    assert_eq!(reset.stream, 1);
    origin.set_handler(replies::text("x"));
    client.get(3, "/");
    client.expect("a reply", |f| f.kind == kind::HEADERS && f.stream == 3);
}

#[test]
fn a_client_that_is_gone_cancels_all_it_asked_for() {
    let origin = Origin::start(|_, conn| {
        assert!(
            conn.wait_close(Duration::from_secs(5)),
            "nobody told the target"
        );
    });
    let gateway = Setup::to(&origin).start();
    let mut client = Client::connect(gateway.addr());
    let mut open: Vec<_> = (0..10).map(|_| client.begin(get("/"), true)).collect();
    let (_, mut out) = client.begin(post("/"), false);
    client.run(async { out.send_data(Bytes::from_static(b"x"), false).unwrap() });
    origin.wait("they are under way", |seen| seen.request_count >= 10);
    open.clear();
    drop((open, out, client));
    gateway.wait_connections(0);
    eventually("the exchanges are over", || {
        gateway.metrics().contains("active_requests 0\n")
    });
}

#[test]
fn what_still_runs_at_the_end_of_a_drain_is_cut_and_logged() {
    let folder = Folder::new();
    let path = folder.path().join("access.log");
    let origin = Origin::start(replies::never());
    let gateway = Setup::to(&origin)
        .global(&format!("logging: {{ output: \"{}\" }}", path.display()))
        .start();
    let mut client = Client::connect(gateway.addr());
    let held: Vec<_> = (0..3).map(|_| client.begin(get("/"), true)).collect();
    origin.wait("they are under way", |seen| seen.request_count == 3);
    gateway.inner().stop();
    for (reply, _out) in held {
        assert!(client.run(read(reply)).is_err());
    }
    let log = std::fs::read_to_string(&path).unwrap();
    let cut = log
        .lines()
        .filter(|line| line.contains("cut at the end of the drain"));
    let told = cut.filter(|line| line.contains("\"code\":\"drained\""));
    assert_eq!(told.count(), 3, "{log}");
}
