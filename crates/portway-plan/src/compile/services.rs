//! How services that tell their descriptors are reached: over TLS as the upstream says whose target they are.
//!
//! Never: asks anybody; that is for whoever compiles.

use std::path::Path;

use portway_config::document::Upstream;
use portway_core::Diagnostics;
use portway_filter::{Files, Service};
use portway_tls::{Alpn, ConnectSpec};

/// The files of whoever compiles, and services with the TLS of these upstreams.
pub(super) struct Services<'a> {
    pub files: &'a dyn Files,
    pub upstreams: &'a [Upstream],
}

impl Services<'_> {
    fn upstream_of(&self, service: &Service) -> Option<&Upstream> {
        let is = |upstream: &&Upstream| {
            let targets = upstream.targets.value().into_iter();
            let mut targets = targets.flat_map(|list| list.iter());
            targets.any(|t| t.addr.host == service.at.host && t.addr.port == service.at.port)
        };
        self.upstreams.iter().find(is)
    }
}

impl Files for Services<'_> {
    fn read(&self, path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
        self.files.read(path, bytes_max)
    }

    fn ask(&self, service: &Service) -> Result<Vec<u8>, String> {
        if service.tls.is_none() {
            return self.files.ask(service);
        }
        let mut service = service.clone();
        // What is wrong with it is said where it is written.
        let mut said = Diagnostics::new();
        let upstream = self.upstream_of(&service);
        if let Some(tls) = upstream.and_then(|u| super::tls::of_upstream(u, &mut said)) {
            let alpn = vec![Alpn::H2];
            service.tls = Some(ConnectSpec { alpn, ..tls });
        }
        self.files.ask(&service)
    }
}
