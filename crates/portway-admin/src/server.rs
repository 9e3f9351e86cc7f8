//! Accepting operators' calls.
//!
//! Must hold: a bounded number of connections, a deadline on every head and body, a limit on every
//! body; a socket that fails to accept is tried again.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use portway_config::Secret;
use portway_core::limits::ACCEPT_BACKOFF;
use portway_net::BindError;
use portway_net::listen::{ListenOptions, Present, bind_unix, bind_workers};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::api::Api;
use crate::gate::Door;
use crate::operations::Operations;

/// Operators' connections at once: people and scrapers, not traffic.
const CONNECTIONS_MAX: usize = 64;
/// A head must be complete by then; an idle connection is closed after it too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// A head, bytes. hyper asks for 8 KiB at least.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long one connection may last. Bounds a caller that reads its answer octet by octet.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(600);

/// A socket on which operators call.
#[derive(Debug)]
pub enum AdminListener {
    /// A TCP address.
    Tcp(std::net::TcpListener),
    /// A unix socket.
    Unix(std::os::unix::net::UnixListener),
}

impl AdminListener {
    /// Listens on a TCP address.
    ///
    /// # Errors
    /// [`BindError`], with the address.
    pub fn tcp(addr: SocketAddr) -> Result<AdminListener, BindError> {
        let mut sockets = bind_workers(addr, 1, ListenOptions::default())?;
        let socket = sockets.pop().expect("one socket for one worker");
        Ok(AdminListener::Tcp(socket))
    }

    /// Listens on a unix socket that only this user can reach.
    ///
    /// # Errors
    /// [`BindError`], with the path.
    pub fn unix(path: &Path, present: Present) -> Result<AdminListener, BindError> {
        bind_unix(path, present).map(AdminListener::Unix)
    }

    /// Its address, if it is no unix socket.
    #[must_use]
    pub fn addr(&self) -> Option<SocketAddr> {
        match self {
            AdminListener::Tcp(socket) => socket.local_addr().ok(),
            AdminListener::Unix(_) => None,
        }
    }

    /// Where it listens, as text.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            AdminListener::Tcp(_) => {
                let addr = self.addr();
                let addr = addr.map_or_else(|| "?".to_owned(), |addr| addr.to_string());
                format!("http://{addr}")
            }
            AdminListener::Unix(socket) => {
                let addr = socket.local_addr().ok();
                let path = addr.as_ref().and_then(|addr| addr.as_pathname());
                path.map_or_else(
                    || "unix socket".to_owned(),
                    |path| path.display().to_string(),
                )
            }
        }
    }
}

/// Answers operators until it is dropped. `token` is asked of every caller, if there is one.
///
/// # Errors
/// If the socket cannot be used with this runtime.
pub async fn serve(
    listener: AdminListener,
    token: Option<Secret>,
    operations: Arc<dyn Operations>,
) -> io::Result<()> {
    match listener {
        AdminListener::Tcp(socket) => {
            let bound = socket.local_addr()?.ip();
            socket.set_nonblocking(true)?;
            let socket = Arc::new(tokio::net::TcpListener::from_std(socket)?);
            let api = Api::new(Door::Tcp(bound), token, operations);
            accept(api, move || {
                let socket = Arc::clone(&socket);
                async move { socket.accept().await.map(|(stream, _)| stream) }
            })
            .await
        }
        AdminListener::Unix(socket) => {
            socket.set_nonblocking(true)?;
            let socket = Arc::new(tokio::net::UnixListener::from_std(socket)?);
            let api = Api::new(Door::Unix, token, operations);
            accept(api, move || {
                let socket = Arc::clone(&socket);
                async move { socket.accept().await.map(|(stream, _)| stream) }
            })
            .await
        }
    }
}

async fn accept<S, F>(api: Api, next: impl Fn() -> F) -> io::Result<()>
where
    F: Future<Output = io::Result<S>>,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let api = Arc::new(api);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let place = Arc::clone(&places)
            .acquire_owned()
            .await
            .map_err(io::Error::other)?;
        let stream = tokio::select! {
            stream = next() => stream,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        match stream {
            Ok(stream) => {
                let api = Arc::clone(&api);
                connections.spawn(async move {
                    let _place = place;
                    let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection(api, stream)).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept an operator's connection");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

fn connection<S>(api: Arc<Api>, stream: S) -> impl Future<Output = ()> + Send
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let api = Arc::clone(&api);
        async move { Ok::<_, Infallible>(api.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "an operator's connection ended");
        }
    }
}
