//! Floods of HTTP/2 frames, seen from outside: what they cost the process in memory and CPU time.
//!
//! CVE-2019-9511 to -9518, CVE-2023-44487, CVE-2024-27316, CVE-2025-8671, CVE-2026-49975. That each is ended
//! and under which name it is counted, tests/e2e shows too; here the process has nothing else to do.

use portway_testkit::frames::{
    ACK, END_HEADERS, END_STREAM, Frame, error, field, frame, get, kind,
};
use portway_testkit::{FrameClient, eventually};

use crate::support::Running;

/// Connections that flood, one after the other.
const CONNECTIONS: u32 = 8;
/// Frames that each of them would send: far over every budget.
const FRAMES: u32 = 100_000;
/// Frames of one write: what small packets cost the kernel is no matter of HTTP/2.
const FRAMES_AT_ONCE: u32 = 64;
/// Requests of an honest connection, beside which a flooding one is measured.
const REQUESTS: u32 = 400;
/// A connection that floods costs at most so many honest ones.
const CPU_MAX: f64 = 10.0;
/// What the process may grow by, octets, however many connections flood: 512 exchanges of each are held at
/// once, and a connection's memory is free for the next one only when all of them have ended.
const GROWTH_MAX: u64 = 64 << 20;
/// What a client may get rid of before it is stopped, octets: what is thrown away after GOAWAY, and what
/// the kernel takes on both sides.
const SENT_MAX: usize = 16 << 20;

/// Resident memory of the process, octets.
fn resident(running: &Running) -> u64 {
    let path = format!("/proc/{}/status", running.process.pid());
    let status = std::fs::read_to_string(path).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap() * 1024
}

/// CPU time of the process, seconds.
fn cpu(running: &Running) -> f64 {
    let text = running.operators("GET", "/metrics", "").text();
    let series = "portway_process_cpu_seconds_total ";
    let value = text.lines().find_map(|line| line.strip_prefix(series));
    value.unwrap().parse().unwrap()
}

fn connect(running: &Running) -> FrameClient {
    FrameClient::connect(running.gateway.addr())
}

/// CPU time of a connection that asks and reads, seconds: the mean of a few.
fn honest(running: &Running) -> f64 {
    let before = cpu(running);
    for _ in 0..CONNECTIONS {
        let mut client = connect(running);
        for n in 0..REQUESTS {
            client.get(2 * n + 1, "/");
            let ended = |f: &Frame| f.kind == kind::DATA && f.flags & END_STREAM != 0;
            client.expect("a reply", ended);
        }
    }
    (cpu(running) - before) / f64::from(CONNECTIONS)
}

/// Sends until it is stopped; how many octets that took.
fn flood(client: &mut FrameClient, octets: &impl Fn(u32) -> Vec<u8>) -> usize {
    let mut sent = 0;
    for first in (0..FRAMES).step_by(FRAMES_AT_ONCE as usize) {
        let octets: Vec<u8> = (first..first + FRAMES_AT_ONCE).flat_map(&octets).collect();
        if !client.send(&octets) {
            break;
        }
        sent += octets.len();
    }
    sent
}

/// Floods of this kind end, are counted under `name`, and cost no more than some honest connections.
#[track_caller]
fn expect_bounded(name: &str, begin: &[u8], octets: impl Fn(u32) -> Vec<u8>) {
    let running = Running::start();
    let honest = honest(&running);
    let series = format!("portway_http2_floods_total{{kind=\"{name}\"}}");
    let (cpu_before, resident_before) = (cpu(&running), resident(&running));
    for n in 0..CONNECTIONS {
        let mut client = connect(&running);
        client.send(begin);
        let sent = flood(&mut client, &octets);
        assert!(sent < SENT_MAX, "{sent} octets were taken");
        drop(client); // it would be waited for
        eventually("it is counted", || {
            running.metric(&series) == u64::from(n) + 1
        });
        assert_eq!(running.says(), "first", "others are served");
    }
    let cost = (cpu(&running) - cpu_before) / f64::from(CONNECTIONS);
    let grown = resident(&running).saturating_sub(resident_before);
    println!(
        "{name}: {cost:.4} s a connection, honest {honest:.4} s, {} KiB more",
        grown >> 10
    );
    assert!(grown < GROWTH_MAX, "grew by {} KiB", grown >> 10);
    // CPU time is told in hundredths of a second.
    let allowed = CPU_MAX * honest.max(0.01);
    assert!(
        cost <= allowed,
        "{cost} s a connection, an honest one {honest} s"
    );
}

