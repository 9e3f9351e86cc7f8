//! Places for certificates that are obtained while the gateway runs, and what answers an issuer that
//! checks a name by a handshake (tls-alpn-01, RFC 8737).
//!
//! Must hold: a place always has a certificate to present: a self-signed one until the first is there,
//! which no client trusts by mistake, or what another place has for one of the same names. A new one is swapped in whole; open connections and sessions go
//! on. Only what belongs to its key, and is for all names of the place, gets in.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwap;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::crypto::provider;
use crate::identity::{self, CertificateInfo};
use crate::spec::Names;

/// What a stand-in is called, so that whoever looks at it knows what it waits for.
const STAND_IN: &str = "Portway: no certificate issued yet";

/// A place for one certificate.
pub struct Slot {
    names: Names,
    presented: ArcSwap<CertifiedKey>,
    issued: Mutex<Option<Issued>>,
}

/// A certificate that is in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// What there is to know of it.
    pub info: CertificateInfo,
    /// What its issuer knows it by: its key identifier and the serial number (RFC 9773, section 4.1).
    pub renewal_id: Option<(Vec<u8>, Vec<u8>)>,
}

/// All places of a gateway, and the answers to issuers that check names. Clones are the same.
#[derive(Clone, Default)]
pub struct Slots(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    slots: Vec<Weak<Slot>>,
    /// By the name that is checked.
    answers: HashMap<Box<str>, Arc<CertifiedKey>>,
}

/// A key of its own, and the request for a certificate that goes with it (RFC 2986).
pub struct Request {
    /// The request, DER.
    pub csr: Vec<u8>,
    /// The key, PEM.
    pub key: String,
}

impl Slot {
    fn new(names: &Names, others: &[Arc<Slot>]) -> Result<Slot, String> {
        // A name that joins others must not take their certificate from them until there is one for all.
        let shared = |other: &Arc<Slot>| match other.issued() {
            Some(issued) => names.iter().filter(|n| covers(&issued.info, n)).count(),
            None => 0,
        };
        let nearest = others.iter().max_by_key(|other| shared(other));
        let presented = match nearest.filter(|other| shared(other) > 0) {
            Some(other) => other.presented(),
            None => {
                let key = KeyPair::generate().map_err(|error| error.to_string())?;
                Arc::new(self_signed(params(names, STAND_IN)?, &key)?)
            }
        };
        Ok(Slot {
            names: Arc::clone(names),
            presented: ArcSwap::new(presented),
            issued: Mutex::new(None),
        })
    }

    /// The names that its certificate is to be for.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The name that it goes by.
    #[must_use]
    pub fn label(&self) -> &str {
        self.names.first().map_or("", |name| name)
    }

    /// The certificate that was put here; `None` while the stand-in is presented.
    #[must_use]
    pub fn issued(&self) -> Option<Issued> {
        lock(&self.issued).clone()
    }

