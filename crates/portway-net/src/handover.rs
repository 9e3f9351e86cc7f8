//! Handing the listening sockets to a successor process, so that no connection is refused while a
//! new binary takes over.
//!
//! Must hold: the successor accepts from the very sockets of its predecessor, so what waits in
//! their queues is never lost; a descriptor is believed only if it came through `exec`, listens,
//! and has the address the predecessor said. Every inherited socket must be accepted from: the
//! kernel goes on giving connections to each of them.
//! Never: ends the predecessor. It drains once the successor has said that it is ready.
//!
//! The variable [`SOCKETS_VARIABLE`] carries them: `0.0.0.0:8080=5,0.0.0.0:8080=6;ready=7`.

mod inherited;
mod successor;

pub use inherited::{Inherited, InheritedError};
pub use successor::{Successor, SuccessorError, spawn_successor};

/// The environment variable that names inherited sockets to a successor.
pub const SOCKETS_VARIABLE: &str = "PORTWAY_SOCKETS";

/// What a successor writes to say that it accepts.
const READY: u8 = b'1';
