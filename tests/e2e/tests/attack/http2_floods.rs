//! Floods of HTTP/2 frames: each ends with GOAWAY and a counter, after a bounded amount of work, and
//! nobody else notices.

use portway_core::limits;
use portway_testkit::frames::{self, ACK, END_HEADERS, END_STREAM, error, frame, kind};
use portway_testkit::{FrameClient, Gateway, Origin, RawClient, eventually, replies};

use crate::support::{Setup, before};

/// Sends until the gateway has had enough, a bounded number of times. What that costs in CPU time, the
/// process tests of the binary measure.
#[track_caller]
fn flood(client: &mut FrameClient, mut octets: impl FnMut(u32) -> Vec<u8>) {
    let before = resident_bytes();
    for n in 0..20_000 {
        if !client.send(&octets(n)) {
            break;
        }
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_MAX, "{} MiB more", grown >> 20);
}

/// What a flood may cost in memory, the test's own part of it included.
const GROWTH_MAX: u64 = 64 << 20;

/// Resident memory of this process, in bytes.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse::<u64>().ok()).unwrap() * 1024
}

/// The connection was ended, named and counted, and the next one is served.
#[track_caller]
fn expect_named(gateway: &Gateway, client: &mut FrameClient, name: &str) {
    if let Some(goaway) = client.goaway() {
        assert_eq!(goaway.code(), error::ENHANCE_YOUR_CALM, "{goaway:?}");
    }
    let counted = format!("http2_floods_total{{kind=\"{name}\"}} 1");
    eventually("it is counted", || gateway.metrics().contains(&counted));
    gateway.wait_connections(0);
    assert_eq!(RawClient::get(gateway.addr(), "/next").status, 200);
}

/// Frames that need no stream.
#[track_caller]
fn expect_flood(name: &str, octets: &[u8]) {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let mut client = FrameClient::connect(gateway.addr());
    flood(&mut client, |_| octets.to_vec());
    expect_named(&gateway, &mut client, name);
}

#[test]
fn http2_floods_settings() {
    expect_flood(
        "settings",
        &frame(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]),
    );
}

#[test]
fn http2_floods_pings() {
    expect_flood("pings", &frame(kind::PING, 0, 0, &[7; 8]));
    // Answers to questions that nobody has asked.
    expect_flood("pings", &frame(kind::PING, ACK, 0, &[7; 8]));
}

#[test]
fn http2_floods_window_updates() {
    expect_flood(
        "window_updates",
        &frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
    );
}

#[test]
fn http2_floods_priorities_and_unknown_frames() {
    expect_flood(
        "other_frames",
        &frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 3, 1]),
    );
    expect_flood("other_frames", &frame(0xbe, 0, 0, &[]));
}

#[test]
fn http2_floods_rapid_reset() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let mut client = FrameClient::connect(gateway.addr());
    flood(&mut client, |n| {
        let stream = 2 * n + 1;
        let mut octets = frame(
            kind::HEADERS,
            END_HEADERS | END_STREAM,
            stream,
            &frames::get("/"),
        );
        octets.extend(frame(
            kind::RST_STREAM,
            0,
            stream,
            &error::CANCEL.to_be_bytes(),
        ));
        octets
    });
    expect_named(&gateway, &mut client, "resets");
    let reached = origin.request_count();
    assert!(
        reached <= u64::from(limits::H2_RESETS_MAX) + 200,
        "{reached} reached the origin"
    );
    eventually("nothing of it runs on", || {
        gateway.metrics().contains("active_requests 0\n")
    });
}

#[test]
fn http2_floods_resets_made_by_us() {
    let origin = Origin::start(replies::never());
    let gateway = before(&origin);
    let mut client = FrameClient::connect(gateway.addr());
    // A window update of zero on an open stream makes us reset it (CVE-2025-8671).
    flood(&mut client, |n| {
        let stream = 2 * n + 1;
        let mut octets = frame(
            kind::HEADERS,
            END_HEADERS | END_STREAM,
            stream,
            &frames::get("/"),
        );
        octets.extend(frame(
            kind::WINDOW_UPDATE,
            0,
            stream,
            &[0x7f, 0xff, 0xff, 0xff],
        ));
        octets
    });
    origin.set_handler(replies::text("x"));
    expect_named(&gateway, &mut client, "forced_resets");
    eventually("nothing of it runs on", || {
        gateway.metrics().contains("active_requests 0\n")
    });
    let reached = origin.request_count();
    assert!(
        reached <= limits::H2_FORCED_RESETS_MAX as u64 + 200,
        "{reached} reached the origin"
    );
}

