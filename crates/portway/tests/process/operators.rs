//! The operators' API over its socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use portway_testkit::ports::reserve;
use portway_testkit::process::Signal;
use portway_testkit::{Folder, Process, RawClient, eventually};

use crate::support::{PORTWAY, Running};

#[test]
fn every_page_answers() {
    let running = Running::start();
    running.says();
    let count = "portway_requests_total{route=\"all\",method=\"GET\",status=\"200\"}";
    eventually("the request is counted", || running.metric(count) == 1);
    let page = |target: &str, part: &str| {
        let reply = running.operators("GET", target, "");
        reply.expect_status(200);
        assert_eq!(reply.field("cache-control"), Some("no-store"));
        let text = reply.text();
        assert!(text.contains(part), "{target}: {text}");
    };
    page("/health", "\"status\": \"ok\"");
    page("/ready", "\"status\": \"ready\"");
    page("/metrics", "portway_config_generation 1");
    page("/config", "\"body\": \"first\"");
    page("/config/status", "\"result\": \"none\"");
    page("/routes", "\"action\": \"respond 200\"");
    page("/upstreams", "\"upstreams\": []");
    page(
        "/explain?host=a.example&path=/x%2520y&method=POST&header=X-A:+1",
        "\"verdict\": \"won\"",
    );
}

#[test]
fn an_unknown_path_names_the_known_ones() {
    let running = Running::start();
    let reply = running.operators("GET", "/nope", "");
    reply.expect_status(404);
    assert_eq!(
        reply.field("content-type"),
        Some("application/problem+json")
    );
    for path in ["/health", "/reload", "/log-level"] {
        assert!(reply.text().contains(path));
    }
    let reply = running.operators("GET", "/reload", "");
    reply.expect_status(405);
    assert_eq!(reply.field("allow"), Some("POST"));
    running
        .operators("GET", "/explain?hots=a", "")
        .expect_status(400);
}

#[test]
fn a_web_page_cannot_call_it() {
    let running = Running::start();
    let addr = running.admin.addr();
    let rebound = RawClient::ask(addr, "GET /config HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    rebound.expect_status(403);
    running
        .operators("POST", "/drain", "Origin: http://evil.example\r\n")
        .expect_status(403);
    running.operators("GET", "/ready", "").expect_status(200);
}

#[test]
fn a_token_is_asked_for_where_one_is_configured() {
    let (folder, gateway, admin) = (Folder::new(), reserve(), reserve());
    let file = folder.write(
        "gateway.yaml",
        format!(
            "server: {{ host: 127.0.0.1, port: {} }}\nadmin: {{ bind: \"{}\", token: hush-hush }}\n\
             routes: [ {{ name: all, prefix: /, respond: {{ status: 204 }} }} ]\n",
            gateway.port(),
            admin.addr()
        ),
    );
    let mut process = Process::start(PORTWAY, &["run", "-c", file.to_str().unwrap()]);
    process.wait_port(admin.addr());
    let ask = |target: &str, more: &str| {
        RawClient::ask(
            admin.addr(),
            format!("GET {target} HTTP/1.1\r\nHost: gateway.internal\r\n{more}\r\n"),
        )
    };
    let reply = ask("/config", "");
    reply.expect_status(401);
    assert!(reply.field("www-authenticate").is_some());
    ask("/config", "Authorization: Bearer wrong\r\n").expect_status(401);
    ask("/health", "").expect_status(200);
    let reply = ask("/config", "Authorization: Bearer hush-hush\r\n");
    reply.expect_status(200);
    assert!(!reply.text().contains("hush-hush"), "{}", reply.text());
}

#[test]
fn a_unix_socket_serves_it() {
    let (folder, gateway) = (Folder::new(), reserve());
    let socket = folder.path().join("admin.sock");
    let file = folder.write(
        "gateway.yaml",
        format!(
            "server: {{ host: 127.0.0.1, port: {} }}\nadmin: {{ bind: \"{}\" }}\n\
             routes: [ {{ name: all, prefix: /, respond: {{ status: 204 }} }} ]\n",
            gateway.port(),
            socket.display()
        ),
    );
    let mut process = Process::start(PORTWAY, &["run", "-c", file.to_str().unwrap()]);
    process.wait_output("operators' API on");
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream
        .write_all(b"GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 OK"), "{reply}");
}

