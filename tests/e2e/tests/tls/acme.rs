//! Certificates that the gateway obtains by itself.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use portway_core::Clock;
use portway_testkit::wait::within;
use portway_testkit::{Gateway, RawClient, eventually};

use super::pebble::{Manner, Pebble, SOON, failure, issued};
use super::{Authority, TlsClient};
use crate::tls::client::Wishes;

/// Far over every pause between tries.
const LATER: Duration = Duration::from_secs(3600);

#[test]
fn certificates_are_obtained_by_http_01_next_to_routes_and_redirects() {
    let Some(pebble) = Pebble::start(&Manner::default()) else {
        return;
    };
    let gateway = Gateway::start(&pebble.yaml("a.example, b.example", ", challenge: http-01"));
    let info = issued(&gateway);
    assert_eq!(info.names.len(), 2, "{info:?}");
    let wishes = pebble.wishes();
    for host in ["a.example", "b.example"] {
        let answer = TlsClient::get(gateway.addr_of("public"), host, &wishes);
        assert_eq!((answer.status, &*answer.body), (200, "hello"), "{host}");
    }
    let stranger = RawClient::get(gateway.addr(), "/.well-known/acme-challenge/nothing");
    assert_eq!(
        stranger.status, 308,
        "other tokens go where all requests go"
    );
    for ending in ["account.json", ".pem"] {
        eventually("it is kept", || pebble.find(ending).is_some());
        let mode = std::fs::metadata(pebble.find(ending).unwrap()).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600, "{ending}");
    }
    let metrics = gateway.metrics();
    let expiry = format!(
        "portway_tls_certificate_expiry_timestamp_seconds{{listener=\"public\",certificate=\"a.example\"}} {}",
        info.not_after
    );
    assert!(metrics.contains(&expiry), "{expiry}\n{metrics}");
    assert!(
        metrics.contains("portway_acme_orders_total{result=\"issued\"} 1"),
        "{metrics}"
    );
    drop(gateway);
    let again = Gateway::start(&pebble.yaml("b.example, a.example", ", challenge: http-01"));
    let kept = again.inner().certificates().remove(0).info;
    assert_eq!(kept, Some(info), "it is there before the first client");
    std::thread::sleep(Duration::from_millis(1200)); // two looks at what is due
    assert_eq!(pebble.orders(), 1, "{}", pebble.log());
}

/// Issuers have no certificate of their own, and offer nothing but the check.
#[test]
fn certificates_are_obtained_by_tls_alpn_01_where_clients_must_have_certificates() {
    let Some(pebble) = Pebble::start(&Manner::default()) else {
        return;
    };
    let clients = Authority::new();
    clients.client("alice", 1);
    let required = format!(
        "] , client_auth: {{ ca: {}, mode: required }} }} }}",
        clients.path("ca.pem")
    );
    let yaml = pebble
        .yaml("a.example, b.example", ", challenge: tls-alpn-01")
        .replace("] } }", &required);
    let gateway = Gateway::start(&yaml);
    issued(&gateway);
    let mut alice = pebble.wishes();
    let stranger = TlsClient::try_connect(gateway.addr_of("public"), "a.example", &alice)
        .and_then(|mut client| client.try_ask("/", "a.example"));
    assert!(stranger.is_err(), "the check is no way in");
    alice.0.client_auth_cert_resolver = Wishes::known_as(&clients, "alice")
        .0
        .client_auth_cert_resolver;
    let answer = TlsClient::get(gateway.addr_of("public"), "b.example", &alice);
    assert_eq!(answer.status, 200);
    let mut check = pebble.wishes();
    check.0.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let late = TlsClient::try_connect(gateway.addr_of("public"), "a.example", &check);
    assert!(late.is_err(), "there is no order any more");
}

#[test]
fn a_stand_in_serves_until_the_server_can_be_reached_and_connections_outlive_it() {
    let Some(mut pebble) = Pebble::prepare() else {
        return;
    };
    let patient = "workers: 1, idle_timeout: 9h";
    let yaml = pebble.yaml("a.example", "").replace("workers: 1", patient);
    let (gateway, hand) = Gateway::with_manual_clock(&yaml);
    let said = failure(&gateway);
    assert!(said.contains("cannot connect to 127.0.0.1"), "{said}");
    let metrics = gateway.metrics();
    let waits = "certificate=\"a.example\"} 0";
    assert!(metrics.contains(waits), "{metrics}");
    assert!(
        metrics.contains("acme_orders_total{result=\"failed\"} 1"),
        "{metrics}"
    );
    let mut open = TlsClient::connect(gateway.addr_of("public"), "a.example", &Wishes::blind());
    assert_eq!(open.ask("/", "a.example").status, 200);
    pebble.run(&Manner::default());
    hand.advance(LATER);
    issued(&gateway);
    let fresh = TlsClient::connect(gateway.addr_of("public"), "a.example", &pebble.wishes());
    assert_ne!(fresh.certificate(), open.certificate());
    assert_eq!(open.ask("/", "a.example").status, 200, "the old connection");
    let status = gateway.inner().certificates().remove(0).acme.unwrap();
    assert_eq!((status.failures, status.last_error), (0, None));
}

