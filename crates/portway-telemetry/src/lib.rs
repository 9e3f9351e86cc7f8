//! What the gateway tells about itself: metrics, the access log, and its own log.
//!
//! Must hold: telling never delays an exchange. Workers write to memory of their own; other
//! threads sum it up or carry it away, and what they cannot carry is counted.
//! Never: takes a metric label from a client, or writes a client's bytes unescaped.

pub mod access_log;
pub mod app_log;
pub mod metrics;
mod stamp;

pub use stamp::rfc3339;
