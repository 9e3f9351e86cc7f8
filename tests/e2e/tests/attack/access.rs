//! What no client gets to: the operators' API, folders beside the served one, other people's replies.

use portway_core::Clock;
use portway_testkit::{Folder, Gateway, Origin, RawClient, ports, replies};

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
