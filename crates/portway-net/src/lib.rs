//! Sockets and what a worker needs around them: timers, listeners, hand-over to a successor, drain.
//!
//! Must hold: this is the only crate in which `unsafe` is allowed, and every block says why it is
//! sound. Never: knows a protocol's bytes, or waits without the caller's deadline.

pub mod timer;

pub use timer::{Expired, Timer, Wheel, with_deadline};
