//! Which target gets a request: every policy, as clients and origins see it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portway_testkit::raw::get;
use portway_testkit::{Gateway, Origin, RawClient, eventually};

use crate::pool::{Config, Gate, advance, ask, count, letters, says, who};

mod placed;

fn policy(policy: &str) -> String {
    format!("load_balance: {{ policy: {policy} }}")
}

fn start(upstream: &str, origins: &[(&Origin, u32)]) -> Gateway {
    let config = Config {
        upstream,
        ..Config::PLAIN
    };
    let targets = origins
        .iter()
        .map(|(origin, weight)| (origin.url(), *weight));
    Gateway::start(&config.yaml_of(targets))
}

#[test]
fn weighted_round_robin_is_exact_and_smooth() {
    let pool = letters(2);
    let gateway = start(
        &policy("weighted_round_robin"),
        &[(&pool[0], 3), (&pool[1], 1)],
    );
    let all = ask(&gateway, 40);
    for four in all.as_bytes().chunks(4) {
        let four = std::str::from_utf8(four).unwrap();
        assert_eq!((count(four, 'a'), count(four, 'b')), (3, 1), "{all}");
        assert!(!four.contains("aaaa"), "{all}");
    }
}

#[test]
fn weight_zero_gets_nothing() {
    let pool = letters(2);
    let gateway = start(
        &policy("weighted_round_robin"),
        &[(&pool[0], 0), (&pool[1], 1)],
    );
    assert_eq!(ask(&gateway, 10), "bbbbbbbbbb");
}

#[test]
fn round_robin_takes_turns_whatever_the_weights() {
    let pool = letters(3);
    let gateway = start(
        &policy("round_robin"),
        &[(&pool[0], 5), (&pool[1], 1), (&pool[2], 1)],
    );
    let all = ask(&gateway, 30);
    for three in all.as_bytes().chunks(3) {
        assert_eq!(BTreeSet::from_iter(three).len(), 3, "{all}");
    }
}

/// 400 draws of 3:1 have a standard deviation of 8.7: the bounds are 6 of them away.
#[test]
fn random_keeps_to_weights_on_average() {
    let pool = letters(2);
    let gateway = start(&policy("random"), &[(&pool[0], 3), (&pool[1], 1)]);
    let all = ask(&gateway, 400);
    let first = count(&all, 'a');
    assert!((248..=352).contains(&first), "{first}");
}

/// One target is busy with a request that does not end: everything else goes to the other.
fn expect_the_idle_one(policy_name: &str) {
    let gate = Gate::default();
    let mut pool = letters(2);
    for (letter, origin) in (b'a'..).zip(&mut pool) {
        let gate = gate.clone();
        origin.set_handler(move |request, conn| {
            if request.target() == "/hold" {
                gate.wait();
            }
            says(letter)(request, conn);
        });
    }
    let gateway = start(&policy(policy_name), &[(&pool[0], 1), (&pool[1], 1)]);
    let mut held = RawClient::connect(gateway.addr());
    held.send(get("/hold"));
    eventually("the request is held", || {
        pool.iter().any(|origin| origin.request_count() == 1)
    });
    let idle = if pool[0].request_count() == 0 {
        "a"
    } else {
        "b"
    };
    assert_eq!(ask(&gateway, 12), idle.repeat(12), "{policy_name}");
    gate.open();
    held.reply().expect_status(200);
}

#[test]
fn least_connections_avoids_the_busy_one() {
    expect_the_idle_one("least_connections");
}

#[test]
fn p2c_avoids_the_busier_of_two() {
    expect_the_idle_one("p2c");
}

/// The slow target's time is made by hand: every request to it takes 40 ms of the gateway's clock.
#[test]
fn ewma_prefers_the_fast_one() {
    let pool = letters(2);
    let config = Config {
        upstream: "load_balance: { policy: ewma }",
        ..Config::PLAIN
    };
    let (gateway, hand) = Gateway::with_manual_clock(&config.yaml(&pool));
    for (letter, time_ms, origin) in [(b'a', 40, &pool[0]), (b'b', 1, &pool[1])] {
        let hand = hand.clone();
        origin.set_handler(move |request, conn| {
            hand.advance(Duration::from_millis(time_ms));
            says(letter)(request, conn);
        });
    }
    let all = ask(&gateway, 60);
    assert!(count(&all, 'b') >= 45, "{all}");
}

