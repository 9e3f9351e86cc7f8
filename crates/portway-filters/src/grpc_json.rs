//! `grpc_json`: JSON over HTTP for gRPC services, by their `google.api.http` options.
//!
//! Must hold: what a request is bound to comes from the descriptors alone; one message at a time is held.

pub mod ask;
pub mod field;
pub mod overlay;
pub mod pieces;
pub mod rules;
pub mod template;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod tree;
