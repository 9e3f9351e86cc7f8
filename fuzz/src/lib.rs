//! What must hold for every input from the network, one module per fuzz target.
//!
//! Must hold: a `check` panics only on a broken promise of the code under test, never on odd input, so
//! that every crash is a finding. The same checks run over the committed seeds in `tests/seeds.rs`,
//! which needs no fuzzer.

#![forbid(unsafe_code)]

pub mod chunked_body;
pub mod config;
pub mod descriptor_set;
pub mod framing;
pub mod grammar;
pub mod grpc_web;
pub mod h2_head;
pub mod h2_meter;
pub mod h3_frames;
pub mod host;
pub mod hyper_oracle;
pub mod path;
pub mod path_template;
pub mod pieces;
pub mod proxy_protocol;
pub mod query;
pub mod request_head;
pub mod response_head;
pub mod sni;
pub mod websocket_frames;

/// A target's name and its check.
pub type Target = (&'static str, fn(&[u8]));

/// Every target; its seeds are in `seeds/NAME`.
pub const TARGETS: &[Target] = &[
    ("path", path::check),
    ("host", host::check),
    ("framing", framing::check),
    ("request_head", request_head::check),
    ("response_head", response_head::check),
    ("chunked_body", chunked_body::check),
    ("config", config::check),
    ("proxy_protocol", proxy_protocol::check),
    ("sni", sni::check),
    ("path_template", path_template::check),
    ("query", query::check),
    ("pieces", pieces::check),
    ("descriptor_set", descriptor_set::check),
    ("grpc_web", grpc_web::check),
    ("h2_head", h2_head::check),
    ("h2_meter", h2_meter::check),
    ("h3_frames", h3_frames::check),
    ("websocket_frames", websocket_frames::check),
    ("hyper_oracle", hyper_oracle::check),
];
