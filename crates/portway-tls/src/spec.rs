//! TLS as the plan describes it: plain data with the places in the config, compared to see what a
//! reload changes.
//!
//! Must hold: no file has been read yet; what is in them is the loader's business.

use std::path::PathBuf;
use std::sync::Arc;

use portway_config::Spanned;

/// The version of TLS that is the least accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinVersion {
    /// 1.2 (RFC 5246) and 1.3.
    #[default]
    Tls12,
    /// 1.3 (RFC 8446) alone.
    Tls13,
}

/// A protocol that is agreed on in the handshake (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alpn {
    /// `http/1.1`
    H1,
    /// `h2`
    H2,
    /// `h3`, over QUIC alone
    H3,
}

impl Alpn {
    /// Its name on the wire.
    #[must_use]
    pub const fn as_bytes(self) -> &'static [u8] {
        match self {
            Alpn::H1 => b"http/1.1",
            Alpn::H2 => b"h2",
            Alpn::H3 => b"h3",
        }
    }

    /// The protocol of this name.
    #[must_use]
    pub fn from_bytes(name: &[u8]) -> Option<Alpn> {
        [Alpn::H1, Alpn::H2, Alpn::H3]
            .into_iter()
            .find(|alpn| alpn.as_bytes() == name)
    }

    /// What is offered over TCP.
    pub(crate) fn wire(list: &[Alpn]) -> Vec<Vec<u8>> {
        let over_tcp = list.iter().filter(|alpn| **alpn != Alpn::H3);
        over_tcp.map(|alpn| alpn.as_bytes().to_vec()).collect()
    }
}

/// A certificate of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSpec {
    /// From files.
    Files(CertificateFiles),
    /// Obtained while the gateway runs, for these names (lower case, at least one).
    Issued(Spanned<Names>),
}

/// The names of one certificate, the first of which it goes by.
pub type Names = Arc<[Box<str>]>;

/// The files of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, PEM, the server's own certificate first.
    pub cert: Spanned<PathBuf>,
    /// Its private key, PEM.
    pub key: Spanned<PathBuf>,
    /// A response of its OCSP responder, DER, to be stapled (RFC 6066, section 8).
    pub ocsp: Option<Spanned<PathBuf>>,
}

/// Whether clients must have a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// No handshake without one.
    Required,
    /// Those who have one are known by it; one that does not hold is still refused.
    Optional,
}

/// Which certificates of clients hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuthSpec {
    /// Who may issue them, PEM.
    pub ca: Spanned<PathBuf>,
    /// Lists of revoked ones, PEM or DER.
    pub crl: Vec<Spanned<PathBuf>>,
    /// Whether there must be one.
    pub mode: ClientAuth,
}

/// The TLS of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptSpec {
    /// Where it is written.
    pub at: Spanned<()>,
    /// Its certificates; the first is the default.
    pub certificates: Vec<CertificateSpec>,
    /// The least version.
    pub min_version: MinVersion,
    /// Clients' certificates.
    pub client_auth: Option<ClientAuthSpec>,
    /// Protocols offered, the best first.
    pub alpn: Vec<Alpn>,
}

/// Whether a target's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// It must be issued by a trusted CA, for the target's name.
    Yes,
    /// Anybody may answer.
    No,
}

/// A certificate of the gateway's own, for targets that ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificateSpec {
    /// The chain, PEM.
    pub cert: Spanned<PathBuf>,
    /// Its private key, PEM.
    pub key: Spanned<PathBuf>,
}

/// The TLS towards an upstream's targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectSpec {
    /// Where it is written.
    pub at: Spanned<()>,
    /// Who may issue targets' certificates, PEM; the system's CAs if none.
    pub ca: Option<Spanned<PathBuf>>,
    /// The name to ask for and to find in the certificate; the target's own if none.
    pub server_name: Option<Spanned<String>>,
    /// The gateway's certificate.
    pub client: Option<ClientCertificateSpec>,
    /// Whether the target's certificate is checked.
    pub verify: Verify,
    /// Protocols offered, the best first.
    pub alpn: Vec<Alpn>,
}

impl AcceptSpec {
    /// The names of every certificate that is to be obtained.
    pub fn issued(&self) -> impl Iterator<Item = &Names> {
        self.certificates.iter().filter_map(|c| match c {
            CertificateSpec::Files(_) => None,
            CertificateSpec::Issued(names) => Some(&**names),
        })
    }

    /// Every file it names.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let certificates = self.certificates.iter().filter_map(|c| match c {
            CertificateSpec::Files(files) => Some(files),
            CertificateSpec::Issued(_) => None,
        });
        let own = certificates.flat_map(|c| [Some(&*c.cert), Some(&*c.key), c.ocsp.as_deref()]);
        let clients = self.client_auth.iter();
        let clients =
            clients.flat_map(|c| std::iter::once(&*c.ca).chain(c.crl.iter().map(|f| &**f)));
        own.flatten().chain(clients)
    }
}

impl ConnectSpec {
    /// Every file it names.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let client = self.client.iter().flat_map(|c| [&*c.cert, &*c.key]);
        self.ca.iter().map(|ca| &**ca).chain(client)
    }
}
