//! Where an upstream's targets come from: the [`Source`] trait, one file per source, listed in
//! `all`.
//!
//! Must hold: a source yields whole target sets; when it fails, the last set stays in use.
//! Never: on the request path. Sources run on the background runtime.

pub mod source;

pub use source::{
    BoxFuture, DiscoveredTarget, DnsSpec, FileSpec, NamedTarget, REFRESH_MAX, REFRESH_MIN, Source,
    SourceError, SourceSpec, TargetSet,
};
