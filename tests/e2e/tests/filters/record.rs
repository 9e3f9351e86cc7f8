//! `logging` and `metrics`: what is left of an exchange when it is over.

use std::time::Duration;

use portway_testkit::{Folder, RawClient, eventually, replies};
use serde_json::Value;

use super::origin;
use crate::resilience::metric;
use crate::support::{Setup, get_with, with_body};

fn lines(folder: &Folder, count: usize) -> Vec<String> {
    let read = || std::fs::read_to_string(folder.path().join("access.log")).unwrap_or_default();
    eventually("the log is written", || read().lines().count() >= count);
    read().lines().map(str::to_owned).collect()
}

fn logging(folder: &Folder, more: &str) -> String {
    let path = folder.path().join("access.log");
    format!("logging: {{ output: \"{}\"{more} }}", path.display())
}

#[test]
fn a_json_record_has_every_field() {
    let folder = Folder::new();
    let origin = origin();
    let gateway = Setup::to(&origin)
        .global(&logging(&folder, ""))
        .global("request_id: {}")
        .start();
    let request = with_body(
        "POST",
        "/a%22b?secret=1",
        &["Content-Length: 4", "User-Agent: \"quoted\"\ttab"],
        "body",
    );
    let reply = RawClient::ask(gateway.addr(), request);
    let record: Value = serde_json::from_str(&lines(&folder, 1)[0]).expect("JSON");
    let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
    assert_eq!(text("method"), "POST");
    assert_eq!(text("host"), "test.example");
    assert!(text("path").starts_with("/a"), "{record}");
    assert!(!record.to_string().contains("secret"), "no query: {record}");
    assert_eq!(text("protocol"), "HTTP/1.1");
    assert_eq!(record["status_code"], 200);
    assert_eq!(text("client_ip"), "127.0.0.1");
    assert_eq!(
        (text("route"), text("upstream")),
        ("all".into(), "origin".into())
    );
    assert_eq!(text("target"), origin.addr().to_string());
    assert_eq!(Some(&*text("request_id")), reply.field("x-request-id"));
    assert_eq!(record["bytes_in"], 4);
    assert_eq!(record["bytes_out"], reply.body.len());
    assert_eq!(text("user_agent"), "\"quoted\"\ttab");
    assert_eq!(record["retries"], 0);
    for number in ["duration_ms", "upstream_ms"] {
        assert!(
            record[number].as_f64().is_some_and(|ms| ms >= 0.0),
            "{number}: {record}"
        );
    }
    let stamp = text("timestamp");
    assert!(stamp.len() >= 20 && stamp.ends_with('Z'), "{stamp}");
}

/// What could not be read has no method, and nothing of the request before it.
#[test]
fn a_head_that_cannot_be_read_is_logged_as_such() {
    let folder = Folder::new();
    let origin = origin();
    let gateway = Setup::to(&origin)
        .global(&logging(&folder, ""))
        .global("request_id: {}")
        .start();
    let mut client = RawClient::connect(gateway.addr());
    client.send(with_body("POST", "/", &["Content-Length: 4"], "body"));
    client.reply().expect_status(200);
    let refused = client.send("G@T / HTTP/1.1\r\nHost: a\r\n\r\n").reply();
    let wrong = "POST / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n";
    RawClient::ask(gateway.addr(), wrong).expect_status(400);
    let records: Vec<Value> = lines(&folder, 3)
        .iter()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let id = refused.expect_status(400).field("x-request-id");
    assert!(id.is_some_and(|id| id.len() == 36), "{id:?}");
    assert!(refused.text().contains(id.unwrap_or_default()));
    assert_eq!(records[1]["request_id"].as_str(), id);
    assert_eq!(records[1]["method"], "-");
    assert_eq!(
        (&records[0]["bytes_in"], &records[1]["bytes_in"]),
        (&4.into(), &0.into())
    );
    assert_eq!(
        (&records[2]["method"], &records[2]["protocol"]),
        (&"POST".into(), &"HTTP/1.0".into())
    );
    eventually("it is counted as no known method", || {
        let line = "portway_requests_total{route=\"-\",method=\"OTHER\",status=\"400\"}";
        metric(&gateway, line) == 1.0
    });
}

/// A breaker or a limit that refuses must not make the upstream look fast.
#[test]
fn an_exchange_that_went_nowhere_took_no_upstream_time() {
    let folder = Folder::new();
    let origin = origin();
    origin.set_handler(replies::status(500));
    let gateway = Setup::to(&origin)
        .global(&logging(&folder, ""))
        .upstream("circuit_breaker: { failure_threshold: 1, open_for: 1h }")
        .start();
    for status in [500, 503, 503] {
        RawClient::get(gateway.addr(), "/").expect_status(status);
    }
    let times: Vec<bool> = lines(&folder, 3)
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .map(|record| record["upstream_ms"].is_number())
        .collect();
    assert_eq!(times, [true, false, false]);
    eventually("one is counted", || {
        metric(
            &gateway,
            "portway_upstream_duration_seconds_count{upstream=\"origin\"}",
        ) == 1.0
    });
}

