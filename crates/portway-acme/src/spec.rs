//! What the config says of ACME: plain data, compared to see what a reload changes.

use std::path::PathBuf;

use portway_config::{Secret, Spanned};
use portway_tls::ConnectSpec;

/// How certificates are obtained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeSpec {
    /// Where account and certificates are kept.
    pub folder: Spanned<PathBuf>,
    /// The URL of the server's directory (RFC 8555, section 7.1.1); https.
    pub directory: Spanned<String>,
    /// Whom the server may write to: `mailto:` URLs.
    pub contacts: Vec<String>,
    /// How the server may check names; the first is tried first.
    pub challenges: Vec<Challenge>,
    /// How the server is reached.
    pub connect: ConnectSpec,
    /// The account with the issuer that ours is bound to (RFC 8555, section 7.3.4).
    pub external_account: Option<ExternalAccount>,
}

/// How a server checks that a name leads here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// By a request to port 80 (RFC 8555, section 8.3).
    Http01,
    /// By a handshake with port 443 (RFC 8737).
    TlsAlpn01,
}

impl Challenge {
    /// Its name in the protocol, the config and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Challenge::Http01 => "http-01",
            Challenge::TlsAlpn01 => "tls-alpn-01",
        }
    }
}

/// An account with the issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAccount {
    /// The key's id.
    pub id: String,
    /// The key, base64url.
    pub key: Secret,
}
