//! WebSocket over one stream of HTTP/2 (RFC 8441), on the client's side, on the target's, and on both.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::ext::Protocol;
use http::request::Builder;
use http::{Request, Response};
use portway_testkit::{Gateway, Origin, replies};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

use super::tunnel::{connect_for, open_h2};
use super::{
    Config, SWITCH, echo, expect_end_after_40_s_of_silence, expect_going_away,
    expect_goodbye_with_its_route, open, says, serve,
};
use crate::http2::client::{Client, get, next, read, send_all};
use crate::support::h2_origin::{H2Call, H2Origin};
use crate::tcp::Peer;

/// A target of HTTP/2 that takes WebSockets and says everything back.
struct H2Echo {
    origin: H2Origin,
    _peer: Peer,
}

impl H2Echo {
    fn start() -> H2Echo {
        let peer = Peer::start(|stream| {
            serve(WebSocket::from_raw_socket(stream, Role::Server, None));
        });
        let behind = peer.addr();
        let mut builder = h2::server::Builder::new();
        builder.enable_connect_protocol();
        let origin = H2Origin::with(builder, move |call| pass(call, behind));
        H2Echo {
            origin,
            _peer: peer,
        }
    }

    fn config(&self) -> Config<'static> {
        Config::at(self.origin.addr, "protocol: h2c")
    }
}

/// Passes a tunnel's bytes to a server that knows WebSocket.
async fn pass(mut call: H2Call, behind: SocketAddr) {
    if call.head.extensions.get::<Protocol>().is_none() {
        return call.reply(200, "no tunnel");
    }
    let mut out = call.respond(Response::new(()));
    let (mut from, mut to) = tokio::net::TcpStream::connect(behind)
        .await
        .expect("a peer")
        .into_split();
    let up = async {
        while let Some(Ok(data)) = next(&mut call.body).await {
            to.write_all(&data).await.expect("a peer that reads");
        }
        let _ = to.shutdown().await;
    };
    let down = async {
        let mut buffer = vec![0; 65_536];
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            let data = Bytes::copy_from_slice(&buffer[..n]);
            if send_all(&mut out, data, false).await.is_err() {
                return;
            }
        }
        let _ = out.send_data(Bytes::new(), true);
    };
    tokio::join!(up, down);
}

fn expect_conversation<S: Read + Write>(socket: &mut WebSocket<S>) {
    says(socket, Message::text("hello"));
    says(socket, Message::binary(vec![7u8; 3_000_000]));
    for n in 0..100 {
        says(socket, Message::text(format!("message {n}")));
    }
}

#[test]
fn a_client_of_http2_talks_to_a_target_of_http1() {
    let peer = echo();
    let config = Config::to(&peer);
    let gateway = Gateway::start(&config.yaml());
    let mut socket = open_h2(gateway.addr());
    expect_conversation(&mut socket);
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
    let record = config.record_of(200);
    assert_eq!(record["protocol"], "HTTP/2");
    assert_eq!(
        (&record["method"], &record["code"]),
        (&"GET".into(), &Value::Null)
    );
    assert!(record["bytes_in"].as_u64().unwrap() > 3_000_000, "{record}");
    assert!(
        record["bytes_out"].as_u64().unwrap() > 3_000_000,
        "{record}"
    );
}

#[test]
fn a_client_of_http1_talks_to_a_target_of_http2() {
    let target = H2Echo::start();
    let config = target.config();
    let gateway = Gateway::start(&config.yaml());
    let mut socket = open(gateway.addr()); // which checks Sec-WebSocket-Accept
    expect_conversation(&mut socket);
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
    gateway.wait_connections(0);
    let record = config.record();
    assert_eq!(
        (&record["upstream"], &record["code"]),
        (&"chat".into(), &Value::Null)
    );
    let seen = target.origin.seen();
    let [head] = seen.requests.as_slice() else {
        panic!("{:?}", seen.requests);
    };
    assert_eq!(
        (head.method.as_str(), head.uri.path()),
        ("CONNECT", "/chat")
    );
    let protocol = head.extensions.get::<Protocol>().map(Protocol::as_str);
    assert_eq!(protocol, Some("websocket"));
    for gone in [
        "sec-websocket-key",
        "connection",
        "upgrade",
        "content-length",
        "te",
    ] {
        assert!(!head.headers.contains_key(gone), "{gone}");
    }
    assert_eq!(head.headers["sec-websocket-version"], "13");
    assert_eq!(head.headers["x-forwarded-for"], "127.0.0.1");
}

