//! How connections end: drained, reloaded away, idle; and how HTTP/3 comes and goes on a listener.

use std::net::UdpSocket;
use std::time::Duration;

use portway_testkit::{Gateway, Origin, eventually, ports, replies};

use super::client::{Client, Quic, get, read};
use super::{before, setup, told};
use crate::pool::Gate;
use crate::tls::Authority;
use crate::tls::client::{TlsClient, Wishes};

const NO_ERROR: u64 = 0x100;

fn gated(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::start(move |request, conn| {
        if request.target() == "/hold" {
            gate.wait();
        }
        conn.reply(200, &[], "done");
    })
}

#[test]
fn a_drain_says_goaway_and_lets_streams_finish() {
    let gate = Gate::default();
    let origin = gated(&gate);
    let (gateway, ca) = before(&origin);
    let mut client = Client::connect(gateway.addr(), &ca);
    let mut stream = client.begin(get("/hold"));
    client.run(stream.finish()).unwrap();
    origin.wait("it is under way", |seen| seen.request_count == 1);
    gateway.drain(Duration::from_secs(60));
    let mut requests = client.requests.clone();
    client.run(async {
        // Told to open no more, the client's side refuses by itself.
        loop {
            let Ok(mut late) = requests.send_request(get("/late").body(()).unwrap()).await else {
                break;
            };
            let _ = late.finish().await;
            if read(&mut late).await.is_err() {
                break;
            }
        }
    });
    gate.open();
    assert_eq!(client.run(read(&mut stream)).unwrap().text(), "done");
    assert_eq!(client.quic.closed_with(), NO_ERROR);
    gateway.wait_connections(0);
}

#[test]
fn idle_connections_end_at_once_when_a_drain_begins() {
    let origin = Origin::start(replies::text("x"));
    let (gateway, ca) = before(&origin);
    let mut client = Client::connect(gateway.addr(), &ca);
    assert_eq!(client.send(get("/"), b"").status, 200);
    gateway.drain(Duration::from_secs(60));
    assert_eq!(client.quic.closed_with(), NO_ERROR);
    gateway.wait_connections(0);
    eventually("nobody has the port", || {
        UdpSocket::bind(gateway.addr()).is_ok()
    });
}

#[test]
fn what_still_runs_at_the_end_of_the_drain_is_cut() {
    let gate = Gate::default();
    let origin = gated(&gate);
    let (gateway, ca) = before(&origin);
    let mut client = Client::connect(gateway.addr(), &ca);
    let mut stream = client.begin(get("/hold"));
    client.run(stream.finish()).unwrap();
    origin.wait("it is under way", |seen| seen.request_count == 1);
    gateway.drain(Duration::from_millis(100));
    gateway.inner().stop();
    assert!(client.run(read(&mut stream)).is_err());
    gate.open();
}

#[test]
fn an_idle_connection_ends() {
    let origin = Origin::start(replies::text("x"));
    let ca = Authority::new();
    let gateway = setup(&origin, &ca).server("idle_timeout: 300ms").start();
    let mut client = Client::connect(gateway.addr(), &ca);
    assert_eq!(client.send(get("/"), b"").status, 200);
    assert_eq!(client.quic.closed_with(), NO_ERROR);
}

#[test]
fn connections_go_on_over_reloads_and_see_them() {
    let origin = Origin::start(replies::text("x"));
    let ca = Authority::new();
    let yaml = setup(&origin, &ca).yaml();
    let gateway = Gateway::start(&yaml);
    let mut client = Client::connect(gateway.addr(), &ca);
    assert_eq!(client.send(get("/"), b"").text(), "x");
    ca.issue("a", &["a.example"]); // a renewed certificate
    gateway
        .reload(&yaml.replace("prefix: /\n", "prefix: /new\n"))
        .unwrap();
    assert_eq!(
        client.send(get("/"), b"").status,
        404,
        "the old connection, the new routes"
    );
    assert_eq!(client.send(get("/new"), b"").status, 200);
    let fresh = Client::connect(gateway.addr(), &ca);
    assert_ne!(certificate(&client.quic), certificate(&fresh.quic));
}

fn certificate(quic: &Quic) -> Vec<u8> {
    let identity = quic.connection.peer_identity().unwrap();
    let chain = identity
        .downcast::<Vec<rustls::pki_types::CertificateDer<'_>>>()
        .unwrap();
    chain[0].to_vec()
}

