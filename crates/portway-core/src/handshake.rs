//! What is counted of TLS handshakes: how they went, and why they failed.
//!
//! Must hold: labels are stable (dashboards and alerts match on them), and none is a client's choice.

/// Why there was no TLS with a peer; also a metric's label and a log field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandshakeFailure {
    /// What came is no TLS: plain HTTP perhaps.
    NotTls,
    /// No version, cipher, group or protocol that both sides have.
    NothingInCommon,
    /// There is no certificate to present.
    NoCertificate,
    /// The client presented no certificate, and must.
    ClientCertificateMissing,
    /// The peer's certificate does not hold.
    BadCertificate,
    /// The peer ended the handshake with an alert.
    PeerRefused,
    /// The peer closed the connection.
    Closed,
    /// The peer took too long.
    TimedOut,
    /// The peer does not keep to the protocol.
    Protocol,
    /// The peer's name cannot be one.
    BadName,
}

impl HandshakeFailure {
    /// Every reason, in index order.
    pub const ALL: [HandshakeFailure; 10] = [
        HandshakeFailure::NotTls,
        HandshakeFailure::NothingInCommon,
        HandshakeFailure::NoCertificate,
        HandshakeFailure::ClientCertificateMissing,
        HandshakeFailure::BadCertificate,
        HandshakeFailure::PeerRefused,
        HandshakeFailure::Closed,
        HandshakeFailure::TimedOut,
        HandshakeFailure::Protocol,
        HandshakeFailure::BadName,
    ];

    /// Its name in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            HandshakeFailure::NotTls => "not_tls",
            HandshakeFailure::NothingInCommon => "nothing_in_common",
            HandshakeFailure::NoCertificate => "no_certificate",
            HandshakeFailure::ClientCertificateMissing => "client_certificate_missing",
            HandshakeFailure::BadCertificate => "bad_certificate",
            HandshakeFailure::PeerRefused => "peer_refused",
            HandshakeFailure::Closed => "closed",
            HandshakeFailure::TimedOut => "timed_out",
            HandshakeFailure::Protocol => "protocol",
            HandshakeFailure::BadName => "bad_name",
        }
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsVersion {
    /// RFC 5246
    Tls12,
    /// RFC 8446
    Tls13,
}

/// What a cipher suite encrypts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsCipher {
    /// AES with a key of 128 bits.
    Aes128,
    /// AES with a key of 256 bits.
    Aes256,
    /// ChaCha20.
    Chacha20,
    /// QUIC does not tell.
    Unknown,
}

/// Whether the keys come from an earlier handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resumption {
    /// With certificates.
    Full,
    /// From a ticket.
    Resumed,
    /// QUIC does not tell.
    Unknown,
}

/// A handshake that went well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handshake {
    /// The version.
    pub version: TlsVersion,
    /// The cipher.
    pub cipher: TlsCipher,
    /// Whether it was resumed.
    pub resumption: Resumption,
}

impl TlsVersion {
    /// As logs and metrics write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            TlsVersion::Tls12 => "TLSv1.2",
            TlsVersion::Tls13 => "TLSv1.3",
        }
    }
}

impl TlsCipher {
    /// The metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            TlsCipher::Aes128 => "aes128",
            TlsCipher::Aes256 => "aes256",
            TlsCipher::Chacha20 => "chacha20",
            TlsCipher::Unknown => "unknown",
        }
    }
}

impl Resumption {
    /// The metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Resumption::Full => "full",
            Resumption::Resumed => "resumed",
            Resumption::Unknown => "unknown",
        }
    }
}

impl Handshake {
    /// How many kinds there are.
    pub const COUNT: usize = 24;

    /// Its place among all kinds.
    #[must_use]
    pub const fn index(self) -> usize {
        (self.version as usize * 4 + self.cipher as usize) * 3 + self.resumption as usize
    }

    /// Every kind, in index order.
    pub fn all() -> impl Iterator<Item = Handshake> {
        let ciphers = [
            TlsCipher::Aes128,
            TlsCipher::Aes256,
            TlsCipher::Chacha20,
            TlsCipher::Unknown,
        ];
        let resumptions = [Resumption::Full, Resumption::Resumed, Resumption::Unknown];
        [TlsVersion::Tls12, TlsVersion::Tls13]
            .into_iter()
            .flat_map(move |version| ciphers.map(|cipher| (version, cipher)))
            .flat_map(move |(version, cipher)| {
                resumptions.map(|resumption| Handshake {
                    version,
                    cipher,
                    resumption,
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_reasons_stand_in_index_order() {
        assert_eq!(Handshake::all().count(), Handshake::COUNT);
        for (at, kind) in Handshake::all().enumerate() {
            assert_eq!(kind.index(), at, "{kind:?}");
        }
        for (at, reason) in HandshakeFailure::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at);
            let named = HandshakeFailure::ALL.iter();
            assert_eq!(named.filter(|r| r.as_str() == reason.as_str()).count(), 1);
        }
    }
}
