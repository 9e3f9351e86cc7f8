//! Targets that come from files and names, and change while requests come.

use std::net::Ipv4Addr;

use dns::{Dns, Zone};
use portway_testkit::{Folder, Gateway, Origin, RawClient, eventually};

use crate::pool::{Config, ask, count, letters};

mod dns;

const CONFIG: Config<'static> = Config {
    upstream: "load_balance: { policy: round_robin }",
    ..Config::PLAIN
};

/// Who answers eight plain requests, if all are answered.
fn answers(gateway: &Gateway) -> Option<[usize; 2]> {
    let good = RawClient::get(gateway.addr(), "/").status == 200;
    good.then(|| {
        let all = ask(gateway, 8);
        [count(&all, 'a'), count(&all, 'b')]
    })
}

#[track_caller]
fn eventually_answer(gateway: &Gateway, wanted: [usize; 2]) {
    eventually(&format!("{wanted:?}"), || answers(gateway) == Some(wanted));
}

fn list(origins: &[&Origin]) -> String {
    let lines = origins
        .iter()
        .map(|origin| format!("- {}\n", origin.addr()));
    lines.collect()
}

#[test]
fn a_file_of_targets_is_followed_and_a_broken_one_changes_nothing() {
    let pool = letters(2);
    let folder = Folder::new();
    let path = folder.write("targets.yaml", list(&[&pool[0]]));
    let source = format!("discover: {{ file: {{ path: \"{}\" }} }}", path.display());
    let gateway = Gateway::start(&CONFIG.yaml_from(&source));
    eventually_answer(&gateway, [8, 0]);
    folder.write("targets.yaml", list(&[&pool[0], &pool[1]]));
    eventually_answer(&gateway, [4, 4]);
    folder.replace("targets.yaml", list(&[&pool[1]]));
    eventually_answer(&gateway, [0, 8]);
    for broken in ["- [", "- { adr: 127.0.0.1:1 }", "", "- 127.0.0.1:0x"] {
        folder.write("targets.yaml", broken);
        for _ in 0..5 {
            assert_eq!(answers(&gateway), Some([0, 8]), "{broken:?}");
        }
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(answers(&gateway), Some([0, 8]), "no file");
    let weighted = format!("- {{ addr: \"{}\", weight: 2 }}\n", pool[0].addr());
    folder.replace("targets.yaml", weighted);
    eventually_answer(&gateway, [8, 0]);
    folder.replace("targets.yaml", "[]");
    eventually("no target is left", || {
        RawClient::get(gateway.addr(), "/").status == 503
    });
}

#[test]
fn a_missing_file_is_waited_for() {
    let pool = letters(1);
    let folder = Folder::new();
    let path = folder.path().join("later.json");
    let source = format!("discover: {{ file: {{ path: \"{}\" }} }}", path.display());
    let gateway = Gateway::start(&CONFIG.yaml_from(&source));
    let none = RawClient::get(gateway.addr(), "/");
    assert_eq!(
        crate::support::code(none.expect_status(503)),
        "no_healthy_target"
    );
    folder.replace("later.json", format!("[\"{}\"]", pool[0].addr()));
    eventually_answer(&gateway, [8, 0]);
}

fn named(dns: &Dns, more: &str) -> String {
    CONFIG.yaml_from(&format!(
        "discover: {{ dns: {{ name: api.test.example, resolver: \"{}\", refresh_min: 20ms, {more} }} }}",
        dns.addr
    ))
}

#[test]
fn a_service_name_brings_addresses_and_ports_and_is_asked_again() {
    let pool = letters(2);
    let zone = |ports: &[u16]| Zone {
        addresses: vec![Ipv4Addr::LOCALHOST],
        services: ports.to_vec(),
        fails: false,
    };
    let (a, b) = (pool[0].addr().port(), pool[1].addr().port());
    let dns = Dns::start(zone(&[a]));
    let gateway = Gateway::start(&named(&dns, "record: srv"));
    eventually_answer(&gateway, [8, 0]);
    dns.set(zone(&[a, b]));
    eventually_answer(&gateway, [4, 4]);
    dns.set(zone(&[b]));
    eventually_answer(&gateway, [0, 8]);
    // A server that fails, and one that knows nothing, take nothing away.
    dns.set(Zone {
        fails: true,
        ..Zone::default()
    });
    dns.wait_questions(2);
    assert_eq!(answers(&gateway), Some([0, 8]));
    dns.set(zone(&[]));
    dns.wait_questions(1);
    assert_eq!(answers(&gateway), Some([0, 8]));
}

#[test]
fn a_host_name_brings_addresses() {
    let pool = letters(1);
    let dns = Dns::start(Zone::default());
    let port = format!("port: {}", pool[0].addr().port());
    let gateway = Gateway::start(&named(&dns, &port));
    dns.wait_questions(1);
    RawClient::get(gateway.addr(), "/").expect_status(503);
    dns.set(Zone {
        addresses: vec![Ipv4Addr::LOCALHOST],
        ..Zone::default()
    });
    eventually_answer(&gateway, [8, 0]);
    assert_eq!(
        pool[0].last_request().field("host"),
        Some("test.example"),
        "the client's, not the target's"
    );
}

#[test]
fn a_host_name_among_targets_is_looked_up() {
    let pool = letters(1);
    let url = format!("http://localhost:{}", pool[0].addr().port());
    let gateway = Gateway::start(&CONFIG.yaml_of([(url, 1)]));
    eventually_answer(&gateway, [8, 0]);
}

/// What the operators' API would answer is what nobody may reach through the gateway.
#[test]
fn the_operators_api_never_becomes_a_target() {
    let (pool, operators) = (letters(1), letters(1));
    let folder = Folder::new();
    let path = folder.write("targets.yaml", list(&[&operators[0]]));
    let source = format!("discover: {{ file: {{ path: \"{}\" }} }}", path.display());
    let config = Config {
        more: &format!("admin: {{ bind: \"{}\" }}", operators[0].addr()),
        ..CONFIG
    };
    let gateway = Gateway::start(&config.yaml_from(&source));
    for _ in 0..5 {
        RawClient::get(gateway.addr(), "/").expect_status(503);
    }
    folder.replace("targets.yaml", list(&[&pool[0], &operators[0]]));
    eventually_answer(&gateway, [8, 0]);
    let port = operators[0].addr().port();
    folder.replace("targets.yaml", format!("[\"localhost:{port}\"]"));
    eventually("nothing is left", || {
        RawClient::get(gateway.addr(), "/").status == 503
    });
    assert_eq!(operators[0].connection_count(), 0);
}
