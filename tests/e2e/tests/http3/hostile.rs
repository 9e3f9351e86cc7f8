//! Floods and worse: what costs a client nothing must cost the gateway next to nothing.

use std::net::UdpSocket;
use std::time::Duration;

use portway_core::limits;
use portway_testkit::{Gateway, Origin, eventually, replies};

use super::before;
use super::client::{Client, HEAD, POST, Quic, exchange, frame, get, settle, status};
use crate::tls::Authority;

const EXCESSIVE_LOAD: u64 = 0x107;

#[track_caller]
pub fn expect_alive(gateway: &Gateway, ca: &Authority) {
    assert_eq!(Client::ask(gateway.addr(), ca, get("/alive")).status, 200);
}

#[track_caller]
pub fn expect_ended_for(gateway: &Gateway, ca: &Authority, quic: &Quic, kind: &str) {
    assert_eq!(quic.closed_with(), EXCESSIVE_LOAD);
    let counted = format!("http3_floods_total{{kind=\"{kind}\"}} 1\n");
    eventually("it is counted", || gateway.metrics().contains(&counted));
    expect_alive(gateway, ca);
}

/// CVE-2023-44487 over QUIC.
#[test]
fn rapid_resets_over_http3_end_the_connection() {
    let origin = Origin::start(replies::text("x"));
    let (gateway, ca) = before(&origin);
    let quic = Quic::connect(gateway.addr(), &ca);
    let _control = quic.run(settle(&quic.connection));
    let flood = async {
        for _ in 0..20 * limits::H2_RESETS_MAX {
            let Ok((mut send, mut receive)) = quic.connection.open_bi().await else {
                return;
            };
            let _ = send.write_all(HEAD).await;
            let _ = send.reset(0u32.into());
            let _ = receive.stop(0u32.into());
        }
    };
    quic.run(flood);
    expect_ended_for(&gateway, &ca, &quic, "resets");
}

#[test]
fn frames_without_octets_over_http3_end_the_connection() {
    for (octet, kind) in [(0u8, "empty_frames"), (0x21, "other_frames")] {
        let origin = Origin::start(replies::text("x"));
        let (gateway, ca) = before(&origin);
        let quic = Quic::connect(gateway.addr(), &ca);
        let _control = quic.run(settle(&quic.connection));
        quic.run(async {
            let (mut send, _receive) = quic.connection.open_bi().await.unwrap();
            let _ = send.write_all(POST).await;
            let frames = [octet, 0].repeat(2 * limits::H2_OTHER_FRAMES_MAX as usize);
            let _ = send.write_all(&frames).await;
        });
        expect_ended_for(&gateway, &ca, &quic, kind);
    }
}

#[test]
fn streams_that_mean_nothing_end_the_connection() {
    let origin = Origin::start(replies::text("x"));
    let (gateway, ca) = before(&origin);
    let quic = Quic::connect(gateway.addr(), &ca);
    let _control = quic.run(settle(&quic.connection));
    quic.run(async {
        for _ in 0..3 * limits::H2_OTHER_FRAMES_MAX {
            let Ok(mut stream) = quic.connection.open_uni().await else {
                return;
            };
            let _ = stream.write_all(&[0x21]).await;
            let _ = stream.finish();
        }
    });
    expect_ended_for(&gateway, &ca, &quic, "other_frames");
}

#[test]
fn heads_that_claim_to_be_endless_are_refused_without_being_kept() {
    let origin = Origin::start(replies::text("x"));
    let (gateway, ca) = before(&origin);
    let quic = Quic::connect(gateway.addr(), &ca);
    // A HEADERS frame of 2^60 octets, of which more and more come.
    let claim = [&[1, 0xd0][..], &[0; 7]].concat();
    quic.run(async {
        let _control = settle(&quic.connection).await;
        let (mut send, mut receive) = quic.connection.open_bi().await.unwrap();
        send.write_all(&claim).await.unwrap();
        let feeding = async {
            let octets = vec![0; 64 * 1024];
            while send.write_all(&octets).await.is_ok() {}
        };
        let reading = async {
            let mut head = vec![0; 8];
            receive.read_exact(&mut head).await.unwrap();
        };
        tokio::select! {
            () = feeding => {}
            () = reading => {}
        }
    });
    assert_eq!(origin.request_count(), 0);
    expect_alive(&gateway, &ca);
}

#[track_caller]
fn expect_refused_as_too_large(gateway: &Gateway, count: usize) {
    let counted = format!("status=\"431\"}} {count}");
    let metrics = gateway.metrics();
    let mut lines = metrics.lines().filter(|l| l.contains("requests_total{"));
    assert!(lines.any(|l| l.ends_with(&counted)), "{metrics}");
}

/// There is a number of fields for which the library's map of them panics.
#[test]
fn tens_of_thousands_of_fields_are_refused_whatever_the_limit_of_octets_is() {
    let origin = Origin::start(replies::text("x"));
    let ca = Authority::new();
    let gateway = super::setup_with(&origin, &ca, ", max_header_bytes: 1MiB").start();
    let quic = Quic::connect(gateway.addr(), &ca);
    let _control = quic.run(settle(&quic.connection));
    let section = [&HEAD[2..], &[0x21, b'x', 0].repeat(30_000)[..]].concat();
    let length = u32::try_from(section.len()).unwrap() | 0x8000_0000;
    let octets = [&[1][..], &length.to_be_bytes(), &section].concat();
    let reply = quic.run(exchange(&quic.connection, &octets));
    assert!(reply.is_ok(), "it is answered: {reply:?}");
    expect_refused_as_too_large(&gateway, 1);
    assert_eq!(origin.request_count(), 0);
    expect_alive(&gateway, &ca);
}