#[test]
fn a_failed_check_is_told_and_the_other_kind_is_tried_next() {
    let blind = Manner {
        blind: true,
        ..Manner::default()
    };
    let Some(pebble) = Pebble::start(&blind) else {
        return;
    };
    let (gateway, hand) = Gateway::with_manual_clock(&pebble.yaml("a.example", ""));
    let said = failure(&gateway);
    assert!(
        said.contains("the check by http-01 failed: `a.example`:"),
        "{said}"
    );
    assert_eq!(pebble.find("order.json"), None, "it is over");
    std::thread::sleep(Duration::from_millis(1200)); // two looks at what is due
    assert_eq!(pebble.orders(), 1, "no second try so soon");
    hand.advance(LATER);
    issued(&gateway);
    assert_eq!(pebble.orders(), 2);
}

#[test]
fn a_certificate_is_renewed_before_it_ends() {
    let short = Manner {
        more: ", \"certificateValidityPeriod\": 12".to_owned(),
        ..Manner::default()
    };
    let Some(pebble) = Pebble::start(&short) else {
        return;
    };
    let gateway = Gateway::start(&pebble.yaml("a.example", ""));
    let first = issued(&gateway);
    let mut open = TlsClient::connect(gateway.addr_of("public"), "a.example", &pebble.wishes());
    assert_eq!(open.ask("/", "a.example").status, 200);
    let renewed = within(SOON, || {
        let now = issued(&gateway);
        now.serial != first.serial
    });
    assert!(renewed, "{:?}", gateway.inner().certificates());
    let left = first.not_after - i64::try_from(Clock::system().wall().as_secs()).unwrap();
    assert!(left > 0, "{left} s left");
    assert_eq!(open.ask("/", "a.example").status, 200, "the old connection");
}

#[test]
fn an_account_that_is_broken_or_unknown_to_the_server_is_made_anew() {
    let Some(mut pebble) = Pebble::start(&Manner::default()) else {
        return;
    };
    let slug = format!(
        "{}-dir",
        pebble.directory()[8..]
            .replace("/dir", "")
            .replace(':', "-")
    );
    let broken = "{ \"id\": \"half a fi";
    pebble.kept.write(&format!("{slug}/account.json"), broken);
    let gateway = Gateway::start(&pebble.yaml("a.example", ""));
    issued(&gateway);
    let aside = pebble.find("account.broken").expect("it is set aside");
    assert_eq!(std::fs::read_to_string(aside).unwrap(), broken);
    eventually("it is kept", || pebble.find(".pem").is_some());
    drop(gateway);
    std::fs::remove_file(pebble.find(".pem").unwrap()).unwrap();
    pebble.run(&Manner::default()); // which has forgotten every account
    let (gateway, hand) = Gateway::with_manual_clock(&pebble.yaml("a.example", ""));
    failure(&gateway);
    hand.advance(LATER);
    issued(&gateway);
}

#[test]
fn an_order_goes_on_after_its_process_was_killed() {
    let slow = Manner {
        slow: Some(3),
        ..Manner::default()
    };
    // A check may also take no time at all; then there is nothing to be seen of its order.
    let mut under_way = None;
    for _ in 0..5 {
        let Some(pebble) = Pebble::start(&slow) else {
            return;
        };
        let yaml = pebble.yaml("a.example", "");
        let gateway = Gateway::start(&yaml);
        let over = || gateway.inner().certificates().remove(0).info.is_some();
        within(SOON, || pebble.find("order.json").is_some() || over());
        if !over() {
            under_way = Some((pebble, yaml, gateway));
            break;
        }
    }
    let (pebble, yaml, gateway) = under_way.expect("an order under way");
    assert!(pebble.find("order.json").is_some());
    drop(gateway);
    let gateway = Gateway::start(&yaml);
    issued(&gateway);
    assert_eq!(pebble.orders(), 1, "{}", pebble.log());
    eventually("the order is over", || pebble.find("order.json").is_none());
}

