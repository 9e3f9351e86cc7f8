//! Bodies of sizes around those of the gateway's buffers, and peers that do not keep up: what is read
//! into a buffer that all connections of a worker share must reach the one it was read for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portway_core::limits::{
    BODY_BYTES_PER_TURN, BODY_READ_BYTES, HEADER_BYTES_MAX, LARGE_READ_BYTES, READ_BYTES,
};
use portway_testkit::raw::{Framing, get};
use portway_testkit::wait::within;
use portway_testkit::{Origin, OriginConn, RawClient, RawRequest, eventually};
use socket2::SockRef;

use crate::support::{Setup, before};

const MIB: usize = 1024 * 1024;

/// Octets that differ with the seed and from any other part of themselves.
fn octets(seed: usize, length: usize) -> Vec<u8> {
    let mut state = seed as u64 + 1;
    let mut octets = vec![0; length.next_multiple_of(8)];
    for piece in octets.chunks_exact_mut(8) {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        piece.copy_from_slice(&(state ^ state >> 29).to_le_bytes());
    }
    octets.truncate(length);
    octets
}

/// Answers `/SEED/LENGTH/CHUNK` with so many octets: in chunks of that size, by length for 0, until
/// the connection's end for `close`.
fn sender(request: &RawRequest, conn: &mut OriginConn) {
    let mut parts = request.target().split('/').skip(1);
    let mut number = || parts.next().and_then(|part| part.parse().ok());
    let (seed, length, chunk) = (number().unwrap(), number().unwrap(), number());
    let body = octets(seed, length);
    match chunk {
        Some(0) => conn.reply(200, &[], body),
        Some(size) => {
            conn.chunked_head(200, &[]);
            body.chunks(size).for_each(|piece| conn.chunk(piece));
            conn.end_chunks(&[]);
        }
        None => {
            conn.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
            conn.send(body);
            conn.close();
        }
    }
}

fn sizes() -> impl Iterator<Item = usize> {
    let edges = [
        1,
        READ_BYTES,
        2 * READ_BYTES,
        BODY_READ_BYTES,
        READ_BYTES + BODY_READ_BYTES,
        LARGE_READ_BYTES,
        READ_BYTES + LARGE_READ_BYTES,
        BODY_BYTES_PER_TURN,
        BODY_BYTES_PER_TURN + LARGE_READ_BYTES,
    ];
    edges.into_iter().flat_map(|edge| edge - 1..=edge + 1)
}

#[test]
fn replies_of_every_size_come_down_unchanged() {
    let origin = Origin::start(sender);
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    for length in sizes() {
        for chunk in ["0", "1000", "16384", "70001", "600000", "close"] {
            if length > 100_000 && chunk == "1000" && length % 2 == 1 {
                continue; // slow in a debug build, and nothing new
            }
            let reply = client
                .send(get(&format!("/{length}/{length}/{chunk}")))
                .reply();
            assert!(
                reply.body == octets(length, length),
                "{length} octets, {chunk}"
            );
            let length_is_known = chunk == "0";
            assert_eq!(
                reply.framing == Framing::Length,
                length_is_known,
                "{length} octets, {chunk}"
            );
        }
    }
}

#[test]
fn requests_of_every_size_go_up_unchanged() {
    let origin = Origin::start(|request, conn| {
        let seed = request.target()[1..].parse().unwrap();
        let same = request.body == octets(seed, seed);
        conn.reply(200, &[], if same { "same" } else { "other" });
    });
    // Both with and without a copy for another try.
    let setup = Setup::to(&origin);
    for setup in [setup.clone(), setup.filter("retry: { max_retries: 1 }")] {
        let gateway = setup.start();
        let mut client = RawClient::connect(gateway.addr());
        for length in sizes() {
            let body = octets(length, length);
            let head = format!("PUT /{length} HTTP/1.1\r\nHost: a\r\n");
            client
                .send(format!("{head}Content-Length: {length}\r\n\r\n"))
                .send(&body);
            assert_eq!(client.reply().text(), "same", "{length} octets");
            let mut chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
            for piece in body.chunks(70_001) {
                chunked.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                chunked.extend_from_slice(piece);
                chunked.extend_from_slice(b"\r\n");
            }
            client.send(chunked).send("0\r\n\r\n");
            assert_eq!(client.reply().text(), "same", "{length} octets in chunks");
        }
    }
}

#[test]
fn clients_that_do_not_keep_up_get_their_own_octets() {
    const ALL: usize = 12 * MIB;
    let origin = Origin::start(sender);
    let gateway = before(&origin);
    let slow: Vec<(RawClient, usize, &str)> = ["0", "300000", "5000"]
        .iter()
        .enumerate()
        .map(|(seed, chunk)| {
            let mut client = RawClient::connect(gateway.addr());
            SockRef::from(client.wire().stream())
                .set_recv_buffer_size(16 * 1024)
                .unwrap();
            client.send(get(&format!("/{seed}/{ALL}/{chunk}")));
            (client, seed, *chunk)
        })
        .collect();
    // What others fetch meanwhile passes through the same buffer again and again.
    let mut quick = RawClient::connect(gateway.addr());
    for seed in 10..20 {
        let reply = quick.send(get(&format!("/{seed}/{MIB}/0"))).reply();
        assert!(reply.body == octets(seed, MIB));
    }
    for (mut client, seed, chunk) in slow {
        // They have not kept up; through so narrow a window the rest would take a minute.
        SockRef::from(client.wire().stream())
            .set_recv_buffer_size(MIB)
            .unwrap();
        let reply = client.reply();
        assert!(reply.body == octets(seed, ALL), "in chunks of {chunk}");
    }
}

#[test]
fn targets_that_do_not_keep_up_get_their_own_octets() {
    const ALL: usize = 12 * MIB;
    let go_on = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&go_on);
    let origin = Origin::start_early(move |request, conn| {
        let seed: usize = request.target()[1..].parse().unwrap();
        if seed < 10 {
            within(Duration::from_secs(20), || told.load(Ordering::Relaxed));
        }
        let body = conn.read_body(request);
        let same = body == octets(seed, body.len());
        conn.reply(200, &[], if same { "same" } else { "other" });
    });
    let gateway = Setup::to(&origin)
        .listener("http: { max_request_body: 0 }")
        .start();
    let put = |seed: usize, length: usize| {
        let mut client = RawClient::connect(gateway.addr());
        client
            .send(format!(
                "PUT /{seed} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
            ))
            .send(octets(seed, length));
        client.reply().text()
    };
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..3)
            .map(|seed| scope.spawn(move || put(seed, ALL)))
            .collect();
        eventually("all have begun", || origin.request_count() == 3);
        for seed in 10..20 {
            assert_eq!(put(seed, MIB), "same");
        }
        go_on.store(true, Ordering::Relaxed);
        for thread in waiting {
            assert_eq!(thread.join().unwrap(), "same");
        }
    });
}

#[test]
fn a_head_of_any_length_leaves_the_body_behind_it_whole() {
    let origin = Origin::start(|request, conn| {
        let filler: usize = request.target()[1..].parse().unwrap();
        let field = format!("X-Filler: {}", "f".repeat(filler));
        conn.reply(200, &[&field], octets(filler, 2 * MIB));
    });
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    let around_a_read = READ_BYTES - 90..READ_BYTES - 20;
    for filler in around_a_read.step_by(3).chain([HEADER_BYTES_MAX / 2]) {
        let reply = client.send(get(&format!("/{filler}"))).reply();
        assert_eq!(reply.field("x-filler").unwrap().len(), filler);
        assert!(reply.body == octets(filler, 2 * MIB), "{filler} octets");
    }
}
