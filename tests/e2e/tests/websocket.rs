//! WebSocket: a real client and a real server with the gateway between them, and what must not become a
//! tunnel. Here over HTTP/1.1.

mod browser;
mod example;
mod flow;
mod http2;
mod opening;
mod over_tls;
mod tunnel;
mod upgrades;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use portway_core::clock::ManualClock;
use portway_testkit::{Folder, Gateway, Origin, RawClient, eventually, replies};
use serde_json::Value;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

use crate::support::{Setup, code, get_with};
use crate::tcp::{Peer, connect};

/// A server that says everything back, and what of it each closing frame said.
fn echo() -> Peer {
    Peer::start(|stream| {
        if let Ok(socket) = tungstenite::accept(stream) {
            serve(socket);
        }
    })
}

fn serve<S: Read + Write>(mut socket: WebSocket<S>) {
    while let Ok(message) = socket.read() {
        if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
            return;
        }
    }
}

struct Config<'a> {
    target: SocketAddr,
    route: &'a str,
    upstream: &'a str,
    /// More routes.
    more: &'a str,
    log: Folder,
}

impl<'a> Config<'a> {
    fn to(peer: &Peer) -> Config<'a> {
        Config::at(peer.addr(), "")
    }

    fn at(target: SocketAddr, upstream: &'a str) -> Config<'a> {
        Config {
            target,
            route: "name: chat, prefix: /chat",
            upstream,
            more: "",
            log: Folder::new(),
        }
    }

    fn yaml(&self) -> String {
        let Config {
            target,
            route,
            upstream,
            more,
            ..
        } = self;
        format!(
            "server: {{ workers: 1, drain_timeout: 30s }}\n\
             listeners: [ {{ name: public, bind: \"127.0.0.1:0\" }}, {{ name: clock, bind: \"127.0.0.1:0\" }} ]\n\
             upstreams: [ {{ name: chat, targets: [ {{ addr: \"http://{target}\" }} ], {upstream} }} ]\n\
             routes: [ {{ {route}, upstream: chat }}, {more} ]\n\
             global_filters: [ {{ logging: {{ output: \"{}\" }} }} ]\n",
            self.log.path().join("access.log").display(),
        )
    }

    #[track_caller]
    fn record(&self) -> Value {
        self.record_of(101)
    }

    #[track_caller]
    fn record_of(&self, status: u16) -> Value {
        let wanted = format!("\"status_code\":{status}");
        let path = self.log.path().join("access.log");
        // Those of the clock's listener are none of the test's.
        let read = || {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let mut lines = text.lines();
            lines
                .find(|line| line.contains(&wanted) && line.contains("\"/chat\""))
                .map(str::to_owned)
        };
        eventually("the log is written", || read().is_some());
        serde_json::from_str(&read().unwrap()).expect("JSON")
    }
}

fn open(addr: SocketAddr) -> WebSocket<TcpStream> {
    let (socket, reply) =
        tungstenite::client("ws://test.example/chat", connect(addr)).expect("a handshake");
    assert_eq!(reply.status(), 101);
    let soon = Some(Duration::from_secs(5)); // sooner than any goodbye would be cut
    socket.get_ref().set_read_timeout(soon).expect("a setting");
    socket
}

#[track_caller]
fn says<S: Read + Write>(socket: &mut WebSocket<S>, message: Message) {
    socket.send(message.clone()).unwrap();
    assert_eq!(socket.read().unwrap(), message);
}

#[track_caller]
fn expect_going_away<S: Read + Write>(socket: &mut WebSocket<S>) {
    match socket.read().expect("a closing frame") {
        Message::Close(Some(frame)) => assert_eq!(frame.code, CloseCode::Away),
        other => panic!("{other:?}"),
    }
}

/// Changes of its route do not touch a tunnel; the end of its route does.
#[track_caller]
fn expect_goodbye_with_its_route<S: Read + Write>(
    config: &Config<'_>,
    gateway: &Gateway,
    socket: &mut WebSocket<S>,
) {
    for round in 0..3 {
        let more =
            format!("filters: [ {{ headers: {{ request: {{ set: {{ X: \"{round}\" }} }} }} }} ]");
        let changed = config
            .yaml()
            .replace("prefix: /chat,", &format!("prefix: /chat, {more},"));
        gateway.reload(&changed).unwrap();
        says(socket, Message::text("still there"));
    }
    let without = config
        .yaml()
        .replace("name: chat, prefix: /chat", "name: other, prefix: /other");
    gateway.reload(&without).unwrap();
    expect_going_away(socket);
    while socket.read().is_ok() {}
}

#[track_caller]
fn expect_end_after_40_s_of_silence<S: Read + Write>(
    gateway: &Gateway,
    hand: &ManualClock,
    socket: &mut WebSocket<S>,
) {
    for _ in 0..3 {
        crate::tcp::turn(gateway, hand, Duration::from_secs(30));
        says(socket, Message::text("longer than a request may take"));
    }
    crate::tcp::turn(gateway, hand, Duration::from_secs(41));
    assert!(socket.read().is_err());
}

