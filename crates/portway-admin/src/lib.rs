//! The operators' API: is it alive, what does it do, reload, drain. JSON over HTTP/1.1, on the
//! background runtime.
//!
//! Must hold: it listens on loopback or a unix socket, or asks for a token; a web page cannot reach
//! it (Host and Origin are checked); no secret is in an answer; a slow or greedy caller holds up
//! nobody but itself.
//! Never: on the request path, or reachable through a route.

mod answer;
mod api;
mod certificates;
mod explain;
mod gate;
mod operations;
mod routes;
mod server;
mod upstreams;

pub use api::header;
pub use explain::{Answer, Question, explain};
pub use operations::{Operations, Readiness, ReloadOutcome, ReloadStatus};
pub use server::{AdminListener, serve};
