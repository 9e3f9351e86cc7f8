//! HTTP/2 on the client's side: the same exchanges as over HTTP/1, many at once on one connection.

mod bodies;
pub mod client;
mod conformance;
mod ends;
mod heads;

use std::process::Command;
use std::time::Duration;

use portway_testkit::{Folder, Origin, RawClient, eventually, replies};
use serde_json::Value;

use crate::support::{Setup, before, code};
use client::{Client, get, post};

#[test]
fn a_request_reaches_an_http1_target_and_its_reply_comes_back() {
    let origin = Origin::start(|_, conn| conn.reply(201, &["X-Of: origin"], "made"));
    let gateway = Setup::to(&origin).global("request_id: {}").start();
    let reply = Client::ask(gateway.addr(), get("/a?b=c"));
    assert_eq!(reply.status, 201);
    assert_eq!(reply.text(), "made");
    assert_eq!(reply.headers["x-of"], "origin");
    assert_eq!(reply.headers["content-length"], "4");
    assert!(reply.headers.contains_key("date"));
    let seen = origin.last_request();
    assert_eq!((seen.target(), seen.version()), ("/a?b=c", "HTTP/1.1"));
    assert_eq!(seen.field("host"), Some("test.example"));
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    let id = reply.headers["x-request-id"].to_str().unwrap();
    assert_eq!(seen.field("x-request-id"), Some(id));
}

#[test]
fn the_log_and_the_metrics_tell_of_it() {
    let folder = Folder::new();
    let path = folder.path().join("access.log");
    let origin = Origin::start(replies::echo());
    let gateway = Setup::to(&origin)
        .global(&format!("logging: {{ output: \"{}\" }}", path.display()))
        .start();
    let mut client = Client::connect(gateway.addr());
    let open = "active_connections{listener=\"public\"} 1";
    eventually("it is open", || gateway.metrics().contains(open));
    let reply = client.send(post("/log"), b"12345");
    assert_eq!(reply.status, 200);
    eventually("the log is written", || {
        std::fs::read_to_string(&path)
            .unwrap_or_default()
            .lines()
            .count()
            == 1
    });
    let line = std::fs::read_to_string(&path).unwrap();
    let record: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(record["protocol"], "HTTP/2");
    assert_eq!(record["method"], "POST");
    assert_eq!(record["bytes_in"], 5);
    assert_eq!(record["bytes_out"], reply.body.len());
    assert_eq!(record["host"], "test.example");
    let counted = "requests_total{route=\"all\",method=\"POST\",status=\"200\"} 1";
    assert!(gateway.metrics().contains(counted));
}

#[test]
fn head_and_statuses_without_a_body_end_with_their_head() {
    let origin = Origin::start(|request, conn| match request.target() {
        "/204" => conn.send("HTTP/1.1 204 No Content\r\n\r\n"),
        "/304" => conn.send("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"),
        _ => conn.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
    });
    let gateway = before(&origin);
    let mut client = Client::connect(gateway.addr());
    let head = client.send(http::Request::head("http://test.example/"), b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.headers["content-length"], "1000");
    assert_eq!(client.send(get("/204"), b"").status, 204);
    let not_modified = client.send(get("/304"), b"");
    assert_eq!((not_modified.status, not_modified.body.len()), (304, 0));
    assert_eq!(not_modified.headers["content-length"], "7");
}

#[test]
fn the_gateways_own_replies_are_problems_here_too() {
    let gateway = portway_testkit::Gateway::start(
        "server: { host: 127.0.0.1, port: 0, workers: 1 }\n\
         routes: [{ name: ping, path: /ping, respond: { status: 200, body: pong } }]\n",
    );
    let mut client = Client::connect(gateway.addr());
    assert_eq!(client.send(get("/ping"), b"").text(), "pong");
    let missing = client.send(get("/nowhere"), b"");
    assert_eq!(missing.status, 404);
    assert_eq!(missing.headers["content-type"], "application/problem+json");
    assert!(missing.text().contains("\"code\":\"no_route\""));
    assert!(missing.headers.contains_key("proxy-status"));
}

#[test]
fn http1_and_http2_share_a_listener_unless_it_names_one() {
    let origin = Origin::start(replies::text("x"));
    let both = before(&origin);
    assert_eq!(RawClient::get(both.addr(), "/").text(), "x");
    assert_eq!(Client::ask(both.addr(), get("/")).text(), "x");

    let h1 = Setup::to(&origin)
        .listener("http: { versions: [h1] }")
        .start();
    let mut client = RawClient::connect(h1.addr());
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    let reply = client.reply();
    assert_eq!((reply.status, &*code(&reply)), (505, "unsupported_version"));

    let h2 = Setup::to(&origin)
        .listener("http: { versions: [h2] }")
        .start();
    assert_eq!(Client::ask(h2.addr(), get("/")).text(), "x");
    let reply = RawClient::get(h2.addr(), "/");
    assert_eq!((reply.status, &*code(&reply)), (505, "unsupported_version"));
}

#[test]
fn a_preface_in_pieces_is_still_one() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    for piece in ["PRI * HT", "TP/2.0\r\n\r"] {
        client.send(piece);
        client.expect_silence(Duration::from_millis(10));
    }
    client.send("\nSM");
    std::thread::sleep(Duration::from_millis(10));
    client.send("\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    assert!(client.wire().stirs(Duration::from_secs(5)).unwrap());
}

#[test]
fn upgrade_to_h2c_is_not_taken_up() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n\
                   Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    let reply = RawClient::ask(gateway.addr(), request);
    assert_eq!((reply.status, reply.text().as_str()), (200, "x"));
    let seen = origin.last_request();
    assert_eq!(seen.field("upgrade"), None);
    assert_eq!(seen.field("http2-settings"), None);
}

/// Runs curl; none where it is not there or speaks no HTTP/2.
fn curl(arguments: &[&str]) -> Option<String> {
    let version = Command::new("curl").arg("--version").output().ok()?;
    if !String::from_utf8_lossy(&version.stdout).contains("HTTP2") {
        return None;
    }
    let output = Command::new("curl")
        .args(["-s", "-S", "--max-time", "10", "--http2-prior-knowledge"])
        .args(arguments)
        .output()
        .ok()?;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn curl_gets_posts_and_asks_for_heads() {
    let origin = Origin::start(replies::echo());
    let gateway = before(&origin);
    let url = format!("http://{}/curl", gateway.addr());
    let Some(version) = curl(&[
        &url,
        "-o",
        "/dev/null",
        "-w",
        "%{http_version} %{http_code}",
    ]) else {
        eprintln!("no curl with HTTP/2 here");
        return;
    };
    assert_eq!(version, "2 200");
    let posted = curl(&[&url, "-d", "a=1", "-H", "Expect: 100-continue"]).unwrap();
    assert!(posted.contains("a=1"), "{posted}");
    let head = curl(&[&url, "-I"]).unwrap();
    assert!(head.starts_with("HTTP/2 200"), "{head}");
}
