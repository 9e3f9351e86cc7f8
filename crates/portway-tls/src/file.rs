//! Reading certificates, keys, revocation lists and OCSP responses from files.
//!
//! Must hold: a problem names the file and what is wrong with it, at the place in the config that names
//! the file; it never quotes what the file holds. What was read is folded into one digest, so that a
//! reload can tell whether anything changed.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use portway_config::Spanned;
use portway_core::{Diagnostics, Span};
use rustls::RootCertStore;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::crypto::provider;
use crate::identity::{self, Validity};

/// A file of certificates or a key is no larger, bytes: a bundle of all public CAs has 250 KiB.
const PEM_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// A revocation list is no larger, bytes: about a million entries.
const CRL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// An OCSP response is no larger, bytes; it travels in every full handshake.
const OCSP_BYTES_MAX: u64 = 64 * 1024;

/// The digest of all files that something was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print([u8; 32]);

/// Reads files and notes what is wrong with them.
pub(crate) struct Loader<'a> {
    problems: &'a mut Diagnostics,
    digest: digest::Context,
    /// Seconds since the Unix epoch.
    now: u64,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(problems: &'a mut Diagnostics, now: u64) -> Loader<'a> {
        Loader {
            problems,
            digest: digest::Context::new(&digest::SHA256),
            now,
        }
    }

    /// What all files read so far hold, as one digest.
    pub(crate) fn print(&self) -> Print {
        let digest = self.digest.clone().finish();
        let mut print = [0; 32];
        print.copy_from_slice(digest.as_ref());
        Print(print)
    }

    pub(crate) fn problem(&mut self, span: &Span, what: String, hint: &str) {
        self.problems.error(span, what, hint);
    }

    fn read(&mut self, path: &Spanned<PathBuf>, what: &str, bytes_max: u64) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = File::open(&**path).and_then(|file| {
            let mut limited = file.take(bytes_max + 1);
            limited.read_to_end(&mut bytes)
        });
        let shown = path.display();
        if let Err(error) = read {
            let hint = "paths start where the gateway is started; is it there, and readable for the gateway's user?";
            self.problem(
                path.span(),
                format!("cannot read {what} {shown}: {error}"),
                hint,
            );
            return None;
        }
        if bytes.len() as u64 > bytes_max {
            let text = format!("{what} {shown} is larger than {bytes_max} bytes");
            self.problem(path.span(), text, "is it the right file?");
            return None;
        }
        self.digest.update(&(bytes.len() as u64).to_be_bytes());
        self.digest.update(&bytes);
        Some(bytes)
    }

    /// The certificates of a PEM file; at least one.
    pub(crate) fn certificates(
        &mut self,
        path: &Spanned<PathBuf>,
        what: &str,
    ) -> Option<Vec<CertificateDer<'static>>> {
        let bytes = self.read(path, what, PEM_BYTES_MAX)?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        let why = match found {
            Ok(found) if found.is_empty() => "it has no `BEGIN CERTIFICATE`".to_owned(),
            Ok(found) => return Some(found),
            Err(error) => pem_error(&error),
        };
        let text = format!("{what} {} cannot be used: {why}", path.display());
        self.problem(path.span(), text, "it must hold certificates in PEM");
        None
    }

    fn key(&mut self, path: &Spanned<PathBuf>) -> Option<PrivateKeyDer<'static>> {
        let bytes = self.read(path, "the private key", PEM_BYTES_MAX)?;
        let why = match PrivateKeyDer::from_pem_slice(&bytes) {
            Ok(key) => return Some(key),
            Err(PemError::NoItemsFound) if holds(&bytes, b"BEGIN ENCRYPTED PRIVATE KEY") => {
                "it is encrypted".to_owned()
            }
            Err(PemError::NoItemsFound) => "it has no `BEGIN PRIVATE KEY`".to_owned(),
            Err(error) => pem_error(&error),
        };
        let text = format!("the private key {} cannot be used: {why}", path.display());
        let hint = "it must hold one unencrypted key in PEM (PKCS#8, PKCS#1 or SEC1)";
        self.problem(path.span(), text, hint);
        None
    }

    /// A chain with its key, checked to belong together.
    pub(crate) fn certified(
        &mut self,
        cert: &Spanned<PathBuf>,
        key: &Spanned<PathBuf>,
    ) -> Option<CertifiedKey> {
        // Both, so that both files' problems are seen at once.
        let (chain, secret) = (self.certificates(cert, "the certificate"), self.key(key));
        let (chain, secret) = (chain?, secret?);
        let validity = match identity::validity(&chain[0]) {
            Some(validity) => validity,
            None => {
                let text = format!("the certificate {} is malformed", cert.display());
                self.problem(cert.span(), text, "it must hold X.509 certificates in PEM");
                return None;
            }
        };
        self.warn_of_validity(cert, &validity);
        match CertifiedKey::from_der(chain, secret, &provider()) {
            Ok(certified) => Some(certified),
            Err(rustls::Error::InconsistentKeys(_)) => {
                let text = format!(
                    "the key {} does not belong to the certificate {}",
                    key.display(),
                    cert.display()
                );
                let hint =
                    "the file's first certificate must be the server's own, not its issuer's";
                self.problem(key.span(), text, hint);
                None
            }
            Err(error) => {
                let text = format!("the private key {} cannot be used: {error}", key.display());
                self.problem(
                    key.span(),
                    text,
                    "use an RSA (2048 to 8192 bits), ECDSA or Ed25519 key",
                );
                None
            }
        }
    }

    fn warn_of_validity(&mut self, cert: &Spanned<PathBuf>, validity: &Validity) {
        let now = i64::try_from(self.now).unwrap_or(i64::MAX);
        if now > validity.not_after {
            let text = format!("the certificate {} has expired", cert.display());
            self.problems
                .warn(cert.span(), text, "clients will refuse it: renew it");
        } else if now < validity.not_before {
            let text = format!("the certificate {} is not valid yet", cert.display());
            self.problems.warn(
                cert.span(),
                text,
                "clients will refuse it: is the clock right?",
            );
        }
    }

    /// A store of the CAs in a PEM file.
    pub(crate) fn roots(&mut self, path: &Spanned<PathBuf>) -> Option<RootCertStore> {
        let certificates = self.certificates(path, "the CA file")?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            if let Err(error) = roots.add(certificate) {
                let text = format!(
                    "a certificate of the CA file {} is bad: {error}",
                    path.display()
                );
                self.problem(path.span(), text, "it must hold CA certificates in PEM");
                return None;
            }
        }
        Some(roots)
    }

    /// The CAs that the system trusts.
    pub(crate) fn system_roots(&mut self, span: &Span) -> Option<RootCertStore> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        for certificate in found.certs {
            self.digest.update(&certificate);
            // Some systems carry certificates that nothing can use; the others still count.
            let _ = roots.add(certificate);
        }
        if roots.is_empty() {
            let text = "the system has no CA certificates to check the targets' certificates with";
            self.problem(
                span,
                text.to_owned(),
                "set `tls: { ca: … }`, or install ca-certificates",
            );
            return None;
        }
        Some(roots)
    }

    /// The lists in a PEM file, or the one of a DER file.
    pub(crate) fn crls(
        &mut self,
        path: &Spanned<PathBuf>,
    ) -> Option<Vec<CertificateRevocationListDer<'static>>> {
        let bytes = self.read(path, "the revocation list", CRL_BYTES_MAX)?;
        if !holds(&bytes, b"-----BEGIN") {
            return Some(vec![CertificateRevocationListDer::from(bytes)]);
        }
        let found: Result<Vec<_>, _> =
            CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
        let why = match found {
            Ok(found) if found.is_empty() => "it has no `BEGIN X509 CRL`".to_owned(),
            Ok(found) => return Some(found),
            Err(error) => pem_error(&error),
        };
        let text = format!(
            "the revocation list {} cannot be used: {why}",
            path.display()
        );
        self.problem(path.span(), text, "it must hold CRLs in PEM, or one in DER");
        None
    }

    /// A response to staple.
    pub(crate) fn ocsp(&mut self, path: &Spanned<PathBuf>) -> Option<Vec<u8>> {
        let bytes = self.read(path, "the OCSP response", OCSP_BYTES_MAX)?;
        // OCSPResponse ::= SEQUENCE { responseStatus ENUMERATED { successful(0) … } … } (RFC 6960)
        let successful =
            bytes.first() == Some(&0x30) && holds(&bytes[..bytes.len().min(8)], &[0x0a, 1, 0]);
        if successful {
            return Some(bytes);
        }
        let text = format!(
            "{} is not a successful OCSP response in DER",
            path.display()
        );
        self.problem(
            path.span(),
            text,
            "write it with `openssl ocsp -respout FILE`",
        );
        None
    }
}

fn holds(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

/// What is wrong, without a byte of the file.
fn pem_error(error: &PemError) -> String {
    match error {
        PemError::MissingSectionEnd { .. } => "it ends in the middle of a section".to_owned(),
        PemError::IllegalSectionStart { .. } => "a `BEGIN` line is malformed".to_owned(),
        PemError::Base64Decode(_) => "it has a section that is not base64".to_owned(),
        PemError::SectionTooLarge => "it has a section that is too large".to_owned(),
        PemError::NoItemsFound => "it has no such section".to_owned(),
        _ => "it is not PEM".to_owned(),
    }
}

/// A digest of a file, to see whether it changed; `None` if it cannot be read.
#[must_use]
pub fn print_of(path: &Path) -> Option<Print> {
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    file.take(CRL_BYTES_MAX + 1).read_to_end(&mut bytes).ok()?;
    let digest = digest::digest(&digest::SHA256, &bytes);
    let mut print = [0; 32];
    print.copy_from_slice(digest.as_ref());
    Some(Print(print))
}
