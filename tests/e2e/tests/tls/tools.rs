//! The tools that people have: curl and openssl.

use std::process::{Command, Stdio};

use portway_testkit::{Gateway, Origin, replies};

use super::{Authority, https, plain};
use crate::support::missing;

/// What a command prints, both streams; `None` if it is not installed.
fn run(program: &str, args: &[&str]) -> Option<(bool, String)> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output else {
        missing(program);
        return None;
    };
    let text = [output.stdout, output.stderr].concat();
    Some((
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}

#[test]
fn curl_is_served_with_and_without_a_certificate_of_its_own() {
    let (ca, origin) = (Authority::new(), Origin::start(replies::text("hello")));
    let a = ca.issue("a", &["a.example"]);
    ca.client("alice", 1);
    let root = ca.path("ca.pem");
    let tls = format!("certificates: [ {a} ], client_auth: {{ ca: {root}, mode: required }}");
    let gateway = Gateway::start(&https(&tls, &plain(&origin)));
    let port = gateway.addr().port();
    let resolve = format!("a.example:{port}:127.0.0.1");
    let url = format!("https://a.example:{port}/");
    let common = [
        "-sS",
        "--max-time",
        "10",
        "--noproxy",
        "*",
        "--cacert",
        &root,
        "--resolve",
        &resolve,
        &url,
    ];
    let Some((fine, text)) = run("curl", &common) else {
        return;
    };
    assert!(!fine, "without a certificate: {text}");
    let (cert, key) = (ca.path("alice.pem"), ca.path("alice.key"));
    for version in ["--tlsv1.3", "--tls-max"] {
        let mut args = common.to_vec();
        args.extend(["--cert", &cert, "--key", &key, version]);
        if version == "--tls-max" {
            args.push("1.2");
        }
        let (fine, text) = run("curl", &args).unwrap();
        assert!(fine && text == "hello", "{version}: {text}");
    }
}

#[test]
fn openssl_gets_the_staple_and_the_chain() {
    let (ca, origin) = (Authority::new(), Origin::start(replies::text("hello")));
    let a = ca.issue("a", &["a.example"]);
    // The least that is an OCSP response: successful, and nothing more.
    ca.folder.write("a.ocsp", [0x30, 0x03, 0x0a, 0x01, 0x00]);
    let stapled = a.replace(" }", &format!(", ocsp: {} }}", ca.path("a.ocsp")));
    let gateway = Gateway::start(&https(
        &format!("certificates: [ {stapled} ]"),
        &plain(&origin),
    ));
    let addr = gateway.addr().to_string();
    let root = ca.path("ca.pem");
    let args = [
        "s_client",
        "-connect",
        &addr,
        "-servername",
        "a.example",
        "-CAfile",
        &root,
        "-status",
    ];
    let Some((_, text)) = run("openssl", &args) else {
        return;
    };
    assert!(text.contains("OCSP response"), "{text}");
    assert!(!text.contains("no response sent"), "{text}");
    assert!(text.contains("Verify return code: 0 (ok)"), "{text}");
}

#[test]
fn curl_gets_http2_where_the_listener_speaks_it() {
    let (ca, origin) = (Authority::new(), Origin::start(replies::text("hello")));
    let a = ca.issue("a", &["a.example"]);
    let both = https(&format!("certificates: [ {a} ]"), &plain(&origin));
    let old = both.replace(
        "protocol: https",
        "protocol: https, http: { versions: [h1] }",
    );
    assert_ne!(both, old);
    for (yaml, version) in [(both, "2"), (old, "1.1")] {
        let gateway = Gateway::start(&yaml);
        let port = gateway.addr().port();
        let resolve = format!("a.example:{port}:127.0.0.1");
        let url = format!("https://a.example:{port}/");
        let root = ca.path("ca.pem");
        let asked = run(
            "curl",
            &[
                "-sS",
                "--max-time",
                "10",
                "--noproxy",
                "*",
                "--http2",
                "--cacert",
                &root,
                "--resolve",
                &resolve,
                "-w",
                " %{http_version}",
                &url,
            ],
        );
        let Some((ok, text)) = asked else {
            eprintln!("no curl here");
            return;
        };
        assert!(ok, "{text}");
        assert_eq!(text, format!("hello {version}"));
        assert_eq!(
            origin.last_request().field("x-forwarded-proto"),
            Some("https")
        );
    }
}
