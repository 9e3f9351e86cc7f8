//! The handshake inside QUIC (RFC 9001), for HTTP/3.
//!
//! Must hold: the same certificates, the same clients and the same rules as over TCP; TLS 1.3 and `h3`
//! alone; no early data, since what comes in it can be sent again by anybody who has seen it.

use std::any::Any;
use std::sync::Arc;

use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use quinn::{ConnectionError, TransportErrorCode};
use rustls::pki_types::CertificateDer;

use super::{Acceptor, Clients, config};
use crate::error::HandshakeError;
use crate::session::Session;
use crate::spec::{Alpn, MinVersion};
use crate::store::CertStore;
use portway_core::HandshakeFailure;

/// What `quinn` shakes hands with.
pub(super) type Crypto = dyn quinn::crypto::ServerConfig;

pub(super) fn crypto(
    clients: &Clients,
    store: &Arc<CertStore>,
) -> Result<Arc<Crypto>, rustls::Error> {
    let mut config = config(MinVersion::Tls13, &[], clients, store)?;
    config.alpn_protocols = vec![Alpn::H3.as_bytes().to_vec()];
    config.ticketer = Arc::clone(&clients.quic_tickets);
    config.max_early_data_size = 0;
    let config = QuicServerConfig::try_from(config)
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    Ok(Arc::new(config))
}

impl Acceptor {
    /// What a QUIC endpoint shakes hands with; `None` if HTTP/3 is not spoken here.
    #[must_use]
    pub fn quic(&self) -> Option<Arc<Crypto>> {
        self.0.quic.clone()
    }

    /// What a QUIC handshake agreed on: from its data and the client's certificates, as `quinn` gives
    /// them.
    ///
    /// # Errors
    /// If the client's certificate does not hold.
    pub fn quic_session(
        &self,
        data: Option<Box<dyn Any>>,
        certificates: Option<Box<dyn Any>>,
    ) -> Result<Session, HandshakeError> {
        let data = data.and_then(|data| data.downcast::<HandshakeData>().ok());
        let certificates = certificates.and_then(|c| c.downcast::<Vec<CertificateDer<'_>>>().ok());
        let (name, alpn) = match &data {
            Some(data) => (data.server_name.as_deref(), data.protocol.as_deref()),
            None => (None, None),
        };
        let session = Session::of_quic(name, alpn, self.hosts());
        self.identified(session, certificates.as_deref().map_or(&[], Vec::as_slice))
    }
}

impl HandshakeError {
    /// Why a QUIC handshake failed.
    #[must_use]
    pub fn of_quic(error: &ConnectionError) -> HandshakeError {
        let (reason, detail) = match error {
            ConnectionError::TimedOut => return HandshakeError::timed_out(),
            ConnectionError::VersionMismatch => (
                HandshakeFailure::NothingInCommon,
                "no version of QUIC that both sides speak".to_owned(),
            ),
            ConnectionError::TransportError(error) => (by_code(error.code), error.to_string()),
            ConnectionError::ConnectionClosed(close) => match alert(close.error_code) {
                Some(_) => (HandshakeFailure::PeerRefused, close.to_string()),
                None => (HandshakeFailure::Closed, close.to_string()),
            },
            other => (HandshakeFailure::Closed, other.to_string()),
        };
        HandshakeError::new(reason, detail)
    }
}

/// The TLS alert in a code of QUIC's (RFC 9001, section 4.8).
fn alert(code: TransportErrorCode) -> Option<u8> {
    const FIRST: u64 = 0x100;
    let code = u64::from(code);
    u8::try_from(code.checked_sub(FIRST)?).ok()
}

/// The alerts that we send (RFC 8446, section 6.2; RFC 7301, section 3.2).
fn by_code(code: TransportErrorCode) -> HandshakeFailure {
    match alert(code) {
        Some(116) => HandshakeFailure::ClientCertificateMissing,
        Some(42..=46 | 48) => HandshakeFailure::BadCertificate,
        Some(40 | 70 | 120) => HandshakeFailure::NothingInCommon,
        _ => HandshakeFailure::Protocol,
    }
}
