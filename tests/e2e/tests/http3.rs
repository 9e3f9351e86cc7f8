//! HTTP/3 on the clients' side: the same exchanges as over HTTP/1 and HTTP/2.

mod bodies;
mod browser;
mod budgets;
pub mod client;
mod distance;
mod ends;
mod foreign;
mod frames;
mod handshakes;
mod heads;
mod hostile;
mod sockets;
mod to_http2;

use portway_testkit::{Folder, Gateway, Origin, eventually, replies};
use serde_json::Value;

use crate::support::Setup;
use crate::tls::Authority;
use crate::tls::client::{TlsClient, Wishes};
use client::{Client, get, post};

/// A setup whose listener speaks all versions, for `a.example`.
fn setup(origin: &Origin, ca: &Authority) -> Setup {
    setup_with(origin, ca, "")
}

/// The same with more keys of `http`.
fn setup_with(origin: &Origin, ca: &Authority, http: &str) -> Setup {
    let certificate = ca.issue("a", &["a.example"]);
    Setup::to(origin)
        .listener("protocol: https")
        .listener(&format!("http: {{ versions: [h1, h2, h3]{http} }}"))
        .listener(&format!("tls: {{ certificates: [ {certificate} ] }}"))
}

/// A gateway in front of the origin, and who issued its certificate.
fn before(origin: &Origin) -> (Gateway, Authority) {
    let ca = Authority::new();
    let gateway = setup(origin, &ca).start();
    (gateway, ca)
}

#[test]
fn a_request_reaches_an_http1_target_and_its_reply_comes_back() {
    let origin = Origin::start(|_, conn| conn.reply(201, &["X-Of: origin"], "made"));
    let ca = Authority::new();
    let gateway = setup(&origin, &ca).global("request_id: {}").start();
    let reply = Client::ask(gateway.addr(), &ca, get("/a?b=c"));
    assert_eq!(reply.status, 201);
    assert_eq!(reply.text(), "made");
    assert_eq!(reply.headers["x-of"], "origin");
    assert_eq!(reply.headers["content-length"], "4");
    assert!(reply.headers.contains_key("date"));
    let seen = origin.last_request();
    assert_eq!((seen.target(), seen.version()), ("/a?b=c", "HTTP/1.1"));
    assert_eq!(seen.field("host"), Some("a.example"));
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.field("transfer-encoding"), None, "a GET has no body");
    let id = reply.headers["x-request-id"].to_str().unwrap();
    assert_eq!(seen.field("x-request-id"), Some(id));
}

#[test]
fn the_log_and_the_metrics_tell_of_it() {
    let folder = Folder::new();
    let path = folder.path().join("access.log");
    let origin = Origin::start(replies::echo());
    let ca = Authority::new();
    let gateway = setup(&origin, &ca)
        .global(&format!("logging: {{ output: \"{}\" }}", path.display()))
        .start();
    let mut client = Client::connect(gateway.addr(), &ca);
    let open = "active_connections{listener=\"public\"} 1";
    eventually("it is open", || gateway.metrics().contains(open));
    let reply = client.send(post("/log"), b"12345");
    assert_eq!(reply.status, 200);
    let read = || std::fs::read_to_string(&path).unwrap_or_default();
    eventually("the log is written", || read().lines().count() == 1);
    let record: Value = serde_json::from_str(&read()).unwrap();
    assert_eq!(record["protocol"], "HTTP/3");
    assert_eq!(record["method"], "POST");
    assert_eq!(record["bytes_in"], 5);
    assert_eq!(record["bytes_out"], reply.body.len());
    assert_eq!(record["host"], "a.example");
    let metrics = gateway.metrics();
    for counted in [
        "requests_total{route=\"all\",method=\"POST\",status=\"200\"} 1",
        "tls_handshakes_total{listener=\"public\",version=\"TLSv1.3\",cipher=\"unknown\",handshake=\"unknown\"} 1",
    ] {
        assert!(metrics.contains(counted), "{counted} in {metrics}");
    }
    client.quic.leave();
    gateway.wait_connections(0);
}

#[test]
fn head_and_statuses_without_a_body_end_with_their_head() {
    let origin = Origin::start(|request, conn| match request.target() {
        "/204" => conn.send("HTTP/1.1 204 No Content\r\n\r\n"),
        "/304" => conn.send("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"),
        _ => conn.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
    });
    let (gateway, ca) = before(&origin);
    let mut client = Client::connect(gateway.addr(), &ca);
    let head = client.send(http::Request::head("https://a.example/"), b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.headers["content-length"], "1000");
    assert_eq!(client.send(get("/204"), b"").status, 204);
    let not_modified = client.send(get("/304"), b"");
    assert_eq!((not_modified.status, not_modified.body.len()), (304, 0));
    assert_eq!(not_modified.headers["content-length"], "7");
}

