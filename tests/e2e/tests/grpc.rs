//! gRPC as the gateway knows it: refusals a client can read, deadlines, retries, health, the record.
//! Calls come over HTTP/1 here, which says nothing of the client's protocol: what a call is, its content
//! type says.

mod by_tonic;
mod real;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use portway_http::grpc;
use portway_testkit::{Folder, Gateway, Origin, RawClient, RawReply, eventually};

use crate::http2::client::{Client, post, read};
use crate::http2_upstream::{gateway_to, yaml};
use crate::support::h2_frames::FrameOrigin;
use crate::support::h2_origin::{H2Call, H2Origin};
use crate::support::with_body;

/// An empty message behind its prefix.
const MESSAGE: &str = "\0\0\0\0\0";

fn call(gateway: &Gateway, path: &str, fields: &[&str]) -> RawReply {
    let mut all = vec!["Content-Type: application/grpc+proto", "Content-Length: 5"];
    all.extend(fields);
    RawClient::ask(gateway.addr(), with_body("POST", path, &all, MESSAGE))
}

/// The gRPC status of a trailers-only reply.
#[track_caller]
fn refused(reply: &RawReply) -> &str {
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.raw));
    assert_eq!(reply.field("content-type"), Some("application/grpc"));
    assert!(reply.field("grpc-message").is_some());
    assert_eq!(reply.body, b"");
    reply.field("grpc-status").expect("a gRPC status")
}

/// Ends the call with this status, in trailers behind a message or in the head.
fn end(call: &mut H2Call, status: &'static str, message: bool) {
    let mut head = Response::new(());
    let fields = head.headers_mut();
    fields.insert("content-type", HeaderValue::from_static("application/grpc"));
    let status = HeaderValue::from_static(status);
    if !message {
        fields.insert("grpc-status", status);
        let _ = call.respond.send_response(head, true);
        return;
    }
    let mut stream = call.respond(head);
    let _ = stream.send_data(Bytes::from_static(MESSAGE.as_bytes()), false);
    let trailers = [(http::HeaderName::from_static("grpc-status"), status)];
    let _ = stream.send_trailers(HeaderMap::from_iter(trailers));
}

#[test]
fn refusals_are_trailers_only() {
    let origin = Origin::start(|_, conn| conn.reply(200, &[], "no"));
    let yaml = format!(
        "server: {{ workers: 1 }}\n\
         listeners: [ {{ name: public, bind: \"127.0.0.1:0\" }} ]\n\
         routes:\n\
         - {{ name: guarded, prefix: /guarded, targets: [ {{ addr: \"{url}\" }} ], filters: [ {{ auth: {{ type: apikey, keys: [ {{ key: secret-key-16-xx, consumer: mobile }} ] }} }} ] }}\n\
         - {{ name: limited, prefix: /limited, targets: [ {{ addr: \"{url}\" }} ], filters: [ {{ rate_limit: {{ qps: 1, burst: 1 }} }} ] }}\n\
         - {{ name: dead, prefix: /dead, targets: [ {{ addr: \"http://127.0.0.1:1\" }} ] }}\n",
        url = origin.url()
    );
    let gateway = Gateway::start(&yaml);
    assert_eq!(refused(&call(&gateway, "/no.Such/Call", &[])), "12");
    assert_eq!(refused(&call(&gateway, "/guarded", &[])), "16");
    assert_eq!(refused(&call(&gateway, "/dead", &[])), "14");
    let _first = call(&gateway, "/limited", &[]);
    assert_eq!(refused(&call(&gateway, "/limited", &[])), "8");
    let web = ["Content-Type: application/grpc-web", "Content-Length: 0"];
    let reply = RawClient::ask(gateway.addr(), with_body("POST", "/x", &web, ""));
    assert_eq!(reply.status, 404, "gRPC-Web is not gRPC");
}

#[test]
fn the_callers_deadline_caps_the_routes_and_what_is_left_is_passed_on() {
    let origin = H2Origin::start(|mut call| async move {
        if call.path() == "/slow" {
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
        end(&mut call, "0", true);
    });
    let gateway = gateway_to(origin.addr, "", "timeouts: { request: 2s }");
    let reply = call(&gateway, "/slow", &["grpc-timeout: 150m"]);
    assert_eq!(refused(&reply), "4");
    for value in ["1S", "5S"] {
        let field = format!("grpc-timeout: {value}");
        assert_eq!(call(&gateway, "/", &[&field]).body.len(), 5);
    }
    let seen = origin.seen();
    let passed = |at: usize| grpc::timeout(&seen.requests[at].headers).expect("a timeout");
    assert!(passed(1) <= Duration::from_secs(1), "{:?}", passed(1));
    let capped = passed(2);
    assert!(capped <= Duration::from_secs(2), "{capped:?}");
    assert!(capped > Duration::from_secs(1), "{capped:?}");
}

#[test]
fn another_try_is_told_what_is_left() {
    let origin = H2Origin::start(|mut call| async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        end(&mut call, "14", false);
    });
    let retry = "filters: [ { retry: { max_retries: 2, retry_on: [unavailable], backoff: { base: 1ms, max: 1ms } } } ]";
    let gateway = gateway_to(origin.addr, "", retry);
    let _ = call(&gateway, "/", &["grpc-timeout: 10S"]);
    let seen = origin.seen();
    let passed: Vec<_> = seen
        .requests
        .iter()
        .map(|head| grpc::timeout(&head.headers).expect("a timeout"))
        .collect();
    assert_eq!(passed.len(), 3);
    assert!(passed[0] > passed[1] && passed[1] > passed[2], "{passed:?}");
}