#[test]
fn both_sides_may_speak_http2_and_share_their_connections() {
    let target = H2Echo::start();
    let config = target.config();
    let gateway = Gateway::start(&config.yaml());
    let mut socket = open_h2(gateway.addr());
    expect_conversation(&mut socket);
    let mut other = open_h2(gateway.addr());
    says(&mut other, Message::text("beside it"));
    drop(other);
    let client = &mut socket.get_mut().client;
    assert_eq!(client.send(get("/chat"), b"").text(), "no tunnel");
    says(&mut socket, Message::text("still there"));
    assert_eq!(target.origin.seen().connections, 1);
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
}

#[test]
fn an_http1_target_is_asked_as_a_browser_would_ask() {
    let origin = Origin::start(replies::text("no"));
    let config = Config::at(origin.addr(), "");
    let gateway = Gateway::start(&config.yaml());
    let mut client = Client::connect(gateway.addr());
    let request = connect_for("websocket", "/chat?a=b")
        .header("origin", "http://test.example")
        .header("sec-websocket-key", "mine")
        .header("sec-websocket-protocol", "v2");
    let (reply, _send) = client.begin(request, false);
    let reply = client.run(read(reply)).unwrap();
    // A 2xx would say that the tunnel is open.
    assert_eq!((reply.status, &*reply.code()), (502, "upstream_bad_reply"));
    let seen = String::from_utf8(origin.seen().all_bytes()).unwrap();
    assert!(seen.starts_with("GET /chat?a=b HTTP/1.1\r\n"), "{seen}");
    assert!(
        seen.contains("\r\nconnection: upgrade\r\nupgrade: websocket\r\n"),
        "{seen}"
    );
    assert!(
        seen.contains("\r\norigin: http://test.example\r\n"),
        "{seen}"
    );
    assert!(
        seen.contains("\r\nsec-websocket-protocol: v2\r\n"),
        "{seen}"
    );
    let key = origin
        .last_request()
        .field("sec-websocket-key")
        .map(str::to_owned);
    assert_eq!(
        key.map(|key| key.len()),
        Some(24),
        "one of the gateway's own"
    );
    assert_eq!(seen.matches("upgrade").count(), 2, "{seen}");
}

/// Whoever speaks HTTP/2 but takes no WebSockets over it: this one also speaks HTTP/1.
fn both_versions() -> Peer {
    Peer::start(|mut stream| {
        let mut first = [0; 3];
        while stream.peek(&mut first).is_ok_and(|n| n < 3) {}
        if &first != b"PRI" {
            if let Ok(socket) = tungstenite::accept(stream) {
                serve(socket);
            }
            return;
        }
        let _ = stream.write_all(b"\0\0\0\x04\0\0\0\0\0");
        let _ = stream.read_to_end(&mut Vec::new());
    })
}

#[test]
fn a_target_that_takes_none_over_http2_is_asked_over_http1() {
    let peer = both_versions();
    let config = Config::at(peer.addr(), "protocol: h2c");
    let gateway = Gateway::start(&config.yaml());
    expect_conversation(&mut open(gateway.addr()));
    expect_conversation(&mut open_h2(gateway.addr()));

    let config = Config::at(peer.addr(), "protocol: grpc");
    let gateway = Gateway::start(&config.yaml());
    let mut client = Client::connect(gateway.addr());
    let (reply, _send) = client.begin(connect_for("websocket", "/chat"), false);
    let reply = client.run(read(reply)).unwrap();
    assert_eq!((reply.status, &*reply.code()), (501, "not_implemented"));
}

#[track_caller]
fn expect_answer(gateway: &Gateway, request: Builder, ends: bool, status: u16, code: &str) {
    let mut client = Client::connect(gateway.addr());
    let (reply, _send) = client.begin(request, ends);
    let reply = client.run(read(reply)).unwrap();
    assert_eq!(
        (reply.status, &*reply.code()),
        (status, code),
        "{}",
        reply.text()
    );
}

#[test]
fn any_other_tunnel_is_refused_and_no_byte_of_it_passed_on() {
    let origin = Origin::start(replies::text("no"));
    let mut config = Config::at(origin.addr(), "");
    config.more = "{ name: fixed, path: /fixed, respond: { status: 200, body: no } },\n\
                   { name: without, prefix: /without, upstream: chat, upgrades: [] }";
    let gateway = Gateway::start(&config.yaml());
    let plain = Request::connect("test.example:443");
    expect_answer(&gateway, plain, false, 501, "not_implemented");
    for protocol in ["connect-udp", "webtransport", "", "websocket, x"] {
        expect_answer(
            &gateway,
            connect_for(protocol, "/chat"),
            false,
            501,
            "not_implemented",
        );
    }
    let with_length = connect_for("websocket", "/chat").header("content-length", "5");
    expect_answer(&gateway, with_length, false, 400, "bad_request");
    expect_answer(
        &gateway,
        connect_for("websocket", "/chat"),
        true,
        400,
        "bad_request",
    );
    expect_answer(
        &gateway,
        connect_for("websocket", "/fixed"),
        false,
        501,
        "not_implemented",
    );
    expect_answer(
        &gateway,
        connect_for("websocket", "/without"),
        false,
        501,
        "not_implemented",
    );
    expect_answer(
        &gateway,
        connect_for("websocket", "/nowhere"),
        false,
        404,
        "no_route",
    );
    assert!(origin.seen().all_bytes().is_empty());
}

