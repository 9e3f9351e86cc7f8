//! The words every other crate shares: ids, errors and their one status table, diagnostics,
//! limits and the clock.
//!
//! Must hold: nothing here does I/O, blocks, or knows a protocol's bytes.
//! Never: depends on another Portway crate.

pub mod clock;
pub mod diagnostic;
pub mod error;
pub mod flood;
pub mod grpc;
pub mod handshake;
pub mod ids;
pub mod limits;

pub use clock::{Clock, Mono};
pub use diagnostic::{Diagnostic, Diagnostics, Severity, Span};
pub use error::{Code, ProxyError, Retry, Side};
pub use flood::Flood;
pub use grpc::{GrpcStatus, GrpcStatuses};
pub use handshake::{Handshake, HandshakeFailure, Resumption, TlsCipher, TlsVersion};
pub use ids::{ListenerId, RouteId, TargetId, UpstreamId};