#[test]
fn an_empty_body_says_that_it_is_empty() {
    let origin = Origin::start(|_, conn| conn.reply(200, &[], ""));
    let (gateway, ca) = before(&origin);
    let reply = Client::ask(gateway.addr(), &ca, get("/"));
    assert_eq!(reply.headers["content-length"], "0");
}

#[test]
fn filters_and_the_gateways_own_replies_are_the_same_here() {
    let origin = Origin::start(replies::text("x"));
    let ca = Authority::new();
    let gateway = setup(&origin, &ca)
        .route("methods: [GET]")
        .filter("rate_limit: { qps: 0.001, burst: 1, key: client_ip }")
        .start();
    let mut client = Client::connect(gateway.addr(), &ca);
    assert_eq!(client.send(get("/"), b"").text(), "x");
    let limited = client.send(get("/"), b"");
    assert_eq!((limited.status, &*limited.code()), (429, "rate_limited"));
    assert_eq!(limited.headers["content-type"], "application/problem+json");
    assert!(limited.headers.contains_key("retry-after"));
    let refused = client.send(post("/"), b"");
    assert_eq!(
        (refused.status, &*refused.code()),
        (405, "method_not_allowed")
    );
    assert!(refused.headers.contains_key("proxy-status"));
}

#[test]
fn clients_over_tcp_are_told_of_it() {
    let own = "Alt-Svc: h3=\":9999\"";
    let origin = Origin::start(move |_, conn| conn.reply(200, &[own], "x"));
    let (gateway, ca) = before(&origin);
    let wanted = format!("h3=\":{}\"; ma=86400", gateway.addr().port());
    let over = |gateway: &Gateway, alpn| told(gateway, &ca, alpn);
    assert_eq!(over(&gateway, "http/1.1"), wanted);
    assert_eq!(over(&gateway, "h2"), wanted);
    let reply = Client::ask(gateway.addr(), &ca, get("/"));
    assert_eq!(
        reply.headers["alt-svc"], "h3=\":9999\"",
        "here it is the origin's"
    );

    let mut rude = TlsClient::connect(gateway.addr(), "a.example", &Wishes::of(&ca));
    rude.send(b"GET / HTTP/1.1\r\nHost : a.example\r\n\r\n")
        .unwrap();
    let refused = rude.reply().unwrap();
    assert_eq!(refused.status, 400);
    assert!(refused.head.contains("alt-svc: h3="), "{}", refused.head);

    let outside = setup_with(&origin, &ca, ", h3_port: 443").start();
    assert_eq!(over(&outside, "h2"), "h3=\":443\"; ma=86400");
    let yaml = setup(&origin, &ca).yaml().replace("h2, h3", "h2");
    let without = Gateway::start(&yaml);
    assert_eq!(over(&without, "http/1.1"), "h3=\":9999\"");
}

/// What `Alt-Svc` says over TCP.
fn told(gateway: &Gateway, ca: &Authority, alpn: &str) -> String {
    if alpn == "http/1.1" {
        let answer = TlsClient::get(gateway.addr(), "a.example", &Wishes::of(ca));
        let line = answer
            .head
            .lines()
            .find_map(|l| l.strip_prefix("alt-svc: "));
        return line.unwrap_or_default().to_owned();
    }
    let mut wishes = Wishes::of(ca);
    wishes.0.alpn_protocols = vec![b"h2".to_vec()];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let tcp = tokio::net::TcpStream::connect(gateway.addr())
            .await
            .unwrap();
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(wishes.0));
        let name = rustls::pki_types::ServerName::try_from("a.example").unwrap();
        let stream = connector.connect(name, tcp).await.unwrap();
        let (mut requests, connection) = h2::client::handshake(stream).await.unwrap();
        let asking = async move {
            let request = get("/").body(()).unwrap();
            let (reply, _) = requests.send_request(request, true).unwrap();
            let reply = reply.await.unwrap();
            reply.headers()["alt-svc"].to_str().unwrap().to_owned()
        };
        tokio::select! {
            told = asking => told,
            ended = connection => panic!("{ended:?}"),
        }
    })
}
