//! Listeners that come and go, and the end of the process.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use portway_testkit::{Gateway, Origin, RawClient, eventually, ports, raw::get};

use crate::pool::{Config, Gate, advance, letters, says, who};

/// An origin that holds what asks for `/hold`.
fn holding(gate: &Gate) -> Vec<Origin> {
    let pool = letters(1);
    let gate = gate.clone();
    pool[0].set_handler(move |request, conn| {
        if request.target() == "/hold" {
            gate.wait();
        }
        says(b'a')(request, conn);
    });
    pool
}

fn with_second(yaml: &str, addr: SocketAddr) -> String {
    let second = format!("}}, {{ name: second, bind: \"{addr}\" }} ]\nupstreams");
    yaml.replace("} ]\nupstreams", &second)
}

fn refuses(addr: SocketAddr) -> bool {
    TcpStream::connect(addr).is_err()
}

#[test]
fn an_added_listener_answers_and_a_removed_one_drains() {
    let gate = Gate::default();
    let pool = holding(&gate);
    let port = ports::reserve();
    let one = Config::PLAIN.yaml(&pool);
    let two = with_second(&one, port.addr());
    let gateway = Gateway::start(&one);
    assert!(refuses(port.addr()));
    gateway.reload(&two).unwrap();
    let mut idle = RawClient::connect(port.addr());
    assert_eq!(who(&mut idle, &get("/")), "a");
    let mut busy = RawClient::connect(port.addr());
    busy.send(get("/hold"));
    pool[0].wait("it is under way", |seen| seen.request_count == 2);
    let mut stays = RawClient::connect(gateway.addr_of("public"));
    who(&mut stays, &get("/"));

    gateway.reload(&one).unwrap();
    idle.expect_closed();
    eventually("it refuses", || refuses(port.addr()));
    gate.open();
    let last = busy.reply();
    assert_eq!(last.expect_status(200).text(), "a");
    assert_eq!(last.field("connection"), Some("close"));
    busy.half_close().expect_closed();
    assert_eq!(
        who(&mut stays, &get("/")),
        "a",
        "the other listener does not notice"
    );

    gateway.reload(&two).unwrap();
    assert_eq!(who(&mut RawClient::connect(port.addr()), &get("/")), "a");
}

#[test]
fn a_drain_refuses_new_connections_and_finishes_what_runs() {
    let gate = Gate::default();
    let pool = holding(&gate);
    let gateway = Gateway::start(&Config::PLAIN.yaml(&pool));
    let addr = gateway.addr();
    let mut idle = RawClient::connect(addr);
    who(&mut idle, &get("/"));
    let mut busy = RawClient::connect(addr);
    busy.send(get("/hold"));
    pool[0].wait("it is under way", |seen| seen.request_count == 2);
    gateway.drain(Duration::from_secs(60));
    idle.expect_closed();
    eventually("it refuses", || refuses(addr));
    gate.open();
    let last = busy.reply();
    assert_eq!(last.expect_status(200).text(), "a");
    assert_eq!(last.field("connection"), Some("close"));
    busy.half_close().expect_closed();
    gateway.wait_connections(0);
}

#[test]
fn the_deadline_of_a_drain_cuts_what_still_runs() {
    let gate = Gate::default();
    let pool = holding(&gate);
    let (gateway, hand) = Gateway::with_manual_clock(&Config::PLAIN.yaml(&pool));
    advance(&gateway, &hand, Duration::from_secs(1));
    let mut busy = RawClient::connect(gateway.addr());
    busy.send(get("/hold"));
    pool[0].wait("it is under way", |seen| seen.request_count == 1);
    gateway.drain(Duration::from_secs(5));
    busy.expect_silence(Duration::from_millis(50));
    hand.advance(Duration::from_secs(6));
    let drained = gateway.inner().drained();
    gateway.inner().background().block_on(drained);
    drop(gateway); // as the process does when `drained` is over
    busy.expect_closed();
    gate.open();
}

#[test]
fn the_deadline_of_a_removed_listener_cuts_what_still_runs() {
    let gate = Gate::default();
    let pool = holding(&gate);
    let port = ports::reserve();
    let one = Config::PLAIN.yaml(&pool);
    let one = one.replace("workers: 1", "workers: 1, drain_timeout: 5s");
    let (gateway, hand) = Gateway::with_manual_clock(&with_second(&one, port.addr()));
    advance(&gateway, &hand, Duration::from_secs(1));
    let mut busy = RawClient::connect(port.addr());
    busy.send(get("/hold"));
    pool[0].wait("it is under way", |seen| seen.request_count == 1);
    let mut silent = RawClient::connect(port.addr());
    let mut stays = RawClient::connect(gateway.addr_of("public"));
    stays.send(get("/hold"));
    pool[0].wait("they are under way", |seen| seen.request_count == 2);

    gateway.reload(&one).unwrap();
    busy.expect_silence(Duration::from_millis(50));
    assert!(gateway.open_connections() >= 3, "a drain waits for all");
    advance(&gateway, &hand, Duration::from_secs(6));
    busy.expect_closed();
    silent.expect_closed();
    // It is counted (and logged) like any other.
    let cut = "portway_request_errors_total{route=\"all\",code=\"drained\"}";
    eventually("it is counted", || {
        crate::resilience::metric(&gateway, cut) == 1.0
    });
    gate.open();
    assert_eq!(stays.reply().expect_status(200).text(), "a");
}

