//! Where an upstream's targets come from: the [`Source`] trait, one file per source, listed in
//! [`all`]. And what a service tells of itself: [`reflect`].
//!
//! Must hold: a source yields whole target sets; when it fails, the last set stays in use; a source
//! that cannot answer waits longer and longer between its tries.
//! Never: on the request path. Sources run on the background runtime, [`reflect`] where a config is loaded.

pub mod all;
pub mod dns;
pub mod file;
mod lookup;
pub mod reflect;
mod refresh;
pub mod source;
pub mod static_;
mod watch;

pub use all::{NAMES, build};
pub use file::parse as parse_file;
pub use source::{
    BoxFuture, DiscoveredTarget, DnsSpec, FileSpec, NamedTarget, REFRESH_MAX, REFRESH_MIN, Source,
    SourceError, SourceSpec, TargetSet,
};