#[test]
fn messages_pass_both_ways_until_both_have_closed() {
    let peer = echo();
    let config = Config::to(&peer);
    let gateway = Gateway::start(&config.yaml());
    let mut socket = open(gateway.addr());
    says(&mut socket, Message::text("hello"));
    says(&mut socket, Message::binary(vec![7u8; 3_000_000]));
    for n in 0..200 {
        says(&mut socket, Message::text(format!("message {n}")));
    }
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
    gateway.wait_connections(0);
    let record = config.record();
    assert_eq!(
        (&record["status_code"], &record["code"]),
        (&101.into(), &Value::Null)
    );
    assert_eq!(
        (&record["route"], &record["upstream"]),
        (&"chat".into(), &"chat".into())
    );
    assert!(record["bytes_in"].as_u64().unwrap() > 3_000_000, "{record}");
    assert!(
        record["bytes_out"].as_u64().unwrap() > 3_000_000,
        "{record}"
    );
}

#[test]
fn a_reload_leaves_a_tunnel_alone_while_its_route_lives_and_says_goodbye_then() {
    let peer = echo();
    let config = Config::to(&peer);
    let gateway = Gateway::start(&config.yaml());
    let mut socket = open(gateway.addr());
    expect_goodbye_with_its_route(&config, &gateway, &mut socket);
    gateway.wait_connections(0);
}

#[test]
fn a_drain_tells_both_sides_before_it_closes() {
    let (sender, receiver) = std::sync::mpsc::sync_channel(4);
    let peer = Peer::start(move |stream| {
        let mut socket = tungstenite::accept(stream).expect("a handshake");
        while let Ok(message) = socket.read() {
            sender.send(message).expect("somebody asks");
        }
    });
    let config = Config::to(&peer);
    let gateway = Gateway::start(&config.yaml());
    let mut socket = open(gateway.addr());
    socket.send(Message::text("hello")).unwrap();
    let wait = Duration::from_secs(5);
    assert_eq!(receiver.recv_timeout(wait).unwrap(), Message::text("hello"));
    gateway.drain(Duration::from_secs(30));
    expect_going_away(&mut socket);
    match receiver.recv_timeout(wait).expect("the server hears of it") {
        Message::Close(Some(frame)) => assert_eq!(frame.code, CloseCode::Away),
        other => panic!("{other:?}"),
    }
    while socket.read().is_ok() {}
    gateway.wait_connections(0);
}

