//! `tls`: of listeners and of upstreams, and where clients without TLS are sent.

use portway_core::Span;
use portway_core::diagnostic::Diagnostics;
use serde_json::{Value, json};

use crate::decode::{Decode, Each, Given, OneOrMany, wrong};
use crate::node::{Node, Scalar};
use crate::spanned::Spanned;
use crate::{Schema, choice, config};

config! {
    /// TLS on a listener.
    pub struct ListenerTls {
        /// Its certificates. The client's server name picks one; the first is the default. The files are
        /// watched.
        pub certificates: Spanned<Each<Spanned<Certificate>>>,
        /// The least version of TLS.
        pub min_version: TlsVersion = TlsVersion::Tls12,
        /// Asks clients for a certificate.
        pub client_auth: Option<ClientAuth>,
    }
}

config! {
    /// A certificate with its key: `cert` and `key`, or `acme`.
    pub struct Certificate {
        /// The chain, in PEM, the server's own certificate first.
        pub cert: Given<String>,
        /// Its private key, in PEM.
        pub key: Given<String>,
        /// An OCSP response to staple, in DER.
        pub ocsp: Option<Spanned<String>>,
        /// Instead of files: the names of a certificate that the gateway obtains and renews by itself, as
        /// the top-level `acme` says.
        pub acme: OneOrMany<Spanned<String>> = Vec::new(),
    }
}

choice! {
    /// A version of TLS.
    pub enum TlsVersion {
        /// TLS 1.2.
        Tls12 = "1.2",
        /// TLS 1.3.
        Tls13 = "1.3",
    }
}

config! {
    /// Which certificates clients may have, and whether they must.
    pub struct ClientAuth {
        /// The CAs that may issue them, in PEM.
        pub ca: Spanned<String>,
        /// Whether there must be one.
        pub mode: ClientAuthMode,
        /// Lists of revoked certificates, in PEM or DER; one for every CA in the chain.
        pub crl: OneOrMany<Spanned<String>> = Vec::new(),
    }
}

choice! {
    /// Whether clients must have a certificate.
    pub enum ClientAuthMode {
        /// Nobody gets in without one.
        Required = "required",
        /// Those who have one are known by it.
        Optional = "optional",
    }
}

config! {
    /// TLS towards the targets of an upstream.
    pub struct UpstreamTls {
        /// The CAs that may issue the targets' certificates, in PEM; those of the system if there is none.
        pub ca: Option<Spanned<String>>,
        /// The name to ask for, and to find in the certificate; the target's own if there is none.
        pub server_name: Option<Spanned<String>>,
        /// The gateway's own certificate, for targets that ask, in PEM.
        pub client_cert: Option<Spanned<String>>,
        /// Its private key, in PEM.
        pub client_key: Option<Spanned<String>>,
        /// Whether the targets' certificates are checked.
        pub verify: Spanned<bool> = true,
    }
}

/// Whether clients without TLS are sent to `https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectHttps {
    /// They are served.
    No,
    /// They are sent to this port.
    To(u16),
}

/// Where `https` is if nothing else is said.
const HTTPS: u16 = 443;

impl Decode for RedirectHttps {
    type Plain = RedirectHttps;

    fn from_plain(plain: RedirectHttps, _: &Span) -> RedirectHttps {
        plain
    }

    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<RedirectHttps> {
        match node.scalar() {
            Some(Scalar::Bool(false)) => return Some(RedirectHttps::No),
            Some(Scalar::Bool(true)) => return Some(RedirectHttps::To(HTTPS)),
            Some(Scalar::Int(port @ 1..=65535)) => {
                return u16::try_from(port).ok().map(RedirectHttps::To);
            }
            _ => {}
        }
        wrong(node, "`true`, `false` or the port of https", problems);
        None
    }

    fn schema() -> Schema {
        json!({
            "anyOf": [
                { "type": "boolean" },
                { "type": "integer", "minimum": 1, "maximum": 65535 },
                { "type": "string", "pattern": r"\$\{.+\}" },
            ],
        })
    }

    fn to_json(&self) -> Value {
        match self {
            RedirectHttps::No => false.into(),
            RedirectHttps::To(HTTPS) => true.into(),
            RedirectHttps::To(port) => (*port).into(),
        }
    }
}
