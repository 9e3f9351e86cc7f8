//! The same odd requests to Portway and to a real nginx, before the same origin: where they differ,
//! `docs/differences-from-nginx.md` says why, and the table there holds exactly these cases.
//!
//! Must hold: a difference that the page does not list fails, and so does one that it lists and is
//! none. nginx comes from the system's packages; `NGINX` names another one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use portway_testkit::{Folder, Gateway, Origin, Process, RawClient, ports, replies};

use crate::support::Setup;

mod cases;

const PAGE: &str = include_str!("../../../docs/differences-from-nginx.md");

/// Behind each request, so that the connection ends by itself: its reply, or the refusal of what came
/// before, is the last.
const END: &str = "GET /end HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";

/// What came of a request: the statuses, and what the origin got.
fn outcome(addr: SocketAddr, origin: &Origin, request: &str) -> String {
    origin.forget();
    let mut client = RawClient::connect(addr);
    client.set_timeout(Duration::from_secs(3));
    client.send(format!("{request}{END}"));
    let mut statuses = Vec::new();
    while let Ok(reply) = client.try_reply("GET") {
        statuses.push(reply.status);
    }
    // An origin counts a request before it answers it.
    let mut got = origin.requests();
    if got.last().is_some_and(|last| last.target() == "/end") {
        got.pop();
        statuses.pop();
    }
    let statuses: Vec<String> = statuses.iter().map(u16::to_string).collect();
    let got = got.iter().map(|request| {
        let body = match request.body.len() {
            0 => String::new(),
            length => format!(" +{length}"),
        };
        format!("{} {}{body}", request.method(), request.target())
    });
    let got: Vec<String> = got.collect();
    match (&*statuses.join(" "), &*got.join(", ")) {
        ("", "") => "closed".into(),
        (statuses, "") => statuses.into(),
        ("200", got) => got.into(),
        (statuses, got) => format!("{statuses} {got}"),
    }
}

/// nginx before this origin; `listen` are words more for its listener.
pub fn nginx(folder: &Folder, origin: &Origin, listen: &str) -> (Process, SocketAddr) {
    let port = ports::reserve();
    let (root, addr) = (folder.path().display(), port.addr());
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("  {name}_temp_path {root}/{name};\n"))
        .concat();
    let config = format!(
        "daemon off;\nmaster_process off;\npid {root}/pid;\nerror_log stderr crit;\nevents {{}}\nhttp {{\n\
         {paths}  access_log off;\n  server {{\n    listen {addr} {listen};\n    location / {{\n\
         proxy_pass {};\n proxy_http_version 1.1;\n proxy_set_header Host $http_host;\n\
         proxy_set_header Connection \"\";\n }}\n  }}\n}}\n",
        origin.url()
    );
    let config = folder.write("nginx.conf", config);
    let program = std::env::var("NGINX").unwrap_or_else(|_| "nginx".into());
    let prefix = folder.path().to_string_lossy();
    let config = config.to_string_lossy();
    let mut process = Process::start(program, &["-p", &*prefix, "-c", &*config, "-e", "stderr"]);
    process.wait_port(addr);
    (process, addr)
}

/// Case, nginx, Portway; as in the page's table.
type Row = (String, String);

fn listed() -> BTreeMap<String, Row> {
    let rows = PAGE.lines().filter_map(|line| {
        let mut cells = line.trim().strip_prefix("| `")?.split("` | ");
        let case = cells.next()?.to_owned();
        let nginx = cells.next()?.trim_start_matches('`').to_owned();
        let ours = cells.next()?.trim_start_matches('`').to_owned();
        let reason = cells.next()?.trim_end_matches('|').trim();
        assert!(reason.len() > 10, "no reason for {case}");
        Some((case, (nginx, ours)))
    });
    rows.collect()
}

#[test]
fn differences_from_nginx_are_exactly_those_that_the_docs_explain() {
    let folder = Folder::new();
    let origin = Origin::start(replies::text("ok"));
    let (_process, nginx) = nginx(&folder, &origin, "");
    let gateway: Gateway = Setup::to(&origin).start();
    let mut found = BTreeMap::new();
    for (case, request) in cases::cases() {
        let theirs = outcome(nginx, &origin, &request);
        let ours = outcome(gateway.addr(), &origin, &request);
        if theirs != ours {
            found.insert(case.to_owned(), (theirs, ours));
        }
    }
    let listed = listed();
    let mut wrong = String::new();
    for (case, (theirs, ours)) in &found {
        if listed.get(case) != Some(&(theirs.clone(), ours.clone())) {
            wrong += &format!("| `{case}` | `{theirs}` | `{ours}` | … |\n");
        }
    }
    for case in listed.keys().filter(|case| !found.contains_key(*case)) {
        wrong += &format!("`{case}` is no difference (any more)\n");
    }
    assert!(wrong.is_empty(), "docs/differences-from-nginx.md:\n{wrong}");
}
