//! Large bodies: whole, with flat memory, and slowed by whoever reads them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use http::Response;
use portway_testkit::{RawClient, eventually, raw::get};

use super::gateway_to;
use crate::support::h2_origin::{H2Origin, pour};

const GIB: u64 = 1024 * 1024 * 1024;
const GROWTH_MAX: u64 = 64 * 1024 * 1024;

/// Resident memory of this process, bytes.
pub fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Answers a GET of `/N` with N octets, and anything else with how many octets came.
pub fn counting_origin() -> H2Origin {
    H2Origin::start(|mut call| async move {
        if call.head.method == http::Method::GET {
            let bytes = call.path()[1..].parse().unwrap_or(0);
            let mut stream = call.respond(Response::new(()));
            let _ = pour(&mut stream, bytes).await;
        } else {
            let came = call.drain().await;
            call.reply(200, format!("{came:?}"));
        }
    })
}

#[test]
fn a_gibibyte_goes_up_and_down_in_flat_memory() {
    let origin = counting_origin();
    let gateway = gateway_to(origin.addr, "timeouts: { request: 5m }", "");
    let mut client = TcpStream::connect(gateway.addr()).expect("a connection");
    let before = resident();
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {GIB}\r\n\r\n");
    client.write_all(head.as_bytes()).expect("sent");
    let piece = vec![b'x'; 1024 * 1024];
    let mut grown = 0;
    for _ in 0..1024 {
        client.write_all(&piece).expect("sent");
        grown = grown.max(resident().saturating_sub(before));
    }
    let mut reply = [0; 4096];
    let n = client.read(&mut reply).expect("a reply");
    let text = String::from_utf8_lossy(&reply[..n]).into_owned();
    assert!(text.contains(&format!("Ok({GIB})")), "{text}");
    client
        .write_all(get(&format!("/{GIB}")).as_bytes())
        .expect("sent");
    let mut came = 0;
    let mut buffer = vec![0; 256 * 1024];
    while came < GIB {
        let n = client.read(&mut buffer).expect("more");
        assert_ne!(n, 0, "after {came}");
        came += n as u64;
        grown = grown.max(resident().saturating_sub(before));
    }
    assert!(grown < GROWTH_MAX, "grew by {} MiB", grown >> 20);
}

#[test]
fn slow_readers_slow_nobody_else() {
    let origin = counting_origin();
    let gateway = gateway_to(origin.addr, "", "");
    let before = resident();
    let stuck: Vec<RawClient> = (0..20)
        .map(|_| {
            let mut client = RawClient::connect(gateway.addr());
            client.send(get("/1000000000"));
            client
        })
        .collect();
    eventually("all are there", || origin.seen().active == 20);
    std::thread::sleep(Duration::from_millis(300));
    for _ in 0..20 {
        let reply = RawClient::get(gateway.addr(), "/100000");
        assert_eq!(reply.expect_status(200).body.len(), 100_000);
    }
    assert_eq!(origin.seen().connections, 1);
    assert!(resident().saturating_sub(before) < GROWTH_MAX);
    drop(stuck);
}

#[test]
fn a_target_that_reads_slowly_slows_the_client() {
    let origin = H2Origin::start(|mut call| async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let came = call.drain().await;
        call.reply(200, format!("{came:?}"));
    });
    let gateway = gateway_to(origin.addr, "", "");
    let mut client = TcpStream::connect(gateway.addr()).expect("a connection");
    let total = 64 * 1024 * 1024;
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {total}\r\n\r\n");
    client.write_all(head.as_bytes()).expect("sent");
    client.set_nonblocking(true).expect("set");
    let piece = vec![b'x'; 64 * 1024];
    let mut sent = 0;
    let mut stalled = 0;
    while stalled < 50 && sent < total {
        match client.write(&piece[..piece.len().min(total - sent)]) {
            Ok(n) => {
                sent += n;
                stalled = 0;
            }
            Err(_) => {
                stalled += 1;
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
    assert!(sent < 32 * 1024 * 1024, "{sent} octets went nowhere");
    client.set_nonblocking(false).expect("set");
    while sent < total {
        sent += client
            .write(&piece[..piece.len().min(total - sent)])
            .expect("sent");
    }
    let mut reply = [0; 4096];
    let n = client.read(&mut reply).expect("a reply");
    let text = String::from_utf8_lossy(&reply[..n]).into_owned();
    assert!(text.contains(&format!("Ok({total})")), "{text}");
}
