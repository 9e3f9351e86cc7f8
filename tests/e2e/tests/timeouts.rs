//! Everything that waits has an end. Deadlines are short and real, or the clock is turned by hand;
//! no test measures how long something took.

use std::net::TcpStream;
use std::time::Duration;

use portway_core::clock::ManualClock;
use portway_testkit::raw::{get, post};
use portway_testkit::wait::within;
use portway_testkit::{Gateway, Origin, RawClient, RawReply, eventually, ports, replies};

use crate::pool::{Gate, advance};
use crate::resilience::metric;
use crate::support::{Setup, code};

/// Turns the clock on, a little at a time, until the client has its answer or the end of its
/// connection.
fn turn(hand: &ManualClock, step: Duration, client: &mut RawClient) -> std::io::Result<()> {
    let mut outcome = Ok(());
    let stirred = || {
        hand.advance(step);
        match client.wire().stirs(Duration::from_millis(15)) {
            Ok(stirred) => stirred,
            // A reset: the socket tells it only once.
            Err(error) => {
                outcome = Err(error);
                true
            }
        }
    };
    eventually("the deadline has an effect", stirred);
    outcome
}

fn manual(setup: Setup) -> (Gateway, ManualClock) {
    Gateway::with_manual_clock(&setup.yaml())
}

const STEP: Duration = Duration::from_secs(1);

#[test]
fn half_a_head_is_a_408_in_the_end() {
    let origin = Origin::start(replies::text("x"));
    let (gateway, hand) = manual(Setup::to(&origin).server("header_timeout: 10s"));
    let mut client = RawClient::connect(gateway.addr());
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ");
    client.expect_silence(Duration::from_millis(50));
    turn(&hand, STEP, &mut client).unwrap();
    let reply = client.reply();
    assert_eq!(
        (reply.status, code(&reply).as_str()),
        (408, "request_timeout")
    );
    assert_eq!(reply.field("connection"), Some("close"));
    assert_eq!(origin.connection_count(), 0);
}

#[test]
fn a_connection_that_never_asks_is_closed_without_a_word() {
    let origin = Origin::start(replies::text("x"));
    let (gateway, hand) = manual(Setup::to(&origin).server("header_timeout: 10s"));
    let mut client = RawClient::connect(gateway.addr());
    gateway.wait_connections(1);
    turn(&hand, STEP, &mut client).unwrap();
    client.expect_closed();
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let origin = Origin::start(replies::text("x"));
    let (gateway, hand) = manual(Setup::to(&origin).server("idle_timeout: 60s"));
    let mut client = RawClient::connect(gateway.addr());
    for _ in 0..5 {
        client.send(get("/")).reply().expect_status(200);
        hand.advance(Duration::from_secs(30));
        client.expect_silence(Duration::from_millis(40));
    }
    turn(&hand, STEP, &mut client).unwrap();
    client.expect_closed();
}

#[test]
fn half_a_body_is_a_408_in_the_end() {
    let origin = Origin::start(replies::text("x"));
    let (gateway, hand) = manual(Setup::to(&origin).server("read_timeout: 20s"));
    let mut client = RawClient::connect(gateway.addr());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    origin.wait("the beginning", |seen| seen.all_bytes().ends_with(b"half"));
    turn(&hand, STEP, &mut client).unwrap();
    let reply = client.reply();
    assert_eq!(
        (reply.status, code(&reply).as_str()),
        (408, "request_timeout")
    );
    assert_eq!(reply.field("connection"), Some("close"));
    origin.wait("the end of it", |seen| seen.broken == 1 && seen.open == 0);
}

/// The client has sent what it can: that the rest is stuck is not its fault.
#[test]
fn a_target_that_stops_reading_is_a_504() {
    let origin = Origin::start_early(replies::never());
    let setup = Setup::to(&origin)
        .server("read_timeout: 5s")
        .upstream("timeouts: { response_header: 15s }")
        .listener("http: { max_request_body: 0 }")
        .upstream("circuit_breaker: { failure_threshold: 1 }");
    let (gateway, hand) = manual(setup);
    let mut client = RawClient::connect(gateway.addr());
    let length = 64 * 1024 * 1024;
    client.send(format!(
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
    ));
    origin.wait("the head", |seen| seen.request_count == 1);
    // As much as fits into everybody's buffers.
    client
        .wire()
        .stream()
        .set_write_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let piece = vec![b'x'; 64 * 1024];
    while std::io::Write::write(&mut client.wire().stream(), &piece).is_ok() {}
    turn(&hand, STEP, &mut client).unwrap();
    let reply = client.reply();
    assert_eq!(
        (reply.status, code(&reply).as_str()),
        (504, "upstream_timeout")
    );
    assert_eq!(code(&RawClient::get(gateway.addr(), "/")), "circuit_open");
}