#[test]
fn nothing_is_ordered_that_could_not_be_kept() {
    let Some(pebble) = Pebble::start(&Manner::default()) else {
        return;
    };
    let proc = std::path::Path::new("/proc/acme");
    let gateway = Gateway::start(&pebble.yaml_in(proc, "a.example", ""));
    let said = failure(&gateway);
    assert!(said.contains("nothing can be kept in /proc/acme"), "{said}");
    assert_eq!(pebble.orders(), 0);
    assert!(!pebble.log().contains("sign-me-up"), "no account either");
    let file = pebble.kept.write("file", "");
    let started = Gateway::try_start(&pebble.yaml_in(&file, "a.example", ""), Clock::system());
    let error = started.err().expect("it must not start");
    assert!(
        error.contains("test.yaml:2:17") && error.contains("is not a folder"),
        "{error}"
    );
}

#[test]
fn of_two_gateways_with_one_folder_one_orders_and_both_serve() {
    let Some(pebble) = Pebble::start(&Manner::default()) else {
        return;
    };
    let first = Gateway::start(&pebble.yaml("a.example", ""));
    assert!(within(SOON, || pebble.find("lock").is_some()));
    let other = pebble
        .yaml("a.example", "")
        .replace(&pebble.http.addr().to_string(), "127.0.0.1:0")
        .replace(&pebble.tls.addr().to_string(), "127.0.0.1:0");
    let second = Gateway::start(&other);
    assert_eq!(issued(&second), issued(&first));
    assert_eq!(pebble.orders(), 1);
    let leads = |gateway: &Gateway| {
        gateway.inner().certificates()[0]
            .acme
            .as_ref()
            .unwrap()
            .leads
    };
    assert!(leads(&first) && !leads(&second));
    drop(first);
    assert!(within(SOON, || leads(&second)), "the other one takes over");
    assert_eq!(pebble.orders(), 1);
}

#[test]
fn an_account_is_bound_to_one_that_the_issuer_knows() {
    let bound = Manner {
        more: ", \"externalAccountBindingRequired\": true, \"externalAccountMACKeys\": { \
               \"kid-1\": \"zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W\" }"
            .to_owned(),
        ..Manner::default()
    };
    let Some(pebble) = Pebble::start(&bound) else {
        return;
    };
    let (gateway, hand) = Gateway::with_manual_clock(&pebble.yaml("a.example", ""));
    let said = failure(&gateway);
    assert!(said.contains("externalAccountRequired"), "{said}");
    let account = ", external_account: { id: kid-1, key: zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W }";
    gateway.reload(&pebble.yaml("a.example", account)).unwrap();
    hand.advance(LATER);
    issued(&gateway);
}

/// RFC 9773, by a directory that says what pebble's says, and where to ask.
#[test]
fn the_server_says_when_to_renew() {
    let Some(pebble) = Pebble::start(&Manner::default()) else {
        return;
    };
    let ca = pebble.authority();
    let own = ca.issue("directory", &["localhost"]);
    let server = portway_testkit::ports::reserve();
    let base = pebble.directory().replace("/dir", "");
    let here = format!("https://localhost:{}", server.port());
    let directory = format!(
        "{{\"newAccount\":\"{base}/sign-me-up\",\"newNonce\":\"{base}/nonce-plz\",\"newOrder\":\"{base}/order-plz\",\
         \"revokeCert\":\"{base}/revoke-cert\",\"renewalInfo\":\"{here}/info\"}}"
    );
    let window = "{\"suggestedWindow\":{\"start\":\"2021-01-03T00:00:00Z\",\"end\":\"2021-01-07T00:00:00Z\"}}";
    let speaks = Gateway::start(&format!(
        "listeners: [ {{ name: s, bind: \"{}\", protocol: https, tls: {{ certificates: [ {own} ] }} }} ]\n\
         routes:\n\
         \x20 - {{ name: dir, path: /dir, respond: {{ body: '{directory}' }} }}\n\
         \x20 - {{ name: info, prefix: /info, respond: {{ body: '{window}', headers: {{ Retry-After: \"21600\" }} }} }}\n",
        server.addr()
    ));
    let yaml = pebble
        .yaml("a.example", "")
        .replace(&pebble.directory(), &format!("{here}/dir"));
    let (gateway, hand) = Gateway::with_manual_clock(&yaml);
    let first = issued(&gateway);
    std::thread::sleep(Duration::from_millis(1200)); // two looks at what is due
    assert_eq!(
        issued(&gateway).serial,
        first.serial,
        "one renewal an hour is enough for any server"
    );
    hand.advance(2 * LATER);
    assert!(
        within(SOON, || issued(&gateway).serial != first.serial),
        "{}",
        speaks.metrics()
    );
}
