use portway_config::Spanned;
use portway_core::{HandshakeFailure, Span};
use portway_tls::ConnectSpec;
use portway_tls::spec::Verify;

use crate::authority::{Authority, accept, acceptor, connector, meet};

#[tokio::test]
async fn a_target_must_be_who_it_is_asked_to_be() {
    let (ca, other) = (Authority::new(), Authority::new());
    let target = acceptor(&accept(vec![ca.issue("a", &["a.example"])]), None);
    let trusting = connector(&ca.connect());
    assert!(meet(&target, &trusting, "a.example").await.client.is_ok());
    let error = meet(&target, &trusting, "b.example")
        .await
        .client
        .unwrap_err();
    assert_eq!(error.reason, HandshakeFailure::BadCertificate, "{error}");
    let strangers = connector(&other.connect());
    let met = meet(&target, &strangers, "a.example").await;
    let error = met.client.unwrap_err();
    assert_eq!(error.reason, HandshakeFailure::BadCertificate, "{error}");
    let error = met.server.unwrap_err();
    assert_eq!(error.reason, HandshakeFailure::PeerRefused, "{error}");
}

#[tokio::test]
async fn the_configured_name_is_the_one_that_counts() {
    let ca = Authority::new();
    let target = acceptor(&accept(vec![ca.issue("a", &["a.example"])]), None);
    let named = connector(&ConnectSpec {
        server_name: Some(Spanned::new("a.example".into(), &Span::file(""))),
        ..ca.connect()
    });
    let met = meet(&target, &named, "whatever.example").await;
    assert!(met.client.is_ok());
    assert_eq!(
        met.server.unwrap().server_name.as_deref(),
        Some("a.example")
    );
}

#[tokio::test]
async fn without_verification_anybody_will_do() {
    let ca = Authority::new();
    let target = acceptor(&accept(vec![ca.issue("a", &["a.example"])]), None);
    let blind = connector(&ConnectSpec {
        ca: None,
        verify: Verify::No,
        ..ca.connect()
    });
    assert!(meet(&target, &blind, "b.example").await.client.is_ok());
}