#[test]
fn a_reload_can_be_asked_for() {
    let running = Running::start();
    running
        .operators("POST", "/reload", "Content-Length: 0\r\n")
        .expect_status(200);
    std::fs::write(running.file(), "routes: nonsense\n").unwrap();
    let reply = running.operators("POST", "/reload", "Content-Length: 0\r\n");
    reply.expect_status(422);
    assert!(
        reply.text().contains("config_refused") && reply.text().contains("\"line\": 1"),
        "{}",
        reply.text()
    );
    assert_eq!(running.says(), "first");
}

#[test]
fn the_log_level_can_be_changed() {
    let mut running = Running::start();
    let put = |body: &str| {
        let length = body.len();
        let addr = running.admin.addr();
        RawClient::ask(
            addr,
            format!(
                "PUT /log-level HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
            ),
        )
    };
    put("{\"level\": \"loud\"}").expect_status(400);
    put(&"x".repeat(100_000)).expect_status(413);
    let reply = put("{\"level\": \"debug\"}");
    reply.expect_status(200);
    assert!(reply.text().contains("\"before\": \"info\""));
    std::fs::write(running.file(), running.config("first")).unwrap();
    running.process.wait_output("DEBUG");
}

/// Standard error is a pipe whose reader has stopped, as a log collector may.
#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let (folder, gateway, admin) = (Folder::new(), reserve(), reserve());
    let idle: String = (0..300)
        .map(|n| format!("  - {{ name: idle-{n}, targets: [ {{ addr: \"127.0.0.1:1\" }} ] }}\n"))
        .collect();
    let file = folder.write(
        "gateway.yaml",
        format!(
            "server: {{ host: 127.0.0.1, port: {} }}\nadmin: {{ bind: \"{}\" }}\n\
             upstreams:\n  - {{ name: used, targets: [ {{ addr: \"127.0.0.1:1\" }} ] }}\n{idle}\
             routes:\n  - {{ name: used, prefix: /used, upstream: used }}\n  \
             - {{ name: all, prefix: /, respond: {{ body: hello }} }}\n",
            gateway.port(),
            admin.addr(),
        ),
    );
    let log = folder.path().join("log");
    // Open both ways, a pipe has a reader from the start: one that never reads.
    let script = "mkfifo \"$2\"; exec \"$0\" run -c \"$1\" 2<> \"$2\"";
    let (file, log) = (file.to_str().unwrap(), log.to_str().unwrap());
    let mut process = Process::start("sh", &["-c", script, PORTWAY, file, log]);
    process.wait_port(gateway.addr());
    process.wait_port(admin.addr());
    let addr = admin.addr();
    let reload = || {
        let request = format!("POST /reload HTTP/1.1\r\nHost: {addr}\r\n\r\n");
        RawClient::ask(addr, request).expect_status(200);
    };
    (0..20).for_each(|_| reload());
    for _ in 0..10 {
        assert_eq!(RawClient::get(gateway.addr(), "/").text(), "hello");
    }
    let mut pipe = BufReader::new(std::fs::File::open(log).unwrap());
    let mut line = String::new();
    while !line.contains("messages are missing here") {
        reload();
        for _ in 0..300 {
            line.clear();
            pipe.read_line(&mut line).unwrap();
            if line.contains("missing") {
                break;
            }
        }
    }
    process.signal(Signal::TERM);
    assert_eq!(process.wait(Duration::from_secs(5)).code(), Some(0));
}
