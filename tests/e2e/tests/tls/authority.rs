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
        let hosts: Vec<String> = hosts.iter().map(|h| (*h).to_owned()).collect();
        self.sign(name, CertificateParams::new(hosts).unwrap())
    }

    /// Issues a client's certificate with a SPIFFE id and this serial number.
    pub fn client(&self, name: &str, serial: u64) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let uri = format!("spiffe://example/{name}").try_into().unwrap();
        params.subject_alt_names.push(SanType::URI(uri));
        params.serial_number = Some(SerialNumber::from(serial));
        self.sign(name, params);
    }

    /// The hash of the public key of `NAME.key`, as Chromium wants it (RFC 7469, section 2.4).
    pub fn key_hash(&self, name: &str) -> String {
        let pem = std::fs::read_to_string(self.path(&format!("{name}.key"))).unwrap();
        let key = KeyPair::from_pem(&pem).unwrap();
        let spki = key.subject_public_key_info();
        BASE64_STANDARD.encode(digest::digest(&digest::SHA256, &spki))
    }

    fn sign(&self, name: &str, params: CertificateParams) -> String {
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
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
