//! What streams end with: honest clients never use a budget up, whatever they cannot help; others do.

use std::future::Future;
use std::time::Duration;

use portway_core::limits;
use portway_testkit::{Gateway, Origin, eventually, replies};
use quinn::Connection;

use super::client::{Client, HEAD, POST, Quic, all, exchange, frame, get, settle, status};
use super::hostile::expect_ended_for;
use super::{before, setup_with};
use crate::tls::Authority;

const AT_ONCE: usize = 50;
const EACH: usize = 60;

/// What `one` gives, in many tasks at once and in each many times.
async fn many<F>(connection: &Connection, one: impl Fn(Connection) -> F) -> Vec<Option<u16>>
where
    F: Future<Output = Option<u16>> + Send + 'static,
{
    let mut seen = Vec::new();
    for _ in 0..EACH {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..AT_ONCE {
            tasks.spawn(one(connection.clone()));
        }
        seen.extend(tasks.join_all().await);
    }
    seen
}

/// A POST's head with a Content-Length.
fn head_of(length: &str) -> Vec<u8> {
    let length = [&[0x54, length.len() as u8], length.as_bytes()].concat();
    frame(1, &[&POST[2..], &length].concat())
}

#[test]
fn a_request_that_came_whole_is_not_stopped_because_its_end_is_late() {
    let origin = Origin::start(|request, conn| {
        conn.reply(200, &[], request.body.len().to_string());
    });
    let (gateway, ca) = before(&origin);
    let quic = Quic::connect(gateway.addr(), &ca);
    let _control = quic.run(settle(&quic.connection));
    let octets = [head_of("3"), frame(0, b"abc")].concat();
    let seen = quic.run(many(&quic.connection, |connection| {
        let octets = octets.clone();
        async move {
            let (mut send, mut receive) = connection.open_bi().await.ok()?;
            send.write_all(&octets).await.ok()?;
            let reply = all(&mut receive).await.ok()?;
            let _ = send.finish();
            status(&reply)
        }
    }));
    assert_eq!(seen.len(), AT_ONCE * EACH);
    assert!(seen.iter().all(|seen| *seen == Some(200)), "{seen:?}");
    assert_eq!(quic.connection.stats().frame_rx.stop_sending, 0);
    assert_eq!(quic.connection.close_reason(), None);
}

/// More of them at once than are waited for: some are told to stop, which must not cost them anything.
#[test]
fn many_requests_that_never_end_are_answered_too() {
    let origin = Origin::start(replies::text("x"));
    let (gateway, ca) = before(&origin);
    let quic = Quic::connect(gateway.addr(), &ca);
    let _control = quic.run(settle(&quic.connection));
    let octets = [head_of("3"), frame(0, b"abc")].concat();
    quic.run(async {
        let mut open = Vec::new();
        for _ in 0..3 * limits::H3_ENDS_AWAITED_MAX {
            let (mut send, mut receive) = quic.connection.open_bi().await.unwrap();
            send.write_all(&octets).await.unwrap();
            let reply = all(&mut receive).await.unwrap();
            assert_eq!(status(&reply), Some(200));
            open.push(send);
        }
        // More than was declared is waved off.
        open[0].write_all(&frame(0, b"more")).await.unwrap();
        let told = open[0].stopped().await.unwrap();
        assert_eq!(told.map(quinn::VarInt::into_inner), Some(0x100));
    });
}