/// Frames on streams that are open, half closed, or long gone, each of which the library answers with a
/// reset, or ends the connection for.
#[test]
fn http2_floods_resets_made_by_us_in_every_way() {
    let whole = |n| request(2 * n + 1, END_HEADERS | END_STREAM, &[]);
    let open = |n| request(2 * n + 1, END_HEADERS, &[]);
    let on = |n: u32, kind, flags, payload: &[u8]| frame(kind, flags, 2 * n + 1, payload);
    let depends_on_itself = |n: u32| [&(2 * n + 1).to_be_bytes()[..], &[1]].concat();
    type Way<'w> = &'w dyn Fn(u32) -> Vec<u8>;
    let ways: [(&str, Way<'_>); 8] = [
        ("no increment", &|n| {
            [open(n), on(n, kind::WINDOW_UPDATE, 0, &[0; 4])].concat()
        }),
        ("data behind the end", &|n| {
            [whole(n), on(n, kind::DATA, 0, b"x")].concat()
        }),
        ("a head behind the end", &|n| [whole(n), whole(n)].concat()),
        ("depends on itself", &|n| {
            [open(n), on(n, kind::PRIORITY, 0, &depends_on_itself(n))].concat()
        }),
        ("half a priority", &|n| {
            [open(n), on(n, kind::PRIORITY, 0, &[0; 4])].concat()
        }),
        ("too much data", &|n| {
            let head = request(
                2 * n + 1,
                END_HEADERS,
                &frames::field("content-length", "1"),
            );
            [head, on(n, kind::DATA, END_STREAM, b"xx")].concat()
        }),
        ("a bad name", &|n| {
            request(
                2 * n + 1,
                END_HEADERS | END_STREAM,
                &frames::field("X", "y"),
            )
        }),
        ("data of a stream long gone", &|n| match n {
            0 => whole(0),
            _ => on(0, kind::DATA, END_STREAM, b""),
        }),
    ];
    for (name, octets) in ways {
        let origin = Origin::start(replies::never());
        let gateway = before(&origin);
        let mut client = FrameClient::connect(gateway.addr());
        flood(&mut client, octets);
        client.expect_closed();
        let reached = origin.request_count();
        let most = limits::H2_FORCED_RESETS_MAX as u64 + 200;
        assert!(reached <= most, "{name}: {reached} reached the origin");
        gateway.wait_connections(0);
        eventually("nothing of it runs on", || {
            gateway.metrics().contains("active_requests 0\n")
        });
    }
}

/// A POST with these fields besides its own.
fn request(stream: u32, flags: u8, more: &[u8]) -> Vec<u8> {
    let rest = frames::get("/").split_off(frames::field(":method", "GET").len());
    let block = [&frames::field(":method", "POST")[..], &rest, more].concat();
    frame(kind::HEADERS, flags, stream, &block)
}

/// CVE-2019-9517: large replies are asked for, with all the room that they need, by a client that reads
/// nothing. What waits for it is bounded, and does not wait for ever.
#[test]
fn http2_floods_replies_that_nobody_reads() {
    let origin = Origin::start(replies::big(4_000_000));
    let gateway = Setup::to(&origin)
        .server("write_timeout: 1s")
        .server("idle_timeout: 1s")
        .start();
    let memory = resident_bytes();
    let mut client = FrameClient::connect(gateway.addr());
    client.send(&frame(
        kind::SETTINGS,
        0,
        0,
        &[0, 4, 0x7f, 0xff, 0xff, 0xff],
    ));
    client.send(&frame(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]));
    for n in 0..100 {
        client.get(2 * n + 1, "/big");
    }
    origin.wait("all are asked for", |seen| seen.requests.len() == 100);
    assert_eq!(RawClient::get(gateway.addr(), "/other").status, 200);
    gateway.wait_connections(0);
    let grown = resident_bytes().saturating_sub(memory);
    assert!(grown < GROWTH_MAX, "{} MiB more", grown >> 20);
    eventually("nothing of it runs on", || {
        gateway.metrics().contains("active_requests 0\n")
    });
}

