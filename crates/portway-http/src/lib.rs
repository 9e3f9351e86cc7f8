//! HTTP as the gateway sees it: the [`Exchange`], its [`Body`] and [`Reply`], the HTTP/1 codec, and
//! the hygiene that every message goes through once, on entry.
//!
//! Must hold: after the head is read there is one canonical host, one canonical path and one body
//! length; everything later uses those. Bytes of a head are never forwarded: heads are re-serialized.
//! Never: routes, picks targets, or knows a policy.

pub mod body;
pub mod exchange;
pub mod grpc;
pub mod h1;
pub mod h2;
#[cfg(feature = "http3")]
pub mod h3;
pub mod hygiene;
pub mod own_fields;
pub mod replay;
pub mod reply;
pub mod request;
pub mod streams;
pub mod to_target;
pub mod upgrade;

/// Whether this build speaks HTTP/3.
pub const HTTP3: bool = cfg!(feature = "http3");

pub use body::{Body, BodyLength, BodyStream, Frame};
pub use exchange::{ClientSide, Downstream, Exchange, Notes, Protocol, RequestId};
pub use own_fields::OwnFields;
pub use replay::{Replay, Unsent};
pub use reply::Reply;
pub use request::{Form, Request};
pub use to_target::HostField;
