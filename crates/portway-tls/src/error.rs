//! Why a handshake failed, once, in words that say what to do.
//!
//! Must hold: one error per handshake, whatever number of packets led to it; nothing of it is chosen
//! by the peer but the name of an alert.

use std::fmt;
use std::io;

use portway_core::HandshakeFailure;
use rustls::{AlertDescription, CertificateError, Error as TlsError, PeerIncompatible};

/// Why there is no TLS with a peer.
#[derive(Debug)]
pub struct HandshakeError {
    /// What kind of failure.
    pub reason: HandshakeFailure,
    detail: Box<str>,
}

impl HandshakeError {
    /// A failure with what exactly happened.
    #[must_use]
    pub fn new(reason: HandshakeFailure, detail: impl Into<Box<str>>) -> HandshakeError {
        HandshakeError {
            reason,
            detail: detail.into(),
        }
    }

    /// The peer did not finish in time.
    #[must_use]
    pub fn timed_out() -> HandshakeError {
        HandshakeError::new(
            HandshakeFailure::TimedOut,
            "the handshake was not complete in time",
        )
    }

    /// From what the stream reported.
    pub(crate) fn of(error: &io::Error) -> HandshakeError {
        let source = error.get_ref().and_then(|e| e.downcast_ref::<TlsError>());
        match source {
            Some(error) => HandshakeError::of_tls(error),
            None => HandshakeError::new(HandshakeFailure::Closed, closed(error)),
        }
    }

    pub(crate) fn of_tls(error: &TlsError) -> HandshakeError {
        let (reason, detail) = match error {
            TlsError::InvalidMessage(_) => (
                HandshakeFailure::NotTls,
                "what came is no TLS; was plain HTTP sent to a TLS port?".to_owned(),
            ),
            TlsError::PeerIncompatible(what) => {
                (HandshakeFailure::NothingInCommon, incompatible(what))
            }
            TlsError::NoApplicationProtocol => (
                HandshakeFailure::NothingInCommon,
                "no protocol (ALPN) that both sides speak".to_owned(),
            ),
            TlsError::NoCertificatesPresented => (
                HandshakeFailure::ClientCertificateMissing,
                "the peer presented no certificate".to_owned(),
            ),
            TlsError::InvalidCertificate(what) => {
                (HandshakeFailure::BadCertificate, certificate(what))
            }
            TlsError::AlertReceived(alert) => (HandshakeFailure::PeerRefused, refused(*alert)),
            TlsError::General(what) if what.contains("no server certificate chain") => (
                HandshakeFailure::NoCertificate,
                "no certificate fits the client's signature algorithms".to_owned(),
            ),
            other => (HandshakeFailure::Protocol, other.to_string()),
        };
        HandshakeError::new(reason, detail)
    }
}

fn closed(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the peer closed the connection".to_owned(),
        _ => error.to_string(),
    }
}

fn incompatible(what: &PeerIncompatible) -> String {
    match what {
        PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => {
            "no TLS version that both sides accept (see min_version)".to_owned()
        }
        PeerIncompatible::NoCipherSuitesInCommon => "no cipher suite in common".to_owned(),
        PeerIncompatible::NoKxGroupsInCommon => "no key exchange group in common".to_owned(),
        PeerIncompatible::NoSignatureSchemesInCommon
        | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => {
            "no signature algorithm in common".to_owned()
        }
        other => format!("{other:?}"),
    }
}

fn certificate(what: &CertificateError) -> String {
    let said = match what {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet"
        }
        CertificateError::Revoked => "is revoked",
        CertificateError::UnknownIssuer => "is not issued by a trusted CA",
        CertificateError::UnknownRevocationStatus => "is covered by no revocation list",
        CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => {
            "cannot be checked: the revocation list has expired"
        }
        CertificateError::BadSignature => "has a bad signature",
        CertificateError::NotValidForName => "is not valid for the name",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not meant for this purpose (extended key usage)"
        }
        CertificateError::BadEncoding => "is malformed",
        other => return format!("the peer's certificate does not hold: {other}"),
    };
    format!("the peer's certificate {said}")
}

fn refused(alert: AlertDescription) -> String {
    let why = match alert {
        AlertDescription::UnknownCA => "it does not trust the issuer of our certificate",
        AlertDescription::BadCertificate => "it finds our certificate bad",
        AlertDescription::CertificateExpired => "it finds our certificate expired",
        AlertDescription::CertificateUnknown => "it does not accept our certificate",
        AlertDescription::CertificateRequired => "it wants a client certificate",
        AlertDescription::HandshakeFailure => "it found nothing in common",
        AlertDescription::ProtocolVersion => "it speaks no version that we accept",
        AlertDescription::NoApplicationProtocol => "it speaks no protocol that we offer",
        AlertDescription::UnrecognisedName => "it does not know the server name",
        AlertDescription::AccessDenied => "it denies access",
        other => return format!("the peer refused with alert {other:?}"),
    };
    format!("the peer refused: {why}")
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for HandshakeError {}
