//! Bodies: both ways, large, slow, cut off, and none faster than whoever takes them.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, HeaderValue};
use portway_testkit::{Origin, eventually, replies};

use super::client::{Client, get, next, post, read, send_all};
use crate::pool::Gate;
use crate::support::{Setup, before};

#[test]
fn trailers_pass_both_ways() {
    let origin = Origin::start(|_, conn| {
        conn.chunked_head(200, &[]);
        conn.chunk("body");
        conn.end_chunks(&["X-Sum: 7", "Set-Cookie: a=b"]);
    });
    let gateway = before(&origin);
    let mut client = Client::connect(gateway.addr());
    let (reply, mut out) = client.begin(post("/"), false);
    let reply = client.run(async {
        out.send_data(Bytes::from_static(b"data"), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-up", HeaderValue::from_static("1"));
        out.send_trailers(trailers).unwrap();
        read(reply).await.unwrap()
    });
    assert_eq!(reply.text(), "body");
    let trailers = reply.trailers.expect("trailers");
    assert_eq!(trailers["x-sum"], "7");
    assert!(!trailers.contains_key("set-cookie"));
    let sent = String::from_utf8_lossy(&origin.last_request().raw()).into_owned();
    assert!(sent.contains("4\r\ndata\r\n0\r\nx-up: 1\r\n"), "{sent}");
}

#[test]
fn large_bodies_pass_whole() {
    const LENGTH: usize = 8 << 20;
    let origin = Origin::start(|request, conn| conn.reply(200, &[], &request.body));
    let gateway = Setup::to(&origin)
        .listener("http: { max_request_body: 0 }")
        .start();
    let mut client = Client::connect(gateway.addr());
    let body = Bytes::from(replies::pattern(LENGTH));
    let (reply, mut out) = client.begin(post("/"), false);
    let echoed = client.run(async {
        send_all(&mut out, body.clone(), true).await.unwrap();
        read(reply).await.unwrap()
    });
    assert!(echoed.body == body, "{} octets", echoed.body.len());

    origin.set_handler(replies::big(LENGTH));
    let reply = client.send(get("/"), b"");
    assert_eq!(reply.body.len(), LENGTH);
    assert!(reply.body == body);
}

#[test]
fn a_slow_reader_slows_its_own_stream_alone() {
    let origin = Origin::start(replies::big(4 << 20));
    let gateway = before(&origin);
    // Room for everything on the connection, for little on a stream.
    let mut settings = h2::client::Builder::new();
    settings.initial_window_size(64 * 1024);
    settings.initial_connection_window_size(1 << 30);
    let mut client = Client::with(gateway.addr(), &settings);
    let slow: Vec<_> = (0..8).map(|_| client.begin(get("/slow"), true).0).collect();
    let slow = client.run(async {
        let mut bodies = Vec::new();
        for reply in slow {
            let mut body = reply.await.unwrap().into_body();
            assert!(body.data().await.is_some()); // and no room for more
            bodies.push(body);
        }
        bodies
    });
    for _ in 0..3 {
        assert_eq!(client.send(get("/fast"), b"").body.len(), 4 << 20);
    }
    client.run(async {
        for mut body in slow {
            let used = body.flow_control().used_capacity();
            body.flow_control().release_capacity(used).unwrap();
            let mut read = used;
            while let Some(data) = next(&mut body).await {
                read += data.unwrap().len();
            }
            assert!(read >= 4 << 20, "{read}");
        }
    });
}

#[test]
fn a_target_that_does_not_read_slows_its_own_stream_alone() {
    let gate = Gate::default();
    let stuck_until = gate.clone();
    let origin = Origin::start_early(move |request, conn| match request.target() {
        "/stuck" => stuck_until.wait(),
        _ => {
            let body = conn.read_body(request);
            conn.reply(200, &[], body.len().to_string());
        }
    });
    let gateway = Setup::to(&origin)
        .listener("http: { max_request_body: 0 }")
        .start();
    let mut client = Client::connect(gateway.addr());
    let mut stuck = Vec::new();
    for _ in 0..8 {
        let (_reply, mut out) = client.begin(post("/stuck"), false);
        client.run(async {
            // As much as the gateway takes, which has an end.
            let everything = Bytes::from(vec![b'x'; 64 << 20]);
            let sending = send_all(&mut out, everything, true);
            let sent = tokio::time::timeout(Duration::from_millis(100), sending).await;
            assert!(sent.is_err(), "somebody keeps 64 MiB, or {sent:?}");
        });
        stuck.push((_reply, out));
    }
    let (reply, mut out) = client.begin(post("/fast"), false);
    let reply = client.run(async {
        send_all(&mut out, Bytes::from(vec![b'y'; 2 << 20]), true)
            .await
            .unwrap();
        read(reply).await.unwrap()
    });
    assert_eq!(reply.text(), (2 << 20).to_string());
    drop(stuck);
    gate.open();
}

#[test]
fn a_thousand_streams_at_once() {
    const STREAMS: usize = 1000;
    let origin = Origin::start(replies::text("hello"));
    let gateway = before(&origin);
    let mut client = Client::connect(gateway.addr());
    assert_eq!(client.send(get("/warm"), b"").status, 200);
    assert!(client.requests.current_max_send_streams() >= STREAMS);
    let mut open: Vec<_> = (0..STREAMS)
        .map(|_| client.begin(post("/"), false))
        .collect();
    eventually("all of them run", || {
        let metrics = gateway.metrics();
        metrics.contains(&format!("active_requests {STREAMS}\n"))
    });
    client.run(async {
        for (_, out) in &mut open {
            out.send_data(Bytes::from_static(b"x"), true).unwrap();
        }
        for (reply, _) in open {
            assert_eq!(read(reply).await.unwrap().text(), "hello");
        }
    });
}

#[test]
fn a_reset_stream_cancels_the_work_behind_it() {
    let origin = Origin::start(|_, conn| {
        assert!(
            conn.wait_close(Duration::from_secs(5)),
            "nobody told the target"
        );
    });
    let gateway = before(&origin);
    let mut client = Client::connect(gateway.addr());
    let (reply, mut out) = client.begin(get("/long"), true);
    origin.wait("it is under way", |seen| seen.request_count == 1);
    client.run(async {
        out.send_reset(Reason::CANCEL);
        assert!(reply.await.is_err());
    });
    eventually("the exchange is over", || {
        gateway.metrics().contains("active_requests 0\n")
    });
    origin.set_handler(replies::text("x"));
    assert_eq!(
        client.send(get("/"), b"").text(),
        "x",
        "the connection goes on"
    );
}

#[test]
fn a_body_over_the_limit_is_refused_and_the_rest_waved_off() {
    let origin = Origin::start(replies::echo());
    let gateway = Setup::to(&origin)
        .listener("http: { max_request_body: 1KiB }")
        .start();
    let mut client = Client::connect(gateway.addr());
    let (reply, mut out) = client.begin(post("/").header("content-length", "4096"), false);
    let (reply, waved_off) = client.run(async {
        let reply = read(reply).await.unwrap();
        let reason = std::future::poll_fn(|cx| out.poll_reset(cx)).await.unwrap();
        (reply, reason)
    });
    assert_eq!((reply.status, &*reply.code()), (413, "payload_too_large"));
    assert_eq!(waved_off, Reason::NO_ERROR);

    let (reply, mut out) = client.begin(post("/"), false);
    let reply = client.run(async {
        let sent = send_all(&mut out, Bytes::from(vec![b'x'; 64 * 1024]), false).await;
        drop(sent); // it may be waved off before all of it is out
        read(reply).await.unwrap()
    });
    assert_eq!((reply.status, &*reply.code()), (413, "payload_too_large"));
    let (reply, mut out) = client.begin(post("/"), false);
    let fits = client.run(async {
        send_all(&mut out, Bytes::from(vec![b'x'; 1024]), true)
            .await
            .unwrap();
        read(reply).await.unwrap()
    });
    assert_eq!(fits.status, 200);
}

#[test]
fn a_reply_that_comes_before_the_request_is_over_counts() {
    let origin = Origin::start_early(|_, conn| conn.reply(403, &["Connection: close"], "no"));
    let gateway = before(&origin);
    let mut client = Client::connect(gateway.addr());
    let (reply, mut out) = client.begin(post("/"), false);
    let (reply, reason) = client.run(async {
        out.send_data(Bytes::from_static(b"some"), false).unwrap();
        let reply = read(reply).await.unwrap();
        let reason = std::future::poll_fn(|cx| out.poll_reset(cx)).await.unwrap();
        (reply, reason)
    });
    assert_eq!((reply.status, reply.text().as_str()), (403, "no"));
    assert_eq!(reason, Reason::NO_ERROR);
}

#[test]
fn a_reply_that_breaks_off_resets_its_stream() {
    for broken in [0, 1] {
        let origin = Origin::start(replies::text("x"));
        match broken {
            0 => origin.set_handler(replies::close_mid_body(1000, 4)),
            _ => origin.set_handler(replies::chunked_cut(&["half"])),
        }
        let gateway = before(&origin);
        let mut client = Client::connect(gateway.addr());
        let (reply, _out) = client.begin(get("/"), true);
        let error = client.run(read(reply)).expect_err("half a reply is none");
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
        origin.set_handler(replies::text("whole"));
        assert_eq!(client.send(get("/"), b"").text(), "whole");
    }
}

#[test]
fn early_hints_and_100_continue_come_before_the_reply() {
    let origin = Origin::start(replies::interim(&[103], replies::echo()));
    let gateway = before(&origin);
    let mut client = Client::connect(gateway.addr());
    let request = post("/").header("expect", "100-continue");
    let (mut reply, mut out) = client.begin(request, false);
    let (interim, reply) = client.run(async {
        let mut interim = Vec::new();
        let mut informed = async |reply: &mut h2::client::ResponseFuture| {
            let next = std::future::poll_fn(|cx| reply.poll_informational(cx)).await;
            interim.push(next.unwrap().unwrap());
        };
        informed(&mut reply).await;
        out.send_data(Bytes::from_static(b"data"), true).unwrap();
        informed(&mut reply).await;
        (interim, read(reply).await.unwrap())
    });
    assert_eq!(interim[0].status(), 100);
    assert_eq!(interim[1].status(), 103);
    assert_eq!(interim[1].headers()["link"], "</a.css>");
    assert!(reply.text().contains("data"), "{}", reply.text());
}
