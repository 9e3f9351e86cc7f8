//! What the tests stand on: an upstream that misbehaves byte by byte, a client that sends exact
//! bytes, free ports, and child processes that do not outlive their test.
//!
//! Must hold: everything is loopback, on ports nobody chose, and every wait has an end; a failed
//! expectation panics at the line of the test. Never: uses the gateway's own codec, which is what
//! it is there to check.

pub mod folder;
pub mod frames;
pub mod gateway;
pub mod origin;
pub mod ports;
pub mod process;
pub mod raw;
pub mod wait;
pub mod wire;

pub use folder::Folder;
pub use frames::FrameClient;
pub use gateway::Gateway;
pub use origin::{Origin, OriginConn, RawRequest, replies};
pub use process::Process;
pub use raw::{RawClient, RawReply};
pub use wait::eventually;
