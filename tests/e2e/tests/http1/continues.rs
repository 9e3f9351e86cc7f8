//! `Expect: 100-continue` (RFC 9110, section 10.1.1): asked of the gateway, answered by the gateway,
//! and only once somebody wants the body.

use std::time::Duration;

use portway_testkit::raw::get;
use portway_testkit::{Origin, RawClient, replies};

use crate::support::{Setup, before};

const HEAD: &str =
    "POST /up HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";

#[test]
fn a_waiting_client_is_told_to_go_on() {
    let origin = Origin::start(|request, conn| conn.reply(200, &[], &request.body));
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    for _ in 0..2 {
        client.send(HEAD);
        assert_eq!(client.try_head().unwrap().word(1), "100");
        let reply = client.send("body").reply();
        assert_eq!((reply.text().as_str(), reply.interim.len()), ("body", 0));
    }
    let seen = origin.last_request();
    assert_eq!(
        seen.field("expect"),
        None,
        "it was the gateway that was asked"
    );
}

#[test]
fn a_client_that_does_not_wait_is_served_all_the_same() {
    let origin = Origin::start(|request, conn| conn.reply(200, &[], &request.body));
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    client.send(HEAD.to_owned() + "body" + &get("/next"));
    assert_eq!(client.reply().text(), "body");
    client.reply().expect_status(200);
}

#[test]
fn a_refused_client_is_not_told_to_go_on() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin)
        .filter("ip_filter: { deny: [127.0.0.0/8] }")
        .start();
    let mut client = RawClient::connect(gateway.addr());
    let reply = client.send(HEAD).reply();
    assert_eq!((reply.status, reply.interim.len()), (403, 0));
    // The body may come or not: there is no telling where a next request would begin.
    assert_eq!(reply.field("connection"), Some("close"));
    client.half_close().expect_closed();
    assert_eq!(origin.connection_count(), 0);
}

#[test]
fn nobody_is_told_to_go_on_while_there_is_no_target() {
    let mut origin = Origin::start(replies::text("x"));
    origin.stop();
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    let reply = client.send(HEAD).reply();
    assert_eq!((reply.status, reply.interim.len()), (502, 0));
}

#[test]
fn an_unknown_expectation_fails() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let request = "GET / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n";
    RawClient::ask(gateway.addr(), request).expect_status(417);
    assert_eq!(origin.request_count(), 0);
}

#[test]
fn http10_is_never_told_to_go_on() {
    let origin = Origin::start(|request, conn| conn.reply(200, &[], &request.body));
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    client.send("POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    client.expect_silence(Duration::from_millis(50));
    assert_eq!(client.send("hi").reply().text(), "hi");
}
