//! TLS: what listeners present, what upstreams expect. Files are named here and read when the plan is
//! applied.

use std::path::PathBuf;

use portway_config::document::{
    self, ClientAuthMode, Document, Listener, ListenerProtocol, ListenerTls, RedirectHttps,
    TlsVersion, Upstream, UpstreamTls,
};
use portway_config::{Scheme, Spanned};
use portway_core::Diagnostics;
use portway_tls::spec::{ClientCertificateSpec, MinVersion, Verify};
use portway_tls::{
    AcceptSpec, Alpn, CertificateFiles, CertificateSpec, ClientAuth, ClientAuthSpec, ConnectSpec,
};
use portway_upstream::spec::Protocol;

use super::listeners::versions;
use crate::plan::Versions;

/// The TLS of a listener; `None` for one without.
pub(super) fn of_listener(
    listener: &Listener,
    document: &Document,
    problems: &mut Diagnostics,
) -> Option<AcceptSpec> {
    let wants = listener.protocol.value() == ListenerProtocol::Https;
    let redirects = listener.redirect_https.value() != RedirectHttps::No;
    if wants && redirects {
        problems.error(
            listener.redirect_https.span(),
            "`redirect_https` is for listeners without TLS",
            "put it on the listener of protocol http",
        );
    }
    match listener.tls.value() {
        Some(tls) if wants => Some(accept(tls, versions(&listener.http), document, problems)),
        Some(tls) => {
            problems.error(
                tls.span(),
                format!(
                    "`tls` does nothing with protocol {}",
                    listener.protocol.value().as_str()
                ),
                "write `protocol: https`, or remove it",
            );
            None
        }
        None if wants && !listener.tls.is_written() => {
            problems.error(
                listener.protocol.span(),
                format!("the https listener `{}` has no certificate", *listener.name),
                "add `tls: { certificates: [ { cert: cert.pem, key: cert.key } ] }`",
            );
            None
        }
        None => None,
    }
}

fn accept(
    tls: &Spanned<ListenerTls>,
    speaks: Versions,
    document: &Document,
    problems: &mut Diagnostics,
) -> AcceptSpec {
    let offered = [
        (Alpn::H3, speaks.h3),
        (Alpn::H2, speaks.h2),
        (Alpn::H1, speaks.h1),
    ];
    if tls.certificates.is_empty() && tls.certificates.complete {
        problems.error(
            tls.certificates.span(),
            "the list of certificates is empty",
            "add at least one `{ cert: cert.pem, key: cert.key }`",
        );
    }
    let certificates = tls.certificates.iter();
    let certificates = certificates.filter_map(|c| certificate(c, document, problems));
    let certificates = certificates.collect();
    AcceptSpec {
        at: Spanned::new((), tls.span()),
        certificates,
        min_version: match tls.min_version {
            TlsVersion::Tls12 => MinVersion::Tls12,
            TlsVersion::Tls13 => MinVersion::Tls13,
        },
        client_auth: tls
            .client_auth
            .as_ref()
            .map(|auth| client_auth(auth, problems)),
        alpn: offered
            .into_iter()
            .filter_map(|(alpn, spoken)| spoken.then_some(alpn))
            .collect(),
    }
}

fn certificate(
    given: &Spanned<document::Certificate>,
    document: &Document,
    problems: &mut Diagnostics,
) -> Option<CertificateSpec> {
    if !given.acme.is_empty() {
        let names = super::acme::names(given, document, problems);
        return Some(CertificateSpec::Issued(names));
    }
    let ocsp = given.ocsp.as_ref().map(|ocsp| path(ocsp, problems));
    match (given.cert.value(), given.key.value()) {
        (Some(cert), Some(key)) => {
            return Some(CertificateSpec::Files(CertificateFiles {
                cert: path(cert, problems),
                key: path(key, problems),
                ocsp,
            }));
        }
        (None, None) if !given.cert.is_written() && !given.key.is_written() => problems.error(
            given.span(),
            "a certificate without `cert` and `key`",
            "name its files, or the hosts that one is to be obtained for: `acme: [example.com]`",
        ),
        (Some(cert), None) if !given.key.is_written() => {
            // The name may be wrong, too.
            path(cert, problems);
            let hint = "`key`: Its private key, in PEM";
            problems.error(given.span(), "the key `key` is missing", hint);
        }
        (None, Some(_)) if !given.cert.is_written() => {
            let hint = "`cert`: The chain, in PEM, the server's own certificate first";
            problems.error(given.span(), "the key `cert` is missing", hint);
        }
        // What is broken was noted.
        _ => {}
    }
    None
}

