//! A certificate authority for one test, and files in its folder.

use std::path::PathBuf;
use std::sync::Arc;

use portway_config::Spanned;
use portway_core::{Clock, Diagnostics, Span};
use portway_tls::spec::{ClientCertificateSpec, MinVersion, Verify};
use portway_tls::{
    AcceptSpec, Accepted, Acceptor, Alpn, CertificateFiles, CertificateSpec, ClientAuth,
    ClientAuthSpec, ConnectSpec, Connector, HandshakeError, Session, Slots, Stream, TargetName,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub struct Authority {
    pub folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Authority {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let cert = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("ca.pem"), cert.pem()).unwrap();
        let issuer = Issuer::new(params, key);
        Authority { folder, issuer }
    }

    pub fn path(&self, name: &str) -> Spanned<PathBuf> {
        Spanned::new(self.folder.path().join(name), &Span::file("test.yaml"))
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.folder.path().join(name), content).unwrap();
    }

    /// Issues `NAME.pem` and `NAME.key` for these hosts.
    pub fn issue(&self, name: &str, hosts: &[&str]) -> CertificateFiles {
        let hosts: Vec<String> = hosts.iter().map(|h| (*h).to_owned()).collect();
        let params = CertificateParams::new(hosts).unwrap();
        self.sign(name, params)
    }

    fn sign(&self, name: &str, params: CertificateParams) -> CertificateFiles {
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        self.write(&format!("{name}.pem"), cert.pem());
        self.write(&format!("{name}.key"), key.serialize_pem());
        CertificateFiles {
            cert: self.path(&format!("{name}.pem")),
            key: self.path(&format!("{name}.key")),
            ocsp: None,
        }
    }

    /// Issues a client's certificate with this serial number.
    pub fn client(&self, name: &str, serial: u64) -> ClientCertificateSpec {
        let mut params = CertificateParams::new(vec![format!("{name}.clients.example")]).unwrap();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let uri = format!("spiffe://example/{name}").try_into().unwrap();
        params.subject_alt_names.push(SanType::URI(uri));
        params.serial_number = Some(SerialNumber::from(serial));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let spec = self.sign(name, params);
        ClientCertificateSpec {
            cert: spec.cert,
            key: spec.key,
        }
    }

    /// Writes `crl.pem`, which revokes these serial numbers.
    pub fn revoke(&self, serials: &[u64]) -> Spanned<PathBuf> {
        let day = |year| rcgen::date_time_ymd(year, 1, 1);
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: day(2020),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: day(2020),
            next_update: day(2100),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).unwrap();
        self.write("crl.pem", list.pem().unwrap());
        self.path("crl.pem")
    }

    pub fn clients(&self, mode: ClientAuth) -> Option<ClientAuthSpec> {
        Some(ClientAuthSpec {
            ca: self.path("ca.pem"),
            crl: Vec::new(),
            mode,
        })
    }

    pub fn connect(&self) -> ConnectSpec {
        ConnectSpec {
            at: Spanned::new((), &Span::file("test.yaml")),
            ca: Some(self.path("ca.pem")),
            server_name: None,
            client: None,
            verify: Verify::Yes,
            alpn: vec![Alpn::H1],
        }
    }
}

pub fn accept(certificates: Vec<CertificateFiles>) -> AcceptSpec {
    AcceptSpec {
        at: Spanned::new((), &Span::file("test.yaml")),
        certificates: certificates
            .into_iter()
            .map(CertificateSpec::Files)
            .collect(),
        min_version: MinVersion::Tls12,
        client_auth: None,
        alpn: vec![Alpn::H2, Alpn::H1],
    }
}

/// Now, as far as these tests care.
pub const NOW: u64 = 1_800_000_000;

pub fn problems(problems: Diagnostics) -> String {
    let lines: Vec<String> = problems.sorted().iter().map(ToString::to_string).collect();
    lines.join("\n")
}

pub fn acceptor(spec: &AcceptSpec, before: Option<&Acceptor>) -> Acceptor {
    let mut found = Diagnostics::new();
    let loaded = Acceptor::load(
        spec,
        &Slots::default(),
        before,
        (NOW, &Clock::system()),
        &mut found,
    );
    loaded.unwrap_or_else(|| panic!("{}", problems(found)))
}

pub fn connector(spec: &ConnectSpec) -> Connector {
    let mut found = Diagnostics::new();
    let loaded = Connector::load(spec, None, NOW, &mut found);
    loaded.unwrap_or_else(|| panic!("{}", problems(found)))
}

/// What each side got of one handshake.
pub struct Met {
    pub server: Result<Arc<Session>, HandshakeError>,
    pub client: Result<Arc<Session>, HandshakeError>,
}

/// One handshake for `host`, and an octet each way, so that both sides know that it holds.
pub async fn meet(acceptor: &Acceptor, connector: &Connector, host: &str) -> Met {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = async {
        let (tcp, _) = listener.accept().await.unwrap();
        let accepted = acceptor.accept(tcp).await.map_err(|(error, _)| error)?;
        let Accepted::Client(mut stream) = accepted else {
            panic!("nobody checks a name here");
        };
        let _ = stream.write_all(b"x").await;
        let mut octet = [0];
        let _ = stream.read_exact(&mut octet).await;
        Ok(Arc::clone(stream.session()))
    };
    let client = async {
        let tcp = TcpStream::connect(addr).await.unwrap();
        let mut stream: Stream = connector.connect(tcp, TargetName::Dns(host)).await?;
        let mut octet = [0];
        let _ = stream.read_exact(&mut octet).await;
        let _ = stream.write_all(b"y").await;
        Ok(Arc::clone(stream.session()))
    };
    let (server, client) = tokio::join!(server, client);
    Met { server, client }
}
