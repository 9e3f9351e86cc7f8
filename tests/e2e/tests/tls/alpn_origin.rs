//! A TLS origin that speaks HTTP/2 or HTTP/1.1 as its clients and the test want it: answers with the
//! protocol's name. A GET of `/leave` over HTTP/2 is answered and followed by GOAWAY.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Response;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Authority;

type Tls = TlsStream<tokio::net::TcpStream>;

pub struct AlpnOrigin {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    /// What is picked from, the best first.
    speaks: Mutex<Vec<Vec<u8>>>,
    h1: AtomicUsize,
    h2: AtomicUsize,
    leave: Notify,
}

impl AlpnOrigin {
    pub fn start(ca: &Authority, speaks: &[&str]) -> AlpnOrigin {
        ca.issue("alpn", &["localhost"]);
        let cert = CertificateDer::from_pem_file(ca.path("alpn.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(ca.path("alpn.key")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_no_client_auth();
        let config = builder.with_single_cert(vec![cert], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            speaks: Mutex::default(),
            h1: AtomicUsize::new(0),
            h2: AtomicUsize::new(0),
            leave: Notify::new(),
        });
        let origin = AlpnOrigin {
            addr,
            shared: Arc::clone(&shared),
        };
        origin.set(speaks);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            LocalSet::new().block_on(&runtime, serve(listener, config, shared));
        });
        origin
    }

    fn set(&self, speaks: &[&str]) {
        let names = speaks.iter().map(|name| name.as_bytes().to_vec());
        *self.shared.speaks.lock().unwrap() = names.collect();
    }

    /// Speaks something else from now on, over new connections; the old ones are ended.
    pub fn change(&self, speaks: &[&str]) {
        self.set(speaks);
        self.shared.leave.notify_waiters();
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.addr.port())
    }

    /// Connections so far of HTTP/1.1 and HTTP/2.
    pub fn connections(&self) -> (usize, usize) {
        let count = |of: &AtomicUsize| of.load(Ordering::SeqCst);
        (count(&self.shared.h1), count(&self.shared.h2))
    }
}

async fn serve(listener: TcpListener, config: ServerConfig, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    while let Ok((tcp, _)) = listener.accept().await {
        let mut config = config.clone();
        config.alpn_protocols = shared.speaks.lock().unwrap().clone();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let shared = Arc::clone(&shared);
        spawn_local(async move {
            let Ok(stream) = acceptor.accept(tcp).await else {
                return;
            };
            let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let left = shared.leave.notified();
            if is_h2 {
                shared.h2.fetch_add(1, Ordering::SeqCst);
                h2(stream, left).await;
            } else {
                shared.h1.fetch_add(1, Ordering::SeqCst);
                tokio::select! {
                    () = h1(stream) => {}
                    () = left => {}
                }
            }
        });
    }
}

async fn h1(mut stream: Tls) {
    let mut read = Vec::new();
    loop {
        while !read.windows(4).any(|end| end == b"\r\n\r\n") {
            match stream.read_buf(&mut read).await {
                Ok(1..) => {}
                _ => return,
            }
        }
        read.clear();
        // Long enough for others to need connections of their own.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nh1";
        if stream.write_all(reply).await.is_err() {
            return;
        }
    }
}

async fn h2(stream: Tls, left: impl Future<Output = ()>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else {
        return;
    };
    let leave = Rc::new(Notify::new());
    let mut left = std::pin::pin!(left);
    let mut leaving = false;
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept() => accepted,
            () = &mut left, if !leaving => {
                leaving = true;
                connection.graceful_shutdown();
                continue;
            }
            () = leave.notified() => {
                connection.graceful_shutdown();
                continue;
            }
        };
        let Some(Ok((request, mut respond))) = accepted else {
            return;
        };
        let leave = Rc::clone(&leave);
        spawn_local(async move {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            if let Ok(mut body) = respond.send_response(Response::new(()), false) {
                let _ = body.send_data(Bytes::from_static(b"h2"), true);
            }
            if request.uri().path() == "/leave" {
                leave.notify_one();
            }
        });
    }
}
