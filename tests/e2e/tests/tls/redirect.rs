//! `redirect_https`.

use portway_testkit::{Folder, Gateway, RawClient, raw::get};

use super::{expect_logged, identified};

fn gateway(listener: &str, route: &str) -> Gateway {
    Gateway::start(&format!(
        "listeners: [ {{ name: public, bind: \"127.0.0.1:0\", trusted_proxies: [127.0.0.0/8]{listener} }} ]\n\
         routes: [ {{ name: all, prefix: /, respond: {{ body: plain }}{route} }}, {{ name: open, prefix: /open, respond: {{ body: open }} }} ]\n"
    ))
}

#[test]
fn a_plain_listener_sends_its_clients_to_https() {
    let gateway = gateway(", redirect_https: true", "");
    let reply = RawClient::get(gateway.addr(), "/a/b?x=1&y");
    assert_eq!(reply.status, 308);
    assert_eq!(
        reply.field("location"),
        Some("https://test.example/a/b?x=1&y")
    );
    let asked = get("/open").replace("Host: test.example", "Host: Test.Example:8080");
    let reply = RawClient::ask(gateway.addr(), asked);
    assert_eq!(reply.field("location"), Some("https://test.example/open"));
}

#[test]
fn a_route_sends_its_clients_to_the_port_it_names() {
    let gateway = gateway("", ", redirect_https: 8443");
    let reply = RawClient::get(gateway.addr(), "/a");
    assert_eq!(reply.field("location"), Some("https://test.example:8443/a"));
    assert_eq!(&*RawClient::get(gateway.addr(), "/open").text(), "open");
}

/// Those of the route too: what it says of its replies holds for this one.
#[test]
fn a_redirect_has_an_id_and_passes_the_response_filters() {
    let log = Folder::new();
    let gateway = Gateway::start(&format!(
        "listeners: [ {{ name: public, bind: \"127.0.0.1:0\", redirect_https: true }} ]\n\
         routes: [ {{ name: all, path: /all, respond: {{ body: plain }}, \
           filters: [ {{ headers: {{ response: {{ set: {{ X-Route: all }} }} }} }} ] }} ]\n{}",
        identified(&log)
    ));
    for (path, route) in [("/all", Some("all")), ("/nowhere", None)] {
        let reply = RawClient::get(gateway.addr(), path);
        assert_eq!(reply.status, 308, "{path}");
        let id = reply.field("x-request-id").expect("an id");
        assert_eq!(reply.field("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.field("x-route"), route);
        expect_logged(&log, 308, id);
    }
}

#[test]
fn who_came_over_https_to_a_trusted_proxy_is_served() {
    let gateway = gateway(", redirect_https: true", "");
    let asked = get("/a").replace("\r\n\r\n", "\r\nX-Forwarded-Proto: https\r\n\r\n");
    assert_eq!(&*RawClient::ask(gateway.addr(), asked).text(), "plain");
}

#[test]
fn a_request_without_host_is_sent_nowhere() {
    let gateway = gateway(", redirect_https: true", "");
    let reply = RawClient::ask(gateway.addr(), "GET / HTTP/1.0\r\n\r\n");
    assert_eq!(reply.status, 400);
}