fn client_auth(auth: &document::ClientAuth, problems: &mut Diagnostics) -> ClientAuthSpec {
    ClientAuthSpec {
        ca: path(&auth.ca, problems),
        crl: auth.crl.iter().map(|crl| path(crl, problems)).collect(),
        mode: match auth.mode {
            ClientAuthMode::Required => ClientAuth::Required,
            ClientAuthMode::Optional => ClientAuth::Optional,
        },
    }
}

pub(super) fn path(text: &Spanned<String>, problems: &mut Diagnostics) -> Spanned<PathBuf> {
    if text.trim().is_empty() {
        problems.error(text.span(), "the name of the file is empty", "name a file");
    }
    Spanned::new(PathBuf::from(text.as_str()), text.span())
}

/// Where clients without TLS are sent.
pub(super) fn redirect_https(config: &Spanned<RedirectHttps>) -> Option<u16> {
    match config.value() {
        RedirectHttps::No => None,
        RedirectHttps::To(port) => Some(port),
    }
}

/// The TLS towards an upstream's targets; `None` for plain ones.
pub(super) fn of_upstream(upstream: &Upstream, problems: &mut Diagnostics) -> Option<ConnectSpec> {
    let targets = upstream.targets.value();
    let says = |secure| {
        let mut all = targets.iter().flat_map(|t| t.iter());
        all.find(|t| t.addr.scheme.and_then(Scheme::is_secure) == Some(secure))
            .map(|t| &t.addr)
    };
    match (says(true), says(false), &upstream.tls) {
        (Some(_), Some(plain), _) => {
            problems.error(
                plain.span(),
                format!(
                    "upstream `{}` has targets with TLS and without",
                    *upstream.name
                ),
                "make all of them with TLS or all without, or make two upstreams",
            );
            None
        }
        (None, Some(plain), Some(_)) => {
            let secure = match plain.scheme {
                Some(Scheme::Grpc) => Scheme::Grpcs.as_str(),
                _ => Scheme::Https.as_str(),
            };
            problems.error(
                plain.span(),
                "a target without TLS in an upstream with `tls`",
                format!("write {secure}://{}, or remove `tls`", **plain),
            );
            None
        }
        (_, _, Some(tls)) => Some(connect(tls, spoken(upstream), problems)),
        (Some(secure), None, None) => Some(ConnectSpec {
            at: Spanned::new((), secure.span()),
            ca: None,
            server_name: None,
            client: None,
            verify: Verify::Yes,
            alpn: spoken(upstream),
        }),
        (None, _, None) => None,
    }
}

/// What is offered to the targets.
fn spoken(upstream: &Upstream) -> Vec<Alpn> {
    match super::upstreams::spoken(upstream) {
        Protocol::H1 => vec![Alpn::H1],
        Protocol::H2 | Protocol::H2Only => vec![Alpn::H2],
        Protocol::Either => vec![Alpn::H2, Alpn::H1],
    }
}

fn connect(tls: &Spanned<UpstreamTls>, alpn: Vec<Alpn>, problems: &mut Diagnostics) -> ConnectSpec {
    let client = match (&tls.client_cert, &tls.client_key) {
        (Some(cert), Some(key)) => Some(ClientCertificateSpec {
            cert: path(cert, problems),
            key: path(key, problems),
        }),
        (Some(lone), None) => {
            problems.error(
                lone.span(),
                "`client_cert` without `client_key`",
                "add its key",
            );
            None
        }
        (None, Some(lone)) => {
            problems.error(
                lone.span(),
                "`client_key` without `client_cert`",
                "add its certificate",
            );
            None
        }
        (None, None) => None,
    };
    if !tls.verify.value() {
        problems.warn(
            tls.verify.span(),
            "the targets' certificates are not checked: anybody on the way can answer for them",
            "set `ca` to the CA that issued them",
        );
    }
    ConnectSpec {
        at: Spanned::new((), tls.span()),
        ca: tls.ca.as_ref().map(|ca| path(ca, problems)),
        server_name: tls.server_name.clone(),
        client,
        verify: if tls.verify.value() {
            Verify::Yes
        } else {
            Verify::No
        },
        alpn,
    }
}
