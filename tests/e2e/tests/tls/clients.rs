//! Clients' certificates.

use portway_testkit::{Gateway, Origin, eventually, replies};

use super::client::Wishes;
use super::{Authority, TlsClient, https, plain};

fn asking(ca: &Authority, mode: &str, crl: &str) -> String {
    let a = ca.issue("a", &["a.example", "b.example"]);
    let ca = ca.path("ca.pem");
    format!("certificates: [ {a} ], client_auth: {{ ca: {ca}, mode: {mode}{crl} }}")
}

/// Whether a request gets through; with TLS 1.3 a client learns of its refusal afterwards.
fn gets_in(gateway: &Gateway, wishes: &Wishes) -> bool {
    let client = TlsClient::try_connect(gateway.addr(), "a.example", wishes);
    client.is_ok_and(|mut client| {
        client
            .try_ask("/", "a.example")
            .is_ok_and(|a| a.status == 200)
    })
}

#[test]
fn a_required_certificate_is_required() {
    let (ca, stranger) = (Authority::new(), Authority::new());
    let origin = Origin::start(replies::text("hello"));
    let gateway = Gateway::start(&https(&asking(&ca, "required", ""), &plain(&origin)));
    ca.client("alice", 1);
    stranger.client("mallory", 1);
    assert!(gets_in(&gateway, &Wishes::known_as(&ca, "alice")));
    assert!(!gets_in(&gateway, &Wishes::of(&ca)));
    let mut mallory = Wishes::of(&ca);
    mallory.0.client_auth_cert_resolver = Wishes::known_as(&stranger, "mallory")
        .0
        .client_auth_cert_resolver;
    assert!(!gets_in(&gateway, &mallory));
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn an_optional_certificate_may_be_missing() {
    let ca = Authority::new();
    let origin = Origin::start(replies::text("hello"));
    let gateway = Gateway::start(&https(&asking(&ca, "optional", ""), &plain(&origin)));
    ca.client("alice", 1);
    assert!(gets_in(&gateway, &Wishes::known_as(&ca, "alice")));
    assert!(gets_in(&gateway, &Wishes::of(&ca)));
}

#[test]
fn a_revoked_certificate_is_refused_with_a_ticket_too() {
    let ca = Authority::new();
    let origin = Origin::start(replies::text("hello"));
    ca.revoke(&[2]);
    ca.client("alice", 1);
    ca.client("bob", 2);
    let crl = format!(", crl: {}", ca.path("crl.pem"));
    let yaml = https(&asking(&ca, "required", &crl), &plain(&origin));
    let gateway = Gateway::start(&yaml);
    let alice = Wishes::known_as(&ca, "alice");
    assert!(gets_in(&gateway, &alice));
    assert!(!gets_in(&gateway, &Wishes::known_as(&ca, "bob")));
    ca.revoke(&[1, 2]);
    gateway.reload(&yaml).unwrap();
    assert!(!gets_in(&gateway, &alice), "her ticket does not help");
}

/// Where clients are asked who they are, one connection is one host's.
#[test]
fn a_client_known_to_one_host_is_not_taken_to_another() {
    let ca = Authority::new();
    let origin = Origin::start(replies::text("hello"));
    let gateway = Gateway::start(&https(&asking(&ca, "required", ""), &plain(&origin)));
    ca.client("alice", 1);
    let wishes = Wishes::known_as(&ca, "alice");
    let mut client = TlsClient::connect(gateway.addr(), "a.example", &wishes);
    assert_eq!(client.ask("/", "b.example").status, 421);
    assert_eq!(client.ask("/", "a.example").status, 200);
}

/// CVE-2026-27586: without the CA nobody is checked, so nothing starts.
#[test]
fn a_missing_ca_file_refuses_to_start() {
    let ca = Authority::new();
    let origin = Origin::start(replies::text("hello"));
    let yaml = https(&asking(&ca, "required", ""), &plain(&origin));
    let gone = yaml.replace("ca.pem", "gone.pem");
    let error = Gateway::try_start(&gone, portway_core::Clock::system()).err();
    let error = error.expect("it must not start");
    assert!(
        error.contains("cannot read the CA file") && error.contains("gone.pem"),
        "{error}"
    );
    let gateway = Gateway::start(&yaml);
    assert!(gateway.reload(&gone).is_err());
    eventually("the old one stays", || !gets_in(&gateway, &Wishes::of(&ca)));
}

/// A gateway that lets in who has a certificate and tells the origin what it says.
fn telling(ca: &Authority, origin: &Origin, what: &str) -> Gateway {
    let yaml = https(&asking(ca, "optional", ""), &plain(origin));
    let filters = format!(
        "upstream: pool, filters: [ {{ auth: {{ type: mtls }} }}, \
         {{ headers: {{ request: {{ set: {{ X-Client: \"{what}\" }} }} }} }} ]"
    );
    Gateway::start(&yaml.replace("upstream: pool", &filters))
}

/// What the origin is told of a client.
#[track_caller]
fn told(ca: &Authority, gateway: &Gateway, origin: &Origin, name: &str) -> String {
    let wishes = Wishes::known_as(ca, name);
    let answer = TlsClient::get(gateway.addr(), "a.example", &wishes);
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = origin.last_request().field("x-client").map(str::to_owned);
    told.expect("it is told")
}

#[test]
fn headers_tell_what_the_certificate_really_says() {
    let (ca, origin) = (Authority::new(), Origin::start(replies::text("hello")));
    let what = "{client_cert_uri} {client_cert_fingerprint}";
    let gateway = telling(&ca, &origin, what);
    let uris = ["spiffe://example/ns/alice", "https://other.example/"];
    ca.client_named("alice", "somebody", &uris, 7);
    let der = ca.certificate("alice");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der);
    let octets = digest.as_ref().iter();
    let fingerprint: String = octets.map(|octet| format!("{octet:02x}")).collect();
    let expected = format!("spiffe://example/ns/alice {fingerprint}");
    assert_eq!(told(&ca, &gateway, &origin, "alice"), expected);
}

