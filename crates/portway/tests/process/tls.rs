//! What operators see of TLS: the log, and `/certificates`.

use portway_testkit::ports::{Reserved, reserve};
use portway_testkit::raw::get;
use portway_testkit::{Folder, RawClient, eventually};

use crate::support::Running;

/// A gateway with a certificate for a.example in this folder, and its https listener.
fn secure(files: &Folder) -> (Running, Reserved) {
    let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
    files.replace("a.key", made.signing_key.serialize_pem());
    files.replace("a.pem", made.cert.pem());
    let (at, port) = (files.path().display(), reserve());
    let running = Running::start_with(&format!(
        "listeners: [ {{ name: secure, bind: \"{}\", protocol: https, tls: {{ certificates: [ \
         {{ cert: {at}/a.pem, key: {at}/a.key }} ] }} }} ]\n",
        port.addr()
    ));
    (running, port)
}

#[test]
fn a_failed_handshake_is_told_once_with_peer_listener_and_reason() {
    let files = Folder::new();
    let (mut running, port) = secure(&files);
    running.process.wait_port(port.addr());
    let told = |running: &Running| {
        let output = running.process.output();
        let lines = output.lines().filter(|line| line.contains("not_tls"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(RawClient::ask(port.addr(), get("/")).status, 400);
    eventually("the failure is told", || !told(&running).is_empty());
    assert_eq!(RawClient::ask(port.addr(), get("/")).status, 400);
    eventually("the second, too", || told(&running).len() == 2);
    for line in told(&running) {
        assert!(
            line.contains("secure") && line.contains("127.0.0.1"),
            "{line}"
        );
        assert!(line.contains("plain HTTP was sent to a TLS port"), "{line}");
    }
}

#[test]
fn certificates_are_listed_with_their_end_and_without_their_keys() {
    let files = Folder::new();
    let (running, _port) = secure(&files);
    let reply = running.operators("GET", "/certificates", "");
    assert_eq!(reply.status, 200);
    let text = reply.text();
    for part in [
        "\"listener\": \"secure\"",
        "\"source\": \"file\"",
        "\"state\": \"valid\"",
        "a.example",
        "\"not_after\": \"",
        "a.pem",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("PRIVATE"), "{text}");
    let expiry = "portway_tls_certificate_expiry_timestamp_seconds{listener=\"secure\"";
    let metrics = running.operators("GET", "/metrics", "").text();
    assert!(metrics.contains(expiry), "{metrics}");
}
