//! Bytes, ends, and what becomes of a connection when something else changes.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use portway_testkit::{Gateway, eventually, ports};

use super::{Config, Peer, ask, connect, expect_closed, turn};
use crate::resilience::metric;

#[test]
fn every_byte_comes_back_and_is_recorded() {
    let peer = Peer::echo();
    let config = Config::to(&[&peer]);
    let gateway = config.start();
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| ((n * 7) >> 3) as u8).collect();
    let mut stream = connect(gateway.addr());
    let mut reading = stream.try_clone().unwrap();
    let heard = std::thread::spawn(move || {
        let mut heard = Vec::new();
        reading.read_to_end(&mut heard).unwrap();
        heard
    });
    stream.write_all(&bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(heard.join().unwrap() == bytes);
    let record = &config.records(1)[0];
    assert_eq!(record["protocol"], "TCP");
    assert_eq!(record["status_code"], 200);
    assert_eq!(record["code"], serde_json::Value::Null);
    assert_eq!(
        (&record["route"], &record["upstream"]),
        (&"db".into(), &"db".into())
    );
    assert_eq!(record["target"], peer.addr.to_string());
    let lengths = (record["bytes_in"].as_u64(), record["bytes_out"].as_u64());
    assert_eq!(lengths, (Some(3_000_000), Some(3_000_000)));
    let count = |name: &str| metric(&gateway, name);
    assert_eq!(
        count("portway_connection_received_bytes_total{listener=\"db\"}"),
        3e6
    );
    assert_eq!(
        count("portway_connection_sent_bytes_total{listener=\"db\"}"),
        3e6
    );
    assert_eq!(
        count("portway_connections_total{listener=\"db\",code=\"ok\"}"),
        1.0
    );
    assert_eq!(
        count("portway_connection_duration_seconds_count{listener=\"db\"}"),
        1.0
    );
    gateway.wait_connections(0);
}

/// The target answers only once it has seen the client's end.
#[test]
fn a_client_that_stopped_sending_still_gets_its_answer() {
    let peer = Peer::start(|mut stream| {
        let mut question = Vec::new();
        stream.read_to_end(&mut question).unwrap();
        question.reverse();
        stream.write_all(&question).unwrap();
    });
    let gateway = Config::to(&[&peer]).start();
    assert_eq!(ask(gateway.addr(), "olleh"), b"hello");
}

#[test]
fn a_target_that_dies_in_the_middle_resets_its_client() {
    let peer = Peer::start(|mut stream| {
        stream.write_all(b"half of the ans").unwrap();
        let _ = stream.read(&mut [0; 10]);
        let linger = Some(Duration::ZERO);
        socket2::SockRef::from(&stream).set_linger(linger).unwrap();
    });
    let config = Config::to(&[&peer]);
    let gateway = config.start();
    let mut stream = connect(gateway.addr());
    let mut heard = [0; 15];
    stream.read_exact(&mut heard).unwrap();
    stream.write_all(b"go").unwrap();
    let end = stream.read(&mut [0; 10]).map_err(|error| error.kind());
    assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset), "not an end");
    let record = &config.records(1)[0];
    assert_eq!(
        (&record["code"], &record["status_code"]),
        (&"upstream_reset".into(), &502.into())
    );
}

#[test]
fn a_connection_moves_on_to_a_target_that_can_be_reached() {
    let (dead, peer) = (ports::reserve(), Peer::named("alive "));
    let mut config = Config::to(&[&peer]);
    config.targets.insert(0, format!("tcp://{}", dead.addr()));
    let gateway = config.start();
    for _ in 0..4 {
        assert_eq!(ask(gateway.addr(), "x"), b"alive x");
    }
    let retries: u64 = config
        .records(4)
        .iter()
        .map(|r| r["retries"].as_u64().unwrap())
        .sum();
    assert_eq!(retries, 2, "every second began with the dead one");
}

#[test]
fn without_a_target_the_connection_is_closed_and_the_log_says_why() {
    let dead = ports::reserve();
    let mut config = Config::to(&[]);
    config.targets.push(format!("tcp://{}", dead.addr()));
    config.upstream = "circuit_breaker: { failure_threshold: 2, open_for: 1h }";
    let gateway = config.start();
    for _ in 0..3 {
        expect_closed(gateway.addr(), "hello");
    }
    let codes: Vec<_> = config
        .records(3)
        .iter()
        .map(|r| r["code"].clone())
        .collect();
    assert_eq!(
        codes,
        ["connect_failure", "connect_failure", "circuit_open"]
    );
    let error = config.records(3)[0]["error"].as_str().unwrap().to_owned();
    assert!(error.contains(&dead.addr().to_string()), "{error}");
}

