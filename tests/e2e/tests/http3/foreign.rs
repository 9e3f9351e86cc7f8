//! Clients nobody here wrote, on stacks of their own: aioquic, and curl with ngtcp2.

use std::path::{Path, PathBuf};
use std::process::Command;

use portway_testkit::{Origin, replies};

use super::setup_with;
use crate::support::missing;
use crate::tls::Authority;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn aioquic_and_curl_are_served() {
    let python = root().join("target/tools/http3/bin/python");
    if !python.is_file() {
        missing("aioquic");
        return;
    }
    let origin = Origin::start(|request, conn| match request.target() {
        "/big" => replies::big(4 << 20)(request, conn),
        "/length" => conn.reply(200, &[], request.body.len().to_string()),
        "/trailers" => {
            conn.chunked_head(200, &[]);
            conn.chunk("body");
            conn.end_chunks(&["X-Sum: 7"]);
        }
        _ if request.method() == "HEAD" => {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        }
        _ => conn.reply(200, &[], "hello"),
    });
    let ca = Authority::new();
    let gateway = setup_with(&origin, &ca, "").start();
    let output = Command::new(python)
        .arg(root().join("tests/e2e/http3/client.py"))
        .arg(gateway.addr().port().to_string())
        .arg(ca.path("ca.pem"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !text.contains("WRONG"),
        "{text}{errors}"
    );
    assert_eq!(text.matches("well ").count(), 11, "{text}{errors}");
    let metrics = gateway.metrics();
    let floods = metrics
        .lines()
        .filter(|l| l.contains("http3_floods_total{"));
    for count in floods {
        assert!(count.ends_with(" 0"), "{count}");
    }
}
