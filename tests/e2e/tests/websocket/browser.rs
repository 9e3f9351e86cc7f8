//! A browser's WebSocket: Chromium's own, from a page that comes through the gateway too; over HTTP/1.1
//! on a plain listener, over a stream of HTTP/2 on one with TLS.

use std::time::Duration;

use portway_testkit::wait::within;
use portway_testkit::{Folder, Gateway, Origin, replies};
use serde_json::Value;

use super::echo;
use crate::support::browser::{TIMEOUT, expect_told, open};
use crate::tcp::Peer;
use crate::tls::authority::Authority;

/// Says what became of its sockets to the origin directly, for the gateway will be gone by then.
const PAGE: &str = r#"<!doctype html><title>echo</title><script>
const tell = (what) => fetch("ORIGIN/told/" + encodeURIComponent(what), { mode: "no-cors" });
const url = location.origin.replace("http", "ws") + "/chat";
const big = "x".repeat(300000);
function first() {
    const socket = new WebSocket(url);
    let came = 0;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => socket.send("hello");
    socket.onmessage = ({ data }) => {
        came += 1;
        if (came === 1 && data === "hello") socket.send(big);
        else if (came === 2 && data === big) socket.send(new Uint8Array([1, 2, 3]));
        else if (came === 3 && new Uint8Array(data).join() === "1,2,3") socket.close(1000, "bye");
        else tell("wrong " + came);
    };
    socket.onclose = (end) => {
        tell(["first", came, end.code, end.reason, end.wasClean].join(" "));
        second();
    };
}
function second() {
    const socket = new WebSocket(url);
    socket.onopen = () => socket.send("still there");
    socket.onmessage = ({ data }) => tell("second " + data);
    socket.onclose = (end) => tell(["second", end.code, end.wasClean].join(" "));
}
first();
</script>"#;

fn yaml(listener: &str, chat: &Peer, origin: &Origin, log: &Folder) -> String {
    let page = PAGE.replace("ORIGIN", &origin.url());
    let page = serde_json::to_string(&page).expect("text"); // which is YAML, too
    format!(
        "server: {{ workers: 1, drain_timeout: 30s }}\n\
         listeners: [ {{ name: public, bind: \"127.0.0.1:0\", {listener} }} ]\n\
         upstreams: [ {{ name: chat, targets: [ {{ addr: \"http://{}\" }} ] }} ]\n\
         routes:\n  - {{ name: chat, prefix: /chat, upstream: chat }}\n  - name: page\n    path: /\n    \
         respond: {{ status: 200, headers: {{ Content-Type: text/html }}, body: {page} }}\n\
         global_filters: [ {{ logging: {{ output: \"{}\" }} }} ]\n",
        chat.addr(),
        log.path().join("access.log").display(),
    )
}

/// Drives the page; `protocol` and `status` are what the log says of its sockets.
fn expect_echo(listener: &str, scheme: &str, protocol: &str, status: u16) {
    let (chat, origin) = (echo(), Origin::start(replies::text("")));
    let (log, folder) = (Folder::new(), Folder::new());
    let gateway = Gateway::start(&yaml(listener, &chat, &origin, &log));
    let url = format!("{scheme}://{}/", gateway.addr());
    let Some(browser) = open(&folder, &url, &[]) else {
        return;
    };
    expect_told(&browser, &origin, "first 3 1000 bye true");
    expect_told(&browser, &origin, "second still there");
    gateway.drain(Duration::from_secs(30));
    expect_told(&browser, &origin, "second 1001 true");
    let path = log.path().join("access.log");
    let records = || -> Vec<Value> {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let all = text.lines().filter_map(|l| serde_json::from_str(l).ok());
        all.filter(|record: &Value| record["route"] == "chat")
            .collect()
    };
    assert!(within(TIMEOUT, || records().len() == 2), "{:?}", records());
    for record in records() {
        assert_eq!(record["protocol"], protocol, "{record}");
        assert_eq!(record["status_code"], status, "{record}");
        assert_eq!(record["code"], Value::Null, "{record}");
    }
}

#[test]
fn chromiums_echo_works_through_a_plain_listener() {
    expect_echo("protocol: http", "http", "HTTP/1.1", 101);
}

#[test]
fn chromiums_echo_works_through_a_listener_with_tls() {
    let authority = Authority::new();
    let certificate = authority.issue("chat", &["127.0.0.1"]);
    let listener = |versions: &str| {
        format!(
            "protocol: https, tls: {{ certificates: [ {certificate} ] }}, http: {{ versions: [{versions}] }}"
        )
    };
    expect_echo(&listener("h1, h2"), "https", "HTTP/2", 200);
    expect_echo(&listener("h1"), "https", "HTTP/1.1", 101);
}
