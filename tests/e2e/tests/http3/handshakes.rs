//! Handshakes: certificates by name, clients' certificates, what is not spoken, and many at once.

use std::net::UdpSocket;
use std::time::Duration;

use portway_core::limits;
use portway_testkit::{Gateway, Origin, eventually, replies};

use super::client::{Client, Quic, get, greetings};
use super::{before, setup};
use crate::tls::Authority;
use crate::tls::client::Wishes;

#[test]
fn the_server_name_picks_the_certificate() {
    let origin = Origin::start(replies::text("x"));
    let (gateway, ca) = before(&origin);
    let wishes = Wishes::of(&ca);
    let error = Quic::try_connect(gateway.addr(), "c.example", &wishes, "h3")
        .err()
        .expect("there is no certificate for it");
    assert!(error.to_string().contains("certificate"), "{error}");
    let failed = "tls_handshake_failures_total{listener=\"public\",reason=\"peer_refused\"} 1";
    eventually("it is counted", || gateway.metrics().contains(failed));
}

#[test]
fn only_h3_is_spoken() {
    let origin = Origin::start(replies::text("x"));
    let (gateway, ca) = before(&origin);
    let wishes = Wishes::of(&ca);
    let error = Quic::try_connect(gateway.addr(), "a.example", &wishes, "doq")
        .err()
        .expect("nothing in common");
    assert!(error.to_string().contains("120"), "{error}"); // no_application_protocol
    let failed = "tls_handshake_failures_total{listener=\"public\",reason=\"nothing_in_common\"} 1";
    eventually("it is counted", || gateway.metrics().contains(failed));
}

#[test]
fn clients_show_their_certificates_here_too() {
    let origin = Origin::start(replies::text("x"));
    let ca = Authority::new();
    ca.client("alice", 7);
    let certificate = ca.issue("a", &["a.example"]);
    let auth = format!(
        "client_auth: {{ ca: {}, mode: required }}",
        ca.path("ca.pem")
    );
    let yaml = setup(&origin, &ca).yaml().replace(
        &format!("certificates: [ {certificate} ]"),
        &format!("certificates: [ {certificate} ], {auth}"),
    );
    assert!(yaml.contains("client_auth"));
    let gateway = Gateway::start(&yaml);
    let known = Wishes::known_as(&ca, "alice");
    // The second is resumed from a ticket of the first.
    for _ in 0..2 {
        let quic = Quic::try_connect(gateway.addr(), "a.example", &known, "h3").unwrap();
        assert_eq!(Client::over(quic).send(get("/"), b"").status, 200);
    }
    let stranger = Quic::try_connect(gateway.addr(), "a.example", &Wishes::of(&ca), "h3");
    if let Ok(quic) = stranger {
        let ended = quic.run(quic.connection.closed());
        assert!(ended.to_string().contains("116"), "{ended}"); // certificate_required
    }
    assert_eq!(origin.request_count(), 2);
}

#[test]
fn no_early_data_is_taken() {
    let origin = Origin::start(replies::text("x"));
    let (gateway, ca) = before(&origin);
    let mut wishes = Wishes::of(&ca);
    wishes.0.enable_early_data = true;
    for _ in 0..2 {
        let quic = Quic::try_connect(gateway.addr(), "a.example", &wishes, "h3").unwrap();
        assert_eq!(Client::over(quic).send(get("/"), b"").status, 200);
    }
    let early = super::client::early(gateway.addr(), &wishes);
    assert!(!early, "a ticket that allows early data");
}

/// Those over the limit get a Retry packet (RFC 9000, section 8.1.2), and no certificate.
#[test]
fn many_handshakes_at_once_have_to_prove_their_addresses() {
    let origin = Origin::start(replies::text("x"));
    let (gateway, ca) = before(&origin);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let is_retry = |packet: &[u8]| packet[0] & 0xf0 == 0xf0;
    for greeting in greetings(limits::H3_UNPROVEN_HANDSHAKES_MAX + 16, &ca) {
        socket.send_to(&greeting, gateway.addr()).unwrap();
    }
    let mut packet = [0; 2048];
    let mut retries = 0;
    while let Ok(length) = socket.recv(&mut packet) {
        retries += usize::from(is_retry(&packet[..length]));
    }
    assert!((16..32).contains(&retries), "{retries}");
    // Who is there gets in all the same.
    assert_eq!(Client::ask(gateway.addr(), &ca, get("/")).status, 200);
}
