//! What no client gets to: the operators' API, folders beside the served one, other people's replies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use portway_core::Clock;
use portway_testkit::raw::get;
use portway_testkit::{Folder, Gateway, Origin, RawClient, eventually, ports, replies};

use crate::pool::Gate;
use crate::support::{Setup, before};

#[test]
fn admin_unreachable_by_route_operators_pages_are_not_on_public_listeners() {
    let origin = Origin::start(replies::status(404));
    let gateway = before(&origin);
    for path in [
        "/health",
        "/ready",
        "/metrics",
        "/config",
        "/config/status",
        "/routes",
        "/upstreams",
    ] {
        RawClient::get(gateway.addr(), path).expect_status(404);
        assert_eq!(
            origin.last_request().target(),
            path,
            "it is the origin's path like any other"
        );
    }
}

#[test]
fn admin_unreachable_by_route_only_what_is_exposed_is_answered() {
    let origin = Origin::start(replies::text("origin"));
    let gateway = Setup::to(&origin).listener("expose: [health]").start();
    assert!(
        RawClient::get(gateway.addr(), "/health")
            .text()
            .contains("ok")
    );
    assert_eq!(RawClient::get(gateway.addr(), "/metrics").text(), "origin");
    let post = "POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(RawClient::ask(gateway.addr(), post).text(), "origin");
}

#[test]
fn what_is_exposed_has_passed_the_global_filters() {
    let origin = Origin::start(replies::text("origin"));
    let setup = Setup::to(&origin).listener("expose: [health, metrics]");
    let gateway = setup
        .clone()
        .global("ip_filter: { deny: [127.0.0.0/8] }")
        .start();
    for path in ["/health", "/metrics"] {
        RawClient::get(gateway.addr(), path).expect_status(403);
    }
    let gateway = setup.global("request_id: {}").start();
    for path in ["/health", "/metrics"] {
        let reply = RawClient::get(gateway.addr(), path);
        assert!(reply.expect_status(200).field("x-request-id").is_some());
    }
}

/// Putting thousands of series into words takes long: anybody who may ask for it must not be able to
/// keep others waiting by that.
#[test]
fn exposed_metrics_hold_nobody_up_and_are_gathered_once_for_many() {
    let origin = Origin::start(replies::text("origin"));
    let setup = Setup::to(&origin).listener("expose: [metrics]");
    let (gateway, hand) = Gateway::with_manual_clock(&setup.yaml());
    let (gate, scrapes) = (Gate::default(), Arc::new(AtomicUsize::new(0)));
    let (held, counted) = (gate.clone(), Arc::clone(&scrapes));
    gateway.inner().shared.registry.collect_with(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        held.wait();
    });
    let mut scrapers = [(); 3].map(|()| RawClient::connect(gateway.addr()));
    for scraper in &mut scrapers {
        scraper.send(get("/metrics"));
    }
    eventually("it is being gathered", || {
        scrapes.load(Ordering::Relaxed) == 1
    });
    for _ in 0..3 {
        assert_eq!(RawClient::get(gateway.addr(), "/").text(), "origin");
    }
    gate.open();
    for scraper in &mut scrapers {
        let text = scraper.reply().expect_status(200).text();
        assert!(text.contains("portway_config_generation 1"), "{text}");
    }
    assert_eq!(scrapes.load(Ordering::Relaxed), 1);
    hand.advance(Duration::from_secs(2));
    RawClient::get(gateway.addr(), "/metrics").expect_status(200);
    assert_eq!(scrapes.load(Ordering::Relaxed), 2);
}

#[test]
fn admin_unreachable_by_route_a_target_that_is_the_operators_api_is_refused() {
    let port = ports::reserve();
    for target in [
        port.addr().to_string(),
        format!("localhost:{}", port.port()),
    ] {
        let yaml = format!(
            "server: {{ host: 127.0.0.1, port: 0 }}\n\
             admin: {{ bind: '{}' }}\n\
             routes: [{{ name: all, prefix: /, targets: [{{ addr: 'http://{target}' }}] }}]\n",
            port.addr()
        );
        let refused = Gateway::try_start(&yaml, Clock::system()).err();
        let problems = refused.expect("a route to the operators' API is a config error");
        assert!(problems.contains("operators' API"), "{problems}");
    }
}

#[test]
fn path_confusion_static_files_stay_inside_their_folder() {
    let folder = Folder::new();
    folder.write("public/a.txt", "public");
    folder.write("secret.txt", "secret");
    folder.write("public-not/b.txt", "secret");
    let root = folder.path().join("public");
    std::os::unix::fs::symlink(folder.path().join("secret.txt"), root.join("link.txt")).unwrap();
    let gateway = Gateway::start(&format!(
        "server: {{ host: 127.0.0.1, port: 0 }}\n\
         routes: [{{ name: files, prefix: /files, static: {{ root: '{}' }} }}]\n",
        root.display()
    ));
    assert_eq!(
        RawClient::get(gateway.addr(), "/files/a.txt").text(),
        "public"
    );
    for path in [
        "/files/../secret.txt",
        "/files/%2e%2e/secret.txt",
        "/files/..%2fsecret.txt",
        "/files/..;/secret.txt",
        "/files/..%5csecret.txt",
        "/files//../../secret.txt",
        "/files/a.txt/../../secret.txt",
        "/files/../public-not/b.txt",
        "/files-not/b.txt",
        "/files/link.txt",
        "/files/a.txt%00",
        "/files//etc/passwd",
        "/files/%2fetc%2fpasswd",
    ] {
        let reply = RawClient::get(gateway.addr(), path);
        assert!(reply.status >= 400, "{path}: {}", reply.text());
        assert!(
            !reply.text().contains("secret\n") && reply.text() != "secret",
            "{path}"
        );
    }
}

#[test]
fn open_redirects_a_client_does_not_choose_the_host() {
    let gateway = Gateway::start(
        "server: { host: 127.0.0.1, port: 0 }\n\
         routes: [{ name: old, prefix: /old, redirect: { to: /, status: 308 } }]\n",
    );
    for path in [
        "/old//evil.example",
        "/old/%2fevil.example",
        "/old/\\evil.example",
        "/old/.//evil.example",
    ] {
        let reply = RawClient::get(gateway.addr(), path);
        if let Some(location) = reply.field("location") {
            assert!(
                location.starts_with('/') && !location.starts_with("//"),
                "{path}: {location}"
            );
        } else {
            assert_eq!(reply.status, 400, "{path}");
        }
    }
}
