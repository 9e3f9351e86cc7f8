//! HTTP/2 on both sides, and large bodies between any two protocols in flat memory.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, HeaderValue, Response};
use portway_testkit::{Gateway, eventually};

use super::bodies::{counting_origin, resident};
use super::gateway_to;
use crate::http2::client::{Client, get, next, post, read, send_all};
use crate::support::h2_origin::H2Origin;

/// Of the whole process: client, gateway and target. What the bodies may not add up to.
const GROWTH_MAX: u64 = 24 << 20;

/// Octets of a large body: a GiB unless somebody asks for another size.
fn large() -> u64 {
    let asked = std::env::var("PORTWAY_TEST_BODY_MIB").ok();
    asked.and_then(|mib| mib.parse().ok()).unwrap_or(1024u64) << 20
}

#[test]
fn heads_bodies_and_trailers_pass_both_ways() {
    let origin = H2Origin::start(|mut call| async move {
        let (body, trailers) = call.read().await.expect("a whole body");
        let mut head = Response::new(());
        let field = call.head.headers["x-up"].clone();
        head.headers_mut().insert("x-down", field);
        let mut stream = call.respond(head);
        stream.send_data(Bytes::from(body), false).expect("room");
        stream
            .send_trailers(trailers.unwrap_or_default())
            .expect("an open stream");
    });
    let gateway = gateway_to(origin.addr, "", "");
    let mut client = Client::connect(gateway.addr());
    for round in 0..3 {
        let (reply, mut out) = client.begin(post("/echo").header("x-up", "1"), false);
        let reply = client.run(async {
            out.send_data(Bytes::from_static(b"data"), false).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("x-round", HeaderValue::from(round));
            out.send_trailers(trailers).unwrap();
            read(reply).await.unwrap()
        });
        assert_eq!(reply.headers["x-down"], "1");
        assert_eq!(reply.text(), "data");
        let trailers = reply.trailers.expect("trailers");
        assert_eq!(trailers["x-round"], HeaderValue::from(round));
    }
    assert_eq!(origin.seen().connections, 1);
}

#[test]
fn both_sides_may_speak_at_once() {
    let origin = H2Origin::start(|mut call| async move {
        let mut stream = call.respond(Response::new(()));
        while let Some(Ok(data)) = call.body.data().await {
            let _ = call.body.flow_control().release_capacity(data.len());
            stream.send_data(data, false).expect("room");
        }
        stream.send_data(Bytes::new(), true).expect("an end");
    });
    let gateway = gateway_to(origin.addr, "", "");
    let mut client = Client::connect(gateway.addr());
    let (reply, mut out) = client.begin(post("/"), false);
    client.run(async {
        let mut body = reply.await.unwrap().into_body();
        for word in ["one", "two", "three"] {
            out.send_data(Bytes::from(word), false).unwrap();
            assert_eq!(next(&mut body).await.unwrap().unwrap(), word);
        }
        out.send_data(Bytes::new(), true).unwrap();
        while let Some(rest) = next(&mut body).await {
            assert_eq!(rest.unwrap(), "");
        }
    });
}

#[test]
fn a_slow_reader_slows_its_own_stream_alone() {
    let origin = counting_origin();
    let gateway = gateway_to(origin.addr, "", "");
    let mut settings = h2::client::Builder::new();
    settings.initial_window_size(64 * 1024);
    settings.initial_connection_window_size(1 << 30);
    let mut client = Client::with(gateway.addr(), &settings);
    let before = resident();
    let slow: Vec<_> = (0..50)
        .map(|_| client.begin(get("/1000000000"), true).0)
        .collect();
    eventually("all are there", || origin.seen().active == 50);
    for _ in 0..5 {
        let reply = client.send(get("/1000000"), b"");
        assert_eq!(reply.body.len(), 1_000_000);
    }
    assert_eq!(origin.seen().connections, 1);
    let grown = resident().saturating_sub(before);
    assert!(grown < 2 * GROWTH_MAX, "grew by {} MiB", grown >> 20);
    drop(slow);
    eventually("they are cancelled", || origin.seen().active == 0);
}

#[test]
fn a_target_that_reads_slowly_slows_its_own_stream_alone() {
    let mut settings = h2::server::Builder::new();
    settings.initial_connection_window_size(16 << 20); // room for those who are stuck
    let origin = H2Origin::with(settings, |mut call| async move {
        if call.path() == "/stuck" {
            std::future::pending::<()>().await;
        }
        let came = call.drain().await;
        call.reply(200, format!("{came:?}"));
    });
    let gateway = gateway_to(origin.addr, "", "");
    let mut client = Client::connect(gateway.addr());
    let mut stuck = Vec::new();
    for _ in 0..8 {
        let (reply, mut out) = client.begin(post("/stuck"), false);
        client.run(async {
            let everything = Bytes::from(vec![b'x'; 64 << 20]);
            let sending = send_all(&mut out, everything, true);
            let sent = tokio::time::timeout(Duration::from_millis(100), sending).await;
            assert!(sent.is_err(), "somebody keeps 64 MiB, or {sent:?}");
        });
        stuck.push((reply, out));
    }
    let (reply, mut out) = client.begin(post("/"), false);
    let reply = client.run(async {
        let body = Bytes::from(vec![b'x'; 1 << 20]);
        send_all(&mut out, body, true).await.unwrap();
        read(reply).await.unwrap()
    });
    assert_eq!(reply.text(), "Ok(1048576)");
}

