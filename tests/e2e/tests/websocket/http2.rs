//! WebSocket over one stream of HTTP/2 (RFC 8441), on the client's side, on the target's, and on both.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use bytes::{Buf, Bytes};
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::request::Builder;
use http::{HeaderMap, Request, Response};
use portway_testkit::{Gateway, Origin, eventually, replies};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

use super::{Config, SWITCH, echo, expect_going_away, open, says, serve};
use crate::http2::client::{Client, get, next, read, send_all};
use crate::support::h2_origin::{H2Call, H2Origin};
use crate::tcp::Peer;

/// A tunnel on a stream, as a blocking connection.
struct Tunnel {
    client: Client,
    send: SendStream<Bytes>,
    receive: RecvStream,
    came: Bytes,
}

impl Read for Tunnel {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.came.is_empty() {
            match self.client.run(next(&mut self.receive)) {
                Some(data) => self.came = data.map_err(io::Error::other)?,
                None => return Ok(0),
            }
        }
        let taken = buf.len().min(self.came.len());
        self.came.copy_to_slice(&mut buf[..taken]);
        Ok(taken)
    }
}

impl Write for Tunnel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = send_all(&mut self.send, Bytes::copy_from_slice(bytes), false);
        self.client.run(sent).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An extended CONNECT for this protocol.
fn connect_for(protocol: &'static str, target: &str) -> Builder {
    Request::builder()
        .method("CONNECT")
        .uri(format!("http://test.example{target}"))
        .extension(Protocol::from_static(protocol))
        .header("sec-websocket-version", "13")
}

fn tunnel_of(mut client: Client, request: Builder) -> (HeaderMap, Tunnel) {
    let (reply, send) = client.begin(request, false);
    let (head, receive) = client.run(reply).expect("a reply").into_parts();
    assert_eq!(head.status, 200);
    let tunnel = Tunnel {
        client,
        send,
        receive,
        came: Bytes::new(),
    };
    (head.headers, tunnel)
}

fn open_h2(addr: SocketAddr) -> WebSocket<Tunnel> {
    let (headers, tunnel) = tunnel_of(Client::connect(addr), connect_for("websocket", "/chat"));
    assert!(!headers.contains_key("sec-websocket-accept"), "{headers:?}");
    assert!(!headers.contains_key("upgrade"), "{headers:?}");
    WebSocket::from_raw_socket(tunnel, Role::Client, None)
}

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
        (&"GET".into(), &serde_json::Value::Null)
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
        (&"chat".into(), &serde_json::Value::Null)
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
    for round in 0..3 {
        let more =
            format!("filters: [ {{ headers: {{ request: {{ set: {{ X: \"{round}\" }} }} }} }} ]");
        let changed = config
            .yaml()
            .replace("prefix: /chat,", &format!("prefix: /chat, {more},"));
        gateway.reload(&changed).unwrap();
        says(&mut socket, Message::text("still there"));
    }
    let without = config
        .yaml()
        .replace("name: chat, prefix: /chat", "name: other, prefix: /other");
    gateway.reload(&without).unwrap();
    expect_going_away(&mut socket);
    while socket.read().is_ok() {}
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
    assert_eq!(config.record_of(200)["code"], serde_json::Value::Null);
}

#[test]
fn a_silent_stream_is_closed_after_its_idle_time() {
    let target = H2Echo::start();
    let mut config = target.config();
    config.upstream = "protocol: h2c, timeouts: { tunnel: 40s, request: 5s }";
    let (gateway, hand) = Gateway::with_manual_clock(&config.yaml());
    let mut socket = open_h2(gateway.addr());
    for _ in 0..3 {
        crate::tcp::turn(&gateway, &hand, Duration::from_secs(30));
        says(&mut socket, Message::text("longer than a request may take"));
    }
    crate::tcp::turn(&gateway, &hand, Duration::from_secs(41));
    assert!(socket.read().is_err());
    assert_eq!(config.record_of(200)["code"], "idle_timeout");
}

#[test]
fn what_a_stream_brings_early_waits_for_the_target_to_switch() {
    let peer = super::late_switch();
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
        super::answer_handshake(&mut stream);
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
