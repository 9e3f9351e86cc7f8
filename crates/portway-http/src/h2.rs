//! HTTP/2 on both sides (RFC 9113), over the `h2` crate: frames, HPACK and flow control are its work;
//! what a message means, and when it is whole, is decided here.
//!
//! Must hold: nothing is read from a stream before whoever it is for has room, and nothing is sent that
//! the peer has not made room for; a message that broke is reset, never ended as if it were whole.
//! Never: names the `h2` crate's types to the crates above, waits by itself, or knows a route.

pub mod ask;
pub mod client;
mod guard;
pub mod incoming;
pub mod meter;
pub mod outgoing;
mod rules;
mod scan;
pub mod server;
mod tunnel;

pub use client::Client;
pub use incoming::Incoming;
pub use outgoing::{Frames, Outgoing};
pub use server::{Arrived, Connection, Stream};
pub use tunnel::{Tunnel, Waiting};

/// What a client sends first (RFC 9113, section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
