//! WebSocket to targets behind TLS: what the handshake below agrees on decides how it is asked for.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use portway_testkit::Gateway;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tungstenite::Message;

use super::tunnel::open_h2;
use super::{Config, open, says, serve};
use crate::tcp::Peer;
use crate::tls::authority::Authority;

type Spoken = Arc<Mutex<Vec<Vec<u8>>>>;

/// Whatever the target's ALPN offers, it takes no WebSockets over HTTP/2. It keeps what was spoken.
fn target(ca: &Authority, alpn: &[&[u8]]) -> (Peer, Spoken) {
    let cert = CertificateDer::from_pem_file(ca.path("chat.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(ca.path("chat.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let config = Arc::new(config);
    let spoken = Spoken::default();
    let kept = Arc::clone(&spoken);
    let peer = Peer::start(move |tcp| {
        let _ = talk(tcp, &config, &kept);
    });
    (peer, spoken)
}

/// Ends when the peer does, whatever way.
fn talk(mut tcp: TcpStream, config: &Arc<ServerConfig>, kept: &Spoken) -> std::io::Result<()> {
    let connection = ServerConnection::new(Arc::clone(config));
    let mut connection = connection.map_err(std::io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut tcp)?;
    }
    let alpn = connection.alpn_protocol().unwrap_or_default().to_vec();
    kept.lock().unwrap().push(alpn.clone());
    let mut stream = StreamOwned::new(connection, tcp);
    if alpn != b"h2" {
        if let Ok(socket) = tungstenite::accept(stream) {
            serve(socket);
        }
        return Ok(());
    }
    stream.write_all(b"\0\0\0\x04\0\0\0\0\0")?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(())
}

#[test]
fn a_target_that_agreed_on_http2_alone_is_asked_to_agree_on_http1() {
    let ca = Authority::new();
    ca.issue("chat", &["127.0.0.1"]);
    let (peer, spoken) = target(&ca, &[b"h2", b"http/1.1"]);
    let upstream = format!("protocol: h2, tls: {{ ca: {} }}", ca.path("ca.pem"));
    let config = Config::at(peer.addr(), &upstream);
    let gateway = Gateway::start(&config.yaml().replace("http://", "https://"));
    says(&mut open(gateway.addr()), Message::text("from HTTP/1"));
    says(&mut open_h2(gateway.addr()), Message::text("from HTTP/2"));
    let spoken = spoken.lock().unwrap().clone();
    assert_eq!(spoken, [&b"h2"[..], b"http/1.1", b"http/1.1"]);
}

#[test]
fn a_target_of_http1_behind_tls_is_asked_over_tls() {
    let ca = Authority::new();
    ca.issue("chat", &["127.0.0.1"]);
    let (peer, spoken) = target(&ca, &[b"http/1.1"]);
    let upstream = format!("tls: {{ ca: {} }}", ca.path("ca.pem"));
    let config = Config::at(peer.addr(), &upstream);
    let gateway = Gateway::start(&config.yaml().replace("http://", "https://"));
    let mut socket = open_h2(gateway.addr());
    says(&mut socket, Message::binary(vec![7u8; 1_000_000]));
    assert_eq!(spoken.lock().unwrap().as_slice(), [b"http/1.1"]);
}
