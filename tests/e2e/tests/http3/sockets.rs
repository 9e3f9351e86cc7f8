//! Several workers, each with a socket of its own on one port; and listeners on all addresses.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use portway_testkit::{Gateway, Origin, eventually, replies};

use super::client::{Client, Quic, get, post};
use super::{setup, told};
use crate::tls::Authority;
use crate::tls::client::Wishes;

const NO_ERROR: u64 = 0x100;

/// How many sockets for datagrams there are on a port of the loopback interface.
fn sockets(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/udp").unwrap();
    let local = format!("0100007F:{port:04X}");
    let here = |line: &&str| line.split_whitespace().nth(1) == Some(&local);
    table.lines().filter(here).count()
}

#[test]
fn each_worker_answers_its_clients_and_all_of_them_drain() {
    let origin = Origin::start(replies::echo());
    let ca = Authority::new();
    let yaml = setup(&origin, &ca)
        .yaml()
        .replace("workers: 1", "workers: 4");
    let gateway = Gateway::start(&yaml);
    assert_eq!(sockets(gateway.addr().port()), 4);
    // The kernel spreads them by their ports.
    let mut clients: Vec<Client> = std::iter::repeat_with(|| Client::connect(gateway.addr(), &ca))
        .take(16)
        .collect();
    for round in 0..3 {
        for client in &mut clients {
            let reply = client.send(post("/"), b"who is there");
            assert_eq!(reply.status, 200, "round {round}");
        }
        gateway
            .reload(&yaml.replace(
                "prefix: /\n",
                &format!("prefix: /\n    priority: {round}\n"),
            ))
            .unwrap();
    }
    gateway.drain(Duration::from_secs(60));
    for client in &clients {
        assert_eq!(client.quic.closed_with(), NO_ERROR);
    }
    eventually("no socket is left", || sockets(gateway.addr().port()) == 0);
}

/// A place that a client can reach of a listener on all addresses.
fn at(ip: impl Into<std::net::IpAddr>, gateway: &Gateway) -> SocketAddr {
    SocketAddr::new(ip.into(), gateway.addr().port())
}

#[test]
fn a_listener_on_all_addresses_answers_on_each() {
    let origin = Origin::start(replies::text("x"));
    let ca = Authority::new();
    let yaml = setup(&origin, &ca).yaml();
    let all_of_ipv4 = Gateway::start(&yaml.replace("127.0.0.1:0", "0.0.0.0:0"));
    for ip in [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2)] {
        let reply = Client::ask(at(ip, &all_of_ipv4), &ca, get("/"));
        assert_eq!(reply.text(), "x", "{ip}");
    }
    if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return; // a machine without IPv6
    }
    let all = Gateway::start(&yaml.replace("127.0.0.1:0", "\"[::]:0\""));
    let reply = Client::ask(at(Ipv6Addr::LOCALHOST, &all), &ca, get("/"));
    assert_eq!(reply.text(), "x");
    let reply = Client::ask(at(Ipv4Addr::LOCALHOST, &all), &ca, get("/"));
    assert_eq!(reply.text(), "x");
    let seen = origin.last_request();
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
}

/// Two processes would do the same: the one that comes has the TCP sockets, the one that goes the clients.
#[test]
fn a_client_of_a_replaced_listener_stays_with_its_worker() {
    let origin = Origin::start(replies::text("x"));
    let ca = Authority::new();
    let port = portway_testkit::ports::reserve();
    let addr = port.addr();
    drop(port);
    let with = setup(&origin, &ca)
        .yaml()
        .replace("127.0.0.1:0", &addr.to_string())
        .replace("workers: 1", "workers: 3");
    let without = with.replace("h2, h3", "h2");
    let gateway = Gateway::start(&with);
    // One that has not asked yet was let in on the promise to be served.
    let quic = Quic::connect(addr, &ca);
    gateway.reload(&without).unwrap();
    gateway.reload(&with).unwrap();
    eventually("clients over TCP are answered", || {
        told(&gateway, &ca, "http/1.1").is_empty()
    });
    let mut client = Client::over(quic);
    assert_eq!(client.send(get("/"), b"").text(), "x");
    assert_eq!(client.quic.closed_with(), NO_ERROR);
    let wishes = Wishes::of(&ca);
    eventually("the new listener's sockets are open", || {
        let quic = Quic::try_connect(addr, "a.example", &wishes, "h3");
        quic.is_ok_and(|quic| Client::over(quic).send(get("/"), b"").status == 200)
    });
    assert_eq!(sockets(addr.port()), 3);
}
