//! The `mtls` type of the auth filter: who calls is who the certificate of the client's connection says.
//!
//! Must hold: only a certificate that the listener has verified counts; no header can stand in for one.
//! The caller's name is the first URI of the certificate (a SPIFFE id), else its common name, else its
//! whole subject.

use std::sync::Arc;

use portway_core::Code;
use portway_filter::{Built, Filter, Flow, Hooks, Step};
use portway_http::Exchange;

use super::Excluded;

/// Makes the filter.
pub fn compile(excluded: Option<Excluded>) -> Option<Built> {
    Some(Built::Filter(Arc::new(Mtls {
        excluded: excluded?,
    })))
}

/// The `mtls` type of the auth filter.
pub struct Mtls {
    /// Paths that need no certificate.
    pub excluded: Excluded,
}

impl Filter for Mtls {
    fn hooks(&self) -> Hooks {
        Hooks::Request
    }

    fn on_request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if self.excluded.matches(&exchange.request.path) {
            return Step::Now(Flow::Continue);
        }
        let tls = exchange.client.tls.as_ref();
        let Some(identity) = tls.and_then(|tls| tls.client.as_ref()) else {
            let reply = exchange.refuse(Code::Unauthorized, "the client has no certificate");
            return Step::Now(Flow::Stop(Box::new(reply)));
        };
        let common_name = || identity.common_name.as_ref();
        let name = identity.uris.first().or_else(common_name);
        exchange.consumer = Some(Arc::from(name.unwrap_or(&identity.subject).as_str()));
        Step::Now(Flow::Continue)
    }
}
