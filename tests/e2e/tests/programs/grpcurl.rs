//! grpcurl, and with it the gRPC library of Go, which no other test has.

use std::env::consts::{ARCH, OS};
use std::path::Path;

use portway_testkit::Gateway;
use serde_json::{Value, json};

use super::{Ran, run};
use crate::grpc_json::store::{self, EXAMPLE};
use crate::support::h2_origin::H2Origin;
use crate::support::impossible;
use crate::tls::Authority;

const PROGRAM: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../target/tools/grpcurl/grpcurl"
);

/// A gateway before this server, with TLS for its clients or without.
fn gateway(origin: &H2Origin, tls: &str) -> Gateway {
    Gateway::start(&format!(
        "server: {{ workers: 1 }}\n\
         listeners: [ {{ name: public, bind: \"127.0.0.1:0\"{tls} }} ]\n\
         upstreams: [ {{ name: books, targets: [ {{ addr: \"grpc://{}\" }} ] }} ]\n\
         routes:\n\
         \x20 - {{ name: books, prefix: /bookstore.v1.Bookstore, upstream: books }}\n\
         \x20 - {{ name: reflection, prefix: /grpc.reflection.v1alpha.ServerReflection, upstream: books }}\n",
        origin.addr
    ))
}

/// Whether its package has a binary for such a machine (scripts/ensure-tools.sh installs no other).
fn is_to_be_had(os: &str, arch: &str) -> bool {
    (os, arch) == ("linux", "x86_64")
}

fn grpcurl(gateway: &Gateway, before: &[&str], after: &[&str]) -> Option<Ran> {
    let addr = gateway.addr().to_string();
    let args = [&["-max-time", "20"], before, &[addr.as_str()], after].concat();
    if !Path::new(PROGRAM).exists() && !is_to_be_had(OS, ARCH) {
        impossible(&format!(
            "grpcurl is not to be had for this machine: {OS} {ARCH}"
        ));
        return None;
    }
    run(PROGRAM, &args)
}

#[test]
fn grpcurl_calls_by_a_descriptor_set_with_tls_and_without() {
    let (origin, ca) = (store::bookstore(), Authority::new());
    let a = ca.issue("a", &["127.0.0.1"]);
    let tls = format!(", protocol: https, tls: {{ certificates: [ {a} ] }}");
    let (root, set) = (ca.path("ca.pem"), format!("{EXAMPLE}/bookstore.binpb"));
    for (tls, how) in [("", &["-plaintext"][..]), (&tls, &["-cacert", &root])] {
        let gateway = gateway(&origin, tls);
        let call = |method: &str, message: &str| {
            let told = [how, &["-protoset", &set, "-d", message]].concat();
            grpcurl(
                &gateway,
                &told,
                &[&format!("bookstore.v1.Bookstore/{method}")],
            )
        };
        let Some(ran) = call("DeleteBook", "{\"name\":\"shelves/1/books/2\"}") else {
            return;
        };
        assert!(ran.well, "{}{}", ran.text(), ran.errors);
        let reply: Value = serde_json::from_slice(&ran.out).expect("JSON");
        assert_eq!(reply, json!({}));
        let ran = call("WatchBooks", "{\"parent\":\"shelves/1\"}").expect("grpcurl");
        let books = serde_json::Deserializer::from_slice(&ran.out).into_iter::<Value>();
        let titles: Vec<Value> = books.map(|b| b.expect("JSON")["title"].take()).collect();
        assert_eq!(titles, ["a", "b"], "{}", ran.errors);
        for (name, code, more) in [
            ("late", "Code: PermissionDenied", "Message: no"),
            ("none", "Code: NotFound", "google.rpc.ErrorInfo"),
        ] {
            let message = format!("{{\"name\":\"shelves/1/books/{name}\"}}");
            let errors = call("GetBook", &message).expect("grpcurl").errors;
            assert!(errors.contains(code), "{errors}");
            assert!(errors.contains(more), "{errors}");
        }
    }
}

#[test]
fn grpcurl_asks_for_descriptors_by_reflection() {
    let origin = store::reflecting("v1alpha");
    let gateway = gateway(&origin, "");
    let Some(ran) = grpcurl(&gateway, &["-plaintext"], &["list"]) else {
        return;
    };
    assert!(ran.well, "{}", ran.errors);
    assert_eq!(ran.text().trim(), "bookstore.v1.Bookstore");
}
