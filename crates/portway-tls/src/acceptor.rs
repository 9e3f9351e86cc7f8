//! A listener's side of the handshake.
//!
//! Must hold: session tickets are of one listener and one host: their keys are the acceptor's own, and
//! the host in a ticket must be the host that is asked for (CVE-2025-23419). A change of who may come in
//! (CA, revocation lists) makes new ticket keys, and a resumed session's client certificate is verified
//! again, so that no ticket outlives what it stood for. An issuer that checks a name (RFC 8737) is
//! answered by a config of its own: no other handshake can come by that certificate, and that one is
//! asked for no certificate and leads nowhere.
//! Never: serves with half of its files.

#[cfg(feature = "http3")]
mod quic;

use std::fmt;
use std::sync::Arc;

use portway_core::{Clock, Diagnostics, HandshakeFailure, Resumption};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::Accept;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use crate::crypto::{provider, versions};
use crate::error::HandshakeError;
use crate::file::{Loader, Print};
use crate::identity::{CertificateInfo, Identity};
use crate::session::{Hosts, Session};
use crate::slot::{Slot, Slots};
use crate::spec::{AcceptSpec, Alpn, ClientAuth, ClientAuthSpec, MinVersion};
use crate::store::{CertStore, Presented};
use crate::stream::Stream;
use crate::tickets::Tickets;

/// Makes encrypted streams of accepted connections. Clones are the same acceptor.
#[derive(Clone)]
pub struct Acceptor(Arc<Inner>);

struct Inner {
    tls: TlsAcceptor,
    /// For issuers that check a name, where certificates are issued.
    checks: Option<Arc<ServerConfig>>,
    /// For HTTP/3, where it is spoken.
    #[cfg(feature = "http3")]
    quic: Option<Arc<quic::Crypto>>,
    store: Arc<CertStore>,
    clients: Clients,
    spec: AcceptSpec,
    print: Print,
}

/// What became of a handshake.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // a box would be one for every handshake
pub enum Accepted {
    /// There is a client to serve.
    Client(Stream),
    /// An issuer of certificates got its answer; the connection is over.
    Check,
}

/// A certificate of a listener.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its file as the config names it, or the name it goes by.
    pub label: Box<str>,
    /// What there is to know of it; `None` while none has been issued.
    pub info: Option<CertificateInfo>,
    /// Its place, if it is obtained while the gateway runs.
    pub slot: Option<Arc<Slot>>,
}

/// The protocol of a handshake that checks a name (RFC 8737, section 4).
const ACME_TLS: &[u8] = b"acme-tls/1";

/// Who may come in.
#[derive(Clone)]
struct Clients {
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    tickets: Arc<dyn ProducesTickets>,
    /// A ticket of QUIC's opens no session of TCP's, nor the other way round.
    #[cfg(feature = "http3")]
    quic_tickets: Arc<dyn ProducesTickets>,
    print: Print,
}

impl Acceptor {
    /// Reads the files of a spec. `before` is the listener's last acceptor: if nothing changed it goes
    /// on, and if only certificates changed, tickets go on. `slots` has the certificates that come from no
    /// file. `now` is in seconds since the Unix epoch; `clock` says when tickets' keys are to change.
    /// `None` if there are problems, all of which are noted.
    #[must_use]
    pub fn load(
        spec: &AcceptSpec,
        slots: &Slots,
        before: Option<&Acceptor>,
        (now, clock): (u64, &Clock),
        problems: &mut Diagnostics,
    ) -> Option<Acceptor> {
        let clients = Clients::load(spec, before, clock, &mut Loader::new(problems, now));
        let mut loader = Loader::new(problems, now);
        let store = CertStore::load(&spec.certificates, slots, &mut loader);
        let print = loader.print();
        let (clients, store) = (clients?, store?);
        if let Some(before) = before
            && before.0.spec == *spec
            && before.0.print == print
            && before.0.clients.print == clients.print
        {
            return Some(before.clone());
        }
        let store = Arc::new(store);
        let mut failed = |error: &rustls::Error| {
            problems.error(spec.at.span(), format!("TLS cannot be set up: {error}"), "");
        };
        let config = config(spec.min_version, &spec.alpn, &clients, &store)
            .inspect_err(&mut failed)
            .ok()?;
        let checks = match spec.issued().next() {
            None => None,
            Some(_) => Some(checks(slots).inspect_err(&mut failed).ok()?),
        };
        #[cfg(feature = "http3")]
        let quic = match spec.alpn.contains(&Alpn::H3) {
            false => None,
            true => Some(
                quic::crypto(&clients, &store)
                    .inspect_err(&mut failed)
                    .ok()?,
            ),
        };
        Some(Acceptor(Arc::new(Inner {
            tls: TlsAcceptor::from(Arc::new(config)),
            checks: checks.map(Arc::new),
            #[cfg(feature = "http3")]
            quic,
            store,
            clients,
            spec: spec.clone(),
            print,
        })))
    }

