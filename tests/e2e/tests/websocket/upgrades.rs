//! Other protocols than WebSocket: asked for where the route allows them, and nowhere else; another version
//! of HTTP never.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use portway_testkit::{Gateway, Origin, RawClient, replies};
use tungstenite::Message;

use super::{Config, echo, handshake, open, read_head, says};
use crate::support::{Setup, before, code, get_with};
use crate::tcp::{Peer, connect};

fn asking_for(protocol: &str) -> String {
    let upgrade = format!("Upgrade: {protocol}");
    get_with("/chat", &["Connection: Upgrade", &upgrade])
}

/// What the origin got of it, in lower case.
#[track_caller]
fn passed_on(gateway: &Gateway, origin: &Origin, ask: &str) -> String {
    let reply = RawClient::ask(gateway.addr(), ask);
    assert_eq!((reply.status, &*reply.text()), (200, "plain"), "{ask}");
    let seen = String::from_utf8(origin.seen().all_bytes()).expect("text");
    let last = seen.rfind("GET ").expect("a request");
    seen[last..].to_ascii_lowercase()
}

#[test]
fn h2c_is_neither_acted_on_nor_passed_on() {
    let origin = Origin::start(replies::text("plain"));
    let gateway = before(&origin);
    for ask in [
        asking_for("h2c"),
        asking_for("H2C, websocket"),
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
            .to_owned(),
        get_with("/", &["Upgrade: h2c"]),
        get_with(
            "/",
            &["Connection: Upgrade", "Upgrade: h2c", "Upgrade: websocket"],
        ),
    ] {
        let seen = passed_on(&gateway, &origin, &ask);
        for gone in ["h2c", "http2-settings", "connection:"] {
            assert!(!seen.contains(gone), "{ask} became {seen}");
        }
    }
}

#[test]
fn only_websocket_is_asked_for_unless_the_route_says_otherwise() {
    let origin = Origin::start(replies::text("plain"));
    let gateway = before(&origin);
    for protocol in ["mqtt", "IRC/6.9", "TLS/1.0", "HTTP/2.0", "websocket, mqtt"] {
        let seen = passed_on(&gateway, &origin, &asking_for(protocol));
        assert!(!seen.contains("upgrade"), "{protocol}: {seen}");
    }
    let gateway = Setup::to(&origin).route("upgrades: [mqtt]").start();
    let seen = passed_on(&gateway, &origin, &asking_for("MQTT"));
    assert!(
        seen.contains("\r\nconnection: upgrade\r\nupgrade: mqtt\r\n"),
        "{seen}"
    );
    let seen = passed_on(&gateway, &origin, &handshake("/"));
    assert!(!seen.contains("upgrade"), "{seen}");
}

#[test]
fn a_route_without_upgrades_has_no_websocket() {
    let peer = echo();
    let mut config = Config::to(&peer);
    config.more = "{ name: plain, path: /plain, upgrades: [], upstream: chat }";
    let gateway = Gateway::start(&config.yaml());
    says(&mut open(gateway.addr()), Message::text("here it works"));
    let reply = RawClient::ask(gateway.addr(), handshake("/plain"));
    assert_eq!(
        code(&reply),
        "upstream_reset",
        "tungstenite hangs up on what is no handshake"
    );
}

/// Bytes of a protocol that the gateway does not know: nothing is put between them.
#[test]
fn bytes_of_another_protocol_pass_as_they_are_to_the_end_of_a_drain() {
    let peer = Peer::start(|mut stream| {
        let head = read_head(&mut stream);
        assert!(head.contains("\r\nupgrade: My-Protocol/2\r\n"), "{head}");
        let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                      Upgrade: my-protocol/2\r\nX-Own: 1\r\n\r\nfirst";
        stream.write_all(switch.as_bytes()).expect("a reader");
        let mut copy = stream.try_clone().expect("a handle");
        let _ = std::io::copy(&mut stream, &mut copy);
        let _ = copy.shutdown(Shutdown::Write);
    });
    let mut config = Config::to(&peer);
    config.route = "name: chat, prefix: /chat, upgrades: [websocket, my-protocol/2]";
    let gateway = Gateway::start(&config.yaml());
    let mut stream = connect(gateway.addr());
    stream
        .write_all(asking_for("My-Protocol/2").as_bytes())
        .unwrap();
    let reply = read_head(&mut stream);
    assert!(reply.starts_with("HTTP/1.1 101 "), "{reply}");
    let agreed = "connection: upgrade\r\nupgrade: My-Protocol/2\r\n\r\n";
    assert!(reply.ends_with(agreed), "{reply}");
    gateway.drain(Duration::from_secs(30));
    stream.write_all(&[0x81, 0xff, 0, 1, 2, 3]).unwrap();
    let mut heard = [0; 11];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"first\x81\xff\0\x01\x02\x03");
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 0);
    gateway.wait_connections(0);
    assert_eq!(config.record()["bytes_out"], 11);
}

#[test]
fn a_switch_to_another_protocol_than_the_one_asked_for_is_a_bad_reply() {
    let switch =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let origin = Origin::start(replies::raw(switch));
    let gateway = Setup::to(&origin)
        .route("upgrades: [websocket, mqtt]")
        .start();
    let reply = RawClient::ask(gateway.addr(), asking_for("mqtt"));
    assert_eq!(code(&reply), "upstream_bad_reply");
}
