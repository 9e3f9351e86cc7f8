//! Clients' side: certificates, versions, resumption, hosts.

use portway_testkit::{Folder, Gateway, Origin, RawClient, eventually, raw::get, replies};
use rustls::ProtocolVersion;

use super::client::{Wishes, field};
use super::{Authority, TlsClient, expect_logged, https, identified, plain};

fn two_hosts(ca: &Authority) -> String {
    let a = ca.issue("a", &["a.example", "*.a.example"]);
    let b = ca.issue("b", &["b.example"]);
    format!("certificates: [ {a}, {b} ]")
}

#[test]
fn a_request_over_tls_reaches_the_origin_as_https() {
    let (ca, origin) = (Authority::new(), Origin::start(replies::text("hello")));
    let gateway = Gateway::start(&https(&two_hosts(&ca), &plain(&origin)));
    let mut client = TlsClient::connect(gateway.addr(), "a.example", &Wishes::of(&ca));
    for _ in 0..3 {
        let answer = client.ask("/x", "a.example");
        assert_eq!((answer.status, &*answer.body), (200, "hello"), "{answer:?}");
    }
    assert_eq!(client.version(), ProtocolVersion::TLSv1_3);
    assert_eq!(client.group(), "X25519MLKEM768");
    assert_eq!(client.alpn(), Some(&b"http/1.1"[..]));
    let seen = &origin.requests()[0];
    assert_eq!(seen.field("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.field("host"), Some("a.example"));
}

#[test]
fn the_server_name_picks_the_certificate_and_the_first_is_the_default() {
    let (ca, origin) = (Authority::new(), Origin::start(replies::text("hello")));
    let gateway = Gateway::start(&https(&two_hosts(&ca), &plain(&origin)));
    let wishes = Wishes::of(&ca);
    let of = |host| TlsClient::try_connect(gateway.addr(), host, &wishes);
    let certificate = |host| of(host).unwrap().certificate();
    assert_eq!(certificate("a.example"), certificate("x.a.example"));
    assert_ne!(certificate("a.example"), certificate("b.example"));
    let error = of("c.example")
        .err()
        .expect("the default is not for this name");
    assert!(error.to_string().contains("not valid for name"), "{error}");
}

#[test]
fn tls_1_2_is_spoken_unless_it_is_switched_off() {
    let (ca, origin) = (Authority::new(), Origin::start(replies::text("hello")));
    let old = Wishes::with(&ca, None, &[&rustls::version::TLS12]);
    let tls = two_hosts(&ca);
    let gateway = Gateway::start(&https(&tls, &plain(&origin)));
    let mut client = TlsClient::connect(gateway.addr(), "a.example", &old);
    assert_eq!(client.ask("/", "a.example").status, 200);
    assert_eq!(client.version(), ProtocolVersion::TLSv1_2);
    let newer = https(&format!("{tls}, min_version: 1.3"), &plain(&origin));
    gateway.reload(&newer).unwrap();
    assert!(TlsClient::try_connect(gateway.addr(), "a.example", &old).is_err());
    assert_eq!(
        TlsClient::get(gateway.addr(), "a.example", &Wishes::of(&ca)).status,
        200
    );
}

#[test]
fn a_session_is_resumed_for_its_own_host_only() {
    let (ca, origin) = (Authority::new(), Origin::start(replies::text("hello")));
    let gateway = Gateway::start(&https(&two_hosts(&ca), &plain(&origin)));
    for versions in [&[&rustls::version::TLS13], &[&rustls::version::TLS12]] {
        let wishes = Wishes::with(&ca, None, versions);
        let resumed = |host| {
            let mut client = TlsClient::connect(gateway.addr(), host, &wishes);
            assert_eq!(client.ask("/", host).status, 200);
            client.is_resumed()
        };
        assert!(!resumed("a.example"));
        assert!(resumed("a.example"), "with its ticket");
        assert!(
            !resumed("x.a.example"),
            "the same certificate, another host"
        );
    }
}

#[test]
fn a_request_for_a_host_that_the_handshake_was_not_for_is_misdirected() {
    let (ca, origin) = (Authority::new(), Origin::start(replies::text("hello")));
    let gateway = Gateway::start(&https(&two_hosts(&ca), &plain(&origin)));
    let mut client = TlsClient::connect(gateway.addr(), "a.example", &Wishes::of(&ca));
    assert_eq!(
        client.ask("/", "x.a.example:8443").status,
        200,
        "the certificate is for both"
    );
    let answer = client.ask("/", "b.example");
    assert_eq!(answer.status, 421);
    assert!(
        answer.body.contains("\"misdirected_request\""),
        "{}",
        answer.body
    );
    assert_eq!(
        client.ask("/", "a.example").status,
        200,
        "the connection goes on"
    );
}

/// It is answered before there is a route, and yet by what every reply of the gateway passes.
#[test]
fn a_misdirected_request_has_an_id_and_passes_the_global_response_filters() {
    let (ca, origin) = (Authority::new(), Origin::start(replies::text("hello")));
    let log = Folder::new();
    let yaml = https(&two_hosts(&ca), &plain(&origin)) + &identified(&log);
    let gateway = Gateway::start(&yaml);
    let mut client = TlsClient::connect(gateway.addr(), "a.example", &Wishes::of(&ca));
    let answer = client.ask("/", "b.example");
    assert_eq!(answer.status, 421);
    let id = field(&answer.head, "x-request-id").expect("an id");
    assert!(answer.body.contains(id), "{}", answer.body);
    assert_eq!(
        field(&answer.head, "x-content-type-options"),
        Some("nosniff")
    );
    expect_logged(&log, 421, id);
}

#[test]
fn plain_http_to_a_tls_port_is_told_so() {
    let (ca, origin) = (Authority::new(), Origin::start(replies::text("hello")));
    let gateway = Gateway::start(&https(&two_hosts(&ca), &plain(&origin)));
    let reply = RawClient::ask(gateway.addr(), get("/"));
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("https"), "{}", reply.text());
    assert!(origin.requests().is_empty());
}

#[test]
fn large_bodies_pass_both_ways() {
    let ca = Authority::new();
    let origin = Origin::start(replies::text(&"x".repeat(3 * 1024 * 1024)));
    let gateway = Gateway::start(&https(&two_hosts(&ca), &plain(&origin)));
    let mut client = TlsClient::connect(gateway.addr(), "a.example", &Wishes::of(&ca));
    let body = "y".repeat(2 * 1024 * 1024);
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.send(head.as_bytes()).unwrap();
    client.send(body.as_bytes()).unwrap();
    let answer = client.reply().unwrap();
    assert_eq!(answer.body.len(), 3 * 1024 * 1024);
    assert_eq!(origin.requests()[0].body.len(), body.len());
}

#[test]
fn a_connection_ends_with_close_notify() {
    let (ca, origin) = (Authority::new(), Origin::start(replies::text("hello")));
    let gateway = Gateway::start(&https(&two_hosts(&ca), &plain(&origin)));
    let mut client = TlsClient::connect(gateway.addr(), "a.example", &Wishes::of(&ca));
    client
        .send(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
        .unwrap();
    let answer = client.reply().unwrap();
    assert_eq!(field(&answer.head, "connection"), Some("close"));
    assert!(client.ends_clean());
}

#[test]
fn a_client_that_never_shakes_hands_is_let_go() {
    let (ca, origin) = (Authority::new(), Origin::start(replies::text("hello")));
    let yaml = https(&two_hosts(&ca), &plain(&origin));
    let (gateway, hand) = Gateway::with_manual_clock(&yaml);
    let mut silent = RawClient::connect(gateway.addr());
    gateway.wait_connections(1);
    eventually("the connection is closed", || {
        hand.advance(std::time::Duration::from_secs(1));
        gateway.open_connections() == 0
    });
    silent.expect_closed();
}

/// Hundreds of clients greet at once and never go on: what is open is served all the same.
#[test]
fn a_flood_of_handshakes_does_not_stall_plain_traffic() {
    let (ca, origin) = (Authority::new(), Origin::start(replies::text("hello")));
    let yaml = https(&two_hosts(&ca), &plain(&origin));
    let second = "listeners: [ { name: open, bind: \"127.0.0.1:0\" }, {";
    let gateway = Gateway::start(&yaml.replace("listeners: [ {", second));
    let (open, secure) = (gateway.addr_of("open"), gateway.addr_of("public"));
    let greeting = super::client::greeting(&Wishes::of(&ca), "a.example");
    let mut client = RawClient::connect(open);
    client.send(get("/"));
    assert_eq!(client.reply().status, 200);
    let mut flood = Vec::new();
    for round in 0..10 {
        for _ in 0..30 {
            let mut stream = std::net::TcpStream::connect(secure).unwrap();
            std::io::Write::write_all(&mut stream, &greeting).unwrap();
            flood.push(stream);
        }
        client.send(get("/"));
        assert_eq!(client.reply().status, 200, "round {round}");
    }
    assert_eq!(
        TlsClient::get(secure, "a.example", &Wishes::of(&ca)).status,
        200
    );
}

/// Labels are of closed lists: a client chooses between them, and adds none.
#[test]
fn handshakes_are_counted_by_version_cipher_and_reason() {
    let (ca, origin) = (Authority::new(), Origin::start(replies::text("hello")));
    let gateway = Gateway::start(&https(&two_hosts(&ca), &plain(&origin)));
    let wishes = Wishes::of(&ca);
    let old = Wishes::with(&ca, None, &[&rustls::version::TLS12]);
    for wishes in [&wishes, &wishes, &old] {
        TlsClient::get(gateway.addr(), "a.example", wishes);
    }
    assert_eq!(RawClient::ask(gateway.addr(), get("/")).status, 400);
    let stranger =
        TlsClient::try_connect(gateway.addr(), "a.example", &Wishes::of(&Authority::new()));
    assert!(stranger.is_err());
    let failed = |why| {
        format!("portway_tls_handshake_failures_total{{listener=\"public\",reason=\"{why}\"}} 1\n")
    };
    eventually("the refusal is counted", || {
        gateway.metrics().contains(&failed("peer_refused"))
    });
    let metrics = gateway.metrics();
    assert!(metrics.contains(&failed("not_tls")), "{metrics}");
    let done = |version, handshake| {
        let series = format!(
            "portway_tls_handshakes_total{{listener=\"public\",version=\"{version}\",cipher=\"aes"
        );
        let mut lines = metrics.lines().filter(|line| line.starts_with(&series));
        lines.any(|line| line.ends_with(&format!("handshake=\"{handshake}\"}} 1")))
    };
    for (version, handshake) in [
        ("TLSv1.3", "full"),
        ("TLSv1.3", "resumed"),
        ("TLSv1.2", "full"),
    ] {
        assert!(done(version, handshake), "{version} {handshake}: {metrics}");
    }
}