    /// Whether both are the same acceptor.
    #[must_use]
    pub fn is(&self, other: &Acceptor) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The protocols that it offers.
    #[must_use]
    pub fn alpn(&self) -> &[Alpn] {
        &self.0.spec.alpn
    }

    /// The handshake with a client. On a failure the connection comes back with the reason: what the
    /// client should hear of it in TLS has been sent.
    ///
    /// # Errors
    /// If there is nothing in common, the client's certificate does not hold, or the client leaves.
    pub async fn accept(
        &self,
        tcp: TcpStream,
    ) -> Result<Accepted, (HandshakeError, Option<TcpStream>)> {
        let accepted = match &self.0.checks {
            None => self.0.tls.accept(tcp).into_fallible().await,
            // Boxed: few listeners need it, and it has room for a whole ClientHello.
            Some(checks) => match Box::pin(self.sort_out(tcp, checks)).await? {
                None => return Ok(Accepted::Check),
                Some(start) => start.into_fallible().await,
            },
        };
        let stream = accepted.map_err(|(error, tcp)| (HandshakeError::of(&error), Some(tcp)))?;
        match self.session(&stream) {
            Ok(session) => Ok(Accepted::Client(Stream::new(stream, session))),
            Err(error) => Err((error, Some(stream.into_inner().0))),
        }
    }

    /// Answers an issuer; `None` if it was one.
    async fn sort_out(
        &self,
        tcp: TcpStream,
        checks: &Arc<ServerConfig>,
    ) -> Result<Option<Accept<TcpStream>>, (HandshakeError, Option<TcpStream>)> {
        let mut hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), tcp);
        let start = match (&mut hello).await {
            Ok(start) => start,
            Err(error) => return Err((HandshakeError::of(&error), hello.take_io())),
        };
        let is_check = {
            let mut offered = start.client_hello().alpn().into_iter().flatten();
            offered.next() == Some(ACME_TLS) && offered.next().is_none()
        };
        if !is_check {
            return Ok(Some(start.into_stream(Arc::clone(self.0.tls.config()))));
        }
        let mut stream = start
            .into_stream(Arc::clone(checks))
            .into_fallible()
            .await
            .map_err(|(error, tcp)| (HandshakeError::of(&error), Some(tcp)))?;
        // It has seen what it came for.
        let _ = stream.shutdown().await;
        Ok(None)
    }

    /// Its certificates, in the order of the config.
    #[must_use]
    pub fn certificates(&self) -> Vec<Listed> {
        let list = self.0.store.certificates().iter();
        list.map(|presented| match presented {
            Presented::Fixed(certified, label) => Listed {
                label: label.clone(),
                info: certified.cert.first().and_then(|c| CertificateInfo::of(c)),
                slot: None,
            },
            Presented::Slot(slot) => Listed {
                label: slot.label().into(),
                info: slot.issued().map(|issued| issued.info),
                slot: Some(Arc::clone(slot)),
            },
        })
        .collect()
    }

    fn session(&self, stream: &TlsStream<TcpStream>) -> Result<Session, HandshakeError> {
        let (_, connection) = stream.get_ref();
        let session = Session::of(connection, connection.server_name(), self.hosts());
        self.identified(session, connection.peer_certificates().unwrap_or_default())
    }

    /// Which hosts a connection may ask for.
    fn hosts(&self) -> Hosts {
        match self.0.spec.client_auth {
            Some(_) => Hosts::Named,
            None => Hosts::Certified(Arc::clone(&self.0.store)),
        }
    }

    /// The session, with who the client is by its certificates.
    fn identified(
        &self,
        mut session: Session,
        certificates: &[CertificateDer<'_>],
    ) -> Result<Session, HandshakeError> {
        let [leaf, issuers @ ..] = certificates else {
            return Ok(session);
        };
        if session.resumption != Resumption::Full
            && let Some(verifier) = &self.0.clients.verifier
        {
            verifier
                .verify_client_cert(leaf, issuers, UnixTime::now())
                .map_err(|error| HandshakeError::of_tls(&error))?;
        }
        let identity = Identity::of(leaf).ok_or_else(|| {
            HandshakeError::new(
                HandshakeFailure::BadCertificate,
                "the client's certificate is malformed",
            )
        })?;
        session.client = Some(Arc::new(identity));
        Ok(session)
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("spec", &self.0.spec)
            .finish_non_exhaustive()
    }
}

