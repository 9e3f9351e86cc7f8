//! Frames of requests as odd clients write them: whatever their sizes, a body passes as it is, no faster than
//! whoever takes it, and at the price of its octets.

use std::time::Duration;

use portway_core::limits;
use portway_testkit::{Origin, replies};

use super::client::{POST, Quic, all, exchange, frame, settle, status};
use super::hostile::expect_ended_for;
use super::{before, setup_with};
use crate::pool::Gate;
use crate::tls::Authority;

#[test]
fn a_body_is_the_same_in_frames_of_whatever_sizes() {
    let origin = Origin::start(replies::text("x"));
    let (gateway, ca) = before(&origin);
    let quic = Quic::connect(gateway.addr(), &ca);
    let _control = quic.run(settle(&quic.connection));
    let sizes = [1, 5, 1023, 1024, 1025, 2, 9000, 16_383, 3, 4, 1, 700, 900];
    let mut octets = POST.to_vec();
    let mut body = Vec::new();
    for (at, size) in sizes.into_iter().cycle().take(100).enumerate() {
        let part: Vec<u8> = (0..size).map(|n| (n * 31 + at) as u8).collect();
        octets.extend(frame(0, &part));
        body.extend(part);
    }
    let trailers = frame(1, &[0, 0, 0x21, b'x', 1, b'y']);
    for octets in [octets.clone(), [octets, trailers].concat()] {
        let reply = quic.run(exchange(&quic.connection, &octets)).unwrap();
        assert_eq!(status(&reply), Some(200));
        assert!(origin.last_request().body == body, "it came as it was sent");
    }
}

/// What they cost grows with their number, not with its square.
#[test]
fn a_body_written_octet_by_octet_passes() {
    const FRAMES: usize = 60_000;
    let origin = Origin::start(|request, conn| {
        conn.reply(200, &[], request.body.len().to_string());
    });
    let (gateway, ca) = before(&origin);
    let quic = Quic::connect(gateway.addr(), &ca);
    let _control = quic.run(settle(&quic.connection));
    let octets = [POST, &[0, 1, b'x'].repeat(FRAMES)[..]].concat();
    let reply = quic.run(exchange(&quic.connection, &octets)).unwrap();
    assert!(reply.ends_with(b"60000"), "{reply:?}");
}

#[test]
fn frames_with_next_to_no_octets_over_http3_end_the_connection() {
    let origin = Origin::start(replies::text("x"));
    let ca = Authority::new();
    let gateway = setup_with(&origin, &ca, ", max_request_body: 0").start();
    let quic = Quic::connect(gateway.addr(), &ca);
    let _control = quic.run(settle(&quic.connection));
    quic.run(async {
        let (mut send, _receive) = quic.connection.open_bi().await.unwrap();
        let _ = send.write_all(POST).await;
        let _ = send.write_all(&[0, 1, b'x'].repeat(300_000)).await;
    });
    expect_ended_for(&gateway, &ca, &quic, "empty_frames");
}

/// Some clients know only afterwards that there was no more to come.
#[test]
fn a_frame_without_octets_that_ends_a_body_costs_nothing() {
    let origin = Origin::start(replies::text("x"));
    let (gateway, ca) = before(&origin);
    let quic = Quic::connect(gateway.addr(), &ca);
    let _control = quic.run(settle(&quic.connection));
    let octets = [POST, &frame(0, b"abc"), &[0, 0]].concat();
    for at in 0..3 * limits::H2_EMPTY_FRAMES_MAX {
        let reply = quic.run(exchange(&quic.connection, &octets)).unwrap();
        assert_eq!(status(&reply), Some(200), "{at}");
    }
}

#[test]
fn small_frames_are_not_read_ahead_of_the_target() {
    const OCTETS_MAX: usize = 12 << 20;
    let gate = Gate::default();
    let stuck_until = gate.clone();
    let origin = Origin::start_early(move |_, _| stuck_until.wait());
    let ca = Authority::new();
    let gateway = setup_with(&origin, &ca, ", max_request_body: 0").start();
    let quic = Quic::connect(gateway.addr(), &ca);
    let _control = quic.run(settle(&quic.connection));
    let octets = [0, 5, 1, 2, 3, 4, 5].repeat(4096);
    let sent = quic.run(async {
        let (mut send, _receive) = quic.connection.open_bi().await.unwrap();
        send.write_all(POST).await.unwrap();
        let mut sent = 0;
        while sent < OCTETS_MAX {
            // A part of the octets may be taken: the next begins where it ended.
            let rest = &octets[sent % octets.len()..];
            let writing = tokio::time::timeout(Duration::from_secs(1), send.write(rest));
            match writing.await {
                Ok(written) => sent += written.unwrap(),
                Err(_) => break,
            }
        }
        sent
    });
    gate.open();
    assert!(sent < OCTETS_MAX, "it was never held up");
}

/// Whether it comes in the same packet as what was sound or later.
#[test]
fn what_comes_before_a_fault_is_taken_before_it() {
    let origin = Origin::start(replies::text("x"));
    let (gateway, ca) = before(&origin);
    let quic = Quic::connect(gateway.addr(), &ca);
    let _control = quic.run(settle(&quic.connection));
    let sound = [POST, &frame(0, b"abc")].concat();
    let trailers = frame(1, &[0, 0, 0xc1]);
    for apart in [Duration::ZERO, Duration::from_millis(50)] {
        let reply = quic.run(async {
            let (mut send, mut receive) = quic.connection.open_bi().await.unwrap();
            let first = match apart.is_zero() {
                true => [&sound[..], &trailers].concat(),
                false => sound.clone(),
            };
            send.write_all(&first).await.unwrap();
            if !apart.is_zero() {
                tokio::time::sleep(apart).await;
                send.write_all(&trailers).await.unwrap();
            }
            all(&mut receive).await.unwrap()
        });
        assert_eq!(status(&reply), Some(400), "{apart:?}");
    }
    let counted = "requests_total{route=\"all\",method=\"POST\",status=\"400\"} 2\n";
    let metrics = gateway.metrics();
    assert!(metrics.contains(counted), "{metrics}");
}
