//! The two hashing policies: the same key goes to the same target, and few keys move.

use portway_testkit::{Gateway, Origin, RawClient};

use crate::pool::{Config, letters, who};

const KEYS: usize = 90;

/// A request that carries a key where `hash_on` looks for it.
fn keyed(hash_on: &str, key: usize) -> String {
    let (target, field) = match hash_on.split(':').next() {
        Some("client_ip") => ("/".into(), format!("X-Forwarded-For: 203.0.113.{key}")),
        Some("header") => ("/".into(), format!("X-User: user-{key}")),
        Some("cookie") => ("/".into(), format!("Cookie: other=1; user=user-{key}")),
        Some("query") => (format!("/?x=1&user=user-{key}"), "X-None: 1".into()),
        Some("path" | "url") => (format!("/users/{key}"), "X-None: 1".into()),
        _ => unreachable!("of the list below"),
    };
    format!("GET {target} HTTP/1.1\r\nHost: test.example\r\n{field}\r\n\r\n")
}

fn yaml(policy: &str, hash_on: &str, origins: &[Origin]) -> String {
    let upstream = format!("load_balance: {{ policy: {policy}, hash_on: \"{hash_on}\" }}");
    let config = Config {
        upstream: &upstream,
        ..Config::PLAIN
    };
    config.yaml(origins)
}

fn places(gateway: &Gateway, hash_on: &str) -> Vec<String> {
    let mut client = RawClient::connect(gateway.addr());
    let places = (0..KEYS).map(|key| who(&mut client, &keyed(hash_on, key)));
    places.collect()
}

/// `moved_max`: keys of targets that stay which may move nevertheless.
fn expect_placed(policy: &str, moved_max: usize) {
    for hash_on in [
        "header:X-User",
        "client_ip",
        "cookie:user",
        "query:user",
        "path",
        "url",
    ] {
        let pool = letters(3);
        let gateway = Gateway::start(&yaml(policy, hash_on, &pool));
        let before = places(&gateway, hash_on);
        let again = places(&gateway, hash_on);
        assert_eq!(before, again, "{policy} on {hash_on}");
        for letter in ["a", "b", "c"] {
            let share = before.iter().filter(|who| *who == letter).count();
            assert!(
                share >= KEYS / 10,
                "{policy} on {hash_on}: {letter} has {share}"
            );
        }
        gateway
            .reload(&yaml(policy, hash_on, &pool[..2]))
            .expect("a good config");
        let after = places(&gateway, hash_on);
        let pairs = before.iter().zip(&after);
        let moved = pairs.filter(|(before, after)| *before != "c" && before != after);
        let moved = moved.count();
        assert!(moved <= moved_max, "{policy} on {hash_on}: {moved} moved");
        assert!(after.iter().all(|who| who != "c"));
    }
}

#[test]
fn a_ring_moves_only_the_keys_of_the_target_that_left() {
    expect_placed("ring_hash", 0);
}

/// Maglev trades a few moves for speed (Eisenbud and others, NSDI 2016, section 5.3).
#[test]
fn maglev_moves_few_other_keys() {
    expect_placed("maglev", KEYS / 10);
}

#[test]
fn requests_without_the_key_are_still_served() {
    let pool = letters(2);
    for policy in ["ring_hash", "maglev"] {
        let gateway = Gateway::start(&yaml(policy, "header:X-User", &pool));
        for _ in 0..4 {
            RawClient::get(gateway.addr(), "/").expect_status(200);
        }
    }
}
