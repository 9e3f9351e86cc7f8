//! Certificates that change while connections are open.

use std::io::Write;
use std::net::TcpStream;

use portway_testkit::{Gateway, Origin, replies};

use super::client::Wishes;
use super::{Authority, TlsClient, https, plain};

#[test]
fn a_renewed_certificate_is_presented_and_open_connections_stay() {
    let (ca, origin) = (Authority::new(), Origin::start(replies::text("hello")));
    let tls = format!("certificates: [ {} ]", ca.issue("a", &["a.example"]));
    let yaml = https(&tls, &plain(&origin));
    let gateway = Gateway::start(&yaml);
    let wishes = Wishes::of(&ca);
    let mut open = TlsClient::connect(gateway.addr(), "a.example", &wishes);
    assert_eq!(open.ask("/", "a.example").status, 200);
    ca.issue("a", &["a.example"]);
    gateway.reload(&yaml).unwrap();
    let fresh = TlsClient::connect(gateway.addr(), "a.example", &Wishes::of(&ca));
    assert_ne!(fresh.certificate(), open.certificate());
    assert_eq!(open.ask("/", "a.example").status, 200, "the old connection");
    let again = TlsClient::connect(gateway.addr(), "a.example", &wishes);
    assert!(again.is_resumed(), "tickets survive a renewal");
}

#[test]
fn a_broken_certificate_leaves_the_old_one_and_is_named() {
    let (ca, origin) = (Authority::new(), Origin::start(replies::text("hello")));
    let tls = format!("certificates: [ {} ]", ca.issue("a", &["a.example"]));
    let yaml = https(&tls, &plain(&origin));
    let gateway = Gateway::start(&yaml);
    let before = TlsClient::connect(gateway.addr(), "a.example", &Wishes::of(&ca)).certificate();
    ca.folder.replace("a.pem", "half a file");
    let error = gateway.reload(&yaml).unwrap_err();
    assert!(error.starts_with("test.yaml:2:"), "{error}");
    assert!(
        error.contains("a.pem") && error.contains("BEGIN CERTIFICATE"),
        "{error}"
    );
    let mut client = TlsClient::connect(gateway.addr(), "a.example", &Wishes::of(&ca));
    assert_eq!(client.certificate(), before);
    assert_eq!(client.ask("/", "a.example").status, 200);
    let started = Gateway::try_start(&yaml, portway_core::Clock::system());
    assert!(started.is_err(), "at the start there is no old one");
}

#[test]
fn a_connection_that_was_accepted_is_served_though_its_listener_has_left() {
    let (ca, origin) = (Authority::new(), Origin::start(replies::text("hello")));
    let tls = format!("certificates: [ {} ]", ca.issue("a", &["a.example"]));
    let without = https(&tls, &plain(&origin));
    let second = format!(
        "listeners: [ {{ name: second, bind: \"127.0.0.1:0\", protocol: https, proxy_protocol: v1, \
         trusted_proxies: [127.0.0.1], tls: {{ {tls} }} }}, "
    );
    let gateway = Gateway::start(&without.replace("listeners: [ ", &second));
    let mut tcp = TcpStream::connect(gateway.addr_of("second")).unwrap();
    gateway.wait_connections(1);
    gateway.reload(&without).unwrap();
    tcp.write_all(b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n")
        .unwrap();
    let mut client = TlsClient::try_over(tcp, "a.example", &Wishes::of(&ca)).unwrap();
    assert_eq!(client.ask("/", "a.example").body, "hello");
}

/// A listener that gets TLS keeps its address and no plain connection.
#[test]
fn plain_connections_do_not_outlive_their_listener_becoming_https() {
    let (ca, origin) = (Authority::new(), Origin::start(replies::text("hello")));
    let port = portway_testkit::ports::reserve();
    let bind = format!("bind: \"{}\"", port.addr());
    drop(port);
    let tls = format!("certificates: [ {} ]", ca.issue("a", &["a.example"]));
    let secure = https(&tls, &plain(&origin)).replace("bind: \"127.0.0.1:0\"", &bind);
    let open = secure
        .replace("https,", "http,")
        .replace(&format!(", tls: {{ {tls} }}"), "");
    let gateway = Gateway::start(&open);
    let mut client = portway_testkit::RawClient::connect(gateway.addr());
    client.send(portway_testkit::raw::get("/"));
    assert_eq!(client.reply().status, 200);
    gateway.reload(&secure).unwrap();
    client.expect_closed();
    assert_eq!(
        TlsClient::get(gateway.addr(), "a.example", &Wishes::of(&ca)).status,
        200
    );
}
