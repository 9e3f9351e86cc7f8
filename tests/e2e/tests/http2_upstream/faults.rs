//! Targets that refuse, go away, break off or stay silent, and clients that do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use h2::Reason;
use http::Response;
use portway_core::clock::ManualClock;
use portway_testkit::frames::END_HEADERS;
use portway_testkit::frames::kind::{DATA, HEADERS};
use portway_testkit::{Gateway, RawClient, eventually, raw::get, raw::post};

use super::{gateway_to, yaml};
use crate::support::code;
use crate::support::h2_frames::{FrameOrigin, STATUS_200};
use crate::support::h2_origin::H2Origin;

const REFUSED_STREAM: u32 = 7;
const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;

#[test]
fn a_refused_stream_is_sent_again_whatever_the_method() {
    let origin = FrameOrigin::start(&[], |conn| {
        while let Some(stream) = conn.request() {
            if conn.number == 1 {
                conn.reset(stream, REFUSED_STREAM);
            } else {
                conn.reply(stream, "second");
            }
        }
    });
    let gateway = gateway_to(origin.addr, "", "");
    let reply = RawClient::ask(gateway.addr(), post("/", "body"));
    assert_eq!(reply.expect_status(200).text(), "second");
}

#[test]
fn a_target_that_refuses_every_stream_is_not_asked_for_ever() {
    let origin = FrameOrigin::start(&[], |conn| {
        while let Some(stream) = conn.request() {
            conn.reset(stream, REFUSED_STREAM);
        }
    });
    let gateway = gateway_to(origin.addr, "", "");
    let reply = RawClient::get(gateway.addr(), "/");
    assert_eq!(code(&reply), "upstream_reset");
    assert!(origin.connections() <= 3);
}

#[test]
fn streams_past_the_last_one_of_a_goaway_are_sent_again_and_the_others_finish() {
    let origin = FrameOrigin::start(&[], |conn| {
        if conn.number == 1 {
            let first = conn.request().expect("a request");
            let _second = conn.request().expect("another");
            conn.go_away(first, NO_ERROR);
            conn.reply(first, "first");
            conn.wait_closed();
        } else {
            let stream = conn.request().expect("a request");
            conn.reply(stream, "again");
            conn.wait_closed();
        }
    });
    let gateway = gateway_to(origin.addr, "", "");
    let mut first = RawClient::connect(gateway.addr());
    first.send(get("/first"));
    eventually("it is connected", || origin.connections() == 1);
    std::thread::sleep(Duration::from_millis(50)); // SETTINGS have come
    let second = RawClient::ask(gateway.addr(), post("/second", "body"));
    assert_eq!(second.expect_status(200).text(), "again");
    assert_eq!(first.reply().expect_status(200).text(), "first");
    assert_eq!(origin.connections(), 2);
}

#[test]
fn a_graceful_goaway_loses_nothing() {
    let origin = H2Origin::start(|mut call| async move {
        let _ = call.read().await;
        if call.path() == "/last" {
            call.go_away.notify_one();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        call.reply(200, "ok");
    });
    let gateway = gateway_to(origin.addr, "", "");
    for round in 1..=5 {
        for path in ["/a", "/last", "/b"] {
            let reply = RawClient::ask(gateway.addr(), post(path, "x"));
            assert_eq!(reply.expect_status(200).text(), "ok");
        }
        assert_eq!(origin.seen().connections, round + 1);
    }
    eventually("the old ones close", || origin.seen().open == 1);
}

#[test]
fn a_reset_is_no_reply_and_may_have_been_acted_on() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    let origin = FrameOrigin::start(&[], move |conn| {
        while let Some(stream) = conn.request() {
            counted.fetch_add(1, Ordering::SeqCst);
            conn.reset(stream, INTERNAL_ERROR);
        }
    });
    let retry = "filters: [ { retry: { max_retries: 2, retry_on: [reset] } } ]";
    let gateway = gateway_to(origin.addr, "", retry);
    let reply = RawClient::ask(gateway.addr(), post("/", "x"));
    assert_eq!(reply.status, 502);
    assert_eq!(code(&reply), "upstream_reset");
    assert_eq!(tries.swap(0, Ordering::SeqCst), 1);
    RawClient::get(gateway.addr(), "/").expect_status(502);
    assert_eq!(tries.load(Ordering::SeqCst), 3);
}

#[test]
fn a_reply_that_breaks_off_is_cut_not_ended() {
    for dies in [true, false] {
        let origin = FrameOrigin::start(&[], move |conn| {
            let stream = conn.request().expect("a request");
            conn.send(HEADERS, END_HEADERS, stream, STATUS_200);
            conn.send(DATA, 0, stream, b"half");
            if dies {
                return;
            }
            conn.reset(stream, INTERNAL_ERROR);
            conn.wait_closed();
        });
        let gateway = gateway_to(origin.addr, "", "");
        let mut client = RawClient::connect(gateway.addr());
        client.send(get("/"));
        assert!(client.try_reply("GET").is_err(), "{dies}");
    }
}