#[test]
fn a_new_target_starts_slowly() {
    let pool = letters(2);
    let config = Config {
        upstream: "load_balance: { slow_start: 10s }",
        ..Config::PLAIN
    };
    let (gateway, hand) = Gateway::with_manual_clock(&config.yaml(&pool[..1]));
    advance(&gateway, &hand, Duration::from_secs(60));
    assert_eq!(ask(&gateway, 10), "aaaaaaaaaa");
    gateway.reload(&config.yaml(&pool)).unwrap();
    let share = |gateway: &Gateway| count(&ask(gateway, 110), 'b');
    let cold = share(&gateway);
    assert!((5..=15).contains(&cold), "{cold} of 110 at once");
    advance(&gateway, &hand, Duration::from_secs(5));
    let warm = share(&gateway);
    assert!(
        (28..=45).contains(&warm),
        "{warm} of 110 after half the time"
    );
    advance(&gateway, &hand, Duration::from_secs(5));
    assert_eq!(share(&gateway), 55, "its full share");
}

/// Two of four ill: only the well are used. Three of four ill: below the threshold all are.
#[test]
fn below_the_panic_threshold_all_targets_are_used() {
    let mut pool = letters(4);
    let config = Config {
        upstream: "health_check: { type: tcp, interval: 20ms, timeout: 1s, healthy_after: 1, \
                   unhealthy_after: 1 }, load_balance: { policy: round_robin, panic_threshold: 50% }",
        ..Config::PLAIN
    };
    let gateway = Gateway::start(&config.yaml(&pool));
    let fit = || {
        let snapshot = gateway.inner().snapshot();
        let targets = snapshot.upstreams[0].upstream.targets();
        targets.targets.iter().filter(|t| t.is_fit()).count()
    };
    pool[2].stop();
    pool[3].stop();
    eventually("two are left", || fit() == 2);
    let all = ask(&gateway, 20);
    assert_eq!((count(&all, 'a'), count(&all, 'b')), (10, 10), "{all}");
    pool[1].stop();
    eventually("one is left", || fit() == 1);
    let mut client = RawClient::connect(gateway.addr());
    let mut statuses = BTreeMap::new();
    for _ in 0..20 {
        client.send(get("/"));
        *statuses.entry(client.reply().status).or_insert(0) += 1;
    }
    assert_eq!(statuses, BTreeMap::from([(200, 5), (502, 15)]));
}

#[test]
fn a_request_finds_its_way_back_by_cookie() {
    let pool = letters(3);
    let config = Config {
        upstream: "load_balance: { policy: round_robin, sticky: { cookie: portway_route, ttl: 1h } }",
        ..Config::PLAIN
    };
    let gateway = Gateway::start(&config.yaml(&pool));
    let first = RawClient::get(gateway.addr(), "/");
    let cookie = first.field("set-cookie").expect("a cookie").to_owned();
    for part in [
        "portway_route=",
        "Path=/",
        "HttpOnly",
        "SameSite=Lax",
        "Max-Age=3600",
    ] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let pair = cookie.split(';').next().unwrap().to_owned();
    let back = format!("GET / HTTP/1.1\r\nHost: test.example\r\nCookie: a=b; {pair}\r\n\r\n");
    for _ in 0..6 {
        let again = RawClient::ask(gateway.addr(), &back);
        assert_eq!(again.text(), first.text());
        assert_eq!(again.field("set-cookie"), None);
    }
    // Its target goes away: another one, and a cookie for that.
    let left = (b'a'..).zip(&pool).filter(|(l, _)| [*l] != first.body[..]);
    let left = left.map(|(_, origin)| (origin.url(), 1));
    gateway.reload(&config.yaml_of(left)).unwrap();
    let moved = RawClient::ask(gateway.addr(), &back);
    assert_ne!(moved.text(), first.text());
    let other = moved.field("set-cookie").expect("a new cookie");
    assert!(!other.starts_with(&format!("{pair};")), "{other}");
    // A cookie that names nothing is one of nobody.
    let odd = back.replace(&pair, "portway_route=zz");
    assert!(
        RawClient::ask(gateway.addr(), &odd)
            .field("set-cookie")
            .is_some()
    );
}

#[test]
fn each_connection_of_one_client_is_balanced_by_request() {
    let pool = letters(2);
    let gateway = start(&policy("round_robin"), &[(&pool[0], 1), (&pool[1], 1)]);
    let mut clients = [(); 2].map(|()| RawClient::connect(gateway.addr()));
    for client in &mut clients {
        let two = who(client, &get("/")) + &who(client, &get("/"));
        assert!(two == "ab" || two == "ba", "{two}");
    }
}
