//! What a listener presents: which of two certificates for one name, and what is stapled to it.

use std::sync::{Arc, Mutex};

use portway_testkit::{Gateway, Origin, replies};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};

use super::client::Wishes;
use super::{Authority, TlsClient, https, plain};

fn is_rsa(scheme: &SignatureScheme) -> bool {
    format!("{scheme:?}").starts_with("RSA_")
}

fn is_ecdsa(scheme: &SignatureScheme) -> bool {
    format!("{scheme:?}").starts_with("ECDSA_")
}

#[test]
fn of_an_rsa_and_an_ecdsa_certificate_each_client_gets_the_first_that_it_can_check() {
    let (ca, origin) = (Authority::new(), Origin::start(replies::text("hello")));
    let rsa = ca.issue_rsa("rsa", &["a.example"]);
    let ecdsa = ca.issue("ecdsa", &["a.example"]);
    for (list, first) in [
        (format!("{rsa}, {ecdsa}"), "rsa"),
        (format!("{ecdsa}, {rsa}"), "ecdsa"),
    ] {
        let tls = format!("certificates: [ {list} ]");
        let gateway = Gateway::start(&https(&tls, &plain(&origin)));
        for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
            let expect = |name: &str, is_known: fn(&SignatureScheme) -> bool| {
                let wishes = Wishes::checking(&ca, &[version], is_known);
                let mut client = TlsClient::connect(gateway.addr(), "a.example", &wishes);
                let given = client.certificate();
                assert_eq!(
                    given,
                    ca.certificate(name),
                    "{name} of {first} first, {version:?}"
                );
                assert_eq!(client.ask("/", "a.example").status, 200);
            };
            expect("rsa", is_rsa);
            expect("ecdsa", is_ecdsa);
            expect(first, |_| true);
        }
    }
}

/// Verifies as usual, and keeps what was stapled.
#[derive(Debug)]
struct Reader {
    inner: Arc<WebPkiServerVerifier>,
    stapled: Mutex<Vec<Vec<u8>>>,
}

impl ServerCertVerifier for Reader {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.stapled.lock().unwrap().push(ocsp_response.to_vec());
        self.inner
            .verify_server_cert(end_entity, intermediates, server_name, &[], now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// What the gateway staples for a host, in a handshake of its own.
fn stapled(ca: &Authority, gateway: &Gateway, host: &str) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let roots = Arc::new(ca.roots());
    let reader = Arc::new(Reader {
        inner: WebPkiServerVerifier::builder_with_provider(roots, provider)
            .build()
            .unwrap(),
        stapled: Mutex::default(),
    });
    let mut wishes = Wishes::of(ca);
    let verifier = Arc::clone(&reader);
    wishes.0.dangerous().set_certificate_verifier(verifier);
    TlsClient::connect(gateway.addr(), host, &wishes);
    let all = std::mem::take(&mut *reader.stapled.lock().unwrap());
    let [one] = <[Vec<u8>; 1]>::try_from(all).expect("one handshake");
    one
}

#[test]
fn a_client_gets_the_octets_of_the_ocsp_file_with_their_certificate_and_no_other() {
    let (ca, origin) = (Authority::new(), Origin::start(replies::text("hello")));
    // Successful, then what the gateway has no reason to look at.
    let response = |filler: u8| {
        let content = [&[0x0a, 0x01, 0x00][..], &[filler; 600]].concat();
        let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[0x30, 0x82, high, low][..], &content].concat()
    };
    ca.folder.write("a.ocsp", response(7));
    let a = ca.issue("a", &["a.example"]);
    let a = a.replace(" }", &format!(", ocsp: {} }}", ca.path("a.ocsp")));
    let b = ca.issue("b", &["b.example"]);
    let yaml = https(&format!("certificates: [ {a}, {b} ]"), &plain(&origin));
    let gateway = Gateway::start(&yaml);
    assert_eq!(stapled(&ca, &gateway, "a.example"), response(7));
    assert_eq!(stapled(&ca, &gateway, "b.example"), b"");
    ca.folder.replace("a.ocsp", response(9));
    gateway.reload(&yaml).unwrap();
    assert_eq!(stapled(&ca, &gateway, "a.example"), response(9));
}