#[test]
fn http3_comes_and_goes_by_reloads() {
    let gate = Gate::default();
    let origin = gated(&gate);
    let ca = Authority::new();
    let port = ports::reserve();
    let bind = format!("bind: {}", port.addr());
    let addr = port.addr();
    drop(port);
    let with = setup(&origin, &ca)
        .yaml()
        .replace("bind: 127.0.0.1:0", &bind);
    let without = with.replace("h2, h3", "h2");
    let gateway = Gateway::start(&without);
    assert!(UdpSocket::bind(addr).is_ok(), "nobody has the port");
    gateway.reload(&with).unwrap();
    let mut client = Client::connect(addr, &ca);
    let mut stream = client.begin(get("/hold"));
    client.run(stream.finish()).unwrap();
    origin.wait("it is under way", |seen| seen.request_count == 1);

    gateway.reload(&without).unwrap();
    gateway.reload(&with).unwrap();
    // The port is the old connection's until that has ended; nobody is sent there.
    assert_eq!(told(&gateway, &ca, "http/1.1"), "");
    gate.open();
    assert_eq!(client.run(read(&mut stream)).unwrap().text(), "done");
    assert_eq!(client.quic.closed_with(), NO_ERROR);
    let wishes = Wishes::of(&ca);
    eventually("there is HTTP/3 again", || {
        let quic = Quic::try_connect(addr, "a.example", &wishes, "h3");
        quic.is_ok_and(|quic| Client::over(quic).send(get("/"), b"").status == 200)
    });
    eventually("it is told of", || {
        !told(&gateway, &ca, "http/1.1").is_empty()
    });
}

#[test]
fn who_is_answered_while_the_listener_drains_is_not_sent_to_its_udp_port() {
    let ca = Authority::new();
    for by_reload in [true, false] {
        let origin = Origin::start(replies::text("x"));
        let yaml = setup(&origin, &ca).yaml();
        let gateway = Gateway::start(&yaml);
        let mut late = TlsClient::connect(gateway.addr(), "a.example", &Wishes::of(&ca));
        late.send(b"GET / HTTP/1.1\r\nHost: a.example\r\n").unwrap();
        gateway.wait_connections(1);
        let addr = gateway.addr();
        if by_reload {
            gateway.reload(&yaml.replace("h2, h3", "h2")).unwrap();
        } else {
            gateway.drain(Duration::from_secs(60));
        }
        eventually("nobody has the port", || UdpSocket::bind(addr).is_ok());
        late.send(b"\r\n").unwrap();
        let reply = late.reply().unwrap();
        assert_eq!(reply.status, 200);
        assert!(!reply.head.contains("alt-svc"), "{}", reply.head);
    }
}

/// A WebSocket may last for days.
#[test]
fn http3_does_not_wait_for_connections_over_tcp() {
    let gate = Gate::default();
    let origin = gated(&gate);
    let ca = Authority::new();
    let port = ports::reserve();
    let addr = port.addr();
    drop(port);
    let with = setup(&origin, &ca)
        .yaml()
        .replace("bind: 127.0.0.1:0", &format!("bind: {addr}"));
    let without = with.replace("h2, h3", "h2");
    let gateway = Gateway::start(&with);
    let wishes = Wishes::of(&ca);
    let mut held = TlsClient::connect(addr, "a.example", &wishes);
    held.send(b"GET /hold HTTP/1.1\r\nHost: a.example\r\n\r\n")
        .unwrap();
    origin.wait("it is under way", |seen| seen.request_count == 1);
    gateway.reload(&without).unwrap();
    gateway.reload(&with).unwrap();
    eventually("there is HTTP/3 again", || {
        let quic = Quic::try_connect(addr, "a.example", &wishes, "h3");
        quic.is_ok_and(|quic| Client::over(quic).send(get("/"), b"").status == 200)
    });
    gate.open();
    assert_eq!(held.reply().unwrap().status, 200);
}

#[test]
fn a_udp_port_that_somebody_has_is_told_of_by_a_reload() {
    let origin = Origin::start(replies::text("x"));
    let ca = Authority::new();
    let port = ports::reserve();
    let taken = UdpSocket::bind(port.addr()).unwrap();
    let bind = format!("bind: {}", port.addr());
    drop(port);
    let with = setup(&origin, &ca)
        .yaml()
        .replace("bind: 127.0.0.1:0", &bind);
    let without = with.replace("h2, h3", "h2");
    let gateway = Gateway::start(&without);
    let error = gateway.reload(&with).expect_err("the port is taken");
    assert!(error.contains("(UDP): address already in use"), "{error}");
    assert_eq!(told(&gateway, &ca, "http/1.1"), "", "the old config stays");
    drop(taken);
    gateway.reload(&with).unwrap();
    eventually("it is told of", || {
        !told(&gateway, &ca, "http/1.1").is_empty()
    });
    assert_eq!(Client::ask(gateway.addr(), &ca, get("/")).status, 200);
}

#[test]
fn a_udp_port_that_somebody_has_is_told_of_at_the_start() {
    let origin = Origin::start(replies::text("x"));
    let ca = Authority::new();
    let port = ports::reserve();
    let taken = UdpSocket::bind(port.addr()).unwrap();
    let bind = format!("bind: {}", port.addr());
    drop(port);
    let yaml = setup(&origin, &ca)
        .yaml()
        .replace("bind: 127.0.0.1:0", &bind);
    let error = Gateway::try_start(&yaml, portway_core::Clock::system())
        .err()
        .expect("the port is taken");
    assert!(error.contains("(UDP): address already in use"), "{error}");
    drop(taken);
    drop(Gateway::start(&yaml));
}