#[test]
fn http2_floods_empty_data() {
    let origin = Origin::start(replies::echo());
    let gateway = before(&origin);
    let mut client = FrameClient::connect(gateway.addr());
    client.send(&request(1, END_HEADERS, &[]));
    flood(&mut client, |_| frame(kind::DATA, 0, 1, &[]));
    expect_named(&gateway, &mut client, "empty_frames");
}

#[test]
fn http2_floods_padding_without_data() {
    let origin = Origin::start(replies::echo());
    let gateway = before(&origin);
    let mut client = FrameClient::connect(gateway.addr());
    client.send(&request(1, END_HEADERS, &[]));
    // One octet that says that no padding follows.
    flood(&mut client, |_| frame(kind::DATA, 0x8, 1, &[0]));
    expect_named(&gateway, &mut client, "empty_frames");
}

#[test]
fn http2_floods_continuations() {
    for piece in [&[][..], &frames::field("x", "y")] {
        let origin = Origin::start(replies::text("x"));
        let gateway = before(&origin);
        let mut client = FrameClient::connect(gateway.addr());
        client.send(&frame(kind::HEADERS, END_STREAM, 1, &frames::get("/")));
        flood(&mut client, |_| frame(kind::CONTINUATION, 0, 1, piece));
        expect_named(&gateway, &mut client, "continuations");
        assert_eq!(
            origin.last_request().target(),
            "/next",
            "nothing else came through"
        );
    }
}

/// A field that fills the decoder's table, then one octet for each time it is named again.
fn bomb(times: usize) -> Vec<u8> {
    let mut block = frames::get("/");
    block.extend([0x40, 1, b'x', 0x7f, 0x80 | 0x01, 0x1e]); // 127 + 1 + (30 << 7) octets
    block.extend(std::iter::repeat_n(b'v', 127 + 1 + (30 << 7)));
    block.extend(std::iter::repeat_n(0x80 | 62, times));
    block
}

#[test]
fn http2_floods_hpack_bomb() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let mut client = FrameClient::connect(gateway.addr());
    let before = resident_bytes();
    // 16 KiB on the wire that would be 40 MiB.
    let block = bomb(10_000);
    assert!(block.len() < 16 * 1024);
    client.send(&frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &block));
    expect_named(&gateway, &mut client, "headers");
    assert!(resident_bytes().saturating_sub(before) < GROWTH_MAX);
    assert_eq!(origin.last_request().target(), "/next");
}

#[test]
fn http2_many_small_fields_are_too_many() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let mut client = FrameClient::connect(gateway.addr());
    let before = resident_bytes();
    for stream in (1..200).step_by(2) {
        let mut block = frames::get("/");
        // `accept-encoding: gzip, deflate` from the static table, one octet each.
        block.extend(std::iter::repeat_n(0x80 | 16, 1500));
        client.send(&frame(
            kind::HEADERS,
            END_HEADERS | END_STREAM,
            stream,
            &block,
        ));
    }
    for _ in 0..100 {
        client.expect("a reply", |f| f.kind == kind::HEADERS);
    }
    assert!(resident_bytes().saturating_sub(before) < GROWTH_MAX);
    assert_eq!(origin.request_count(), 0);
    let metrics = gateway.metrics();
    let counted = "request_errors_total{route=\"-\",code=\"headers_too_large\"} 100";
    assert!(metrics.contains(counted), "{metrics}");
}

#[test]
fn http2_more_streams_than_allowed_are_refused() {
    let origin = Origin::start(replies::never());
    let gateway = Setup::to(&origin).server("read_timeout: 2s").start();
    let mut client = FrameClient::connect(gateway.addr());
    for n in 0..limits::H2_STREAMS_MAX + 100 {
        client.send(&request(2 * n + 1, END_HEADERS, &[]));
    }
    let refused = client.expect("RST_STREAM", |f| f.kind == kind::RST_STREAM);
    assert_eq!(refused.code(), 7, "REFUSED_STREAM");
    let active = gateway.metrics();
    let active = active.split("\nportway_active_requests ").nth(1).unwrap();
    let active: u32 = active.lines().next().unwrap().parse().unwrap();
    assert!(active <= limits::H2_STREAMS_MAX, "{active}");
}