#[test]
fn a_caller_may_take_longer_for_its_messages_than_for_a_request() {
    let origin = H2Origin::start(|mut call| async move {
        let _ = call.read().await;
        end(&mut call, "0", true);
    });
    let yaml = yaml(origin.addr, "", "").replace("workers: 1", "workers: 1, read_timeout: 200ms");
    let gateway = Gateway::start(&yaml);
    let mut client = Client::connect(gateway.addr());
    for (content_type, status) in [("application/grpc", 200), ("text/plain", 408)] {
        let request = post("/").header("content-type", content_type);
        let (reply, mut out) = client.begin(request, false);
        let reply = client.run(async {
            for _ in 0..4 {
                // The gateway may have given it up.
                let _ = out.send_data(Bytes::from_static(MESSAGE.as_bytes()), false);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let _ = out.send_data(Bytes::new(), true);
            read(reply).await.expect("a reply")
        });
        assert_eq!(reply.status, status, "{content_type}");
    }
}

#[test]
fn a_reply_that_breaks_off_ends_with_a_status() {
    let origin = H2Origin::start(|mut call| async move {
        let mut head = Response::new(());
        let grpc = HeaderValue::from_static("application/grpc");
        head.headers_mut().insert("content-type", grpc);
        let mut stream = call.respond(head);
        let _ = stream.send_data(Bytes::from_static(MESSAGE.as_bytes()), false);
        if call.path() == "/silent" {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        stream.send_reset(h2::Reason::INTERNAL_ERROR);
    });
    let folder = Folder::new();
    let log = folder.path().join("access.log");
    let filters = format!(
        "filters: [ {{ logging: {{ output: \"{}\" }} }} ]",
        log.display()
    );
    let gateway = gateway_to(origin.addr, "", &filters);
    let mut client = Client::connect(gateway.addr());
    let request = |path| {
        let request = post(path).header("content-type", "application/grpc");
        request.header("grpc-timeout", "300m")
    };
    for (path, status) in [("/broken", "14"), ("/silent", "4")] {
        let reply = client.send(request(path), MESSAGE.as_bytes());
        assert_eq!((reply.status, reply.body.len()), (200, 5), "{path}");
        let trailers = reply.trailers.expect("trailers");
        assert_eq!(trailers["grpc-status"], status, "{path}");
        assert!(trailers.contains_key("grpc-message"), "{path}");
    }
    let lines = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("both are logged", || lines().lines().count() == 2);
    let found: Vec<(String, u64)> = lines()
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .map(|record: serde_json::Value| {
            let code = record["code"].as_str().unwrap_or_default().to_owned();
            (code, record["grpc_status"].as_u64().unwrap_or(99))
        })
        .collect();
    let wanted = [
        ("upstream_reset".to_owned(), 14),
        ("upstream_timeout".to_owned(), 4),
    ];
    assert_eq!(found, wanted);
}

#[test]
fn a_silent_target_ends_a_call_with_deadline_exceeded() {
    let origin = FrameOrigin::start(&[], |conn| conn.wait_closed());
    let gateway = gateway_to(origin.addr, "timeouts: { response_header: 200ms }", "");
    assert_eq!(refused(&call(&gateway, "/", &[])), "4");
}

#[test]
fn calls_that_end_with_a_named_status_are_made_again() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    let origin = H2Origin::start(move |mut call| {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            let _ = call.read().await;
            match (number % 3, call.path().as_str()) {
                (2, "/unavailable") => end(&mut call, "0", true),
                (_, "/unavailable") => end(&mut call, "14", false),
                _ => end(&mut call, "13", false),
            }
        }
    });
    let retry = "filters: [ { retry: { max_retries: 2, retry_on: [unavailable], backoff: { base: 1ms, max: 1ms } } } ]";
    let gateway = gateway_to(origin.addr, "", retry);
    let reply = call(&gateway, "/unavailable", &[]);
    assert_eq!(format!("{:?}", reply.trailers), r#"[("grpc-status", "0")]"#);
    assert_eq!(tries.swap(0, Ordering::SeqCst), 3);
    let reply = call(&gateway, "/internal", &[]);
    assert_eq!(reply.field("grpc-status"), Some("13"));
    assert_eq!(tries.load(Ordering::SeqCst), 1);
}

#[test]
fn how_a_call_ended_is_logged_and_counted() {
    let origin = H2Origin::start(|mut call| async move {
        let _ = call.read().await;
        match call.path().as_str() {
            "/trailers" => end(&mut call, "5", true),
            "/head" => end(&mut call, "7", false),
            "/http" => call.reply(503, ""),
            _ => end(&mut call, "99", true),
        }
    });
    let folder = Folder::new();
    let log = folder.path().join("access.log");
    let filters = format!(
        "filters: [ {{ logging: {{ format: json, output: \"{}\" }} }} ]",
        log.display()
    );
    let gateway = gateway_to(origin.addr, "", &filters);
    for path in ["/trailers", "/head", "/http", "/odd"] {
        let _ = call(&gateway, path, &[]);
    }
    RawClient::get(gateway.addr(), "/trailers").expect_status(200);
    let lines = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("all are logged", || lines().lines().count() == 5);
    let found: Vec<Option<u64>> = lines()
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            line.get("grpc_status").and_then(serde_json::Value::as_u64)
        })
        .collect();
    assert_eq!(found, [Some(5), Some(7), Some(14), Some(2), None]);
    let metrics = gateway.metrics();
    for status in ["not-found", "permission-denied", "unavailable", "unknown"] {
        let sample =
            format!("portway_grpc_calls_total{{route=\"all\",grpc_status=\"{status}\"}} 1");
        assert!(metrics.contains(&sample), "{sample}\n{metrics}");
    }
}