#[test]
fn a_cancel_passes_on_and_spares_the_others() {
    let origin = H2Origin::start(|mut call| async move {
        if call.path() == "/fast" {
            return call.reply(200, "ok");
        }
        let reason = if call.path() == "/headless" {
            std::future::poll_fn(|cx| call.respond.poll_reset(cx)).await
        } else {
            let mut stream = call.respond(Response::new(()));
            std::future::poll_fn(|cx| stream.poll_reset(cx)).await
        };
        let mut seen = call.seen.lock().expect("not poisoned");
        seen.resets.extend(reason);
    });
    let gateway = gateway_to(origin.addr, "", "");
    let mut client = Client::connect(gateway.addr());
    let (headless, _) = client.begin(get("/headless"), true);
    let (begun, _) = client.begin(get("/begun"), true);
    let begun = client.run(begun).unwrap();
    eventually("both are there", || origin.seen().active == 2);
    drop((headless, begun));
    eventually("both are cancelled", || origin.seen().resets.len() == 2);
    assert_eq!(origin.seen().resets, [Reason::CANCEL; 2]);
    assert_eq!(client.send(get("/fast"), b"").text(), "ok");
    assert_eq!(origin.seen().connections, 1);
}

#[test]
fn a_reply_that_breaks_off_is_reset_not_ended() {
    let origin = H2Origin::start(|mut call| async move {
        let mut stream = call.respond(Response::new(()));
        let _ = stream.send_data(Bytes::from_static(b"half"), false);
        tokio::time::sleep(Duration::from_millis(20)).await;
        stream.send_reset(Reason::INTERNAL_ERROR);
    });
    let gateway = gateway_to(origin.addr, "", "");
    let mut client = Client::connect(gateway.addr());
    let (reply, _) = client.begin(get("/"), true);
    let error = client.run(read(reply)).expect_err("no whole reply");
    assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
}

/// Sends a large body up and takes one down, over HTTP/2, beside streams of the same connection that
/// nobody reads; how much this process has grown.
fn both_ways(gateway: &Gateway, bytes: u64) -> u64 {
    let mut settings = h2::client::Builder::new();
    settings.initial_window_size(64 * 1024);
    settings.initial_connection_window_size(1 << 30);
    let mut client = Client::with(gateway.addr(), &settings);
    let before = resident();
    let slow: Vec<_> = (0..8)
        .map(|_| client.begin(get("/1000000000"), true).0)
        .collect();
    let mut grown = 0;
    let piece = Bytes::from(vec![b'x'; 1 << 20]);
    let request = post("/").header("content-length", bytes);
    let (reply, mut out) = client.begin(request, false);
    for left in (0..bytes >> 20).rev() {
        client
            .run(send_all(&mut out, piece.clone(), left == 0))
            .unwrap();
        grown = grown.max(resident().saturating_sub(before));
    }
    let reply = client.run(read(reply)).unwrap();
    assert_eq!(reply.text(), format!("Ok({bytes})"));
    let (reply, _) = client.begin(get(&format!("/{bytes}")), true);
    let mut body = client.run(reply).unwrap().into_body();
    let mut came = 0;
    while let Some(data) = client.run(next(&mut body)) {
        came += data.unwrap().len() as u64;
        if came % (1 << 20) < 16 * 1024 {
            grown = grown.max(resident().saturating_sub(before));
        }
    }
    assert_eq!(came, bytes);
    drop(slow);
    println!("{} MiB each way, grown by {} KiB", bytes >> 20, grown >> 10);
    grown
}

#[test]
fn a_large_body_between_http2_and_http2_takes_little_memory() {
    let origin = counting_origin();
    let gateway = gateway_to(origin.addr, "timeouts: { request: 5m }", "");
    let grown = both_ways(&gateway, large() / 8);
    assert!(grown < GROWTH_MAX, "grew by {} MiB", grown >> 20);
}

#[test]
fn a_large_body_between_http2_and_http1_takes_little_memory() {
    let addr = h1_counting_origin();
    let yaml = super::yaml(addr, "timeouts: { request: 5m }", "");
    let gateway = Gateway::start(&yaml.replace("protocol: h2c, ", ""));
    let grown = both_ways(&gateway, large());
    assert!(grown < GROWTH_MAX, "grew by {} MiB", grown >> 20);
}

/// The same as [`counting_origin`], over HTTP/1.
fn h1_counting_origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || count(stream));
        }
    });
    addr
}

fn count(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut octet = [0];
            stream.read_exact(&mut octet)?;
            head.push(octet[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        if let Some(rest) = head.strip_prefix("GET /") {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            let bytes: u64 = digits.parse().unwrap_or(0);
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n")?;
            let mut left = bytes;
            while left > 0 {
                let piece = left.min(buffer.len() as u64);
                stream.write_all(&buffer[..piece as usize])?;
                left -= piece;
            }
            continue;
        }
        let field = head.split("content-length: ").nth(1).unwrap_or_default();
        let digits: String = field.chars().take_while(char::is_ascii_digit).collect();
        let bytes: u64 = digits.parse().unwrap_or(0);
        let mut left = bytes;
        while left > 0 {
            let room = left.min(buffer.len() as u64) as usize;
            let came = stream.read(&mut buffer[..room])?;
            if came == 0 {
                return Ok(());
            }
            left -= came as u64;
        }
        let body = format!("Ok({bytes})");
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"
        )?;
    }
}
