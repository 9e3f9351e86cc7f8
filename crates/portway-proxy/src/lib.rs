//! The request path, to be read in this order: [`accept`], [`http1`], [`http2`] or `http3`, [`http`]
//! (`handle`), [`forward`], [`finish`]; connections that pass as they are: [`tcp`]; and what it runs on:
//! [`snapshot`], [`worker`], [`apply`], [`gateway`].
//!
//! Must hold: one exchange sees one snapshot; `finish` runs exactly once per exchange; nothing on this
//! path crosses threads or takes a lock; a failure to apply a plan leaves what runs untouched.

pub mod accept;
pub mod apply;
pub(crate) mod arrival;
mod certificates;
mod datagrams;
pub mod finish;
pub mod forward;
pub mod gateway;
pub mod http;
pub mod http1;
pub mod http2;
#[cfg(feature = "http3")]
pub mod http3;
pub mod introduce;
pub mod local;
mod material;
pub mod mirror;
pub(crate) mod patience;
mod relayed;
pub mod rewrite;
pub mod secure;
pub mod snapshot;
pub(crate) mod streams;
pub mod tcp;
pub mod tunnel;
pub mod turns;
pub mod worker;

pub use apply::ApplyError;
pub use certificates::CertificateReport;
pub use gateway::{Gateway, GatewayOptions};
pub use material::{DiskFiles, check_files, files};
pub use snapshot::Snapshot;
