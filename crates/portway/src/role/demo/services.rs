//! The demo's sample services.
//!
//! Must hold: they run on one thread of their own, and end with the value that started them.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

use super::config::Ports;

/// How long the slow service waits if it is not told.
const SLOW: Duration = Duration::from_millis(500);
/// And at most.
const SLOW_MAX: Duration = Duration::from_secs(60);
/// Connections to one service at once.
const CONNECTIONS_MAX: usize = 1024;

/// Where the services listen.
pub struct Sockets {
    pub users: [TcpListener; 2],
    pub slow: TcpListener,
    pub flaky: TcpListener,
}

impl Sockets {
    /// Their ports, with the other two from `usual`.
    pub fn ports(&self, usual: &Ports) -> io::Result<Ports> {
        let port = |socket: &TcpListener| socket.local_addr().map(|addr| addr.port());
        Ok(Ports {
            users: [port(&self.users[0])?, port(&self.users[1])?],
            slow: port(&self.slow)?,
            flaky: port(&self.flaky)?,
            ..*usual
        })
    }
}

/// The running services.
pub struct Services {
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// One of them.
#[derive(Clone)]
enum Service {
    Users(&'static str),
    Slow,
    /// Whether it fails.
    Flaky(Arc<AtomicBool>),
}

impl Services {
    /// Starts them.
    pub fn start(sockets: Sockets) -> io::Result<Services> {
        let [first, second] = sockets.users;
        let all = [
            (first, Service::Users("first")),
            (second, Service::Users("second")),
            (sockets.slow, Service::Slow),
            (sockets.flaky, Service::Flaky(Arc::default())),
        ];
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (end, ended) = oneshot::channel();
        let mut tasks = JoinSet::new();
        for (socket, service) in all {
            socket.set_nonblocking(true)?;
            let _inside = runtime.enter();
            let socket = tokio::net::TcpListener::from_std(socket)?;
            tasks.spawn_on(accept(socket, service), runtime.handle());
        }
        let thread = std::thread::Builder::new()
            .name("services".to_owned())
            .spawn(move || {
                // Told to end, or the sender is gone: the same.
                let _ = runtime.block_on(ended);
                drop(tasks);
            })?;
        Ok(Services {
            end: Some(end),
            thread: Some(thread),
        })
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(socket: tokio::net::TcpListener, service: Service) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = socket.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let service = service.clone();
        let answer = service_fn(move |request| {
            let service = service.clone();
            async move { Ok::<_, Infallible>(service.answer(&request).await) }
        });
        connections.spawn(async move {
            let _place = place;
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new());
            // A client that broke off is no news here.
            let _ = server.serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

impl Service {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        match self {
            Service::Users(_) if path == "/health" => {
                reply(StatusCode::OK, "{\"status\":\"ok\"}\n".to_owned())
            }
            Service::Users(instance) => {
                let body =
                    serde_json::json!({ "service": "users", "instance": instance, "path": path });
                reply(StatusCode::OK, format!("{body}\n"))
            }
            Service::Slow => {
                let wait = request
                    .uri()
                    .query()
                    .and_then(wait)
                    .unwrap_or(SLOW)
                    .min(SLOW_MAX);
                tokio::time::sleep(wait).await;
                reply(
                    StatusCode::OK,
                    format!(
                        "{{\"service\":\"slow\",\"waited_ms\":{}}}\n",
                        wait.as_millis()
                    ),
                )
            }
            Service::Flaky(fails) => {
                match (request.method(), path) {
                    (&Method::POST, "/fail") => fails.store(true, Ordering::Relaxed),
                    (&Method::POST, "/heal") => fails.store(false, Ordering::Relaxed),
                    (_, _) if fails.load(Ordering::Relaxed) => {
                        let body = "{\"service\":\"flaky\",\"says\":\"I was told to fail\"}\n";
                        return reply(StatusCode::INTERNAL_SERVER_ERROR, body.to_owned());
                    }
                    _ => {}
                }
                let fails = fails.load(Ordering::Relaxed);
                reply(
                    StatusCode::OK,
                    format!("{{\"service\":\"flaky\",\"fails\":{fails}}}\n"),
                )
            }
        }
    }
}

/// `ms=250`.
fn wait(query: &str) -> Option<Duration> {
    let ms = query.split('&').find_map(|pair| pair.strip_prefix("ms="))?;
    ms.parse().ok().map(Duration::from_millis)
}

fn reply(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    reply.headers_mut().insert(http::header::CONTENT_TYPE, json);
    reply
}
