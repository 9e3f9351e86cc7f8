//! HTTP/3 on the side of clients (RFC 9114), over the `h3` and `quinn` crates: QUIC, QPACK and the order of
//! frames are their work; what a message means, and when it is whole, is decided here, by the rules that
//! HTTP/2 has ([`crate::streams`]).
//!
//! Must hold: nothing is read from a stream before whoever it is for has room, and nothing is sent that the
//! client has not made room for; a message that broke is reset, never ended as if it were whole. What the
//! `h3` crate would hold without a limit, or take for an end that is none, does not reach it (`sieve.rs`).
//! Never: names the types of these crates to the crates above, waits by itself, or knows a route.

mod confirmation;
mod endpoint;
mod fault;
mod incoming;
mod names;
mod outgoing;
mod receiving;
mod room;
mod server;
mod sieve;
mod stream;
mod transport;
mod watch;

use bytes::Bytes;
use portway_core::Clock;
use portway_net::Wheel;
use sieve::Piece;

pub use confirmation::Confirmation;
pub use endpoint::{Endpoint, Greeted, Greeting, Knock};
pub use outgoing::Outgoing;
pub use server::{Arrived, Asked, Connection, Deadline};
pub use stream::Stream;

/// What of the octets of a request's stream passes if they come in pieces of so many, frames for the `h3` crate
/// and the body's octets; `None` if they break the stream. For the fuzzer.
#[doc(hidden)]
#[must_use]
pub fn sift(octets: &[u8], piece: usize) -> Option<Vec<u8>> {
    const LIMITS: names::Limits = names::Limits {
        encoded: 256,
        unpacked: 1024,
        fields: 16,
    };
    let watch = watch::Watch::new(&Wheel::new(Clock::system()));
    let mut sieve = sieve::Sieve::request(LIMITS);
    let mut passed = Vec::new();
    for piece in octets.chunks(piece) {
        sieve.take(&Bytes::copy_from_slice(piece), &watch).ok()?;
        while let Some(Piece::Frame(octets) | Piece::Data(octets)) = sieve.pop() {
            passed.extend_from_slice(&octets);
        }
    }
    sieve.end().ok().map(|()| passed)
}

/// Codes that connections and streams end with (RFC 9114, section 8.1).
mod code {
    pub const NO_ERROR: u32 = 0x100;
    pub const INTERNAL_ERROR: u32 = 0x102;
    pub const EXCESSIVE_LOAD: u32 = 0x107;
    pub const REQUEST_REJECTED: u32 = 0x10b;
    pub const REQUEST_INCOMPLETE: u32 = 0x10d;
}
