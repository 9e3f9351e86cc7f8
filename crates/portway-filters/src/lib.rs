//! The filters that come with the gateway, one file or folder each, named as in the config.
//!
//! Must hold: a filter's file, name, config key, page and metric label are the same word; a filter
//! that does not wait allocates nothing it can do without; what a client sends cannot make one panic.
//! Never: a registry; [`all()`] is a value that `main` passes down.

mod all;
pub mod auth;
pub mod body_limit;
pub mod circuit_breaker;
pub mod cors;
pub mod grpc_json;
pub mod grpc_web;
pub mod headers;
pub mod ip_filter;
pub mod logging;
pub mod metrics;
mod names;
mod or_off;
pub mod rate_limit;
pub mod request_id;
pub mod retry;
pub mod security_headers;
#[cfg(test)]
mod testing;

pub use all::all;
pub use or_off::OrOff;

/// Compiles and runs the example of the page on adding a filter.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/adding/filter.md")]
struct AddingAFilter;
