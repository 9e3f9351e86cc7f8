//! A change of the config: who keeps what, who notices what, and what nobody must notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use portway_testkit::{Gateway, RawClient, eventually, ports, raw::get, replies};

use crate::pool::{Config, Gate, advance, letters, says, who};
use crate::support::code;

mod drain;

/// Three threads ask without a pause, each over one connection; the config changes 20 times under
/// them.
#[test]
fn twenty_reloads_under_load_lose_no_request_and_close_no_connection() {
    let pool = letters(2);
    let yaml = |round: usize| {
        let more = format!(
            "global_filters: [ {{ headers: {{ response: {{ set: {{ X-Round: \"{round}\" }} }} }} }} ]"
        );
        let config = Config {
            more: &more,
            ..Config::PLAIN
        };
        let routes: String = (0..round)
            .map(|n| format!(", {{ name: r{n}, prefix: /r{n}, respond: {{ status: 204 }} }}"))
            .collect();
        let yaml = config.yaml(&pool);
        yaml.replace(
            "upstream: pool,  } ]",
            &format!("upstream: pool }}{routes} ]"),
        )
    };
    let gateway = Gateway::start(&yaml(0));
    let done = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (addr, done, asked) = (gateway.addr(), Arc::clone(&done), Arc::clone(&asked));
            std::thread::spawn(move || {
                let mut client = RawClient::connect(addr);
                while !done.load(Ordering::Acquire) {
                    who(&mut client, &get("/")); // panics if the connection closes
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 1..=20 {
        let before = asked.load(Ordering::Relaxed);
        gateway.reload(&yaml(round)).expect("a good config");
        eventually("requests under this config", || {
            asked.load(Ordering::Relaxed) > before + 9
        });
    }
    done.store(true, Ordering::Release);
    for thread in threads {
        thread.join().expect("every request was answered");
    }
    let last = RawClient::get(gateway.addr(), "/");
    assert_eq!(last.field("x-round"), Some("20"));
    RawClient::get(gateway.addr(), "/r19").expect_status(204);
    let connections: u64 = pool.iter().map(|origin| origin.connection_count()).sum();
    assert!(
        connections <= 8,
        "the pools stay: {connections} connections"
    );
}

#[test]
fn an_unchanged_upstream_keeps_its_pool() {
    let pool = letters(1);
    let gateway = Gateway::start(&Config::PLAIN.yaml(&pool));
    let mut client = RawClient::connect(gateway.addr());
    for round in 0..5 {
        who(&mut client, &get("/"));
        let more = format!(
            "# round {round}\nglobal_filters: [ {{ body_limit: {{ max: {round}1KiB }} }} ]"
        );
        let config = Config {
            more: &more,
            ..Config::PLAIN
        };
        gateway.reload(&config.yaml(&pool)).unwrap();
    }
    who(&mut client, &get("/"));
    assert_eq!(pool[0].connection_count(), 1);
}

const LIMITED: &str = "filters: [ { rate_limit: { qps: 0.001, burst: 3 } } ]";

#[test]
fn a_limiter_goes_on_counting_unless_it_changed() {
    let pool = letters(1);
    let yaml = |filters, more| {
        let config = Config {
            route: filters,
            more,
            ..Config::PLAIN
        };
        config.yaml(&pool)
    };
    let gateway = Gateway::start(&yaml(LIMITED, ""));
    let ask = || RawClient::get(gateway.addr(), "/").status;
    assert_eq!([ask(), ask()], [200, 200]);
    gateway
        .reload(&yaml(
            LIMITED,
            "global_filters: [ { security_headers: {} } ]",
        ))
        .unwrap();
    assert_eq!([ask(), ask()], [200, 429], "the third of three, then none");
    let wider = LIMITED.replace("burst: 3", "burst: 4");
    gateway.reload(&yaml(&wider, "")).unwrap();
    assert_eq!(ask(), 200, "another limit");
}

#[test]
fn a_new_route_shares_what_a_global_filter_has_counted() {
    let pool = letters(1);
    let yaml = |more: &str| {
        let config = Config {
            more: "global_filters: [ { rate_limit: { qps: 0.001, burst: 3 } } ]",
            ..Config::PLAIN
        };
        config
            .yaml(&pool)
            .replace("upstream: pool,  } ]", &format!("upstream: pool {more} ]"))
    };
    let off = "}, { name: free, prefix: /free, respond: { status: 204 }, filters: [ { rate_limit: off } ] }";
    let gateway = Gateway::start(&yaml(off));
    let ask = |target| RawClient::get(gateway.addr(), target).status;
    assert_eq!([ask("/"), ask("/"), ask("/free")], [200, 200, 204]);
    let on = off.replace(", filters: [ { rate_limit: off } ]", "");
    let new = "}, { name: new, prefix: /new, respond: { status: 204 } }";
    gateway
        .reload(&yaml(&format!("{on}{}", &new[1..])))
        .unwrap();
    assert_eq!(ask("/new"), 204, "the third of three");
    assert_eq!([ask("/new"), ask("/free"), ask("/")], [429; 3]);
}

#[test]
fn an_open_breaker_stays_open() {
    for config in [
        Config {
            upstream: "circuit_breaker: { failure_threshold: 2, open_for: 1h }",
            ..Config::PLAIN
        },
        Config {
            route: "filters: [ { circuit_breaker: { threshold: 2, timeout: 1h } } ]",
            ..Config::PLAIN
        },
    ] {
        let pool = letters(1);
        let gateway = Gateway::start(&config.yaml(&pool));
        pool[0].set_handler(replies::status(500));
        for _ in 0..2 {
            RawClient::get(gateway.addr(), "/").expect_status(500);
        }
        pool[0].set_handler(says(b'a'));
        let changed = Config {
            more: "global_filters: [ { security_headers: {} } ]",
            ..config
        };
        gateway.reload(&changed.yaml(&pool)).unwrap();
        let reply = RawClient::get(gateway.addr(), "/");
        assert_eq!(code(&reply), "circuit_open");
    }
}

/// An ejected target stays out when only the policy changes.
#[test]
fn an_upstream_of_another_policy_remembers_who_is_ill() {
    let pool = letters(2);
    pool[1].set_handler(replies::status(500));
    let yaml = |policy: &str| {
        let upstream = format!(
            "outlier_detection: {{ consecutive_5xx: 1, eject_for: 1h }}, load_balance: {{ policy: {policy} }}"
        );
        let config = Config {
            upstream: &upstream,
            ..Config::PLAIN
        };
        config.yaml(&pool)
    };
    let gateway = Gateway::start(&yaml("round_robin"));
    let statuses = || [(); 6].map(|()| RawClient::get(gateway.addr(), "/").status);
    assert_eq!(statuses().iter().filter(|s| **s == 500).count(), 1);
    gateway.reload(&yaml("random")).unwrap();
    assert_eq!(statuses(), [200; 6]);
}

#[test]
fn a_broken_config_changes_nothing() {
    let pool = letters(1);
    let good = Config::PLAIN.yaml(&pool);
    let gateway = Gateway::start(&good);
    let mut client = RawClient::connect(gateway.addr());
    who(&mut client, &get("/"));
    for (what, broken) in [
        ("an unknown key", good.replace("prefix:", "prefx:")),
        (
            "an unknown upstream",
            good.replace("upstream: pool", "upstream: pol"),
        ),
        ("no YAML", "routes: [".into()),
    ] {
        assert!(gateway.reload(&broken).is_err(), "{what}");
        assert_eq!(who(&mut client, &get("/")), "a", "{what}");
    }
    let generation = crate::resilience::metric(&gateway, "portway_config_generation");
    assert_eq!(generation, 1.0);
}

#[test]
fn a_listener_that_cannot_be_bound_changes_nothing() {
    let pool = letters(1);
    let taken = ports::reserve();
    let _listener = taken.listen().unwrap();
    let good = Config::PLAIN.yaml(&pool);
    let gateway = Gateway::start(&good);
    let second = format!(
        "}}, {{ name: second, bind: \"{}\" }} ]\nupstreams",
        taken.addr()
    );
    let with_second = good
        .replace("} ]\nupstreams", &second)
        .replace("prefix: /,", "prefix: /new,");
    let error = gateway.reload(&with_second).unwrap_err();
    assert!(error.contains("second"), "{error}");
    RawClient::get(gateway.addr(), "/").expect_status(200);
    assert!(Gateway::try_start(&with_second, portway_core::Clock::system()).is_err());
}

#[test]
fn an_exchange_under_way_ends_under_the_config_it_began_with() {
    let pool = letters(1);
    let gate = Gate::default();
    let held = gate.clone();
    pool[0].set_handler(move |request, conn| {
        held.wait();
        says(b'a')(request, conn);
    });
    let with_header = |value: &str| {
        let more = format!(
            "global_filters: [ {{ headers: {{ response: {{ set: {{ X-Config: {value} }} }} }} }} ]"
        );
        let config = Config {
            more: &more,
            ..Config::PLAIN
        };
        config.yaml(&pool)
    };
    let gateway = Gateway::start(&with_header("old"));
    let mut client = RawClient::connect(gateway.addr());
    client.send(get("/"));
    pool[0].wait("it is under way", |seen| seen.request_count == 1);
    // Even its route and its upstream are gone from the new one.
    let without = with_header("new")
        .replace("upstream: pool,", "respond: { status: 204 }")
        .replace("routes: [ { name: all", "routes: [ { name: other");
    let upstreams = without.find("upstreams:").unwrap();
    let routes = without.find("routes:").unwrap();
    let without = without[..upstreams].to_owned() + &without[routes..];
    gateway.reload(&without).expect("a good config");
    let fresh = RawClient::get(gateway.addr(), "/");
    assert_eq!((fresh.status, fresh.field("x-config")), (204, Some("new")));
    gate.open();
    let old = client.reply();
    assert_eq!((&*old.text(), old.field("x-config")), ("a", Some("old")));
    client.send(get("/"));
    assert_eq!(
        client.reply().field("x-config"),
        Some("new"),
        "the same connection"
    );
}

#[test]
fn timeouts_of_the_new_config_hold_for_open_connections() {
    let pool = letters(1);
    let yaml = Config::PLAIN.yaml(&pool);
    let (gateway, hand) = Gateway::with_manual_clock(&yaml);
    let mut client = RawClient::connect(gateway.addr());
    who(&mut client, &get("/"));
    let shorter = yaml.replace("workers: 1", "workers: 1, idle_timeout: 5s");
    gateway.reload(&shorter).unwrap();
    who(&mut client, &get("/"));
    advance(&gateway, &hand, Duration::from_secs(6));
    client.expect_closed();
}

#[test]
fn an_upstream_that_is_gone_is_checked_no_more() {
    let pool = letters(2);
    let checked = Config {
        upstream: "health_check: { path: /health, interval: 50ms }",
        ..Config::PLAIN
    };
    let gateway = Gateway::start(&checked.yaml(&pool[..1]));
    pool[0].wait("it is checked", |seen| seen.request_count >= 2);
    let other = checked.yaml(&pool[1..]).replace("pool", "other");
    gateway.reload(&other).unwrap();
    pool[1].wait("the new one is checked", |seen| seen.request_count >= 1);
    let before = pool[0].request_count();
    pool[1].wait("time passes", |seen| seen.request_count >= 10);
    // One may have been on its way.
    assert!(pool[0].request_count() <= before + 1);
}

#[test]
fn an_open_breaker_stays_open_when_its_upstream_gets_another_target() {
    let pool = letters(2);
    pool[0].set_handler(replies::status(500));
    let config = Config {
        upstream: "circuit_breaker: { failure_threshold: 2, open_for: 1h }",
        ..Config::PLAIN
    };
    let gateway = Gateway::start(&config.yaml(&pool[..1]));
    for status in [500, 500, 503] {
        RawClient::get(gateway.addr(), "/").expect_status(status);
    }
    gateway.reload(&config.yaml(&pool)).unwrap();
    RawClient::get(gateway.addr(), "/").expect_status(503);
    let other = Config {
        upstream: "circuit_breaker: { failure_threshold: 3, open_for: 1h }",
        ..Config::PLAIN
    };
    gateway.reload(&other.yaml(&pool[1..])).unwrap();
    RawClient::get(gateway.addr(), "/").expect_status(200);
}

#[test]
fn a_renamed_listener_is_counted_under_its_new_name() {
    let pool = letters(1);
    // A port that the system chose would be told apart by its name.
    let reserved = ports::reserve();
    let address = reserved.addr().to_string();
    let yaml = Config::PLAIN.yaml(&pool).replace("127.0.0.1:0", &address);
    let gateway = Gateway::start(&yaml);
    let addr = gateway.addr();
    let mut client = RawClient::connect(addr);
    who(&mut client, &get("/"));
    gateway
        .reload(&yaml.replace("name: public", "name: front"))
        .unwrap();
    let mut another = RawClient::connect(addr);
    who(&mut another, &get("/"));
    who(&mut client, &get("/")); // still open, and counted where it was
    let open = |name: &str| {
        let line = format!("portway_active_connections{{listener=\"{name}\"}} 1");
        gateway.metrics().contains(&line)
    };
    eventually("one connection under each name", || {
        open("public") && open("front")
    });
    drop((client, another));
    gateway.wait_connections(0);
    gateway.reload(&yaml).unwrap();
    let mut again = RawClient::connect(addr);
    who(&mut again, &get("/"));
    eventually("the first name again", || open("public") && !open("front"));
}