#[test]
fn a_refusal_of_the_target_is_the_clients_reply() {
    let origin = Origin::start(|_, conn| conn.reply(403, &["X-Why: origin"], "not you"));
    let gateway = Gateway::start(&Config::at(origin.addr(), "").yaml());
    let mut client = Client::connect(gateway.addr());
    let (reply, _send) = client.begin(connect_for("websocket", "/chat"), false);
    let reply = client.run(read(reply)).unwrap();
    assert_eq!((reply.status, &*reply.text()), (403, "not you"));
    let next = client.send(get("/chat"), b"");
    assert_eq!(next.status, 403, "the connection goes on");
}

#[test]
fn a_switch_without_the_proof_is_a_bad_reply() {
    let origin = Origin::start(replies::raw(std::str::from_utf8(SWITCH).unwrap()));
    let gateway = Gateway::start(&Config::at(origin.addr(), "").yaml());
    let request = connect_for("websocket", "/chat");
    expect_answer(&gateway, request, false, 502, "upstream_bad_reply");
}

#[test]
fn filters_and_limits_hold_for_streams_too() {
    let peer = echo();
    let mut config = Config::to(&peer);
    config.upstream = "circuit_breaker: { max_requests: 1 }";
    let gateway = Gateway::start(&config.yaml());
    let mut socket = open_h2(gateway.addr());
    says(&mut socket, Message::text("one"));
    let request = connect_for("websocket", "/chat");
    expect_answer(&gateway, request, false, 503, "upstream_overloaded");
    drop(socket);
    gateway.wait_connections(0);
    says(&mut open_h2(gateway.addr()), Message::text("two"));
}

#[test]
fn a_reload_leaves_a_stream_alone_while_its_route_lives_and_says_goodbye_then() {
    let target = H2Echo::start();
    let config = target.config();
    let gateway = Gateway::start(&config.yaml());
    let mut socket = open_h2(gateway.addr());
    expect_goodbye_with_its_route(&config, &gateway, &mut socket);
    let client = &mut socket.get_mut().client;
    assert_eq!(
        client.send(get("/chat"), b"").status,
        404,
        "the connection goes on"
    );
}

#[test]
fn a_drain_tells_both_ends_of_a_stream() {
    let target = H2Echo::start();
    let config = target.config();
    let gateway = Gateway::start(&config.yaml());
    let mut socket = open_h2(gateway.addr());
    says(&mut socket, Message::text("hello"));
    gateway.drain(Duration::from_secs(30));
    expect_going_away(&mut socket);
    while socket.read().is_ok() {}
    gateway.wait_connections(0);
    assert_eq!(config.record_of(200)["code"], Value::Null);
}

/// As Chromium does when the stream's end comes with the closing frame.
#[test]
fn a_stream_reset_by_a_client_that_was_told_to_go_is_no_error() {
    let target = H2Echo::start();
    let config = target.config();
    let gateway = Gateway::start(&config.yaml());
    let mut socket = open_h2(gateway.addr());
    says(&mut socket, Message::text("hello"));
    gateway.drain(Duration::from_secs(30));
    expect_going_away(&mut socket);
    socket.get_mut().send.send_reset(Reason::CANCEL);
    assert_eq!(config.record_of(200)["code"], Value::Null);
}

#[test]
fn a_client_that_leaves_unasked_is_told_of_in_the_log() {
    let target = H2Echo::start();
    let config = target.config();
    let gateway = Gateway::start(&config.yaml());
    let mut socket = open_h2(gateway.addr());
    says(&mut socket, Message::text("hello"));
    socket.get_mut().send.send_reset(Reason::CANCEL);
    assert_eq!(config.record_of(200)["code"], "client_gone");
}

#[test]
fn a_silent_stream_is_closed_after_its_idle_time() {
    let target = H2Echo::start();
    let mut config = target.config();
    config.upstream = "protocol: h2c, timeouts: { tunnel: 40s, request: 5s }";
    let (gateway, hand) = Gateway::with_manual_clock(&config.yaml());
    let mut socket = open_h2(gateway.addr());
    expect_end_after_40_s_of_silence(&gateway, &hand, &mut socket);
    assert_eq!(config.record_of(200)["code"], "idle_timeout");
}
