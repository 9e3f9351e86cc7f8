//! `acme`: certificates that the gateway obtains by itself.

use std::net::IpAddr;
use std::sync::Arc;

use http::Uri;
use portway_acme::{AcmeSpec, Challenge, ExternalAccount};
use portway_config::Spanned;
use portway_config::document::{Acme, AcmeChallenge, Certificate, Document, ListenerProtocol};
use portway_core::Diagnostics;
use portway_tls::spec::Verify;
use portway_tls::{Alpn, ConnectSpec, Names};

use super::tls::path;

/// No public issuer takes more names in one certificate.
const NAMES_MAX: usize = 100;
/// A DNS name is no longer (RFC 1035, section 2.3.4).
const NAME_BYTES_MAX: usize = 253;

/// How certificates are obtained; `None` if none is.
pub(super) fn acme(document: &Document, problems: &mut Diagnostics) -> Option<AcmeSpec> {
    let acme = document.acme.value()?;
    if document.sound && named(document).next().is_none() {
        problems.warn(
            acme.span(),
            "no listener has a certificate to obtain",
            "add `certificates: [ { acme: [example.com] } ]` to a listener's `tls`, or remove it",
        );
    }
    check_directory(&acme.directory, problems);
    Some(AcmeSpec {
        folder: path(&acme.folder, problems),
        directory: acme.directory.clone(),
        contacts: contacts(acme, problems),
        challenges: challenges(document, &acme.challenge, problems),
        connect: ConnectSpec {
            at: Spanned::new((), acme.directory.span()),
            ca: acme.ca.as_ref().map(|ca| path(ca, problems)),
            server_name: None,
            client: None,
            verify: Verify::Yes,
            alpn: vec![Alpn::H1],
        },
        external_account: acme.external_account.as_ref().map(|external| {
            let key = &external.key;
            let base64url = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'=');
            if key.is_empty() || !key.expose().trim().bytes().all(base64url) {
                problems.error(
                    key.span(),
                    "the key of an external account is base64url: letters, digits, `-` and `_`",
                    "copy it as the issuer gave it",
                );
            }
            ExternalAccount {
                id: external.id.to_string(),
                key: (**key).clone(),
            }
        }),
    })
}

/// Every certificate that is to be obtained.
fn named(document: &Document) -> impl Iterator<Item = &Spanned<Certificate>> {
    let tls = document.listeners.iter().filter_map(|l| l.tls.value());
    let all = tls.flat_map(|tls| tls.certificates.iter());
    all.filter(|certificate| !certificate.acme.is_empty())
}

fn check_directory(directory: &Spanned<String>, problems: &mut Diagnostics) {
    let uri = directory.parse::<Uri>().ok();
    let scheme = uri.as_ref().and_then(Uri::scheme_str);
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    if scheme != Some("https") || host.is_empty() {
        problems.error(
            directory.span(),
            format!("the directory `{}` is no https URL", **directory),
            "write it in full, like https://acme-v02.api.letsencrypt.org/directory",
        );
    }
}

fn contacts(acme: &Acme, problems: &mut Diagnostics) -> Vec<String> {
    let mut urls = Vec::new();
    for contact in acme.contact.iter() {
        let address = contact.trim();
        let fits = address
            .split_once('@')
            .is_some_and(|(user, host)| !user.is_empty() && host.contains('.'));
        if !fits || address.contains([' ', ',', ':', '<', '?']) {
            problems.error(
                contact.span(),
                format!("`{address}` is no mail address"),
                "write each address alone, like ops@example.com",
            );
        }
        urls.push(format!("mailto:{address}"));
    }
    urls
}

