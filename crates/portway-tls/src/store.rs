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
use crate::slot::{Slot, Slots};
use crate::spec::CertificateSpec;

/// See the module.
pub struct CertStore {
    certificates: Vec<Presented>,
    /// By DNS name, and by `*.` name without the `*.`.
    exact: HashMap<Box<str>, Vec<usize>>,
    wildcard: HashMap<Box<str>, Vec<usize>>,
    /// The first, and those that are for the same names.
    default: Vec<usize>,
}

/// Where a certificate comes from.
pub(crate) enum Presented {
    /// From files, named as in the config.
    Fixed(Arc<CertifiedKey>, Box<str>),
    /// From a place that is filled while the gateway runs.
    Slot(Arc<Slot>),
}

impl Presented {
    fn certified(&self) -> Arc<CertifiedKey> {
        match self {
            Presented::Fixed(certified, _) => Arc::clone(certified),
            Presented::Slot(slot) => slot.presented(),
        }
    }

    /// The names it is for; those of a place are known before its certificate is.
    fn names(&self) -> Vec<String> {
        match self {
            Presented::Fixed(certified, _) => {
                let leaf = certified.cert.first();
                leaf.map(|leaf| server_names(leaf)).unwrap_or_default()
            }
            Presented::Slot(slot) => slot.names().iter().map(|n| n.to_string()).collect(),
        }
    }
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
    pub(crate) fn load(
        specs: &[CertificateSpec],
        slots: &Slots,
        loader: &mut Loader<'_>,
    ) -> Option<CertStore> {
        let mut certificates = Vec::new();
        let mut whole = true;
        for spec in specs {
            let spec = match spec {
                CertificateSpec::Files(files) => files,
                CertificateSpec::Issued(names) => {
                    match slots.slot(names) {
                        Ok(slot) => certificates.push(Presented::Slot(slot)),
                        Err(error) => {
                            let text = format!("no certificate can stand in: {error}");
                            loader.problem(names.span(), text, "");
                            whole = false;
                        }
                    }
                    continue;
                }
            };
            let staple = spec.ocsp.as_ref().map(|path| loader.ocsp(path));
            let certified = loader.certified(&spec.cert, &spec.key);
            match (certified, staple) {
                (None, _) | (_, Some(None)) => whole = false,
                (Some(mut certified), staple) => {
                    certified.ocsp = staple.flatten();
                    let label = spec.cert.display().to_string().into();
                    certificates.push(Presented::Fixed(Arc::new(certified), label));
                }
            }
        }
        whole.then(|| CertStore::new(certificates))
    }

    fn new(certificates: Vec<Presented>) -> CertStore {
        let mut store = CertStore {
            certificates: Vec::new(),
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            default: Vec::new(),
        };
        let mut names_of_first = None;
        for (at, presented) in certificates.into_iter().enumerate() {
            let mut names = presented.names();
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
            store.certificates.push(presented);
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
        let mut candidates = named.iter().chain(&self.default);
        candidates.find_map(|at| {
            let certified = self.certificates[*at].certified();
            let fits = certified.key.choose_scheme(schemes).is_some();
            fits.then_some(certified)
        })
    }

    /// Whether a certificate that is presented for `name` is one for `other` too.
    pub(crate) fn covers_both(&self, name: &str, other: &str) -> bool {
        match (self.find(name), self.find(other)) {
            (Some(a), Some(b)) => a.iter().any(|at| b.contains(at)),
            _ => false,
        }
    }

    /// Every certificate, in the order of the config.
    pub(crate) fn certificates(&self) -> &[Presented] {
        &self.certificates
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

    fn certified(names: &[&str], algorithm: &'static rcgen::SignatureAlgorithm) -> Presented {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let cert = CertificateParams::new(names)
            .unwrap()
            .self_signed(&key)
            .unwrap();
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let certified = CertifiedKey::from_der(vec![cert.der().clone()], der, &provider());
        Presented::Fixed(Arc::new(certified.unwrap()), "a.pem".into())
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
            .position(|c| Arc::ptr_eq(&c.certified(), &found))
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
    fn a_place_is_found_by_its_names_before_it_has_a_certificate_and_after() {
        let names: crate::spec::Names = ["c.example", "d.example"].map(Box::from).into();
        let slot = Slots::default().slot(&names).unwrap();
        let ecdsa = &rcgen::PKCS_ECDSA_P256_SHA256;
        let first = certified(&["default.example"], ecdsa);
        let store = CertStore::new(vec![first, Presented::Slot(Arc::clone(&slot))]);
        assert_eq!(chosen(&store, Some("d.example"), ECDSA), Some(1));
        let both = vec!["c.example".to_owned(), "d.example".to_owned()];
        let made = rcgen::generate_simple_self_signed(both).unwrap();
        let pem = made.signing_key.serialize_pem() + &made.cert.pem();
        slot.install(&pem).unwrap();
        let found = store.choose(Some("d.example"), ECDSA).unwrap();
        assert_eq!(found.cert[0], *made.cert.der());
        assert!(store.covers_both("c.example", "d.example"));
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