/// An entry of the static table is up to a hundred times as large as what names it.
#[test]
fn heads_that_unpack_to_more_than_the_limit_are_refused() {
    let origin = Origin::start(replies::text("x"));
    let ca = Authority::new();
    let gateway = super::setup_with(&origin, &ca, ", max_header_bytes: 8KiB").start();
    let quic = Quic::connect(gateway.addr(), &ca);
    let _control = quic.run(settle(&quic.connection));
    // access-control-allow-headers: content-type
    let section = [&HEAD[2..], &[0xe2].repeat(16_000)[..]].concat();
    assert!(section.len() < 16_384);
    // A value of Huffman's shortest codes, which are five bits long.
    let length = 15_000 - 127;
    let length = [0x80 | length as u8 & 0x7f, (length >> 7) as u8];
    let zeros = [&HEAD[2..], &[0x21, b'x', 0xff], &length, &[0; 15_000]].concat();
    for (at, section) in [section, zeros].iter().enumerate() {
        let reply = quic.run(exchange(&quic.connection, &frame(1, section)));
        assert!(reply.is_ok(), "it is answered: {reply:?}");
        expect_refused_as_too_large(&gateway, at + 1);
    }
    assert_eq!(origin.request_count(), 0);
    expect_alive(&gateway, &ca);
}

#[test]
fn a_request_that_does_not_come_is_not_waited_for() {
    const REQUEST_INCOMPLETE: u64 = 0x10d;
    let origin = Origin::start(replies::text("x"));
    let ca = Authority::new();
    let gateway = super::setup(&origin, &ca)
        .server("header_timeout: 300ms")
        .start();
    let quic = Quic::connect(gateway.addr(), &ca);
    let told = quic.run(async {
        let _control = settle(&quic.connection).await;
        let (mut send, mut receive) = quic.connection.open_bi().await.unwrap();
        send.write_all(&HEAD[..5]).await.unwrap();
        super::client::all(&mut receive).await
    });
    assert_eq!(told, Err(REQUEST_INCOMPLETE));
    expect_alive(&gateway, &ca);
}

/// Octets that look random, the same each time.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn noise_on_streams_and_in_heads_stops_nobody_else() {
    let origin = Origin::start(replies::text("x"));
    let (gateway, ca) = before(&origin);
    let mut other = Client::connect(gateway.addr(), &ca);
    for seed in 0..60 {
        let quic = Quic::connect(gateway.addr(), &ca);
        quic.run(async {
            let octets = noise(seed, 100 + seed as usize);
            let _control = settle(&quic.connection).await;
            if let Ok(mut one_way) = quic.connection.open_uni().await {
                let _ = one_way.write_all(&octets).await;
            }
            let section = [&[0, 0][..], &octets].concat();
            for sent in [octets.clone(), frame(1, &section), [POST, &octets].concat()] {
                let _ = exchange(&quic.connection, &sent).await;
            }
        });
        assert_eq!(other.send(get("/"), b"").status, 200, "after {seed}");
    }
}

#[test]
fn noise_on_the_socket_is_ignored() {
    let origin = Origin::start(replies::text("x"));
    let (gateway, ca) = before(&origin);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for seed in 0..500 {
        let octets = noise(seed, 20 + (seed as usize * 7) % 1300);
        socket.send_to(&octets, gateway.addr()).unwrap();
    }
    expect_alive(&gateway, &ca);
}

#[test]
fn a_listener_has_no_more_connections_than_it_may() {
    let origin = Origin::start(replies::text("x"));
    let ca = Authority::new();
    let gateway = super::setup(&origin, &ca)
        .listener("max_connections: 1")
        .start();
    let mut first = Client::connect(gateway.addr(), &ca);
    assert_eq!(first.send(get("/"), b"").status, 200);
    let wishes = crate::tls::client::Wishes::of(&ca);
    let second = Quic::try_connect(gateway.addr(), "a.example", &wishes, "h3");
    let error = second.err().expect("there is no room");
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(
        gateway.metrics().contains("overloaded"),
        "{}",
        gateway.metrics()
    );
}

/// What is collected of heads that do not come to an end has room for a few; the others wait for it.
#[test]
fn large_heads_that_stall_hold_up_others_no_longer_than_they_may_take() {
    const REQUEST_INCOMPLETE: u64 = 0x10d;
    let origin = Origin::start(replies::text("x"));
    let ca = Authority::new();
    let gateway = super::setup(&origin, &ca)
        .server("header_timeout: 3s")
        .start();
    let quic = Quic::connect(gateway.addr(), &ca);
    let _control = quic.run(settle(&quic.connection));
    // Of 131,000 octets, all but a few come.
    let stalled = [&[1, 0x80, 1, 0xff, 0xb8][..], &[0x3f; 130_000]].concat();
    quic.run(async {
        let mut streams = Vec::new();
        for _ in 0..20 {
            let (mut send, receive) = quic.connection.open_bi().await.unwrap();
            send.write_all(&stalled).await.unwrap();
            streams.push((send, receive));
        }
        let small = exchange(&quic.connection, HEAD).await.unwrap();
        assert_eq!(status(&small), Some(200), "it needs no room");
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let mut large = vec![b'v'; 15_000];
        large.splice(0..0, [&HEAD[2..], &[0x21, b'x', 0x7f, 0x99, 0x74]].concat());
        let large = exchange(&quic.connection, &frame(1, &large)).await.unwrap();
        assert_eq!(status(&large), Some(200), "there is room for it in time");
        for (_send, mut receive) in streams {
            let told = super::client::all(&mut receive).await;
            assert_eq!(told, Err(REQUEST_INCOMPLETE));
        }
    });
    expect_alive(&gateway, &ca);
}