#[test]
fn a_client_is_not_blamed_for_the_time_that_its_target_took() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start_early(move |request, conn| {
        held.wait();
        let length = conn.read_body(request).len();
        conn.reply(200, &[], length.to_string());
    });
    let setup = Setup::to(&origin)
        .server("read_timeout: 5s")
        .listener("http: { max_request_body: 0 }");
    let (gateway, hand) = manual(setup);
    let length = 32 * 1024 * 1024;
    let mut client = RawClient::connect(gateway.addr());
    client.set_timeout(Duration::from_secs(20));
    client.send(format!(
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
    ));
    let mut sender = client.wire().stream().try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        std::io::Write::write_all(&mut sender, &vec![b'x'; length]).is_ok()
    });
    let is_stuck = || {
        let before = origin.seen().all_bytes().len();
        std::thread::sleep(Duration::from_millis(50));
        origin.request_count() == 1 && origin.seen().all_bytes().len() == before
    };
    eventually("the target is stuck", is_stuck);
    advance(&gateway, &hand, Duration::from_secs(10));
    gate.open();
    assert_eq!(client.reply().text(), length.to_string());
    assert!(sending.join().unwrap());
}

#[test]
fn a_body_that_trickles_is_a_408_in_the_end() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Setup::to(&origin).server("read_timeout: 200ms").start();
    let mut client = RawClient::connect(gateway.addr());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    // Each octet is progress; it must not count as enough.
    let trickled = client.try_send_slowly([b'x'; 2_000], 1, Duration::from_millis(2));
    match client.try_reply("POST") {
        Ok(reply) => assert_eq!(reply.status, 408),
        Err(_) => assert!(trickled.is_err(), "neither answered nor closed"),
    }
    assert_eq!(origin.request_count(), 0);
}

#[test]
fn a_body_nobody_reads_is_not_waited_for_for_ever() {
    let origin = Origin::start(replies::text("x"));
    let setup = Setup::to(&origin)
        .server("read_timeout: 20s")
        .filter("ip_filter: { deny: [127.0.0.0/8] }");
    let (gateway, hand) = manual(setup);
    let mut client = RawClient::connect(gateway.addr());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    assert_eq!(client.reply().status, 403);
    turn(&hand, STEP, &mut client).unwrap();
    client.expect_closed();
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let origin = Origin::start(replies::big(40 * 1024 * 1024));
    let gateway = Setup::to(&origin).server("write_timeout: 200ms").start();
    let mut client = RawClient::connect(gateway.addr());
    client.send(get("/"));
    // Reads nothing until the gateway has had enough.
    origin.wait("the origin is let go", |seen| {
        seen.request_count == 1 && seen.open == 0
    });
    assert!(client.try_reply("GET").is_err(), "not the whole of it");
}

#[test]
fn a_client_that_reads_slowly_is_not_cut_off() {
    let origin = Origin::start(replies::big(12 * 1024 * 1024));
    let gateway = Setup::to(&origin).server("write_timeout: 1s").start();
    let mut client = RawClient::connect(gateway.addr());
    client.send(get("/"));
    let mut head = client.try_head().unwrap();
    assert_eq!(head.word(1), "200");
    for _ in 0..12 {
        std::thread::sleep(Duration::from_millis(20));
        head.raw = client.wire().exactly(1024 * 1024).unwrap();
    }
}

#[test]
fn a_target_that_does_not_answer_is_a_504() {
    let origin = Origin::start(replies::never());
    let setup = Setup::to(&origin).upstream("timeouts: { response_header: 15s }");
    let (gateway, hand) = manual(setup);
    let mut client = RawClient::connect(gateway.addr());
    for round in 1..=2 {
        client.send(get("/"));
        origin.wait("a request", |seen| seen.request_count == round);
        turn(&hand, STEP, &mut client).unwrap();
        expect_timeout(&client.reply());
        origin.wait("its connection closed", |seen| seen.open == 0);
    }
}

fn expect_timeout(reply: &RawReply) {
    assert_eq!(
        (reply.status, code(reply).as_str()),
        (504, "upstream_timeout")
    );
    assert_eq!(reply.field("connection"), None, "the client's side goes on");
}

#[test]
fn a_route_can_be_more_impatient_than_its_upstream() {
    let origin = Origin::start(replies::never());
    let gateway = Setup::to(&origin)
        .route("timeouts: { request: 100ms }")
        .start();
    expect_timeout(&RawClient::get(gateway.addr(), "/"));
}

#[test]
fn the_time_of_the_whole_exchange_counts_the_replys_body() {
    let origin = Origin::start(replies::hang_mid_body(1_000, 10));
    let setup = Setup::to(&origin).upstream("timeouts: { request: 10s }");
    let (gateway, hand) = manual(setup);
    let mut client = RawClient::connect(gateway.addr());
    client.send(get("/"));
    assert_eq!(client.try_head().unwrap().word(1), "200");
    assert_eq!(client.wire().exactly(10).unwrap().len(), 10);
    // Cut, not ended.
    let error = turn(&hand, STEP, &mut client).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    origin.wait("its connection closed", |seen| seen.open == 0);
}

