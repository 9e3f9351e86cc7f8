//! What clients send must not become lines of the log, labels of metrics, or fields of replies; and
//! secrets must not come out anywhere.

use std::path::Path;

use portway_testkit::{Folder, Gateway, Origin, RawClient, eventually, replies};

use crate::support::{Setup, code, get_with};

/// A gateway that logs to a file, and what is in the file once it has so many lines.
fn logging(origin: &Origin, file: &Path, format: &str) -> Gateway {
    Setup::to(origin)
        .global(&format!(
            "logging: {{ {format}, output: '{}' }}",
            file.display()
        ))
        .global("request_id: { trust_incoming: true }")
        .start()
}

#[track_caller]
fn lines(file: &Path, count: usize) -> Vec<String> {
    let read = || std::fs::read_to_string(file).unwrap_or_default();
    eventually("the log is written", || read().lines().count() >= count);
    read().lines().map(str::to_owned).collect()
}

/// An origin that answers TRACE echoes the cookies of the client, and what the gateway adds for targets.
#[test]
fn trace_is_never_passed_on() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin).start();
    for form in ["/", "/a?b", "http://test.example/a"] {
        let request = format!("TRACE {form} HTTP/1.1\r\nHost: test.example\r\n\r\n");
        let reply = RawClient::ask(gateway.addr(), request);
        assert_eq!(code(reply.expect_status(405)), "method_not_allowed");
        let allow = reply.field("allow").expect("a 405 says what is allowed");
        assert!(allow.contains("GET") && !allow.contains("TRACE"), "{allow}");
    }
    assert_eq!(origin.request_count(), 0);
}

const HOSTILE: [&str; 6] = [
    "User-Agent: x\", \"status_code\":999, \"x\":\"",
    "User-Agent: \\\",\\u0022},{\"forged\":true}",
    "User-Agent: a\tb",
    "User-Agent: \u{e4}\u{1f600}",
    "User-Agent: ${method} %0d%0a{\"forged\":true}",
    "User-Agent: <script>alert(1)</script>",
];

#[test]
fn log_injection_each_exchange_is_one_line_whose_fields_are_escaped() {
    let origin = Origin::start(replies::text("x"));
    let folder = Folder::new();
    let file = folder.path().join("access.log");
    let gateway = logging(&origin, &file, "format: json");
    for field in HOSTILE {
        let target = "/p%22%0a?q=%0d%0a%7b%22forged%22:true%7d";
        let request = get_with(target, &[field]);
        // A path with an encoded line break is refused; that too is one line.
        RawClient::ask(gateway.addr(), request).expect_status(400);
        RawClient::ask(gateway.addr(), get_with("/p%22", &[field])).expect_status(200);
    }
    let lines = lines(&file, 2 * HOSTILE.len());
    assert_eq!(lines.len(), 2 * HOSTILE.len());
    for line in &lines {
        assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
        assert!(!line.contains("\"status_code\":999"), "{line}");
        assert!(!line.contains("{\"forged\""), "{line}");
        assert!(
            !line.bytes().any(|byte| byte < 0x20 || byte == 0x7f),
            "{line:?}"
        );
        let quotes = line.replace("\\\\", "").replace("\\\"", "");
        assert_eq!(quotes.matches('"').count() % 2, 0, "{line}");
    }
}

#[test]
fn log_injection_text_lines_are_escaped_too() {
    let origin = Origin::start(replies::text("x"));
    let folder = Folder::new();
    let file = folder.path().join("access.log");
    let gateway = logging(&origin, &file, "format: text");
    for field in HOSTILE {
        RawClient::ask(gateway.addr(), get_with("/", &[field])).expect_status(200);
    }
    let lines = lines(&file, HOSTILE.len());
    assert_eq!(lines.len(), HOSTILE.len());
    assert!(
        lines
            .iter()
            .all(|line| !line.bytes().any(|byte| byte < 0x20 || byte == 0x7f))
    );
}