/// A URI without a scheme, which an issuer may not have looked at, is nobody's name.
#[test]
fn headers_tell_the_uri_that_makes_the_consumer() {
    let (ca, origin) = (Authority::new(), Origin::start(replies::text("hello")));
    let gateway = telling(&ca, &origin, "{consumer} [{client_cert_uri}]");
    ca.client_named("alice", "somebody", &["admin", "spiffe://prod/alice"], 1);
    ca.client_named("bob", "bob", &["admin"], 2);
    let told = |name| told(&ca, &gateway, &origin, name);
    assert_eq!(told("alice"), "spiffe://prod/alice [spiffe://prod/alice]");
    assert_eq!(told("bob"), "bob []");
}

/// An issuer that checks URIs may sign any common name: that makes nobody another's consumer.
#[test]
fn a_common_name_that_reads_as_a_uri_is_nobodys_spiffe_id() {
    let (ca, origin) = (Authority::new(), Origin::start(replies::text("hello")));
    let gateway = telling(&ca, &origin, "{consumer}");
    ca.client("admin", 1);
    ca.client_named("mallory", "spiffe://example/admin", &[], 2);
    ca.client_named("bob", "bob", &[], 3);
    let told = |name| told(&ca, &gateway, &origin, name);
    assert_eq!(told("admin"), "spiffe://example/admin");
    assert_eq!(told("mallory"), "CN=spiffe://example/admin");
    assert_eq!(told("bob"), "bob");
}

#[test]
fn filters_know_who_the_certificate_is_for() {
    let ca = Authority::new();
    let origin = Origin::start(replies::text("hello"));
    let yaml = https(&asking(&ca, "optional", ""), &plain(&origin));
    let filters = "upstream: pool, filters: [ { auth: { type: mtls } }, \
         { headers: { request: { set: { X-Client: \"{consumer} {client_cert_subject}\" } } } } ]";
    let gateway = Gateway::start(&yaml.replace("upstream: pool", filters));
    ca.client("alice", 1);
    let forged = b"GET / HTTP/1.1\r\nHost: a.example\r\nX-Client: root\r\n\r\n";
    let mut alice =
        TlsClient::connect(gateway.addr(), "a.example", &Wishes::known_as(&ca, "alice"));
    alice.send(forged).unwrap();
    assert_eq!(alice.reply().unwrap().status, 200);
    let told = origin.requests()[0].field("x-client").map(str::to_owned);
    assert_eq!(told.as_deref(), Some("spiffe://example/alice CN=alice"));
    let mut nobody = TlsClient::connect(gateway.addr(), "a.example", &Wishes::of(&ca));
    nobody.send(forged).unwrap();
    assert_eq!(nobody.reply().unwrap().status, 401);
    assert_eq!(origin.requests().len(), 1);
}