fn challenges(
    document: &Document,
    wanted: &Spanned<AcmeChallenge>,
    problems: &mut Diagnostics,
) -> Vec<Challenge> {
    let plain = document
        .listeners
        .iter()
        .any(|l| l.protocol.value() == ListenerProtocol::Http);
    match wanted.value() {
        AcmeChallenge::Auto if plain => vec![Challenge::Http01, Challenge::TlsAlpn01],
        AcmeChallenge::Auto | AcmeChallenge::TlsAlpn01 => vec![Challenge::TlsAlpn01],
        AcmeChallenge::Http01 => {
            if !plain && document.sound {
                problems.error(
                    wanted.span(),
                    "http-01 comes over plain http, and no listener speaks it",
                    "add a listener of protocol http to which port 80 leads, or use tls-alpn-01",
                );
            }
            vec![Challenge::Http01]
        }
    }
}

/// The names of a certificate that is to be obtained.
pub(super) fn names(
    certificate: &Spanned<Certificate>,
    document: &Document,
    problems: &mut Diagnostics,
) -> Spanned<Names> {
    let given = &certificate.acme;
    let at = given.first().map_or(certificate.span(), Spanned::span);
    if !document.acme.is_written() {
        problems.error(
            at,
            "`acme` names a certificate to obtain, and nothing says where it comes from",
            "add `acme: { folder: /var/lib/portway/acme }` to the top level",
        );
    }
    for file in [&certificate.cert, &certificate.key] {
        if let Some(file) = file.value() {
            problems.error(
                file.span(),
                "a certificate is either obtained or read from files",
                "remove `acme`, or `cert` and `key`",
            );
        }
    }
    if let Some(ocsp) = &certificate.ocsp {
        problems.error(
            ocsp.span(),
            "`ocsp` does nothing with `acme`",
            "remove it: certificates of today have short lives instead",
        );
    }
    if given.len() > NAMES_MAX {
        problems.error(
            at,
            format!(
                "{} names in one certificate: no issuer takes more than {NAMES_MAX}",
                given.len()
            ),
            "make several certificates",
        );
    }
    let mut names: Vec<Box<str>> = Vec::new();
    for name in given.iter() {
        let lower = name.trim().trim_end_matches('.').to_ascii_lowercase();
        if let Some((what, hint)) = wrong(&lower).or_else(|| unseen(&lower, document)) {
            problems.error(name.span(), format!("`{}` {what}", **name), hint);
        } else if names.iter().any(|known| **known == *lower) {
            problems.error(
                name.span(),
                format!("`{lower}` is here twice"),
                "remove one",
            );
        }
        names.push(lower.into());
    }
    Spanned::new(Arc::from(names), at)
}

/// Why no certificate can be obtained for a name, and what to do.
fn wrong(name: &str) -> Option<(&'static str, &'static str)> {
    if name.starts_with("*.") {
        return Some((
            "is a wildcard, which issuers check by DNS records only",
            "name each host, or obtain it with another tool and use `cert` and `key`",
        ));
    }
    if name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Some((
            "is an address, not a name",
            "name the host, or use `cert` and `key`",
        ));
    }
    if name.contains([':', '/', '@']) {
        return Some((
            "is more than a host's name",
            "write the name alone, without scheme, port and path",
        ));
    }
    if !name.is_ascii() {
        return Some((
            "is not as DNS has it",
            "write it in its `xn--` form (punycode)",
        ));
    }
    let label = |label: &str| {
        let plain = label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        (1..=63).contains(&label.len()) && plain && !label.starts_with('-') && !label.ends_with('-')
    };
    if name.len() > NAME_BYTES_MAX || !name.split('.').all(label) {
        return Some(("is no DNS name", "write a name like www.example.com"));
    }
    None
}

/// A name that means nothing to an issuer for the public.
fn unseen(name: &str, document: &Document) -> Option<(&'static str, &'static str)> {
    let directory = document.acme.value().map(|acme| &acme.directory);
    let public = directory.is_some_and(|url| url.contains(".letsencrypt.org/"));
    let local = [
        "localhost",
        "local",
        "internal",
        "lan",
        "test",
        "example",
        "invalid",
    ];
    let last = name.rsplit('.').next().unwrap_or_default();
    let seen = name.contains('.') && !local.contains(&last);
    (public && !seen).then_some((
        "is a name that Let's Encrypt cannot check",
        "use a public name, or the `directory` of your own issuer",
    ))
}