#[test]
fn failed_calls_count_against_their_target() {
    let origin = H2Origin::start(|mut call| async move {
        let _ = call.read().await;
        end(&mut call, "14", true);
    });
    let breaker = "circuit_breaker: { failure_threshold: 3, open_for: 1m }";
    let gateway = gateway_to(origin.addr, breaker, "");
    for _ in 0..3 {
        assert_eq!(call(&gateway, "/", &[]).body.len(), 5);
    }
    let reply = call(&gateway, "/", &[]);
    assert_eq!(refused(&reply), "14");
    assert_eq!(origin.seen().requests.len(), 3);
}

#[test]
fn targets_are_asked_by_grpcs_own_health_check() {
    let serving = Arc::new(AtomicUsize::new(1));
    let state = Arc::clone(&serving);
    let origin = H2Origin::start(move |mut call| {
        let state = state.load(Ordering::SeqCst) as u8;
        async move {
            let (body, _) = call.read().await.expect("a whole call");
            if call.path() != "/grpc.health.v1.Health/Check" {
                return end(&mut call, "0", true);
            }
            assert_eq!(body, b"\0\0\0\0\x07\x0a\x05users");
            let mut stream = call.respond(Response::new(()));
            let _ = stream.send_data(Bytes::from(vec![0, 0, 0, 0, 2, 8, state]), false);
            let ok = (
                http::HeaderName::from_static("grpc-status"),
                HeaderValue::from_static("0"),
            );
            let _ = stream.send_trailers(HeaderMap::from_iter([ok]));
        }
    });
    let check = "health_check: { type: grpc, service: users, interval: 20ms, healthy_after: 1, unhealthy_after: 1 }, load_balance: { panic_threshold: 0% }";
    let gateway = Gateway::start(&yaml(origin.addr, check, ""));
    // Checks are the background's, which the gateway under test leaves to the binary.
    let healthy = || call(&gateway, "/", &[]).body.len() == 5;
    assert!(healthy());
    serving.store(2, Ordering::SeqCst);
    eventually("it is left out", || !healthy());
    serving.store(1, Ordering::SeqCst);
    eventually("it is back", healthy);
}

#[test]
fn an_http_check_speaks_what_the_target_speaks() {
    let origin = H2Origin::start(|mut call| async move {
        match call.path().as_str() {
            "/health" => call.reply(500, "ill"),
            _ => call.reply(200, "ok"),
        }
    });
    let check = "health_check: { path: /health, interval: 20ms, unhealthy_after: 1 }, load_balance: { panic_threshold: 0% }";
    let gateway = Gateway::start(&yaml(origin.addr, check, ""));
    eventually("it is left out", || {
        RawClient::get(gateway.addr(), "/").status == 503
    });
    let seen = origin.seen();
    let check = seen.requests.iter().find(|r| r.uri.path() == "/health");
    assert_eq!(check.map(|r| r.version), Some(http::Version::HTTP_2));
}