/// RFC 9000, section 3.5: whoever is told to stop sending resets its stream.
#[test]
fn uploads_that_are_refused_early_are_no_flood() {
    let origin = Origin::start(replies::text("x"));
    let ca = Authority::new();
    let gateway = setup_with(&origin, &ca, ", max_request_body: 1KiB").start();
    let quic = Quic::connect(gateway.addr(), &ca);
    let _control = quic.run(settle(&quic.connection));
    let head = head_of("4096");
    let seen = quic.run(many(&quic.connection, |connection| {
        let head = head.clone();
        async move {
            let (mut send, mut receive) = connection.open_bi().await.ok()?;
            send.write_all(&head).await.ok()?;
            let reply = all(&mut receive).await.ok()?;
            let stopped = tokio::time::timeout(Duration::from_secs(5), send.stopped());
            let code = stopped.await.ok()?.ok()??;
            send.reset(code).ok()?;
            Some(u16::from(!reply.is_empty()))
        }
    }));
    assert_eq!(seen.len(), AT_ONCE * EACH);
    assert!(seen.iter().all(|seen| *seen == Some(1)), "{seen:?}");
    let reply = quic.run(exchange(&quic.connection, HEAD)).unwrap();
    assert_eq!(status(&reply), Some(200));
}

#[test]
fn streams_that_cannot_be_served_end_the_connection() {
    let no_method = frame(
        1,
        &[&[0u8, 0, 0xd7, 0xc1][..], b"\x50\x09a.example"].concat(),
    );
    let broken = [POST, &frame(0, b"abc"), &frame(1, &[0, 0, 0xc1])].concat();
    let longer = [&head_of("3")[..], &frame(0, b"abcdef")].concat();
    for octets in [Vec::new(), no_method, broken, longer] {
        let origin = Origin::start(replies::text("x"));
        let (gateway, ca) = before(&origin);
        let quic = Quic::connect(gateway.addr(), &ca);
        let _control = quic.run(settle(&quic.connection));
        quic.run(async {
            for _ in 0..2 * limits::H2_FORCED_RESETS_MAX {
                let _ = exchange(&quic.connection, &octets).await;
            }
        });
        expect_ended_for(&gateway, &ca, &quic, "forced_resets");
    }
}

/// The QUIC library keeps something of each until the connection ends. An honest client only goes on over another
/// connection.
#[test]
fn a_connection_on_which_many_streams_were_reset_ends_in_order() {
    let origin = Origin::start(replies::text("x"));
    let ca = Authority::new();
    let yaml = setup_with(&origin, &ca, "").yaml();
    let (gateway, hand) = Gateway::with_manual_clock(&yaml);
    let mut client = Client::connect(gateway.addr(), &ca);
    let date = |client: &mut Client| client.send(get("/"), b"").headers["date"].clone();
    let mut now = date(&mut client);
    let mut left = limits::H3_RESET_STREAMS_MAX;
    while left >= RESETS {
        left -= RESETS;
        reset_some(&client);
        hand.advance(Duration::from_secs(10)); // its other budgets are full again
        eventually("the worker notices the time", || {
            let before = std::mem::replace(&mut now, date(&mut client));
            before != now
        });
    }
    reset_some(&client);
    let mut requests = client.requests.clone();
    client.run(async {
        // Told to open no more, the client's side refuses by itself.
        while let Ok(mut late) = requests.send_request(get("/late").body(()).unwrap()).await {
            let _ = late.finish().await;
            if super::client::read(&mut late).await.is_err() {
                break;
            }
        }
    });
    let connection = client.quic.connection.clone();
    eventually("it is closed", || {
        hand.advance(Duration::from_millis(100));
        connection.close_reason().is_some()
    });
    assert_eq!(client.quic.closed_with(), 0x100, "in order");
    super::hostile::expect_alive(&gateway, &ca);
}

const RESETS: u32 = 400;

/// Gives up requests whose replies are not stopped.
fn reset_some(client: &Client) {
    client.run(async {
        let mut replies = Vec::new();
        for _ in 0..RESETS {
            let (mut send, receive) = client.quic.connection.open_bi().await.unwrap();
            send.write_all(&POST[..1]).await.unwrap();
            send.reset(0u32.into()).unwrap();
            replies.push(receive);
        }
        for mut reply in replies {
            assert!(reply.read_to_end(1).await.is_err());
        }
    });
}
