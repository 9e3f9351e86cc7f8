//! h2load: very many requests over few connections, many at once on each.

use portway_testkit::{Origin, eventually, replies};

use super::{Stage, run};

/// Of each run.
const REQUESTS: u32 = 4_000;

/// The numbers behind a line's label, as in `requests: 9 total, 9 started, …`.
fn numbers(text: &str, label: &str) -> Vec<u32> {
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    let parts = line.unwrap_or_default().split(',');
    parts
        .filter_map(|part| part.split_whitespace().next()?.parse().ok())
        .collect()
}

/// Every request is answered with a 2xx, and nothing goes wrong.
#[track_caller]
fn expect_all(stage: &Stage, url: &str, protocol: &str, more: &[&str]) {
    let count = REQUESTS.to_string();
    let mut args = vec!["-n", &count, "-c", "4", "-m", "100", "-T", "20"];
    args.extend(more);
    args.push(url);
    let Some(ran) = run("h2load", &args) else {
        return;
    };
    let text = ran.text();
    assert!(ran.well, "{text}{}", ran.errors);
    let n = REQUESTS;
    // total, started, done, succeeded, failed, errored, timeout
    let requests = numbers(&text, "requests: ");
    assert_eq!(requests, [n, n, n, n, 0, 0, 0], "{text}");
    assert_eq!(numbers(&text, "status codes: "), [n, 0, 0, 0], "{text}");
    let spoken = format!("Application protocol: {protocol}");
    assert!(text.contains(&spoken), "{text}");
    eventually("its connections are over", || {
        stage.gateway.open_connections() == 0
    });
}

#[test]
fn h2load_gets_every_reply_over_plain_connections() {
    let origin = Origin::start(replies::text("hello"));
    let stage = Stage::before(&origin);
    expect_all(&stage, &(stage.plain() + "/a"), "h2c", &[]);
    expect_all(&stage, &(stage.plain() + "/a"), "http/1.1", &["--h1"]);
}

#[test]
fn h2load_gets_every_reply_over_tls() {
    let origin = Origin::start(replies::text("hello"));
    let stage = Stage::before(&origin);
    expect_all(&stage, &(stage.secure() + "/a"), "h2", &[]);
    expect_all(&stage, &(stage.secure() + "/a"), "http/1.1", &["--h1"]);
}

#[test]
fn h2loads_uploads_are_all_answered() {
    let origin = Origin::start(|request, conn| {
        let status = if request.body.len() == 20_000 {
            200
        } else {
            500
        };
        conn.reply(status, &[], "");
    });
    let stage = Stage::before(&origin);
    let body = stage.files.write("body", replies::pattern(20_000));
    let body = body.to_str().expect("a path");
    expect_all(&stage, &(stage.secure() + "/up"), "h2", &["-d", body]);
}

#[test]
fn h2load_gets_large_replies_through_small_windows() {
    let origin = Origin::start(replies::big(100_000));
    let stage = Stage::before(&origin);
    // 2^14 octets a stream and 2^16 a connection: windows are what holds it up.
    let small = ["-w", "14", "-W", "16"];
    expect_all(&stage, &(stage.plain() + "/big"), "h2c", &small);
}