/// A download may take as long as it goes on, unless somebody says how long.
#[test]
fn without_a_limit_a_reply_is_cut_only_when_its_target_falls_silent() {
    let gates = [Gate::default(), Gate::default()];
    let held = gates.clone();
    let origin = Origin::start(move |_, conn| {
        conn.send("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n0");
        for (gate, octet) in held.iter().zip(["1", "2"]) {
            gate.wait();
            conn.send(octet);
        }
    });
    let (gateway, hand) = manual(Setup::to(&origin));
    let mut client = RawClient::connect(gateway.addr());
    client.send(get("/"));
    assert_eq!(client.try_head().unwrap().word(1), "200");
    for (gate, octet) in gates.iter().zip(["0", "1"]) {
        assert_eq!(client.wire().exactly(1).unwrap(), octet.as_bytes());
        advance(&gateway, &hand, Duration::from_secs(200));
        gate.open();
    }
    assert_eq!(client.wire().exactly(1).unwrap(), b"2", "after 400 s");

    origin.set_handler(replies::hang_mid_body(1_000, 10));
    client.send(get("/"));
    assert_eq!(client.try_head().unwrap().word(1), "200");
    assert_eq!(client.wire().exactly(10).unwrap().len(), 10);
    let error = turn(&hand, 10 * STEP, &mut client).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    eventually("it is the target's", || {
        errors(&gateway, "upstream_timeout") == 1.0
    });
}

/// Exchanges that ended with this code.
fn errors(gateway: &Gateway, code: &str) -> f64 {
    let line = format!("portway_request_errors_total{{route=\"all\",code=\"{code}\"}}");
    metric(gateway, &line)
}

#[test]
fn a_client_that_reads_too_slowly_for_the_limit_is_not_the_targets_fault() {
    let origin = Origin::start(replies::big(40 * 1024 * 1024));
    let gateway = Setup::to(&origin)
        .upstream("timeouts: { request: 1s }")
        .start();
    let mut client = RawClient::connect(gateway.addr());
    client.send(get("/"));
    assert_eq!(client.try_head().unwrap().word(1), "200");
    // Reads nothing until the time is over.
    origin.wait("the origin is let go", |seen| {
        seen.request_count == 1 && seen.open == 0
    });
    eventually("it is the client's", || {
        errors(&gateway, "client_gone") == 1.0
    });
    assert_eq!(errors(&gateway, "upstream_timeout"), 0.0);
}

#[test]
fn informational_replies_do_not_put_the_deadline_off() {
    let origin = Origin::start(replies::interim(&[103, 103], replies::never()));
    let setup = Setup::to(&origin).upstream("timeouts: { response_header: 15s }");
    let (gateway, hand) = manual(setup);
    let mut client = RawClient::connect(gateway.addr());
    client.send(get("/"));
    assert_eq!(client.try_head().unwrap().word(1), "103");
    assert_eq!(client.try_head().unwrap().word(1), "103");
    turn(&hand, STEP, &mut client).unwrap();
    client.reply().expect_status(504);
}

#[test]
fn a_connection_that_does_not_open_is_a_504() {
    // A listener that accepts nobody, its queue full: further connections are neither refused nor
    // opened.
    let port = ports::reserve();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&port.addr().into()).unwrap();
    socket.listen(0).unwrap();
    let mut queued = Vec::new();
    let full = within(Duration::from_secs(5), || {
        match TcpStream::connect_timeout(&port.addr(), Duration::from_millis(100)) {
            Ok(stream) => queued.push(stream),
            Err(_) => return true,
        }
        false
    });
    assert!(full, "the queue never got full");
    let yaml = format!(
        "server: {{ host: 127.0.0.1, port: 0 }}\n\
         upstreams: [{{ name: full, targets: [{{ addr: 'http://{}' }}], timeouts: {{ connect: 150ms }} }}]\n\
         routes: [{{ name: all, prefix: /, upstream: full }}]\n",
        port.addr()
    );
    let gateway = Gateway::start(&yaml);
    let reply = RawClient::ask(gateway.addr(), post("/", "never sent"));
    assert_eq!(
        (reply.status, code(&reply).as_str()),
        (504, "connect_timeout")
    );
}

#[test]
fn a_pooled_connection_idle_too_long_is_closed() {
    let origin = Origin::start(replies::text("x"));
    let setup = Setup::to(&origin).upstream("timeouts: { idle: 5s }");
    let (gateway, hand) = manual(setup);
    RawClient::get(gateway.addr(), "/").expect_status(200);
    origin.wait("kept", |seen| seen.open == 1);
    hand.advance(Duration::from_secs(6));
    origin.wait("closed", |seen| seen.open == 0);
    RawClient::get(gateway.addr(), "/").expect_status(200);
    assert_eq!(origin.connection_count(), 2);
}
