//! grpcio, the library that most languages' gRPC stands on, as client and as server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use portway_testkit::wait::within;
use portway_testkit::{Gateway, Process};

use crate::support::missing;
use crate::tls::Authority;

/// For anything that a child does: it has a Python to start first.
const TIMEOUT: Duration = Duration::from_secs(60);

const CASES: &[&str] = &[
    "unary",
    "client_stream",
    "server_stream",
    "bidi",
    "metadata",
    "trailers_only",
    "late_failure",
    "unimplemented",
    "deadline",
    "cancel",
    "big",
    "compressed",
    "many",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A Python with grpcio; a line that says so if there is none.
fn python() -> Option<PathBuf> {
    let python = root().join("target/tools/grpc/bin/python");
    if !python.is_file() {
        missing("grpcio");
        return None;
    }
    Some(python)
}

fn script(python: &Path, name: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(root().join("tests/e2e/grpc").join(name));
    // It would have grpcio go through somebody else.
    command.env("no_proxy", "127.0.0.1,localhost");
    command
}

struct Server {
    process: Process,
    addr: SocketAddr,
}

fn server(python: &Path, tls: &[String]) -> Server {
    let mut command = script(python, "server.py");
    command.arg("0").args(tls);
    let process = Process::spawn(command);
    let port = || {
        let output = process.output();
        let line = output.lines().find_map(|line| line.strip_prefix("port "));
        line.and_then(|port| port.parse::<u16>().ok())
    };
    within(TIMEOUT, || port().is_some());
    let port = port().unwrap_or_else(|| panic!("no port: {}", process.output()));
    Server {
        addr: ([127, 0, 0, 1], port).into(),
        process,
    }
}

fn client(python: &Path, address: &str, cases: &[&str]) -> Command {
    let mut command = script(python, "client.py");
    command.arg(address).args(cases).stdin(Stdio::null());
    command
}

#[track_caller]
fn expect_well(output: &Output, cases: &[&str]) {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let wanted: Vec<String> = cases.iter().map(|case| format!("well {case}")).collect();
    let lines: Vec<&str> = text.lines().filter(|line| *line != "begun").collect();
    assert_eq!(lines, wanted, "{errors}");
}

#[track_caller]
fn run(python: &Path, address: &str, cases: &[&str]) {
    let output = client(python, address, cases).output();
    expect_well(&output.expect("it starts"), cases);
}

fn yaml(target: &str, more: &str) -> String {
    format!(
        "server: {{ workers: 1 }}\n\
         listeners: [ {{ name: public, bind: \"127.0.0.1:0\", http: {{ max_request_body: 0 }} }} ]\n\
         upstreams: [ {{ name: echo, targets: [ {{ addr: \"{target}\" }} ]{more} }} ]\n\
         routes: [ {{ name: echo, prefix: /test.Echo, upstream: echo }} ]\n"
    )
}

#[test]
fn every_kind_of_call_passes_over_one_connection() {
    let Some(python) = python() else { return };
    let server = server(&python, &[]);
    let gateway = Gateway::start(&yaml(&format!("grpc://{}", server.addr), ""));
    let address = gateway.addr().to_string();
    let mut child = client(&python, &address, CASES)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut connections = 0;
    within(TIMEOUT * 2, || {
        connections = connections.max(gateway.open_connections());
        child.try_wait().expect("it can be asked").is_some()
    });
    let output = child.wait_with_output().expect("its words");
    expect_well(&output, CASES);
    assert_eq!(connections, 1);
}

#[test]
fn calls_pass_over_tls_on_both_sides() {
    let Some(python) = python() else { return };
    let ca = Authority::new();
    let certificate = ca.issue("a", &["localhost", "127.0.0.1"]);
    let server = server(&python, &[ca.path("a.pem"), ca.path("a.key")]);
    let tls = format!(", tls: {{ ca: {} }}", ca.path("ca.pem"));
    let listener = format!("protocol: https, tls: {{ certificates: [ {certificate} ] }}, http:");
    for scheme in ["grpcs", "https"] {
        let target = format!("{scheme}://127.0.0.1:{}", server.addr.port());
        let yaml = yaml(&target, &tls).replace("http:", &listener);
        let gateway = Gateway::start(&yaml);
        let address = format!("localhost:{},{}", gateway.addr().port(), ca.path("ca.pem"));
        run(
            &python,
            &address,
            &["unary", "bidi", "metadata", "trailers_only"],
        );
    }
}

#[test]
fn a_caller_learns_that_its_server_is_gone() {
    let Some(python) = python() else { return };
    let mut server = server(&python, &[]);
    let gateway = Gateway::start(&yaml(&format!("grpc://{}", server.addr), ""));
    let address = gateway.addr().to_string();
    let child = Process::spawn(client(&python, &address, &["broken", "unavailable"]));
    within(TIMEOUT, || child.output().contains("begun"));
    server.process.stop();
    let well = "well broken\nwell unavailable\n";
    within(TIMEOUT, || child.output().ends_with(well));
    let output = child.output();
    assert!(output.ends_with(well), "{output}");
}

#[test]
fn the_example_serves_it() {
    let Some(python) = python() else { return };
    let servers = [server(&python, &[]), server(&python, &[])];
    let example = root().join("examples/grpc/config.yaml");
    let example = std::fs::read_to_string(example).expect("the example");
    let yaml = example
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:50051", &servers[0].addr.to_string())
        .replace("127.0.0.1:50052", &servers[1].addr.to_string());
    let gateway = Gateway::start(&yaml);
    let cases = ["unary", "bidi", "deadline", "server_stream"];
    run(&python, &gateway.addr().to_string(), &cases);
}
