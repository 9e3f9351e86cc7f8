//! A certificate authority for one test, with its files in a folder.

use aws_lc_rs::digest;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use portway_testkit::Folder;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData, RevokedCertParams, SanType, SerialNumber,
};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

pub struct Authority {
    pub folder: Folder,
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
}

impl Authority {
    pub fn new() -> Authority {
        let folder = Folder::new();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let name = format!("CA in {}", folder.path().display());
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let cert = params.self_signed(&key).unwrap();
        folder.write("ca.pem", cert.pem());
        Authority {
            der: cert.der().clone(),
            issuer: Issuer::new(params, key),
            folder,
        }
    }

    /// The path of one of its files.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// What trusts it alone.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        roots
    }

    /// Issues `NAME.pem` and `NAME.key` for these hosts; returns the certificate's line of config.
    pub fn issue(&self, name: &str, hosts: &[&str]) -> String {
        self.issue_with(&KeyPair::generate().unwrap(), name, hosts)
    }

    /// The same, with an RSA key.
    pub fn issue_rsa(&self, name: &str, hosts: &[&str]) -> String {
        let key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        self.issue_with(&key, name, hosts)
    }

    fn issue_with(&self, key: &KeyPair, name: &str, hosts: &[&str]) -> String {
        let hosts: Vec<String> = hosts.iter().map(|h| (*h).to_owned()).collect();
        self.sign(name, key, CertificateParams::new(hosts).unwrap())
    }

    /// Issues a client's certificate with a SPIFFE id and this serial number.
    pub fn client(&self, name: &str, serial: u64) {
        let uri = format!("spiffe://example/{name}");
        self.client_named(name, name, &[&uri], serial);
    }

    /// Issues a client's certificate with this common name and these URIs.
    pub fn client_named(&self, name: &str, common_name: &str, uris: &[&str], serial: u64) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, common_name);
        let uris = uris.iter().map(|uri| (*uri).try_into().unwrap());
        params.subject_alt_names.extend(uris.map(SanType::URI));
        params.serial_number = Some(SerialNumber::from(serial));
        self.sign(name, &KeyPair::generate().unwrap(), params);
    }

    /// The hash of the public key of `NAME.key`, as Chromium wants it (RFC 7469, section 2.4).
    pub fn key_hash(&self, name: &str) -> String {
        let pem = std::fs::read_to_string(self.path(&format!("{name}.key"))).unwrap();
        let key = KeyPair::from_pem(&pem).unwrap();
        let spki = key.subject_public_key_info();
        BASE64_STANDARD.encode(digest::digest(&digest::SHA256, &spki))
    }

    /// The certificate of this name.
    pub fn certificate(&self, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path(&format!("{name}.pem"))).unwrap()
    }

    fn sign(&self, name: &str, key: &KeyPair, params: CertificateParams) -> String {
        let cert = params.signed_by(key, &self.issuer).unwrap();
        self.folder
            .replace(&format!("{name}.key"), key.serialize_pem());
        self.folder.replace(&format!("{name}.pem"), cert.pem());
        let (cert, key) = (format!("{name}.pem"), format!("{name}.key"));
        format!("{{ cert: {}, key: {} }}", self.path(&cert), self.path(&key))
    }

    /// Writes `crl.pem`, which revokes these serial numbers.
    pub fn revoke(&self, serials: &[u64]) {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: rcgen::date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2020, 1, 1),
            next_update: rcgen::date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).unwrap();
        self.folder.replace("crl.pem", list.pem().unwrap());
    }
}
