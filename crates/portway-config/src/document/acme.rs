//! `acme`: where certificates come from that the gateway obtains by itself.

use crate::decode::OneOrMany;
use crate::spanned::Spanned;
use crate::value::Secret;
use crate::{choice, config};

/// The directory of Let's Encrypt.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

config! {
    /// Certificates that the gateway obtains and renews by itself (ACME, RFC 8555), for the `certificates` of
    /// listeners that name hosts with `acme`. To use it is to agree to the server's terms of service.
    pub struct Acme {
        /// Where the account and the certificates are kept, with their private keys: for the gateway's user
        /// alone. One gateway at a time obtains certificates for it; others that share it read them.
        pub folder: Spanned<String>,
        /// The directory of the server that issues.
        pub directory: Spanned<String> = LETS_ENCRYPT.to_owned(),
        /// Mail addresses for the server's notices.
        pub contact: OneOrMany<Spanned<String>> = Vec::new(),
        /// How the server checks that a name leads here.
        pub challenge: Spanned<AcmeChallenge> = AcmeChallenge::Auto,
        /// The CAs that may have issued the server's own certificate, in PEM; those of the system if there is
        /// none.
        pub ca: Option<Spanned<String>>,
        /// The account with the issuer that the new account is bound to, where the server asks for one.
        pub external_account: Option<ExternalAccount>,
    }
}

choice! {
    /// How the server checks that a name leads here.
    pub enum AcmeChallenge {
        /// By http-01 if there is a plain http listener, and by tls-alpn-01.
        Auto = "auto",
        /// By a request on port 80, which must lead to a plain http listener.
        Http01 = "http-01",
        /// By a handshake on port 443, which must lead to the listener of the certificate.
        TlsAlpn01 = "tls-alpn-01",
    }
}

config! {
    /// An account with the issuer of certificates.
    pub struct ExternalAccount {
        /// The key's id, as the issuer gave it.
        pub id: Spanned<String>,
        /// The key (HMAC), as the issuer gave it: in base64url.
        pub key: Spanned<Secret>,
    }
}