/// In the middle of a frame there is no place for another: the goodbye waits for its end.
#[test]
fn a_goodbye_never_lands_inside_a_frame() {
    let peer = Peer::start(|mut stream| {
        answer_handshake(&mut stream);
        stream.write_all(&[0x82, 10, 1, 2, 3]).unwrap();
        stream.read_exact(&mut [0; 1]).unwrap(); // the client's word that the drain has begun
        stream
            .write_all(&[4, 5, 6, 7, 8, 9, 10, 0x82, 1, 99])
            .unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let gateway = Gateway::start(&Config::to(&peer).yaml());
    let mut stream = connect(gateway.addr());
    stream.write_all(handshake("/chat").as_bytes()).unwrap();
    let mut heard = [0; 512];
    let mut length = 0;
    while !heard[..length].ends_with(&[0x82, 10, 1, 2, 3]) {
        length += stream.read(&mut heard[length..]).unwrap();
    }
    gateway.drain(Duration::from_secs(30));
    stream.write_all(&[0x89]).unwrap(); // half a head: this side has no place for one either
    let mut rest = [0; 11];
    stream.read_exact(&mut rest).unwrap();
    assert_eq!(rest, [4, 5, 6, 7, 8, 9, 10, 0x88, 2, 0x03, 0xe9]);
}

#[test]
fn a_silent_tunnel_is_closed_after_its_idle_time() {
    let peer = echo();
    let mut config = Config::to(&peer);
    config.upstream = "timeouts: { tunnel: 40s, request: 5s }";
    let (gateway, hand) = Gateway::with_manual_clock(&config.yaml());
    let mut socket = open(gateway.addr());
    expect_end_after_40_s_of_silence(&gateway, &hand, &mut socket);
    assert_eq!(config.record()["code"], "idle_timeout");
}

#[test]
fn filters_and_limits_hold_for_the_handshake() {
    let peer = echo();
    let mut config = Config::to(&peer);
    config.route = "name: chat, prefix: /chat, filters: [ { ip_filter: { deny: [127.0.0.0/8] } } ]";
    let gateway = Gateway::start(&config.yaml());
    let reply = RawClient::ask(gateway.addr(), handshake("/chat"));
    assert_eq!(code(&reply), "ip_denied");
    let mut config = Config::to(&peer);
    config.upstream = "circuit_breaker: { max_requests: 1 }";
    let gateway = Gateway::start(&config.yaml());
    let mut socket = open(gateway.addr());
    says(&mut socket, Message::text("one"));
    let reply = RawClient::ask(gateway.addr(), handshake("/chat"));
    assert_eq!(code(&reply), "upstream_overloaded");
    drop(socket);
    gateway.wait_connections(0);
    says(&mut open(gateway.addr()), Message::text("two"));
}

const SWITCH: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// A request's head.
fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a whole head");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("text")
}

/// The server's half of a handshake, byte by byte: nothing behind it is read.
fn answer_handshake(stream: &mut TcpStream) {
    let head = read_head(stream);
    agree(stream, &head);
}

fn agree(stream: &mut TcpStream, head: &str) {
    let key = head
        .lines()
        .find_map(|line| line.strip_prefix("sec-websocket-key: "));
    let proof = tungstenite::handshake::derive_accept_key(key.expect("a key").as_bytes());
    let switch = std::str::from_utf8(SWITCH).expect("text");
    let switch = switch.replace(
        "\r\n\r\n",
        &format!("\r\nSec-WebSocket-Accept: {proof}\r\n\r\n"),
    );
    stream
        .write_all(switch.as_bytes())
        .expect("a client that waits");
}

/// A server that takes its time to switch and hears nothing until then.
fn late_switch() -> Peer {
    Peer::start(|mut stream| {
        let head = read_head(&mut stream);
        stream
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let early = stream.read(&mut [0; 10]);
        assert!(early.is_err(), "{early:?} before the switch");
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        agree(&mut stream, &head);
        let mut frame = [0; 8];
        stream.read_exact(&mut frame).unwrap();
        stream.write_all(&[0x82, 2, frame[6], frame[7]]).unwrap();
    })
}

fn handshake(target: &str) -> String {
    get_with(
        target,
        &[
            "Connection: keep-alive, Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ],
    )
}

/// CVE-2026-2833, CVE-2024-23326: what looks like a tunnel to the client alone is none.
#[test]
fn bytes_behind_an_upgrade_that_is_refused_are_another_request() {
    let origin = Origin::start(replies::text("no"));
    let gateway = Setup::to(&origin).start();
    let mut client = RawClient::connect(gateway.addr());
    let second = get_with("/second?a=%2e", &["X-Forwarded-For: 192.0.2.66"]);
    client.send(handshake("/first") + &second);
    client.reply().expect_status(200);
    client.reply().expect_status(200);
    let requests = origin.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].field("upgrade"), Some("websocket"));
    assert_ne!(
        requests[1].field("x-forwarded-for"),
        Some("192.0.2.66"),
        "it passed hygiene"
    );
}

#[test]
fn what_a_client_sends_early_waits_for_the_target_to_switch() {
    let peer = late_switch();
    let gateway = Gateway::start(&Config::to(&peer).yaml());
    let mut stream = connect(gateway.addr());
    let frame = [0x82, 0x82, 0, 0, 0, 0, 42, 43];
    stream
        .write_all(&[handshake("/chat").as_bytes(), &frame].concat())
        .unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    assert!(
        heard.starts_with(b"HTTP/1.1 101 "),
        "{}",
        String::from_utf8_lossy(&heard)
    );
    assert!(heard.ends_with(&[0x82, 2, 42, 43]));
}

#[test]
fn nothing_but_a_whole_get_for_websocket_is_asked_of_a_target() {
    let origin = Origin::start(replies::text("plain"));
    let gateway = Setup::to(&origin).start();
    let asks = [
        handshake("/").replace("Upgrade: websocket", "Upgrade: h2c"),
        handshake("/").replace("Upgrade: websocket", "Upgrade: websocket, h2c"),
        handshake("/").replace("keep-alive, Upgrade", "keep-alive"),
        handshake("/")
            .replace("GET", "POST")
            .replace("\r\n\r\n", "\r\nContent-Length: 1\r\n\r\nx"),
        handshake("/").replace("HTTP/1.1", "HTTP/1.0"),
    ];
    for ask in &asks {
        let reply = RawClient::ask(gateway.addr(), ask);
        assert_eq!((reply.status, &*reply.text()), (200, "plain"), "{ask}");
    }
    for request in origin.requests() {
        assert_eq!(request.field("upgrade"), None);
        assert_eq!(request.field("connection"), None);
    }
}

#[test]
fn a_switch_to_something_else_is_a_bad_reply() {
    for switch in [
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ] {
        let origin = Origin::start(replies::raw(switch));
        let gateway = Setup::to(&origin).start();
        let reply = RawClient::ask(gateway.addr(), handshake("/"));
        assert_eq!(code(&reply), "upstream_bad_reply", "{switch}");
    }
}