#[test]
fn a_refusal_is_logged_with_its_reason() {
    let folder = Folder::new();
    let origin = origin();
    let gateway = Setup::to(&origin)
        .route("methods: [GET]")
        .global(&logging(&folder, ""))
        .filter("auth: { type: apikey, keys: [ { key: k1, consumer: mobile } ] }")
        .start();
    RawClient::get(gateway.addr(), "/").expect_status(401);
    RawClient::ask(gateway.addr(), with_body("DELETE", "/", &[], "")).expect_status(405);
    let codes: Vec<Value> = lines(&folder, 2)
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["code"].clone())
        .collect();
    assert_eq!(codes, ["unauthorized", "method_not_allowed"]);
}

#[test]
fn a_template_and_text_write_their_lines() {
    let origin = origin();
    let folder = Folder::new();
    let template = ", template: \"$${method} $${path} -> $${status_code}\"";
    let gateway = Setup::to(&origin)
        .global(&logging(&folder, template))
        .start();
    RawClient::get(gateway.addr(), "/x").expect_status(200);
    assert_eq!(lines(&folder, 1), ["GET /x -> 200"]);
    let folder = Folder::new();
    let gateway = Setup::to(&origin)
        .global(&logging(&folder, ", format: text"))
        .start();
    RawClient::get(gateway.addr(), "/x").expect_status(200);
    let line = lines(&folder, 1).remove(0);
    assert!(
        line.contains("GET") && line.contains("/x") && line.contains("200"),
        "{line}"
    );
}

/// Nothing is sampled, but what is slow is logged all the same.
#[test]
fn slow_exchanges_are_logged_whatever_the_sample() {
    let folder = Folder::new();
    let origin = origin();
    let yaml = Setup::to(&origin)
        .global(&logging(&folder, ", sample: 0%, slow_over: 500ms"))
        .yaml();
    let (gateway, hand) = portway_testkit::Gateway::with_manual_clock(&yaml);
    RawClient::get(gateway.addr(), "/fast").expect_status(200);
    let slow = hand.clone();
    origin.set_handler(move |request, conn| {
        slow.advance(Duration::from_secs(1));
        replies::echo()(request, conn);
    });
    RawClient::get(gateway.addr(), "/slow").expect_status(200);
    let lines = lines(&folder, 1);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("/slow"), "{lines:?}");
}

#[test]
fn metrics_have_the_names_and_labels_that_are_promised() {
    let origin = origin();
    let gateway = Setup::to(&origin)
        .filter("rate_limit: { qps: 0.001, burst: 1, key: path }")
        .global("metrics: { namespace: portway }")
        .start();
    RawClient::get(gateway.addr(), "/one").expect_status(200);
    RawClient::get(gateway.addr(), "/one").expect_status(429);
    RawClient::ask(gateway.addr(), with_body("BREW", "/two", &[], "")).expect_status(200);
    let wanted = [
        "portway_requests_total{route=\"all\",method=\"GET\",status=\"200\"} 1",
        "portway_requests_total{route=\"all\",method=\"GET\",status=\"429\"} 1",
        "portway_requests_total{route=\"all\",method=\"OTHER\",status=\"200\"} 1",
        "portway_request_duration_seconds_count{route=\"all\",method=\"GET\"} 2",
        "portway_upstream_duration_seconds_count{upstream=\"origin\"} 2",
        "portway_request_size_bytes_count 3",
        "portway_response_size_bytes_count 3",
        "portway_active_requests 0",
        "portway_active_connections{listener=\"public\"}",
        "portway_request_errors_total{route=\"all\",code=\"rate_limited\"} 1",
        "portway_rate_limit_hits_total{route=\"all\"} 1",
        "portway_config_generation 1",
    ];
    eventually("all is counted", || {
        let text = gateway.metrics();
        wanted.iter().all(|line| text.contains(line)) || {
            std::thread::sleep(Duration::from_millis(20));
            false
        }
    });
    let text = gateway.metrics();
    for chosen in ["/one", "BREW", "test.example"] {
        assert!(!text.contains(chosen), "{chosen} is in a label");
    }
    let other = RawClient::ask(gateway.addr(), get_with("/three", &[]));
    other.expect_status(200);
}