#[test]
fn a_whole_reply_counts_even_if_the_target_wants_no_more_of_the_request() {
    let origin = FrameOrigin::start(&[], |conn| {
        let stream = conn.request().expect("a request");
        conn.reply(stream, "enough");
        conn.reset(stream, NO_ERROR);
        conn.wait_closed();
    });
    let gateway = gateway_to(origin.addr, "", "");
    let mut client = RawClient::connect(gateway.addr());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbegin");
    assert_eq!(client.reply().expect_status(200).text(), "enough");
}

#[test]
fn a_client_that_leaves_cancels_its_stream_alone() {
    let origin = H2Origin::start(|mut call| async move {
        if call.path() == "/fast" {
            return call.reply(200, "ok");
        }
        let mut stream = call.respond(Response::new(()));
        let reason = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
        call.seen
            .lock()
            .expect("not poisoned")
            .resets
            .extend(reason);
    });
    let gateway = gateway_to(origin.addr, "", "");
    RawClient::get(gateway.addr(), "/fast").expect_status(200);
    let mut leaving = RawClient::connect(gateway.addr());
    leaving.send(get("/slow"));
    eventually("it is there", || origin.seen().active == 1);
    leaving.reset();
    eventually("it is cancelled", || !origin.seen().resets.is_empty());
    assert_eq!(origin.seen().resets, [Reason::CANCEL]);
    RawClient::get(gateway.addr(), "/fast").expect_status(200);
    assert_eq!(origin.seen().connections, 1);
}

#[test]
fn a_silent_target_is_given_up_in_time() {
    let origin = FrameOrigin::start(&[], |conn| conn.wait_closed());
    let gateway = gateway_to(origin.addr, "timeouts: { response_header: 200ms }", "");
    let reply = RawClient::get(gateway.addr(), "/");
    assert_eq!(code(&reply), "upstream_timeout");
    assert_eq!(origin.connections(), 1);
}

/// Waits an hour for everything, by a clock that the test moves.
fn patient(origin: &FrameOrigin) -> (Gateway, ManualClock) {
    let upstream = "timeouts: { response_header: 1h, idle: 1h }";
    let server = "server: { workers: 1, read_timeout: 1h }";
    let yaml = yaml(origin.addr, upstream, "").replace("server: { workers: 1 }", server);
    Gateway::with_manual_clock(&yaml)
}

#[test]
fn a_target_that_does_not_answer_a_ping_loses_its_connection() {
    let origin = FrameOrigin::start(&[], |conn| {
        if conn.number == 1 {
            conn.request().expect("a request");
            conn.hold(); // its process hangs: the kernel goes on taking octets
        } else {
            let stream = conn.request().expect("a request");
            conn.reply(stream, "alive");
            conn.wait_closed();
        }
    });
    let (gateway, hand) = patient(&origin);
    let mut client = RawClient::connect(gateway.addr());
    client.send(post("/", "not to be repeated"));
    eventually("it is there", || origin.connections() == 1);
    let asked = std::thread::spawn(move || client.reply());
    eventually("it is given up", || {
        hand.advance(Duration::from_secs(1));
        asked.is_finished()
    });
    assert_eq!(code(&asked.join().expect("a reply")), "upstream_reset");
    let reply = RawClient::get(gateway.addr(), "/");
    assert_eq!(reply.expect_status(200).text(), "alive");
}

#[test]
fn a_target_that_answers_pings_may_take_its_time() {
    let pinged = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&pinged);
    let (release, released) = std::sync::mpsc::sync_channel::<()>(0);
    let released = std::sync::Mutex::new(released);
    let origin = FrameOrigin::start(&[], move |conn| {
        let stream = conn.request().expect("a request");
        conn.wait_ping();
        counted.fetch_add(1, Ordering::SeqCst);
        let _ = released.lock().expect("not poisoned").recv();
        conn.reply(stream, "late");
        conn.wait_closed();
    });
    let (gateway, hand) = patient(&origin);
    let mut client = RawClient::connect(gateway.addr());
    client.send(get("/"));
    eventually("it is there", || origin.connections() == 1);
    eventually("it is asked", || {
        hand.advance(Duration::from_millis(200));
        pinged.load(Ordering::SeqCst) == 1
    });
    for _ in 0..300 {
        hand.advance(Duration::from_millis(200)); // and is not asked again for minutes
        std::thread::sleep(Duration::from_millis(2));
    }
    drop(release);
    assert_eq!(client.reply().expect_status(200).text(), "late");
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_target_that_speaks_http_1_is_a_bad_one() {
    let origin = portway_testkit::Origin::start(|_, conn| conn.reply(200, &[], "h1"));
    let gateway = gateway_to(origin.addr(), "", "");
    let reply = RawClient::get(gateway.addr(), "/");
    assert_eq!(reply.status, 502, "{}", reply.text());
}

#[test]
fn nobody_there_is_a_connect_failure() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = gone.local_addr().expect("an address");
    drop(gone);
    let gateway = gateway_to(addr, "", "");
    assert_eq!(
        code(&RawClient::get(gateway.addr(), "/")),
        "connect_failure"
    );
}