/// A request on the stream of this number, followed by a frame on the same stream.
fn request_and(n: u32, then: u8, payload: &[u8]) -> Vec<u8> {
    let stream = 2 * n + 1;
    let flags = END_HEADERS | END_STREAM;
    let mut octets = frame(kind::HEADERS, flags, stream, &get("/"));
    octets.extend(frame(then, 0, stream, payload));
    octets
}

/// The head of a request whose body is to come.
fn post(stream: u32) -> Vec<u8> {
    let get_method = field(":method", "GET").len();
    let block = [field(":method", "POST"), get("/").split_off(get_method)].concat();
    frame(kind::HEADERS, END_HEADERS, stream, &block)
}

#[test]
fn rapid_resets_cost_little() {
    let cancel = error::CANCEL.to_be_bytes();
    expect_bounded("resets", &[], |n| request_and(n, kind::RST_STREAM, &cancel));
}

#[test]
fn resets_made_by_us_cost_little() {
    let overflow = 0x7fff_ffff_u32.to_be_bytes();
    // A body that is not over keeps each stream open until it is reset.
    expect_bounded("forced_resets", &[], |n| {
        let mut octets = post(2 * n + 1);
        octets.extend(frame(kind::WINDOW_UPDATE, 0, 2 * n + 1, &overflow));
        octets
    });
}

#[test]
fn continuations_cost_little() {
    let begin = frame(kind::HEADERS, END_STREAM, 1, &get("/"));
    expect_bounded("continuations", &begin, |_| {
        frame(kind::CONTINUATION, 0, 1, &[])
    });
    let small = field("x", "y");
    expect_bounded("continuations", &begin, |_| {
        frame(kind::CONTINUATION, 0, 1, &small)
    });
}

#[test]
fn settings_cost_little() {
    let one = [0, 3, 0, 0, 0, 100];
    expect_bounded("settings", &[], |_| frame(kind::SETTINGS, 0, 0, &one));
}

#[test]
fn pings_cost_little() {
    expect_bounded("pings", &[], |_| frame(kind::PING, 0, 0, &[7; 8]));
    // Answers to questions that nobody has asked.
    expect_bounded("pings", &[], |_| frame(kind::PING, ACK, 0, &[7; 8]));
}

#[test]
fn empty_frames_cost_little() {
    expect_bounded("empty_frames", &post(1), |_| frame(kind::DATA, 0, 1, &[]));
}

#[test]
fn window_updates_cost_little() {
    expect_bounded("window_updates", &[], |_| {
        frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])
    });
}

#[test]
fn priorities_and_unknown_frames_cost_little() {
    expect_bounded("other_frames", &[], |_| {
        frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 3, 1])
    });
    expect_bounded("other_frames", &[], |_| frame(0xbe, 0, 0, &[]));
}

/// A field that fills the decoder's table, then one octet for each time it is named again: 16 KiB on the
/// wire that would be 40 MiB.
#[test]
fn hpack_bombs_cost_little() {
    let mut block = get("/");
    block.extend([0x40, 1, b'x', 0x7f, 0x80 | 0x01, 0x1e]); // 127 + 1 + (30 << 7) octets
    block.extend(std::iter::repeat_n(b'v', 127 + 1 + (30 << 7)));
    block.extend(std::iter::repeat_n(0x80 | 62, 10_000));
    let bomb = frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &block);
    expect_bounded("headers", &bomb, |_| frame(kind::PING, 0, 0, &[7; 8]));
}
