//! The budgets of an HTTP/2 connection: the same flood is found however its octets come, and octets that come
//! after it change nothing.
//!
//! The first octet says how the rest is cut.

use portway_core::Mono;
use portway_http::h2::PREFACE;
use portway_http::h2::meter::Meter;

/// Checks what a client sends behind its preface, and what it is sent.
pub fn check(data: &[u8]) {
    let Some((&cut, data)) = data.split_first() else {
        return;
    };
    let found = |piece: usize| {
        let now = Mono(1_000_000_000);
        let mut meter = Meter::new(now);
        assert_eq!(meter.receive(PREFACE, now), None);
        let mut found = None;
        for octets in data.chunks(piece) {
            let seen = meter.receive(octets, now);
            assert!(found.is_none() || seen == found, "a flood is forgotten");
            found = seen;
        }
        (found, meter.head_is_open())
    };
    let whole = found(data.len().max(1));
    assert_eq!(found(1), whole, "octet by octet");
    assert_eq!(
        found(usize::from(cut) + 1),
        whole,
        "in pieces of {}",
        cut + 1
    );
    let mut meter = Meter::new(Mono(0));
    for octets in data.chunks(usize::from(cut) + 1) {
        let _ = meter.send(octets);
    }
}
