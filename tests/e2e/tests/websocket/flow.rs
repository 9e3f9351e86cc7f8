//! Bytes of a WebSocket over a stream of HTTP/2: when they are held, how they are slowed, how they end.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use portway_testkit::{Gateway, eventually};
use tungstenite::Message;

use super::tunnel::{connect_for, open_h2, tunnel_of};
use super::{Config, answer_handshake, late_switch};
use crate::http2::client::{Client, get, next, send_all};
use crate::tcp::Peer;

#[test]
fn what_a_stream_brings_early_waits_for_the_target_to_switch() {
    let peer = late_switch();
    let gateway = Gateway::start(&Config::to(&peer).yaml());
    let mut client = Client::connect(gateway.addr());
    // The library's own key is not known here, so this target's proof cannot be right.
    let (reply, mut send) = client.begin(connect_for("websocket", "/chat"), false);
    send.send_data(Bytes::from_static(&[0x82, 0x82, 0, 0, 0, 0, 42, 43]), false)
        .unwrap();
    let head = client.run(reply).unwrap();
    assert_eq!(head.status(), 200);
    let mut body = head.into_body();
    let mut heard = Vec::new();
    while let Some(data) = client.run(next(&mut body)) {
        heard.extend_from_slice(&data.unwrap());
    }
    assert_eq!(heard, [0x82, 2, 42, 43]);
}

/// A target that takes nothing holds its own stream up, and no other.
#[test]
fn a_target_that_does_not_read_slows_its_own_stream_only() {
    let peer = Peer::start(|stream| {
        let socket = tungstenite::accept(stream).expect("a handshake");
        std::thread::sleep(Duration::from_secs(20));
        drop(socket);
    });
    let gateway = Gateway::start(&Config::to(&peer).yaml());
    let (_, mut tunnel) = tunnel_of(
        Client::connect(gateway.addr()),
        connect_for("websocket", "/chat"),
    );
    let piece = Bytes::from(vec![0; 65_536]);
    let mut sent = 0usize;
    let pouring = async {
        loop {
            let more = send_all(&mut tunnel.send, piece.clone(), false);
            if tokio::time::timeout(Duration::from_millis(500), more)
                .await
                .is_err()
            {
                return;
            }
            sent += piece.len();
        }
    };
    tunnel.client.run(pouring);
    assert!(sent < 16 << 20, "{sent} octets are somewhere");
    let other = tunnel.client.send(get("/nowhere"), b"");
    assert_eq!(other.status, 404);
}

/// The other way: a client that takes nothing.
#[test]
fn a_client_that_does_not_read_slows_its_own_stream_only() {
    let (told, written) = std::sync::mpsc::sync_channel(1024);
    let peer = Peer::start(move |stream| {
        let Ok(mut socket) = tungstenite::accept(stream) else {
            return;
        };
        let message = Message::binary(vec![0u8; 65_536]);
        while socket.send(message.clone()).is_ok() && told.try_send(()).is_ok() {}
    });
    let gateway = Gateway::start(&Config::to(&peer).yaml());
    // Room for everything on the connection, for little on a stream.
    let mut settings = h2::client::Builder::new();
    settings.initial_connection_window_size(1 << 30);
    let client = Client::with(gateway.addr(), &settings);
    let (_, mut tunnel) = tunnel_of(client, connect_for("websocket", "/chat"));
    let mut pieces = 0;
    while written.recv_timeout(Duration::from_millis(500)).is_ok() {
        pieces += 1;
    }
    assert!(pieces < 256, "{pieces} pieces are somewhere");
    assert_eq!(tunnel.client.send(get("/nowhere"), b"").status, 404);
    let mut some = vec![0; 8 << 20];
    tunnel
        .read_exact(&mut some)
        .expect("it goes on as it is read");
}

#[test]
fn a_reset_of_one_end_is_one_of_the_other() {
    let (told, ends) = std::sync::mpsc::sync_channel(4);
    let peer = Peer::start(move |stream| {
        let mut socket = tungstenite::accept(stream).expect("a handshake");
        let first = socket.read().expect("a message");
        if first == Message::text("die") {
            let reset = socket2::SockRef::from(socket.get_ref());
            let _ = reset.set_linger(Some(Duration::ZERO));
            return;
        }
        told.send(false).expect("somebody asks");
        told.send(socket.read().is_err()).expect("somebody asks");
    });
    let config = Config::to(&peer);
    let gateway = Gateway::start(&config.yaml());
    let mut socket = open_h2(gateway.addr());
    socket.send(Message::text("hello")).unwrap();
    assert_eq!(ends.recv_timeout(Duration::from_secs(5)), Ok(false));
    socket.get_mut().send.send_reset(Reason::CANCEL);
    assert_eq!(ends.recv_timeout(Duration::from_secs(5)), Ok(true));
    assert_eq!(config.record_of(200)["code"], "client_gone");

    let config = Config::to(&peer);
    let gateway = Gateway::start(&config.yaml());
    let mut socket = open_h2(gateway.addr());
    socket.send(Message::text("die")).unwrap();
    let tunnel = socket.get_mut();
    let broken = tunnel.client.run(next(&mut tunnel.receive));
    let reason = broken
        .and_then(|data| data.err())
        .and_then(|error| error.reason());
    assert_eq!(reason, Some(Reason::CANCEL));
    assert_eq!(config.record_of(200)["code"], "upstream_reset");
}

#[test]
fn an_end_of_one_direction_is_passed_on() {
    let peer = Peer::start(|mut stream| {
        answer_handshake(&mut stream);
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).expect("the client's end");
        stream.write_all(&heard).expect("a client that still reads");
        let _ = stream.shutdown(Shutdown::Write);
    });
    let gateway = Gateway::start(&Config::to(&peer).yaml());
    let (_, mut tunnel) = tunnel_of(
        Client::connect(gateway.addr()),
        connect_for("websocket", "/chat"),
    );
    tunnel.write_all(&[0x82, 0x80, 1, 2, 3, 4]).unwrap();
    tunnel.send.send_data(Bytes::new(), true).unwrap();
    let mut heard = Vec::new();
    tunnel.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, [0x82, 0x80, 1, 2, 3, 4]);
    eventually("nothing is left of it", || {
        gateway.metrics().contains("active_requests 0")
    });
}
