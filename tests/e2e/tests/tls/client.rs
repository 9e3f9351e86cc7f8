//! A TLS client that says what the handshake gave it and reads replies by their length.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, ProtocolVersion,
    SignatureScheme, StreamOwned,
};

use super::Authority;

/// What a client brings to a handshake. Clones share their sessions.
#[derive(Clone)]
pub struct Wishes(pub ClientConfig);

impl Wishes {
    pub fn of(ca: &Authority) -> Wishes {
        Wishes::with(ca, None, rustls::ALL_VERSIONS)
    }

    /// With the client's certificate of this name.
    pub fn known_as(ca: &Authority, name: &str) -> Wishes {
        Wishes::with(ca, Some(name), rustls::ALL_VERSIONS)
    }

    /// Checks signatures of these schemes only.
    pub fn checking(
        ca: &Authority,
        versions: &[&'static rustls::SupportedProtocolVersion],
        is_known: impl Fn(&SignatureScheme) -> bool,
    ) -> Wishes {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        let all = &mut provider.signature_verification_algorithms;
        let known = all.mapping.iter().filter(|(scheme, _)| is_known(scheme));
        all.mapping = Vec::leak(known.copied().collect());
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(ca.roots())
            .with_no_client_auth();
        Wishes(config)
    }

    /// Takes certificates that these issued.
    pub fn trusting(roots: rustls::RootCertStore) -> Wishes {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Wishes(config)
    }

    /// Takes any certificate.
    pub fn blind() -> Wishes {
        let mut wishes = Wishes::trusting(rustls::RootCertStore::empty());
        wishes
            .0
            .dangerous()
            .set_certificate_verifier(Arc::new(Anything));
        wishes
    }

    pub fn with(
        ca: &Authority,
        name: Option<&str>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Wishes {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(ca.roots());
        let mut config = match name {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let cert = CertificateDer::from_pem_file(ca.path(&format!("{name}.pem"))).unwrap();
                let key = PrivateKeyDer::from_pem_file(ca.path(&format!("{name}.key"))).unwrap();
                builder.with_client_auth_cert(vec![cert], key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Wishes(config)
    }
}

pub struct TlsClient {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

/// A reply: status, head as text, body as text.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl TlsClient {
    /// Connects and shakes hands. An error of the handshake may come with the first reply only.
    pub fn try_connect(
        addr: SocketAddr,
        host: &str,
        wishes: &Wishes,
    ) -> std::io::Result<TlsClient> {
        TlsClient::try_over(TcpStream::connect(addr)?, host, wishes)
    }

    /// Shakes hands on a connection that is open.
    pub fn try_over(tcp: TcpStream, host: &str, wishes: &Wishes) -> std::io::Result<TlsClient> {
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let connection = ClientConnection::new(Arc::new(wishes.0.clone()), name).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut stream = StreamOwned::new(connection, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(TlsClient { stream })
    }

    #[track_caller]
    pub fn connect(addr: SocketAddr, host: &str, wishes: &Wishes) -> TlsClient {
        TlsClient::try_connect(addr, host, wishes).unwrap_or_else(|error| panic!("{error}"))
    }

    /// One GET on a connection of its own.
    #[track_caller]
    pub fn get(addr: SocketAddr, host: &str, wishes: &Wishes) -> Answer {
        TlsClient::connect(addr, host, wishes).ask("/", host)
    }

    #[track_caller]
    pub fn ask(&mut self, target: &str, host: &str) -> Answer {
        self.try_ask(target, host)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    pub fn try_ask(&mut self, target: &str, host: &str) -> std::io::Result<Answer> {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())?;
        self.reply()
    }

    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    pub fn reply(&mut self) -> std::io::Result<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut octet = [0];
            self.stream.read_exact(&mut octet)?;
            head.push(octet[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let length = field(&head, "content-length").map_or(0, |l| l.parse().unwrap());
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Answer {
            status: head[9..12].parse().unwrap(),
            body: String::from_utf8_lossy(&body).into_owned(),
            head,
        })
    }

    pub fn version(&self) -> ProtocolVersion {
        self.stream.conn.protocol_version().unwrap()
    }

    pub fn group(&self) -> String {
        let group = self.stream.conn.negotiated_key_exchange_group();
        format!("{:?}", group.unwrap().name())
    }

    pub fn alpn(&self) -> Option<&[u8]> {
        self.stream.conn.alpn_protocol()
    }

    pub fn is_resumed(&self) -> bool {
        self.stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The certificate that the gateway presented.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.stream.conn.peer_certificates().unwrap()[0]
            .clone()
            .into_owned()
    }

    /// Waits for the end of the connection; whether it was said (close_notify).
    pub fn ends_clean(&mut self) -> bool {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).is_ok()
    }
}

pub fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut lines = head.lines();
    lines.find_map(|line| {
        let (n, value) = line.split_once(':')?;
        n.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// The first bytes that a client sends.
pub fn greeting(wishes: &Wishes, host: &str) -> Vec<u8> {
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let mut connection = ClientConnection::new(Arc::new(wishes.0.clone()), name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

/// Looks at nothing.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
