//! TLS that is passed on by the name it asks for, unread and unchanged.

use std::io::{Read, Write};
use std::time::Duration;

use super::{Config, Peer, connect, expect_closed};

/// A ClientHello of TLS 1.2 (RFC 5246, section 7.4.1.2) for a name, as long as asked for.
fn hello(name: Option<&str>, padding: usize) -> Vec<u8> {
    let mut extensions = Vec::new();
    let mut extension = |kind: u16, content: &[u8]| {
        extensions.extend(kind.to_be_bytes());
        extensions.extend((content.len() as u16).to_be_bytes());
        extensions.extend(content);
    };
    if let Some(name) = name {
        let length = name.len() as u16;
        let mut list = (length + 3).to_be_bytes().to_vec();
        list.push(0);
        list.extend(length.to_be_bytes());
        list.extend(name.as_bytes());
        extension(0, &list);
    }
    extension(13, &[0, 4, 4, 3, 8, 4]); // signature algorithms
    extension(10, &[0, 2, 0, 29]); // groups
    extension(21, &vec![0; padding]);
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut message = vec![1, 0];
    message.extend((body.len() as u16).to_be_bytes());
    message.extend(body);
    let mut record = vec![0x16, 3, 1];
    record.extend((message.len() as u16).to_be_bytes());
    record.extend(message);
    record
}

fn yaml(config: &Config<'_>, a: &Peer, b: &Peer) -> String {
    let yaml = config
        .yaml()
        .replace("protocol: tcp, upstream: db", "protocol: tls");
    let more = format!(
        "targets: [ {{ addr: \"{}\" }} ],  }}, {{ name: b, targets: [ {{ addr: \"{}\" }} ] }} ]",
        a.url(),
        b.url()
    );
    yaml.replace(
        &format!("targets: [ {{ addr: \"{}\" }} ],  }} ]", a.url()),
        &more,
    ) + "routes: [ { name: exact, hosts: [a.example.com], listeners: [db], upstream: db },\n\
           { name: wild, hosts: [\"*.example.com\"], listeners: [db], upstream: b } ]\n"
}

/// Sends a ClientHello in pieces and reads the target's name and the bytes it says back.
#[track_caller]
fn through(addr: std::net::SocketAddr, hello: &[u8], piece: usize) -> (u8, Vec<u8>) {
    let mut stream = connect(addr);
    for piece in hello.chunks(piece) {
        stream.write_all(piece).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut heard = vec![0; hello.len() + 1];
    stream.read_exact(&mut heard).unwrap();
    (heard[0], heard.split_off(1))
}

#[test]
fn the_server_name_chooses_and_every_byte_arrives() {
    let (a, b) = (Peer::named("a"), Peer::named("b"));
    let config = Config::to(&[&a]);
    let gateway = portway_testkit::Gateway::start(&yaml(&config, &a, &b));
    for (name, target) in [
        ("a.example.com", b'a'),
        ("A.EXAMPLE.com", b'a'),
        ("x.example.com", b'b'),
        ("x.y.example.com", b'b'),
    ] {
        let hello = hello(Some(name), 0);
        let found = through(gateway.addr(), &hello, 1 << 20);
        assert_eq!(found, (target, hello), "{name}");
    }
    let record = &config.records(4)[2];
    assert_eq!(record["protocol"], "TLS");
    assert_eq!(
        (&record["host"], &record["route"]),
        (&"x.example.com".into(), &"wild".into())
    );
}

/// Post-quantum key shares: the ClientHello spans packets, here cut everywhere.
#[test]
fn a_client_hello_may_come_in_many_pieces() {
    let (a, b) = (Peer::named("a"), Peer::named("b"));
    let config = Config::to(&[&a]);
    let gateway = portway_testkit::Gateway::start(&yaml(&config, &a, &b));
    let hello = hello(Some("b.example.com"), 3_000);
    for piece in [1_400, 100] {
        let (target, heard) = through(gateway.addr(), &hello, piece);
        assert!(target == b'b' && heard == hello);
    }
}

#[test]
fn a_name_that_no_route_takes_is_closed_unless_the_listener_has_an_upstream() {
    let (a, b) = (Peer::named("a"), Peer::named("b"));
    let config = Config::to(&[&a]);
    let yaml = yaml(&config, &a, &b);
    let gateway = portway_testkit::Gateway::start(&yaml);
    expect_closed(gateway.addr(), hello(Some("other.example"), 0));
    expect_closed(gateway.addr(), hello(None, 0));
    expect_closed(
        gateway.addr(),
        "GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n",
    );
    let codes: Vec<_> = config
        .records(3)
        .iter()
        .map(|r| r["code"].clone())
        .collect();
    assert_eq!(codes, ["no_route", "no_route", "bad_client_hello"]);
    let with_default = yaml.replace("protocol: tls", "protocol: tls, upstream: b");
    let gateway = portway_testkit::Gateway::start(&with_default);
    for name in [Some("other.example"), None] {
        let hello = hello(name, 0);
        assert_eq!(through(gateway.addr(), &hello, 1 << 20), (b'b', hello));
    }
}