    /// Puts a certificate here. `pem` holds its key and its chain, its own certificate first.
    ///
    /// # Errors
    /// If they do not fit each other or the names; what was here stays. Never quotes what `pem` holds.
    pub fn install(&self, pem: &str) -> Result<Issued, String> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let chain = chain.map_err(|_| "the certificate is no PEM")?;
        let leaf = chain.first().ok_or("there is no certificate")?;
        let info = CertificateInfo::of(leaf).ok_or("the certificate is malformed")?;
        let renewal_id = identity::renewal_id(leaf);
        if let Some(missing) = self.names.iter().find(|name| !covers(&info, name)) {
            return Err(format!("the certificate is not for `{missing}`"));
        }
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| "there is no key")?;
        let certified = CertifiedKey::from_der(chain, key, &provider())
            .map_err(|error| format!("the key cannot be used: {error}"))?;
        let issued = Issued { info, renewal_id };
        let mut known = lock(&self.issued);
        self.presented.store(Arc::new(certified));
        *known = Some(issued.clone());
        Ok(issued)
    }

    /// A new key with the request for a certificate for the names.
    ///
    /// # Errors
    /// If there is no randomness, in words.
    pub fn request(&self) -> Result<Request, String> {
        let key = KeyPair::generate().map_err(|error| error.to_string())?;
        Slot::request_with(&self.names, &key)
    }

    /// The request that goes with a key of before, PEM.
    ///
    /// # Errors
    /// If it is no key.
    pub fn request_again(&self, key: &str) -> Result<Request, String> {
        let key = KeyPair::from_pem(key).map_err(|_| "the key is malformed")?;
        Slot::request_with(&self.names, &key)
    }

    fn request_with(names: &Names, key: &KeyPair) -> Result<Request, String> {
        let mut params = params(names, "")?;
        // The names say it all; issuers ignore the rest, and some refuse it.
        params.distinguished_name = DistinguishedName::new();
        let csr = params
            .serialize_request(key)
            .map_err(|error| error.to_string())?;
        Ok(Request {
            csr: csr.der().to_vec(),
            key: key.serialize_pem(),
        })
    }

    pub(crate) fn presented(&self) -> Arc<CertifiedKey> {
        self.presented.load_full()
    }
}

fn covers(info: &CertificateInfo, name: &str) -> bool {
    let parent = name.split_once('.').map(|(_, parent)| parent);
    let fits = |given: &String| match given.strip_prefix("*.") {
        Some(rest) => parent == Some(rest),
        None => given == name,
    };
    info.names.iter().any(fits)
}

fn params(names: &[Box<str>], common_name: &str) -> Result<CertificateParams, String> {
    let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    let mut params = CertificateParams::new(names).map_err(|error| error.to_string())?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    Ok(params)
}

fn self_signed(params: CertificateParams, key: &KeyPair) -> Result<CertifiedKey, String> {
    let certificate = params.self_signed(key).map_err(|error| error.to_string())?;
    let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let secret = provider().key_provider.load_private_key(secret);
    let secret = secret.map_err(|error| error.to_string())?;
    // Without the check that both belong together: it knows nothing of the critical extension that an
    // answer to an issuer has (RFC 8737, section 3).
    Ok(CertifiedKey::new(vec![certificate.der().clone()], secret))
}

impl Slots {
    /// The place for a certificate with these names: the one that somebody holds, or a new one.
    ///
    /// # Errors
    /// If no stand-in can be made, in words.
    pub fn slot(&self, names: &Names) -> Result<Arc<Slot>, String> {
        let mut inner = lock(&self.0);
        inner.slots.retain(|slot| slot.strong_count() > 0);
        let same = |slot: &Arc<Slot>| {
            slot.names.len() == names.len() && names.iter().all(|n| slot.names.contains(n))
        };
        let known: Vec<_> = inner.slots.iter().filter_map(Weak::upgrade).collect();
        if let Some(slot) = known.iter().find(|slot| same(slot)) {
            return Ok(Arc::clone(slot));
        }
        let slot = Arc::new(Slot::new(names, &known)?);
        inner.slots.push(Arc::downgrade(&slot));
        Ok(slot)
    }

    /// From now on a handshake that checks `name` gets the answer with this digest.
    ///
    /// # Errors
    /// If no certificate can be made of it, in words.
    pub fn answer(&self, name: &str, digest: &[u8; 32]) -> Result<(), String> {
        let mut params = params(&[name.into()], name)?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let key = KeyPair::generate().map_err(|error| error.to_string())?;
        let certified = Arc::new(self_signed(params, &key)?);
        lock(&self.0).answers.insert(name.into(), certified);
        Ok(())
    }

    /// No longer.
    pub fn withdraw(&self, name: &str) {
        lock(&self.0).answers.remove(name);
    }
}

