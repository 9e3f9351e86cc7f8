//! Targets' side: who they must be, and what is said when they are not.

use std::io::{Read, Write};

use portway_testkit::{Gateway, RawClient, eventually};

use super::{Authority, TlsOrigin};
use crate::support::code;

fn to(origin: &TlsOrigin, host: &str, tls: &str) -> String {
    format!(
        "server: {{ workers: 1 }}\n\
         listeners: [ {{ name: public, bind: \"127.0.0.1:0\" }} ]\n\
         upstreams: [ {{ name: pool, targets: [ {{ addr: \"{}\" }} ]{tls} }} ]\n\
         routes: [ {{ name: all, prefix: /, upstream: pool }} ]\n",
        origin.url(host)
    )
}

fn trusting(ca: &Authority, more: &str) -> String {
    format!(", tls: {{ ca: {}{more} }}", ca.path("ca.pem"))
}

#[test]
fn a_target_is_reached_over_tls_and_its_connection_kept() {
    let ca = Authority::new();
    ca.issue("o", &["localhost"]);
    let origin = TlsOrigin::start(&ca, "o", false);
    let gateway = Gateway::start(&to(&origin, "localhost", &trusting(&ca, "")));
    for _ in 0..5 {
        let reply = RawClient::get(gateway.addr(), "/");
        assert_eq!(&*reply.expect_status(200).text(), "sni=localhost client=0");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_target_by_address_must_have_it_in_its_certificate() {
    let ca = Authority::new();
    ca.issue("o", &["127.0.0.1"]);
    let origin = TlsOrigin::start(&ca, "o", false);
    let gateway = Gateway::start(&to(&origin, "127.0.0.1", &trusting(&ca, "")));
    let reply = RawClient::get(gateway.addr(), "/");
    assert_eq!(&*reply.expect_status(200).text(), "sni=- client=0");
}

#[test]
fn a_certificate_that_does_not_hold_is_a_502_that_says_why() {
    let (ca, other) = (Authority::new(), Authority::new());
    ca.issue("o", &["users.internal"]);
    let origin = TlsOrigin::start(&ca, "o", false);
    let untrusted = RawClient::get(
        Gateway::start(&to(
            &origin,
            "localhost",
            &trusting(&other, ", server_name: users.internal"),
        ))
        .addr(),
        "/",
    );
    assert_eq!(untrusted.status, 502);
    assert_eq!(code(&untrusted), "upstream_certificate");
    let gateway = Gateway::start(&to(&origin, "localhost", &trusting(&ca, "")));
    let wrong_name = RawClient::get(gateway.addr(), "/");
    assert_eq!(code(&wrong_name), "upstream_certificate");
    let named = to(
        &origin,
        "localhost",
        &trusting(&ca, ", server_name: users.internal"),
    );
    gateway.reload(&named).unwrap();
    let reply = RawClient::get(gateway.addr(), "/");
    assert_eq!(
        &*reply.expect_status(200).text(),
        "sni=users.internal client=0"
    );
}

#[test]
fn without_a_ca_the_systems_own_are_asked() {
    let ca = Authority::new();
    ca.issue("o", &["localhost"]);
    let origin = TlsOrigin::start(&ca, "o", false);
    let gateway = Gateway::start(&to(&origin, "localhost", ""));
    let reply = RawClient::get(gateway.addr(), "/");
    assert_eq!(code(&reply), "upstream_certificate");
    let blind = to(&origin, "localhost", ", tls: { verify: false }");
    gateway.reload(&blind).unwrap();
    RawClient::get(gateway.addr(), "/").expect_status(200);
}

#[test]
fn a_target_that_asks_gets_the_gateways_certificate() {
    let ca = Authority::new();
    ca.issue("o", &["localhost"]);
    ca.client("gateway", 1);
    let origin = TlsOrigin::start(&ca, "o", true);
    let own = format!(
        ", client_cert: {}, client_key: {}",
        ca.path("gateway.pem"),
        ca.path("gateway.key")
    );
    let gateway = Gateway::start(&to(&origin, "localhost", &trusting(&ca, &own)));
    let reply = RawClient::get(gateway.addr(), "/");
    assert_eq!(&*reply.expect_status(200).text(), "sni=localhost client=1");
    let nobody = to(&origin, "localhost", &trusting(&ca, ""));
    gateway.reload(&nobody).unwrap();
    assert_eq!(RawClient::get(gateway.addr(), "/").status, 502);
}

#[test]
fn a_target_that_speaks_no_tls_is_a_502() {
    let ca = Authority::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let yaml = format!(
        "listeners: [ {{ name: public, bind: \"127.0.0.1:0\" }} ]\n\
         upstreams: [ {{ name: pool, targets: [ {{ addr: \"{url}\" }} ], tls: {{ ca: {} }} }} ]\n\
         routes: [ {{ name: all, prefix: /, upstream: pool }} ]\n",
        ca.path("ca.pem")
    );
    let gateway = Gateway::start(&yaml);
    assert_eq!(code(&RawClient::get(gateway.addr(), "/")), "upstream_tls");
}

#[test]
fn active_checks_shake_hands_too() {
    let ca = Authority::new();
    ca.issue("o", &["localhost"]);
    let origin = TlsOrigin::start(&ca, "o", false);
    let check = ", health_check: { type: http, path: /, interval: 50ms, healthy_after: 1, unhealthy_after: 1 }";
    let other = Authority::new();
    let good = to(&origin, "localhost", &(trusting(&ca, "") + check));
    let gateway = Gateway::start(&good);
    eventually("checks", || origin.connections() >= 2);
    RawClient::get(gateway.addr(), "/").expect_status(200);
    let bad = to(&origin, "localhost", &(trusting(&other, "") + check));
    gateway.reload(&bad).unwrap();
    eventually("the target is unfit", || {
        let snapshot = gateway.inner().snapshot();
        let targets = snapshot.upstreams[0].upstream.targets();
        targets.targets.iter().all(|t| !t.is_fit())
    });
}
