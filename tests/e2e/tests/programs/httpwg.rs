//! httpwg, a suite of conformance tests of RFC 9113 that grew out of h2spec and that nobody here wrote.
//!
//! Must hold: what the gateway fails is listed here, each with its reason; a peer that is stricter is news.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use portway_testkit::{Folder, Origin, replies};

use super::run;
use crate::support::{before, impossible};

const PROGRAM: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../target/tools/httpwg/bin/httpwg"
);

/// How many there are in the pinned version: fewer were not run, more want to be looked at.
const TESTS: usize = 107;

/// A client that sends these gets a whole reply, 400, which says what is wrong; the suite counts only a
/// reset, which says nothing. RFC 9113, section 8.1.1, allows the reply.
const ANSWERED: &[&str] = &[
    "sends connect without authority",
    "sends headers frame with leading space in field value",
    "sends headers frame with mismatched host authority",
    "sends headers frame with trailing tab in field value",
];

/// Here the library is laxer than the RFC, or has another code for the connection's end.
const OF_THE_LIBRARY: &[&str] = &[
    // PROTOCOL_ERROR instead of COMPRESSION_ERROR.
    "invalid header block fragment",
    // It leaves such a field out, so that nobody behind ever sees it.
    "sends headers frame with pseudo header in trailer",
];

/// A client says GOAWAY and then sends a PING: the library closes a connection that nothing runs on as
/// soon as its client says goodbye, before the PING has come or behind it.
const RACED: &str = "sends goaway frame with unknown error code";

/// Whether the kernel, or the container, has no io_uring for it.
fn is_io_uring_refused(errors: &str) -> bool {
    let reasons = ["Operation not permitted", "Function not implemented"];
    reasons.iter().any(|reason| errors.contains(reason))
}

/// The tests that a server fails; none at all if the suite is not here.
fn failures(addr: SocketAddr) -> Option<BTreeSet<String>> {
    // How long a frame is waited for, ms: a test that fails takes so long, and all run at once.
    let ran = run(
        PROGRAM,
        &[
            "--address",
            &addr.to_string(),
            "--verbose",
            "--frame-timeout",
            "4000",
            "--connect-timeout",
            "4000",
        ],
    )?;
    let named = |mark: &str| -> BTreeSet<String> {
        let lines = ran.errors.lines();
        let names = lines.filter_map(|line| line.strip_prefix(mark)?.rsplit(" :: ").next());
        names.map(str::to_owned).collect()
    };
    let (begun, passed) = (named("🔷 Running test: "), named("✅ Test passed: "));
    if begun.is_empty() && is_io_uring_refused(&ran.errors) {
        impossible("io_uring, without which httpwg does not run, is not allowed here");
        return None;
    }
    let last_lines = ran.errors.lines().rev().take(20).collect::<Vec<_>>();
    assert_eq!(begun.len(), TESTS, "{last_lines:#?}");
    println!("{} of {TESTS} passed", passed.len());
    Some(begun.difference(&passed).cloned().collect())
}

#[test]
fn a_suite_of_others_fails_only_where_it_is_known_why() {
    let origin = Origin::start(replies::text(&"x".repeat(500)));
    let gateway = before(&origin);
    let Some(mut failed) = failures(gateway.addr()) else {
        return;
    };
    failed.remove(RACED);
    let known = ANSWERED.iter().chain(OF_THE_LIBRARY);
    let known: BTreeSet<String> = known.map(|name| (*name).to_owned()).collect();
    assert_eq!(failed, known);
    gateway.wait_connections(0);
}

/// nginx from the system's packages; `H2_PEER=ADDRESS` says another server that speaks HTTP/2 without TLS.
#[test]
fn a_peer_passes_no_more_of_that_suite() {
    let origin = Origin::start(replies::text(&"x".repeat(500)));
    let folder = Folder::new();
    let (_process, addr) = match std::env::var("H2_PEER") {
        Ok(named) => (None, named.parse().expect("an address with a port")),
        Err(_) => {
            let (process, addr) = crate::differential::nginx(&folder, &origin, "http2");
            (Some(process), addr)
        }
    };
    let Some(failed) = failures(addr) else {
        return;
    };
    println!("failed: {failed:#?}");
    assert!(failed.len() < TESTS / 2, "that is no HTTP/2: {failed:#?}");
    let ours = ANSWERED.len() + OF_THE_LIBRARY.len();
    assert!(failed.len() >= ours, "the peer is stricter: {failed:#?}");
}