impl Clients {
    fn load(
        spec: &AcceptSpec,
        before: Option<&Acceptor>,
        clock: &Clock,
        loader: &mut Loader<'_>,
    ) -> Option<Clients> {
        let verifier = match &spec.client_auth {
            None => None,
            Some(auth) => Some(verifier(auth, loader)?),
        };
        let print = loader.print();
        let same = before.filter(|before| {
            let was = &before.0;
            was.clients.print == print
                && was.spec.client_auth == spec.client_auth
                && was.spec.min_version == spec.min_version
        });
        let mut keys = |before: Option<&Arc<dyn ProducesTickets>>| match before {
            Some(keys) => Some(Arc::clone(keys)),
            None => {
                let made = Tickets::new(clock).inspect_err(|error| {
                    loader.problem(spec.at.span(), format!("no ticket keys: {error}"), "");
                });
                Some(Arc::new(made.ok()?) as Arc<dyn ProducesTickets>)
            }
        };
        let tickets = keys(same.map(|before| &before.0.clients.tickets))?;
        #[cfg(feature = "http3")]
        let quic_tickets = keys(same.map(|before| &before.0.clients.quic_tickets))?;
        Some(Clients {
            verifier,
            tickets,
            #[cfg(feature = "http3")]
            quic_tickets,
            print,
        })
    }
}

fn verifier(auth: &ClientAuthSpec, loader: &mut Loader<'_>) -> Option<Arc<dyn ClientCertVerifier>> {
    let roots = loader.roots(&auth.ca);
    let lists: Vec<_> = auth.crl.iter().map(|path| loader.crls(path)).collect();
    let mut crls = Vec::new();
    for list in lists {
        crls.extend(list?);
    }
    let mut builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots?), provider()).with_crls(crls);
    if !auth.crl.is_empty() {
        // A list that is out of date says nothing of what was revoked since.
        builder = builder.enforce_revocation_expiration();
    }
    if auth.mode == ClientAuth::Optional {
        builder = builder.allow_unauthenticated();
    }
    let at = auth.crl.first().unwrap_or(&auth.ca).span();
    builder
        .build()
        .inspect_err(|error| {
            let text = format!("clients' certificates cannot be checked: {error}");
            loader.problem(at, text, "");
        })
        .ok()
}

fn config(
    min_version: MinVersion,
    alpn: &[Alpn],
    clients: &Clients,
    store: &Arc<CertStore>,
) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(min_version))?;
    let builder = match &clients.verifier {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
    };
    let mut config = builder.with_cert_resolver(Arc::clone(store) as Arc<_>);
    config.alpn_protocols = Alpn::wire(alpn);
    config.ticketer = Arc::clone(&clients.tickets);
    // Tickets hold the state; a cache here would be one that all workers lock.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// What answers issuers that check names: with the certificate that holds the answer, or not at all.
fn checks(slots: &Slots) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(MinVersion::Tls12))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(slots.clone()));
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}
