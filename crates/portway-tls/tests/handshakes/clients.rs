use portway_core::{HandshakeFailure, Resumption, TlsVersion};
use portway_tls::spec::MinVersion;
use portway_tls::{Acceptor, Alpn, ClientAuth, ConnectSpec};

use crate::authority::{Authority, accept, acceptor, connector, meet};

#[tokio::test]
async fn a_handshake_agrees_on_the_newest_version_and_a_post_quantum_group() {
    let ca = Authority::new();
    let acceptor = acceptor(&accept(vec![ca.issue("a", &["a.example"])]), None);
    let met = meet(&acceptor, &connector(&ca.connect()), "a.example").await;
    let (server, client) = (met.server.unwrap(), met.client.unwrap());
    assert_eq!(server.version, TlsVersion::Tls13);
    assert_eq!(&*server.group, "X25519MLKEM768");
    assert_eq!(server.server_name.as_deref(), Some("a.example"));
    assert_eq!((server.alpn, client.alpn), (Some(Alpn::H1), Some(Alpn::H1)));
    assert!(server.cipher.starts_with("TLS13_"), "{}", server.cipher);
    assert!(server.client.is_none());
}

#[tokio::test]
async fn a_required_certificate_is_required_and_gives_an_identity() {
    let ca = Authority::new();
    let mut spec = accept(vec![ca.issue("a", &["a.example"])]);
    spec.client_auth = ca.clients(ClientAuth::Required);
    let acceptor = acceptor(&spec, None);
    let nobody = meet(&acceptor, &connector(&ca.connect()), "a.example").await;
    let error = nobody.server.unwrap_err();
    assert_eq!(
        error.reason,
        HandshakeFailure::ClientCertificateMissing,
        "{error}"
    );
    let with = ConnectSpec {
        client: Some(ca.client("alice", 7)),
        ..ca.connect()
    };
    let met = meet(&acceptor, &connector(&with), "a.example").await;
    let identity = met.server.unwrap().client.clone().unwrap();
    assert_eq!(identity.common_name.as_deref(), Some("alice"));
    assert_eq!(identity.uris, ["spiffe://example/alice"]);
    assert_eq!(identity.dns, ["alice.clients.example"]);
    assert_eq!(identity.serial, "07");
}

#[tokio::test]
async fn an_optional_certificate_may_be_missing_but_not_wrong() {
    let (ca, other) = (Authority::new(), Authority::new());
    let mut spec = accept(vec![ca.issue("a", &["a.example"])]);
    spec.client_auth = ca.clients(ClientAuth::Optional);
    let acceptor = acceptor(&spec, None);
    let nobody = meet(&acceptor, &connector(&ca.connect()), "a.example").await;
    assert!(nobody.server.unwrap().client.is_none());
    let with = ConnectSpec {
        client: Some(other.client("mallory", 1)),
        ..ca.connect()
    };
    let met = meet(&acceptor, &connector(&with), "a.example").await;
    let error = met.server.unwrap_err();
    assert_eq!(error.reason, HandshakeFailure::BadCertificate, "{error}");
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_even_with_a_ticket() {
    let ca = Authority::new();
    let mut spec = accept(vec![ca.issue("a", &["a.example"])]);
    spec.client_auth = ca.clients(ClientAuth::Required);
    spec.client_auth.as_mut().unwrap().crl = vec![ca.revoke(&[9])];
    let first = acceptor(&spec, None);
    let client = connector(&ConnectSpec {
        client: Some(ca.client("alice", 7)),
        ..ca.connect()
    });
    for resumption in [Resumption::Full, Resumption::Resumed] {
        let met = meet(&first, &client, "a.example").await;
        assert_eq!(met.server.unwrap().resumption, resumption);
    }
    ca.revoke(&[7, 9]);
    let second = acceptor(&spec, Some(&first));
    let met = meet(&second, &client, "a.example").await;
    let error = met.server.unwrap_err();
    assert!(error.to_string().contains("revoked"), "{error}");
}

#[tokio::test]
async fn a_session_is_resumed_for_its_host_only() {
    let ca = Authority::new();
    let specs = vec![ca.issue("a", &["a.example", "b.example"])];
    let acceptor = acceptor(&accept(specs), None);
    // One name for the client's cache, another on the wire: as a client would that wants to carry
    // a session from one virtual host to another.
    let client = connector(&ca.connect());
    for resumption in [Resumption::Full, Resumption::Resumed] {
        let met = meet(&acceptor, &client, "a.example").await;
        assert_eq!(met.server.unwrap().resumption, resumption);
    }
    let met = meet(&acceptor, &client, "b.example").await;
    assert_eq!(met.server.unwrap().resumption, Resumption::Full);
}

#[tokio::test]
async fn a_session_goes_on_over_a_renewal_but_not_to_another_listener() {
    let ca = Authority::new();
    let spec = accept(vec![ca.issue("a", &["a.example"])]);
    let before = acceptor(&spec, None);
    let client = connector(&ca.connect());
    meet(&before, &client, "a.example").await.server.unwrap();
    ca.issue("a", &["a.example"]);
    let renewed = acceptor(&spec, Some(&before));
    assert!(!renewed.is(&before));
    let met = meet(&renewed, &client, "a.example").await;
    assert_eq!(met.server.unwrap().resumption, Resumption::Resumed);
    let other: Acceptor = acceptor(&spec, None);
    let met = meet(&other, &client, "a.example").await;
    assert_eq!(met.server.unwrap().resumption, Resumption::Full);
    assert!(
        acceptor(&spec, Some(&renewed)).is(&renewed),
        "nothing changed"
    );
}

#[tokio::test]
async fn a_host_is_misdirected_unless_the_certificate_names_it() {
    let ca = Authority::new();
    let certificates = vec![
        ca.issue("a", &["a.example", "*.a.example"]),
        ca.issue("b", &["b.example"]),
    ];
    let open = acceptor(&accept(certificates.clone()), None);
    let session = meet(&open, &connector(&ca.connect()), "a.example").await;
    let session = session.server.unwrap();
    assert!(session.may_ask_for("a.example") && session.may_ask_for("x.a.example"));
    assert!(!session.may_ask_for("b.example") && !session.may_ask_for("c.example"));
    let mut spec = accept(certificates);
    spec.client_auth = ca.clients(ClientAuth::Optional);
    let asking = acceptor(&spec, None);
    let session = meet(&asking, &connector(&ca.connect()), "a.example").await;
    let session = session.server.unwrap();
    assert!(session.may_ask_for("a.example") && !session.may_ask_for("x.a.example"));
}

#[tokio::test]
async fn what_is_no_tls_is_said_to_be_none() {
    use tokio::io::AsyncWriteExt;
    let ca = Authority::new();
    let mut spec = accept(vec![ca.issue("a", &["a.example"])]);
    spec.min_version = MinVersion::Tls13;
    let acceptor = acceptor(&spec, None);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let mut plain = tokio::net::TcpStream::connect(addr).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let (tcp, _) = listener.accept().await.unwrap();
    let (error, _) = acceptor.accept(tcp).await.unwrap_err();
    assert_eq!(error.reason, HandshakeFailure::NotTls, "{error}");
}
