//! Bodies: both ways, large, slow, cut off, and none faster than whoever takes them.

use std::time::Duration;

use bytes::{Buf, Bytes};
use h3::error::{Code, StreamError};
use http::{HeaderMap, HeaderValue};
use portway_testkit::{Origin, eventually, replies};

use super::client::{Client, get, head, post, read};
use super::{before, setup_with};
use crate::pool::Gate;
use crate::tls::Authority;

#[test]
fn trailers_pass_both_ways() {
    let origin = Origin::start(|_, conn| {
        conn.chunked_head(200, &[]);
        conn.chunk("body");
        conn.end_chunks(&["X-Sum: 7", "Set-Cookie: a=b"]);
    });
    let (gateway, ca) = before(&origin);
    let mut client = Client::connect(gateway.addr(), &ca);
    let mut stream = client.begin(post("/"));
    let reply = client.run(async {
        stream.send_data(Bytes::from_static(b"data")).await.unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-up", HeaderValue::from_static("1"));
        stream.send_trailers(trailers).await.unwrap();
        stream.finish().await.unwrap();
        read(&mut stream).await.unwrap()
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
    let ca = Authority::new();
    let gateway = setup_with(&origin, &ca, ", max_request_body: 0").start();
    let mut client = Client::connect(gateway.addr(), &ca);
    let body = Bytes::from(replies::pattern(LENGTH));
    let mut stream = client.begin(post("/"));
    let echoed = client.run(async {
        stream.send_data(body.clone()).await.unwrap();
        stream.finish().await.unwrap();
        read(&mut stream).await.unwrap()
    });
    assert!(echoed.body == body, "{} octets", echoed.body.len());

    origin.set_handler(replies::big(LENGTH));
    let reply = client.send(get("/"), b"");
    assert_eq!(reply.body.len(), LENGTH);
    assert!(reply.body == body);
}

/// More than goes out at once, so that replies wait for the client between their pieces and before their end,
/// while connections to the origin serve others.
#[test]
fn replies_that_wait_for_the_client_keep_their_octets_apart() {
    const REPLIES: usize = 96;
    let body_of = |n: usize| vec![n as u8; 200_000 + 7_777 * n];
    let origin = Origin::start(move |request, conn| {
        let n = request.target().trim_start_matches('/').parse().unwrap();
        conn.reply(200, &[], body_of(n));
    });
    let (gateway, ca) = before(&origin);
    let mut client = Client::connect(gateway.addr(), &ca);
    for round in 0..3 {
        let asked = (0..REPLIES).map(|n| client.begin(get(&format!("/{n}"))));
        let mut streams: Vec<_> = asked.collect();
        let mut bodies = vec![Vec::new(); REPLIES];
        client.run(async {
            for stream in &mut streams {
                stream.finish().await.unwrap();
                assert_eq!(head(stream).await.unwrap().status(), 200);
            }
            let mut open: Vec<usize> = (0..REPLIES).collect();
            while !open.is_empty() {
                let mut still = Vec::new();
                for n in open {
                    if let Some(mut data) = streams[n].recv_data().await.unwrap() {
                        bodies[n].extend_from_slice(&data.copy_to_bytes(data.remaining()));
                        still.push(n);
                    }
                }
                open = still;
            }
        });
        for (n, body) in bodies.iter().enumerate() {
            assert!(*body == body_of(n), "reply {n} of round {round}");
        }
    }
}

#[test]
fn a_slow_reader_slows_its_own_stream_alone() {
    const LENGTH: usize = 4 << 20;
    let origin = Origin::start(replies::big(LENGTH));
    let (gateway, ca) = before(&origin);
    let mut client = Client::connect(gateway.addr(), &ca);
    // It takes more than a stream's window, and less than all of them together.
    let mut slow = client.begin(get("/slow"));
    client.run(async {
        slow.finish().await.unwrap();
        assert_eq!(head(&mut slow).await.unwrap().status(), 200);
    });
    for _ in 0..3 {
        assert_eq!(client.send(get("/fast"), b"").body.len(), LENGTH);
    }
    let rest = client.run(async {
        let mut octets = 0;
        while let Some(data) = slow.recv_data().await.unwrap() {
            octets += data.remaining();
        }
        octets
    });
    assert_eq!(rest, LENGTH);
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
    let ca = Authority::new();
    let gateway = setup_with(&origin, &ca, ", max_request_body: 0").start();
    let mut client = Client::connect(gateway.addr(), &ca);
    let mut stuck = Vec::new();
    for _ in 0..4 {
        let mut stream = client.begin(post("/stuck"));
        client.run(async {
            // As much as the gateway takes, which has an end.
            let sending = stream.send_data(Bytes::from(vec![b'x'; 64 << 20]));
            let sent = tokio::time::timeout(Duration::from_millis(200), sending).await;
            assert!(sent.is_err(), "somebody keeps 64 MiB, or {sent:?}");
        });
        stuck.push(stream);
    }
    let mut stream = client.begin(post("/fast"));
    let reply = client.run(async {
        stream
            .send_data(Bytes::from(vec![b'y'; 2 << 20]))
            .await
            .unwrap();
        stream.finish().await.unwrap();
        read(&mut stream).await.unwrap()
    });
    assert_eq!(reply.text(), (2 << 20).to_string());
    drop(stuck);
    gate.open();
}

#[test]
fn hundreds_of_streams_at_once() {
    const STREAMS: usize = 500;
    let origin = Origin::start(replies::text("hello"));
    let (gateway, ca) = before(&origin);
    let mut client = Client::connect(gateway.addr(), &ca);
    let mut open: Vec<_> = (0..STREAMS).map(|_| client.begin(post("/"))).collect();
    eventually("all of them run", || {
        gateway
            .metrics()
            .contains(&format!("active_requests {STREAMS}\n"))
    });
    client.run(async {
        for stream in &mut open {
            stream.send_data(Bytes::from_static(b"x")).await.unwrap();
            stream.finish().await.unwrap();
        }
        for stream in &mut open {
            assert_eq!(read(stream).await.unwrap().text(), "hello");
        }
    });
}

#[test]
fn a_cancelled_stream_cancels_the_work_behind_it() {
    let origin = Origin::start(|_, conn| {
        let told = conn.wait_close(Duration::from_secs(5));
        assert!(told, "nobody told the target");
    });
    let (gateway, ca) = before(&origin);
    let mut client = Client::connect(gateway.addr(), &ca);
    let mut stream = client.begin(get("/long"));
    client.run(stream.finish()).unwrap();
    origin.wait("it is under way", |seen| seen.request_count == 1);
    stream.stop_sending(Code::H3_REQUEST_CANCELLED);
    eventually("the exchange is over", || {
        gateway.metrics().contains("active_requests 0\n")
    });
    origin.set_handler(replies::text("x"));
    let reply = client.send(get("/"), b"");
    assert_eq!(reply.text(), "x", "the connection goes on");
}

#[test]
fn a_body_over_the_limit_is_refused_and_the_rest_waved_off() {
    let origin = Origin::start(replies::echo());
    let ca = Authority::new();
    let gateway = setup_with(&origin, &ca, ", max_request_body: 1KiB").start();
    let mut client = Client::connect(gateway.addr(), &ca);
    let mut stream = client.begin(post("/").header("content-length", "4096"));
    let reply = client.run(read(&mut stream)).unwrap();
    assert_eq!((reply.status, &*reply.code()), (413, "payload_too_large"));
    let waved_off = client.run(async {
        loop {
            if let Err(error) = stream.send_data(Bytes::from_static(b"more")).await {
                break error;
            }
            tokio::task::yield_now().await;
        }
    });
    assert!(
        matches!(waved_off, StreamError::RemoteTerminate { code, .. } if code == Code::H3_NO_ERROR),
        "{waved_off:?}"
    );
    let mut stream = client.begin(post("/"));
    let reply = client.run(async {
        // It may be waved off before all of it is out.
        let _ = stream.send_data(Bytes::from(vec![b'x'; 64 * 1024])).await;
        read(&mut stream).await.unwrap()
    });
    assert_eq!((reply.status, &*reply.code()), (413, "payload_too_large"));
    assert_eq!(client.send(post("/"), &[b'x'; 1024]).status, 200);
}

#[test]
fn a_reply_that_breaks_off_resets_its_stream() {
    for broken in [0, 1] {
        let origin = Origin::start(replies::text("x"));
        match broken {
            0 => origin.set_handler(replies::close_mid_body(1000, 4)),
            _ => origin.set_handler(replies::chunked_cut(&["half"])),
        }
        let (gateway, ca) = before(&origin);
        let mut client = Client::connect(gateway.addr(), &ca);
        let mut stream = client.begin(get("/"));
        let error = client.run(async {
            stream.finish().await.unwrap();
            read(&mut stream).await.expect_err("half a reply is none")
        });
        assert!(
            matches!(error, StreamError::RemoteTerminate { code, .. } if code == Code::H3_INTERNAL_ERROR),
            "{error:?}"
        );
        origin.set_handler(replies::text("whole"));
        assert_eq!(client.send(get("/"), b"").text(), "whole");
    }
}

#[test]
fn early_hints_and_100_continue_come_before_the_reply() {
    let origin = Origin::start(replies::interim(&[103], replies::echo()));
    let (gateway, ca) = before(&origin);
    let mut client = Client::connect(gateway.addr(), &ca);
    let mut stream = client.begin(post("/").header("expect", "100-continue"));
    let (statuses, reply) = client.run(async {
        let mut statuses = vec![stream.recv_response().await.unwrap().status().as_u16()];
        stream.send_data(Bytes::from_static(b"data")).await.unwrap();
        stream.finish().await.unwrap();
        let hints = stream.recv_response().await.unwrap();
        assert_eq!(hints.headers()["link"], "</a.css>");
        statuses.push(hints.status().as_u16());
        (statuses, read(&mut stream).await.unwrap())
    });
    assert_eq!(statuses, [100, 103]);
    assert!(reply.text().contains("data"), "{}", reply.text());
}

#[test]
fn whoever_waits_to_be_told_to_go_on_is_told_whatever_the_method() {
    let origin = Origin::start(|request, conn| {
        conn.reply(200, &[], request.body.len().to_string());
    });
    let (gateway, ca) = before(&origin);
    let mut client = Client::connect(gateway.addr(), &ca);
    let request = http::Request::delete("https://a.example/").header("expect", "100-continue");
    let mut stream = client.begin(request);
    client.run(async {
        assert_eq!(stream.recv_response().await.unwrap().status(), 100);
        stream
            .send_data(Bytes::from_static(b"12345"))
            .await
            .unwrap();
        stream.finish().await.unwrap();
        let reply = read(&mut stream).await.unwrap();
        assert_eq!((reply.status, &*reply.text()), (200, "5"));
    });
}
