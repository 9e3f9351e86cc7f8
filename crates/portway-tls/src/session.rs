//! What a handshake agreed on, for whoever serves the connection.
//!
//! Must hold: taken once, when the handshake is over; a client's identity is there only if its
//! certificate was verified.

use std::fmt;
use std::sync::Arc;

use portway_core::{Handshake, Resumption, TlsCipher, TlsVersion};
use rustls::{CommonState, HandshakeKind, ProtocolVersion};

use crate::identity::Identity;
use crate::spec::Alpn;
use crate::store::CertStore;

/// Which hosts a connection may ask for.
#[derive(Clone, Debug)]
pub(crate) enum Hosts {
    /// Any: it is the side of a client.
    Any,
    /// The one that was named, and others that its certificate names.
    Certified(Arc<CertStore>),
    /// Only the one that was named: who the client is was asked on behalf of that host.
    Named,
}

/// What a handshake agreed on.
pub struct Session {
    /// The host that the client named (SNI, RFC 6066, section 3), lower case.
    pub server_name: Option<Box<str>>,
    /// The protocol that both agreed on.
    pub alpn: Option<Alpn>,
    /// The version.
    pub version: TlsVersion,
    /// The cipher suite, by its IANA name; empty over QUIC, which does not tell.
    pub cipher: &'static str,
    /// The key exchange, by its IANA name; empty over QUIC.
    pub group: Box<str>,
    /// Whether the session was resumed.
    pub resumption: Resumption,
    /// Who the client is, if it presented a certificate.
    pub client: Option<Arc<Identity>>,
    pub(crate) hosts: Hosts,
}

impl Session {
    pub(crate) fn of(state: &CommonState, server_name: Option<&str>, hosts: Hosts) -> Session {
        let group = state.negotiated_key_exchange_group();
        let cipher = state.negotiated_cipher_suite();
        Session {
            server_name: server_name.map(|name| name.to_ascii_lowercase().into()),
            alpn: state.alpn_protocol().and_then(Alpn::from_bytes),
            version: match state.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
                _ => TlsVersion::Tls13,
            },
            cipher: cipher.and_then(|c| c.suite().as_str()).unwrap_or_default(),
            group: group
                .map(|g| format!("{:?}", g.name()).into())
                .unwrap_or_default(),
            resumption: match state.handshake_kind() {
                Some(HandshakeKind::Resumed) => Resumption::Resumed,
                _ => Resumption::Full,
            },
            client: None,
            hosts,
        }
    }

    /// What a QUIC handshake tells of itself (RFC 9001).
    #[cfg(feature = "http3")]
    pub(crate) fn of_quic(server_name: Option<&str>, alpn: Option<&[u8]>, hosts: Hosts) -> Session {
        Session {
            server_name: server_name.map(|name| name.to_ascii_lowercase().into()),
            alpn: alpn.and_then(Alpn::from_bytes),
            version: TlsVersion::Tls13,
            cipher: "",
            group: Box::default(),
            resumption: Resumption::Unknown,
            client: None,
            hosts,
        }
    }

    /// What of it is counted.
    #[must_use]
    pub fn kind(&self) -> Handshake {
        let cipher = match self.cipher {
            "" => TlsCipher::Unknown,
            name if name.contains("CHACHA20") => TlsCipher::Chacha20,
            name if name.contains("AES_256") => TlsCipher::Aes256,
            _ => TlsCipher::Aes128,
        };
        Handshake {
            version: self.version,
            cipher,
            resumption: self.resumption,
        }
    }

    /// Whether a request for `host` (lower case, without port) belongs on this connection: it names
    /// the host that the handshake was for, or one that the same certificate is for. Else it is
    /// misdirected (RFC 9110, section 15.5.20).
    #[must_use]
    #[inline]
    pub fn may_ask_for(&self, host: &str) -> bool {
        match &self.server_name {
            None => true,
            Some(name) if **name == *host => true,
            Some(name) => match &self.hosts {
                Hosts::Any => true,
                Hosts::Named => false,
                Hosts::Certified(store) => store.covers_both(name, host),
            },
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("server_name", &self.server_name)
            .field("alpn", &self.alpn)
            .field("version", &self.version)
            .field("cipher", &self.cipher)
            .field("group", &self.group)
            .field("resumption", &self.resumption)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}