impl ResolvesServerCert for Slots {
    /// The answer to an issuer's check; nothing for everybody else.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?.to_ascii_lowercase();
        lock(&self.0).answers.get(name.as_str()).cloned()
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots").finish_non_exhaustive()
    }
}

/// What is locked here is whole after every statement, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Names {
        names.iter().map(|name| Box::from(*name)).collect()
    }

    /// A key and a certificate for these names, PEM.
    fn pem(names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        (made.signing_key.serialize_pem(), made.cert.pem())
    }

    #[test]
    fn a_place_is_one_for_the_same_names_in_any_order() {
        let slots = Slots::default();
        let one = slots.slot(&names(&["a.example", "b.example"])).unwrap();
        let other = slots.slot(&names(&["b.example", "a.example"])).unwrap();
        assert!(Arc::ptr_eq(&one, &other));
        let alone = slots.slot(&names(&["a.example"])).unwrap();
        assert!(!Arc::ptr_eq(&one, &alone));
    }

    #[test]
    fn a_stand_in_is_presented_until_a_certificate_is_installed() {
        let slot = Slots::default().slot(&names(&["a.example"])).unwrap();
        let stand_in = slot.presented();
        let info = CertificateInfo::of(&stand_in.cert[0]).unwrap();
        assert!(
            info.issuer.contains("no certificate issued yet"),
            "{info:?}"
        );
        assert_eq!(slot.issued(), None);
        let (key, cert) = pem(&["a.example"]);
        let issued = slot.install(&format!("{key}{cert}")).unwrap();
        assert_eq!(issued.info.names, ["a.example"]);
        assert_eq!(slot.issued(), Some(issued));
        assert!(!Arc::ptr_eq(&stand_in, &slot.presented()));
    }

    #[test]
    fn a_name_that_joins_another_does_not_take_its_certificate_away() {
        let slots = Slots::default();
        let old = slots.slot(&names(&["a.example"])).unwrap();
        let (key, cert) = pem(&["a.example"]);
        old.install(&format!("{key}{cert}")).unwrap();
        let both = slots.slot(&names(&["a.example", "b.example"])).unwrap();
        assert!(Arc::ptr_eq(&old.presented(), &both.presented()));
        assert_eq!(both.issued(), None, "one for both is still to come");
        let apart = slots.slot(&names(&["c.example"])).unwrap();
        assert!(!Arc::ptr_eq(&old.presented(), &apart.presented()));
    }

    #[test]
    fn what_does_not_fit_stays_outside() {
        let slot = Slots::default()
            .slot(&names(&["a.example", "b.example"]))
            .unwrap();
        let (key, cert) = pem(&["a.example", "b.example"]);
        let (other, narrow) = pem(&["a.example"]);
        for (what, text) in [
            ("there is no certificate", key.clone()),
            ("there is no key", cert.clone()),
            ("not for `b.example`", format!("{other}{narrow}")),
            ("the key cannot be used", format!("{other}{cert}")),
            ("no certificate", "half a file".to_owned()),
        ] {
            let error = slot.install(&text).unwrap_err();
            assert!(error.contains(what), "{what}: {error}");
        }
        assert_eq!(slot.issued(), None);
        slot.install(&format!("{key}{cert}")).unwrap();
    }

    #[test]
    fn an_answer_to_a_check_is_there_until_it_is_withdrawn() {
        let slots = Slots::default();
        slots.answer("a.example", &[7; 32]).unwrap();
        let answers = |slots: &Slots| lock(&slots.0).answers.len();
        assert_eq!(answers(&slots), 1);
        slots.withdraw("a.example");
        assert_eq!(answers(&slots), 0);
    }

    #[test]
    fn a_request_is_made_again_with_the_same_key() {
        let slot = Slots::default().slot(&names(&["a.example"])).unwrap();
        let first = slot.request().unwrap();
        let again = slot.request_again(&first.key).unwrap();
        assert_eq!(first.key, again.key);
        assert!(slot.request_again("no key").is_err());
    }
}
