//! Who a certificate says that its holder is.
//!
//! Must hold: each kind of name is read as its own type (a URI is never taken for a DNS name); what
//! cannot be parsed gives no identity at all rather than half of one.

mod distinguished;

use std::fmt;
use std::net::IpAddr;

use aws_lc_rs::digest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

/// A verified client's names.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The subject's distinguished name, in the order as written: `CN=a, O=b`. Escaped as in RFC 4514.
    pub subject: String,
    /// The subject's common name.
    pub common_name: Option<String>,
    /// Who issued it.
    pub issuer: String,
    /// The serial number, hexadecimal.
    pub serial: String,
    /// DNS names, lower case.
    pub dns: Vec<String>,
    /// URIs, such as SPIFFE ids, as they stand there: see [`Identity::uri`].
    pub uris: Vec<String>,
    /// E-mail addresses.
    pub emails: Vec<String>,
    /// IP addresses.
    pub ips: Vec<IpAddr>,
    /// SHA-256 of the certificate, hexadecimal.
    pub fingerprint: String,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("subject", &self.subject)
            .field("uris", &self.uris)
            .field("dns", &self.dns)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// The names in a certificate; `None` if it cannot be parsed.
    #[must_use]
    pub fn of(der: &[u8]) -> Option<Identity> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let mut identity = Identity {
            subject: distinguished::text(certificate.subject()),
            common_name: common_name(&certificate),
            issuer: distinguished::text(certificate.issuer()),
            serial: hex(certificate.raw_serial()),
            dns: Vec::new(),
            uris: Vec::new(),
            emails: Vec::new(),
            ips: Vec::new(),
            fingerprint: hex(digest::digest(&digest::SHA256, der).as_ref()),
        };
        let names = certificate.subject_alternative_name().ok()?;
        for name in names.iter().flat_map(|names| &names.value.general_names) {
            match name {
                GeneralName::DNSName(name) => identity.dns.push(name.to_ascii_lowercase()),
                GeneralName::URI(uri) => identity.uris.push((*uri).to_owned()),
                GeneralName::RFC822Name(email) => identity.emails.push((*email).to_owned()),
                GeneralName::IPAddress(octets) => identity.ips.extend(ip(octets)),
                _ => {}
            }
        }
        Some(identity)
    }

    /// The first of its URIs that is one: an issuer need not look at whether they have a scheme.
    #[must_use]
    pub fn uri(&self) -> Option<&str> {
        let uri = self.uris.iter().find(|uri| starts_with_scheme(uri));
        uri.map(String::as_str)
    }
}

/// Whether a name begins as every URI does (RFC 3986, section 3.1).
#[must_use]
pub fn starts_with_scheme(name: &str) -> bool {
    let Some((scheme, _)) = name.split_once(':') else {
        return false;
    };
    let is_of_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(is_of_scheme)
}

fn common_name(certificate: &X509Certificate<'_>) -> Option<String> {
    let name = certificate.subject().iter_common_name().next()?;
    name.as_str().ok().map(str::to_owned)
}

fn ip(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(octets).ok().map(IpAddr::from),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = |b: &u8| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]];
    bytes.iter().flat_map(digits).map(char::from).collect()
}

/// The names that a server certificate is for: its DNS names, without any its common name.
pub(crate) fn server_names(der: &[u8]) -> Vec<String> {
    let Some(identity) = Identity::of(der) else {
        return Vec::new();
    };
    if identity.dns.is_empty() {
        return identity
            .common_name
            .map(|n| n.to_ascii_lowercase())
            .into_iter()
            .collect();
    }
    identity.dns
}

/// What operators want to know of a certificate. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateInfo {
    /// The names it is for.
    pub names: Vec<String>,
    /// Who issued it.
    pub issuer: String,
    /// The serial number, hexadecimal.
    pub serial: String,
    /// SHA-256 of it, hexadecimal.
    pub fingerprint: String,
    /// From when on it is valid.
    pub not_before: i64,
    /// Until when it is valid.
    pub not_after: i64,
}

impl CertificateInfo {
    /// Of a certificate; `None` if it cannot be parsed.
    #[must_use]
    pub fn of(der: &[u8]) -> Option<CertificateInfo> {
        let (identity, validity) = (Identity::of(der)?, validity(der)?);
        Some(CertificateInfo {
            names: server_names(der),
            issuer: identity.issuer,
            serial: identity.serial,
            fingerprint: identity.fingerprint,
            not_before: validity.not_before,
            not_after: validity.not_after,
        })
    }
}

/// What a certificate is known by to its issuer (RFC 9773, section 4.1): the key identifier of the
/// issuer and the serial number, as they are encoded.
pub(crate) fn renewal_id(der: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let serial = certificate.raw_serial().to_vec();
    let issuer = certificate.extensions().iter().find_map(|extension| {
        match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref(),
            _ => None,
        }
    })?;
    Some((issuer.0.to_vec(), serial))
}

/// When a certificate is valid, seconds since the Unix epoch.
pub(crate) struct Validity {
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

/// `None` if it is not a certificate.
pub(crate) fn validity(der: &[u8]) -> Option<Validity> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    Some(Validity {
        not_before: validity.not_before.timestamp(),
        not_after: validity.not_after.timestamp(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    /// CVE-2025-66491 and its like: what looks like a name of another kind is still of its own.
    #[test]
    fn a_name_of_one_kind_is_never_taken_for_one_of_another() {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, "spiffe://example/root");
        params.subject_alt_names = vec![
            SanType::DnsName("spiffe.example".try_into().unwrap()),
            SanType::Rfc822Name("admin.example".try_into().unwrap()),
            SanType::URI("https://uri.example/".try_into().unwrap()),
            SanType::IpAddress("192.0.2.7".parse().unwrap()),
        ];
        let cert = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let identity = Identity::of(cert.der()).unwrap();
        assert_eq!(identity.dns, ["spiffe.example"]);
        assert_eq!(identity.emails, ["admin.example"]);
        assert_eq!(identity.uris, ["https://uri.example/"]);
        assert_eq!(identity.ips, ["192.0.2.7".parse::<IpAddr>().unwrap()]);
        assert_eq!(server_names(cert.der()), ["spiffe.example"]);
        assert!(renewal_id(cert.der()).is_none(), "it names no issuer's key");
    }

    #[test]
    fn what_is_no_certificate_has_no_names() {
        assert_eq!(Identity::of(b"no certificate"), None);
        assert!(CertificateInfo::of(&[0x30, 0x03, 0x02, 0x01, 0x00]).is_none());
        assert!(server_names(&[]).is_empty());
    }
}