#[test]
fn log_injection_a_request_id_that_is_not_harmless_is_not_taken_over() {
    let origin = Origin::start(replies::text("x"));
    let folder = Folder::new();
    let file = folder.path().join("access.log");
    let gateway = Setup::to(&origin)
        .listener("trusted_proxies: [127.0.0.0/8]")
        .global(&format!("logging: {{ output: '{}' }}", file.display()))
        .global("request_id: { trust_incoming: true }")
        .start();
    for (id, taken) in [
        ("good-id_1", true),
        ("evil\",\"x\":\"", false),
        ("<b>", false),
        (&"a".repeat(500), false),
    ] {
        let request = get_with("/", &[&format!("X-Request-ID: {id}")]);
        let reply = RawClient::ask(gateway.addr(), request);
        let seen = origin.last_request();
        assert_eq!(seen.field("x-request-id") == Some(id), taken, "{id}");
        assert_eq!(reply.field("x-request-id"), seen.field("x-request-id"));
    }
}

#[test]
fn log_injection_problem_documents_are_escaped() {
    let origin = Origin::start(replies::text("x"));
    let yaml = Setup::to(&origin)
        .yaml()
        .replace("prefix: /\n", "prefix: /only\n");
    let gateway = Gateway::start(&yaml);
    let reply = RawClient::get(gateway.addr(), "/<script>\"',\"code\":\"forged\"");
    reply.expect_status(404);
    assert_eq!(
        reply.field("content-type"),
        Some("application/problem+json")
    );
    let text = reply.text();
    assert!(
        text.contains("\"code\":\"no_route\"") && !text.contains("\"code\":\"forged\""),
        "{text}"
    );
    assert!(!text.contains("<script>"), "{text}");
}

#[test]
fn label_floods_no_label_is_chosen_by_a_client() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin).start();
    for n in 0..40 {
        let request = format!(
            "METHOD{n} /flood-{n}?q={n} HTTP/1.1\r\nHost: flood-{n}.example\r\nUser-Agent: flood-{n}\r\n\r\n"
        );
        RawClient::ask(gateway.addr(), request).expect_status(200);
        RawClient::get(gateway.addr(), &format!("/flood\\{n}")).expect_status(400);
    }
    let metrics = gateway.metrics();
    assert!(metrics.contains("portway_requests_total{"), "{metrics}");
    assert!(metrics.contains("OTHER"), "{metrics}");
    assert!(
        !metrics.contains("flood-") && !metrics.contains("METHOD"),
        "{metrics}"
    );
    let series = metrics
        .lines()
        .filter(|l| l.starts_with("portway_requests_total{"))
        .count();
    assert!(series <= 6, "{series} series:\n{metrics}");
}

#[test]
fn secrets_do_not_come_out_in_replies_logs_or_metrics() {
    let origin = Origin::start(replies::text("x"));
    let folder = Folder::new();
    let file = folder.path().join("access.log");
    let gateway = Setup::to(&origin)
        .global(&format!("logging: {{ output: '{}' }}", file.display()))
        .filter(
            "auth: { type: apikey, query: api_key, keys: [{ key: top-secret-key, consumer: me }] }",
        )
        .start();
    let good = get_with("/", &["X-API-Key: top-secret-key"]);
    RawClient::ask(gateway.addr(), good).expect_status(200);
    RawClient::get(gateway.addr(), "/?api_key=top-secret-key").expect_status(200);
    let wrong = get_with("/", &["X-API-Key: wrong-secret-key"]);
    let refused = RawClient::ask(gateway.addr(), wrong);
    refused.expect_status(401);
    let logged = lines(&file, 3).join("\n");
    for text in [
        logged,
        gateway.metrics(),
        String::from_utf8_lossy(&refused.raw).into_owned(),
    ] {
        assert!(!text.contains("secret-key"), "{text}");
    }
}
