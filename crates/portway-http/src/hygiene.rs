//! The rules that every message goes through once, on entry: what its length is, which host and path
//! it means, which fields end here, and who the client is.
//!
//! Must hold: one answer to each question, computed here and used everywhere after; what could be
//! read in two ways is refused, never guessed. No function panics, whatever the bytes.
//! Never: reads from a socket, keeps state between messages, or knows a route or a policy.

pub mod fields;
pub mod forwarded;
pub mod framing;
pub mod host;
pub mod intake;
pub mod path;
pub mod target;
pub mod trailers;