#[test]
fn an_idle_connection_is_closed() {
    let peer = Peer::echo();
    let mut config = Config::to(&[&peer]);
    config.upstream = "timeouts: { tunnel: 20s }";
    let (gateway, hand) = Gateway::with_manual_clock(&config.yaml());
    let mut stream = connect(gateway.addr());
    let mut heard = [0; 4];
    for _ in 0..3 {
        stream.write_all(b"ping").unwrap();
        stream.read_exact(&mut heard).unwrap();
        turn(&gateway, &hand, Duration::from_secs(15));
    }
    turn(&gateway, &hand, Duration::from_secs(10));
    assert_eq!(stream.read(&mut heard).unwrap_or(0), 0);
    assert_eq!(config.records(1)[0]["code"], "idle_timeout");
}

#[test]
fn a_reload_leaves_connections_of_an_unchanged_listener_alone() {
    let (one, other) = (Peer::named("one "), Peer::named("other "));
    let config = Config::to(&[&one]);
    let gateway = config.start();
    let mut stream = connect(gateway.addr());
    let mut heard = [0; 4];
    stream.read_exact(&mut heard).unwrap();
    let changed = config.yaml().replace(&one.url(), &other.url());
    gateway.reload(&changed).unwrap();
    assert_eq!(ask(gateway.addr(), ""), b"other ");
    stream.write_all(b"ping").unwrap();
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(
        &heard, b"ping",
        "its target is no longer in the config; it is still served"
    );
}

#[test]
fn connections_of_a_removed_listener_last_until_the_deadline() {
    let peer = Peer::echo();
    let config = Config::to(&[&peer]);
    let yaml = config
        .yaml()
        .replace("workers: 1", "workers: 1, drain_timeout: 30s");
    let (gateway, hand) = Gateway::with_manual_clock(&yaml);
    let addr = gateway.addr();
    let mut stream = connect(addr);
    let mut heard = [0; 4];
    stream.write_all(b"ping").unwrap();
    stream.read_exact(&mut heard).unwrap();
    let log = config.log.path().join("access.log");
    gateway
        .reload(&format!("global_filters: [ {{ logging: {{ output: \"{}\" }} }} ]\nlisteners: [ {{ name: clock, bind: \"127.0.0.1:0\" }} ]", log.display()))
        .unwrap();
    eventually("nobody listens", || {
        std::net::TcpStream::connect(addr).is_err()
    });
    stream.write_all(b"pong").unwrap();
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"pong");
    turn(&gateway, &hand, Duration::from_secs(31));
    assert_eq!(stream.read(&mut heard).unwrap_or(0), 0);
    // Those that only tried whether anybody listens are in the log too.
    eventually("it is recorded", || {
        config.records(1).iter().any(|r| r["code"] == "drained")
    });
}

/// 1 GiB each way at once; what the process holds may not grow with it.
#[test]
fn a_gibibyte_each_way_leaves_memory_flat() {
    const LENGTH: u64 = 1 << 30;
    let peer = Peer::start(|stream| {
        let mut writing = stream.try_clone().unwrap();
        let reading = std::thread::spawn(move || {
            let mut stream = stream;
            std::io::copy(&mut stream, &mut std::io::sink()).unwrap()
        });
        let sent = std::io::copy(&mut std::io::repeat(3).take(LENGTH), &mut writing).unwrap();
        writing.shutdown(Shutdown::Write).unwrap();
        assert_eq!((sent, reading.join().unwrap()), (LENGTH, LENGTH));
    });
    let config = Config::to(&[&peer]);
    let gateway = config.start();
    let before = resident_bytes();
    let stream = connect(gateway.addr());
    let mut writing = stream.try_clone().unwrap();
    let reading = std::thread::spawn(move || {
        let mut stream = stream;
        std::io::copy(&mut stream, &mut std::io::sink()).unwrap()
    });
    std::io::copy(&mut std::io::repeat(7).take(LENGTH), &mut writing).unwrap();
    writing.shutdown(Shutdown::Write).unwrap();
    assert_eq!(reading.join().unwrap(), LENGTH);
    let record = &config.records(1)[0];
    assert_eq!(
        (record["bytes_in"].as_u64(), record["bytes_out"].as_u64()),
        (Some(LENGTH), Some(LENGTH))
    );
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "grew by {grown} bytes");
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}
