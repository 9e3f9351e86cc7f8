//! The certificates of a listener, and which of them a client gets.
//!
//! Must hold: an exact name goes before a wildcard, a wildcard before the default (the first
//! certificate); of several for one name the first that the client can check is presented, so that RSA
//! and ECDSA stand side by side. Immutable: a reload makes a new store.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::file::Loader;
use crate::identity::server_names;
use crate::spec::CertificateSpec;

/// See the module.
pub struct CertStore {
    certificates: Vec<Arc<CertifiedKey>>,
    /// By DNS name, and by `*.` name without the `*.`.
    exact: HashMap<Box<str>, Vec<usize>>,
    wildcard: HashMap<Box<str>, Vec<usize>>,
    /// The first, and those that are for the same names.
    default: Vec<usize>,
}

impl fmt::Debug for CertStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertStore")
            .field("exact", &self.exact)
            .field("wildcard", &self.wildcard)
            .finish_non_exhaustive()
    }
}

impl CertStore {
    /// Reads every certificate; `None` if one cannot be used.
    pub(crate) fn load(specs: &[CertificateSpec], loader: &mut Loader<'_>) -> Option<CertStore> {
        let mut certificates = Vec::new();
        let mut whole = true;
        for spec in specs {
            let staple = spec.ocsp.as_ref().map(|path| loader.ocsp(path));
            let certified = loader.certified(&spec.cert, &spec.key);
            match (certified, staple) {
                (None, _) | (_, Some(None)) => whole = false,
                (Some(mut certified), staple) => {
                    certified.ocsp = staple.flatten();
                    certificates.push(certified);
                }
            }
        }
        whole.then(|| CertStore::new(certificates))
    }

    pub(crate) fn new(certificates: Vec<CertifiedKey>) -> CertStore {
        let mut store = CertStore {
            certificates: Vec::new(),
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            default: Vec::new(),
        };
        let mut names_of_first = None;
        for (at, certified) in certificates.into_iter().enumerate() {
            let mut names = certified
                .cert
                .first()
                .map(|c| server_names(c))
                .unwrap_or_default();
            for name in &names {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(rest) => (&mut store.wildcard, rest),
                    None => (&mut store.exact, name.as_str()),
                };
                map.entry(name.into()).or_default().push(at);
            }
            names.sort();
            if *names_of_first.get_or_insert_with(|| names.clone()) == names {
                store.default.push(at);
            }
            store.certificates.push(Arc::new(certified));
        }
        store
    }

    /// The certificates for a name, without the default.
    fn find(&self, name: &str) -> Option<&[usize]> {
        let parent = || {
            name.split_once('.')
                .and_then(|(_, rest)| self.wildcard.get(rest))
        };
        self.exact.get(name).or_else(parent).map(Vec::as_slice)
    }

    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let lower = name.map(str::to_ascii_lowercase);
        let named = lower
            .as_deref()
            .and_then(|name| self.find(name))
            .unwrap_or(&[]);
        let fits = |at: &&usize| self.certificates[**at].key.choose_scheme(schemes).is_some();
        let found = named.iter().chain(&self.default).find(fits)?;
        Some(Arc::clone(&self.certificates[*found]))
    }

    /// Whether a certificate that is presented for `name` is one for `other` too.
    pub(crate) fn covers_both(&self, name: &str, other: &str) -> bool {
        match (self.find(name), self.find(other)) {
            (Some(a), Some(b)) => a.iter().any(|at| b.contains(at)),
            _ => false,
        }
    }

    /// How many certificates there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.certificates.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }
}

impl ResolvesServerCert for CertStore {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name(), hello.signature_schemes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::provider;
    use rcgen::{CertificateParams, KeyPair};
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

    const ECDSA: &[SignatureScheme] = &[SignatureScheme::ECDSA_NISTP256_SHA256];
    const EDDSA: &[SignatureScheme] = &[SignatureScheme::ED25519];

    fn certified(names: &[&str], algorithm: &'static rcgen::SignatureAlgorithm) -> CertifiedKey {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let cert = CertificateParams::new(names)
            .unwrap()
            .self_signed(&key)
            .unwrap();
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        CertifiedKey::from_der(vec![cert.der().clone()], der, &provider()).unwrap()
    }

    fn store() -> CertStore {
        let ecdsa = &rcgen::PKCS_ECDSA_P256_SHA256;
        CertStore::new(vec![
            certified(&["default.example"], ecdsa),
            certified(&["a.example", "*.a.example"], ecdsa),
            certified(&["x.a.example"], ecdsa),
            certified(&["a.example", "*.a.example"], &rcgen::PKCS_ED25519),
        ])
    }

    fn chosen(store: &CertStore, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<usize> {
        let found = store.choose(name, schemes)?;
        store
            .certificates
            .iter()
            .position(|c| Arc::ptr_eq(c, &found))
    }

    #[test]
    fn an_exact_name_goes_before_a_wildcard_and_that_before_the_default() {
        let store = store();
        for (name, at) in [
            (Some("a.example"), 1),
            (Some("A.Example"), 1),
            (Some("y.a.example"), 1),
            (Some("x.a.example"), 2),
            (Some("deep.y.a.example"), 0),
            (Some("other.example"), 0),
            (None, 0),
        ] {
            assert_eq!(chosen(&store, name, ECDSA), Some(at), "{name:?}");
        }
    }

    #[test]
    fn of_two_keys_for_a_name_the_client_gets_the_one_it_can_check() {
        let store = store();
        assert_eq!(chosen(&store, Some("a.example"), EDDSA), Some(3));
        assert_eq!(chosen(&store, Some("x.a.example"), EDDSA), None);
    }

    #[test]
    fn a_certificate_covers_a_second_host_only_if_it_names_it() {
        let store = store();
        assert!(store.covers_both("a.example", "y.a.example"));
        assert!(!store.covers_both("a.example", "x.a.example"));
        assert!(!store.covers_both("other.example", "another.example"));
    }
}
