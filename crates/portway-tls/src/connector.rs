//! A target's side of the handshake.
//!
//! Must hold: a target's certificate is checked against the CAs and the target's name unless the config
//! says in so many words that it is not; even then the target must prove that it holds its key. Sessions
//! are kept per connector, so that one upstream never resumes another's.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use portway_core::{Diagnostics, HandshakeFailure};
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::crypto::{provider, versions};
use crate::error::HandshakeError;
use crate::file::{Loader, Print};
use crate::session::{Hosts, Session};
use crate::spec::{Alpn, ConnectSpec, MinVersion, Verify};
use crate::stream::Stream;

/// What a target is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetName<'a> {
    /// By a name.
    Dns(&'a str),
    /// By its address alone.
    Ip(IpAddr),
}

/// Makes encrypted streams of connections to targets. Clones are the same connector.
#[derive(Clone)]
pub struct Connector(Arc<Inner>);

struct Inner {
    tls: TlsConnector,
    name: Option<ServerName<'static>>,
    spec: ConnectSpec,
    print: Print,
}

impl Connector {
    /// Reads the files of a spec. `before` is the upstream's last connector, which goes on if nothing changed. `now` is in seconds
    /// since the Unix epoch. `None` if there are problems, all of which are noted.
    #[must_use]
    pub fn load(
        spec: &ConnectSpec,
        before: Option<&Connector>,
        now: u64,
        problems: &mut Diagnostics,
    ) -> Option<Connector> {
        let mut loader = Loader::new(problems, now);
        let client = spec
            .client
            .as_ref()
            .map(|c| loader.certified(&c.cert, &c.key));
        let name = spec.server_name.as_ref().map(|name| {
            let parsed = ServerName::try_from(name.to_string());
            parsed
                .inspect_err(|_| {
                    let text = format!("`{}` is not a name that a certificate can have", **name);
                    loader.problem(name.span(), text, "write a DNS name or an IP address");
                })
                .ok()
        });
        let builder = builder(spec, &mut loader);
        let print = loader.print();
        let (client, name) = (swap(client)?, swap(name)?);
        let builder = builder?;
        if let Some(before) = before.filter(|b| b.0.spec == *spec && b.0.print == print) {
            return Some(before.clone());
        }
        let mut config = with_client(builder, client);
        config.alpn_protocols = Alpn::wire(&spec.alpn);
        Some(Connector(Arc::new(Inner {
            tls: TlsConnector::from(Arc::new(config)),
            name,
            spec: spec.clone(),
            print,
        })))
    }

    /// Whether both are the same connector.
    #[must_use]
    pub fn is(&self, other: &Connector) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The handshake with a target.
    ///
    /// # Errors
    /// If there is nothing in common, the target's certificate does not hold, or the target leaves.
    pub async fn connect(
        &self,
        tcp: TcpStream,
        target: TargetName<'_>,
    ) -> Result<Stream, HandshakeError> {
        self.connect_by(tcp, target, None).await
    }

    /// The same, offering `alpn` in place of what the spec says.
    ///
    /// # Errors
    /// As [`Connector::connect`].
    pub async fn connect_by(
        &self,
        tcp: TcpStream,
        target: TargetName<'_>,
        alpn: Option<Alpn>,
    ) -> Result<Stream, HandshakeError> {
        let name = match (&self.0.name, target) {
            (Some(name), _) => name.clone(),
            (None, TargetName::Ip(ip)) => ServerName::from(ip),
            (None, TargetName::Dns(name)) => {
                ServerName::try_from(name.to_owned()).map_err(|_| {
                    HandshakeError::new(
                        HandshakeFailure::BadName,
                        "no certificate can have its name",
                    )
                })?
            }
        };
        let tls = &self.0.tls;
        let connected = match alpn {
            None => tls.connect(name, tcp).await,
            Some(alpn) => {
                let offered = Alpn::wire(&[alpn]);
                tls.with_alpn(offered).connect(name, tcp).await
            }
        };
        let stream = connected.map_err(|error| HandshakeError::of(&error))?;
        let session = Session::of(stream.get_ref().1, None, Hosts::Any);
        Ok(Stream::new(stream, session))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("spec", &self.0.spec)
            .finish_non_exhaustive()
    }
}

/// What was wanted and failed ends all; what was not wanted is fine.
fn swap<T>(found: Option<Option<T>>) -> Option<Option<T>> {
    match found {
        None => Some(None),
        Some(None) => None,
        found => found,
    }
}

fn builder(
    spec: &ConnectSpec,
    loader: &mut Loader<'_>,
) -> Option<ConfigBuilder<ClientConfig, WantsClientCert>> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(MinVersion::Tls12))
        .inspect_err(|error| {
            loader.problem(spec.at.span(), format!("TLS cannot be set up: {error}"), "")
        })
        .ok()?;
    let roots = match (&spec.ca, spec.verify) {
        (Some(ca), _) => Some(loader.roots(ca)?),
        (None, Verify::Yes) => Some(loader.system_roots(spec.at.span())?),
        (None, Verify::No) => None,
    };
    Some(match (roots, spec.verify) {
        (Some(roots), Verify::Yes) => builder.with_root_certificates(roots),
        _ => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider()))),
    })
}

fn with_client(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    client: Option<CertifiedKey>,
) -> ClientConfig {
    match client {
        None => builder.with_no_client_auth(),
        Some(certified) => {
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
        }
    }
}

/// `verify: false`: any certificate will do, if its holder has the key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