/// The client has its last reply and keeps its side open: nothing is left to wait for.
#[test]
fn a_drain_does_not_wait_for_clients_that_have_had_their_last_reply() {
    let pool = letters(1);
    // Time stands still: the connection is not closed because it lingered for long enough.
    let (gateway, _hand) = Gateway::with_manual_clock(&Config::PLAIN.yaml(&pool));
    let mut client = RawClient::connect(gateway.addr());
    client.send(get("/").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
    client.reply().expect_status(200);
    eventually("nothing is waited for", || gateway.open_connections() == 0);
    client.half_close().expect_closed();
}

/// It goes on with its body behind a refusal, and is heard out only as long as the drain lasts.
#[test]
fn the_deadline_of_a_removed_listener_cuts_who_still_sends_behind_the_last_reply() {
    let pool = letters(1);
    let port = ports::reserve();
    let one = Config::PLAIN.yaml(&pool);
    let one = one.replace("workers: 1", "workers: 1, drain_timeout: 5s");
    let (gateway, hand) = Gateway::with_manual_clock(&with_second(&one, port.addr()));
    let mut client = RawClient::connect(port.addr());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n");
    client.reply().expect_status(413);
    gateway.reload(&one).unwrap();
    for _ in 0..4 {
        client.send("x");
        advance(&gateway, &hand, Duration::from_secs(1));
    }
    client.send("x");
    advance(&gateway, &hand, Duration::from_millis(1500));
    eventually("it is cut", || client.try_send("x").is_err());
}

#[test]
fn listeners_on_ports_that_the_system_chose_keep_their_own() {
    let pool = letters(1);
    let one = Config::PLAIN.yaml(&pool);
    let two = one.replace(
        "} ]\nupstreams",
        "}, { name: second, bind: \"127.0.0.1:0\" } ]\nupstreams",
    );
    let gateway = Gateway::start(&two);
    let addrs = || [gateway.addr_of("public"), gateway.addr_of("second")];
    let before = addrs();
    let second = RawClient::connect(before[1]);
    gateway.reload(&format!("{two}# again\n")).unwrap();
    assert_eq!(addrs(), before);
    for addr in before {
        assert_eq!(who(&mut RawClient::connect(addr), &get("/")), "a");
    }
    gateway.reload(&one).unwrap();
    eventually("the other one is closed", || refuses(before[1]));
    drop(second);
    assert_eq!(who(&mut RawClient::connect(before[0]), &get("/")), "a");
}

#[test]
fn another_limit_of_connections_closes_none() {
    let pool = letters(1);
    let port = ports::reserve();
    let yaml = |max: usize| {
        let second = format!(
            "}}, {{ name: second, bind: \"{}\", max_connections: {max} }} ]\nupstreams",
            port.addr()
        );
        Config::PLAIN.yaml(&pool).replace("} ]\nupstreams", &second)
    };
    let gateway = Gateway::start(&yaml(1));
    let mut first = RawClient::connect(port.addr());
    assert_eq!(who(&mut first, &get("/")), "a");
    RawClient::connect(port.addr()).expect_closed();
    gateway.reload(&yaml(2)).unwrap();
    let mut second = RawClient::connect(port.addr());
    assert_eq!(who(&mut second, &get("/")), "a");
    assert_eq!(who(&mut first, &get("/")), "a", "the same connection");
}

#[test]
fn a_connection_that_a_removed_listener_had_accepted_gets_its_first_answer() {
    let pool = letters(1);
    let port = ports::reserve();
    let one = Config::PLAIN.yaml(&pool);
    let gateway = Gateway::start(&with_second(&one, port.addr()));
    let mut client = RawClient::connect(port.addr());
    gateway.wait_connections(1);
    gateway.reload(&one).unwrap();
    client.expect_silence(Duration::from_millis(50));
    client.send(get("/"));
    let last = client.reply();
    assert_eq!(last.expect_status(200).text(), "a");
    assert_eq!(last.field("connection"), Some("close"));
    client.half_close().expect_closed();
}

#[test]
fn a_draining_gateway_takes_no_new_config() {
    let gate = Gate::default();
    let pool = holding(&gate);
    let port = ports::reserve();
    let yaml = Config::PLAIN.yaml(&pool);
    let gateway = Gateway::start(&yaml);
    let mut busy = RawClient::connect(gateway.addr());
    busy.send(get("/hold"));
    pool[0].wait("it is under way", |seen| seen.request_count == 1);
    gateway.drain(Duration::from_secs(60));
    let refused = gateway.reload(&with_second(&yaml, port.addr()));
    assert!(refused.unwrap_err().contains("draining"));
    assert!(refuses(port.addr()), "nobody would answer there");
    gate.open();
    assert_eq!(busy.reply().expect_status(200).text(), "a");
}
