//! The `mtls` type of the auth filter: who calls is who the certificate of the client's connection says.
//!
//! Must hold: only a certificate that the listener has verified counts; no header can stand in for one.
//! The caller's name is the first URI of the certificate (a SPIFFE id), else its common name, else its
//! whole subject. The three look different: no name of one kind can be spelt so that it passes for one of another.

use std::sync::Arc;

use portway_core::Code;
use portway_filter::{Built, Filter, Flow, Hooks, Step};
use portway_http::Exchange;
use portway_tls::Identity;
use portway_tls::identity::starts_with_scheme;

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
        exchange.consumer = consumer(identity).map(Arc::from);
        Step::Now(Flow::Continue)
    }
}

/// An issuer that checks URIs need not check common names as well (CVE-2025-66491 and its like): one that
/// reads as a URI or as a subject is not taken. The subject holds it, behind `CN=`.
fn consumer(identity: &Identity) -> Option<&str> {
    let common_name = identity.common_name.as_deref();
    let common_name = common_name.filter(|name| is_plain(name));
    let name = identity.uri().or(common_name).unwrap_or(&identity.subject);
    (!name.is_empty()).then_some(name) // a certificate may name a host only
}

/// Whether it is neither empty nor begins as a URI or, with an attribute's type, as a subject.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !starts_with_scheme(name) && !name.contains('=')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uris: &[&str], common_name: Option<&str>, subject: &str) -> String {
        let identity = Identity {
            subject: subject.into(),
            common_name: common_name.map(str::to_owned),
            issuer: String::new(),
            serial: String::new(),
            dns: Vec::new(),
            uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
            emails: Vec::new(),
            ips: Vec::new(),
            fingerprint: String::new(),
        };
        consumer(&identity).unwrap_or_default().to_owned()
    }

    #[test]
    fn the_first_uri_else_the_common_name_else_the_subject_is_the_consumer() {
        let subject = "CN=alice, O=example";
        let two = ["spiffe://prod/alice", "spiffe://prod/other"];
        assert_eq!(of(&two, Some("alice"), subject), "spiffe://prod/alice");
        assert_eq!(of(&[], Some("Alice B."), subject), "Alice B.");
        assert_eq!(of(&[], None, "O=example"), "O=example");
        assert_eq!(of(&[], None, ""), "");
    }

    #[test]
    fn no_kind_of_name_can_be_spelt_as_another() {
        for name in ["spiffe://prod/admin", "urn:example:admin", "O=example", ""] {
            let subject = format!("CN={name}, OU=x");
            assert_eq!(of(&[], Some(name), &subject), subject);
        }
        for uri in ["admin", "O=example", "1st:admin", ""] {
            assert_eq!(of(&[uri], Some("alice"), "CN=alice"), "alice", "{uri}");
        }
    }
}
