//! A client on the `h2` crate, which keeps the rules; what breaks them is `portway_testkit::frames`.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::request::Builder;
use http::{HeaderMap, Request};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// How long anything may take before it counts as not happening.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A whole reply.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The `code` of a problem document.
    #[track_caller]
    pub fn code(&self) -> String {
        let text = self.text();
        let rest = text.split("\"code\":\"").nth(1);
        let code = rest.and_then(|rest| rest.split('"').next());
        code.unwrap_or_else(|| panic!("no code in {text}"))
            .to_owned()
    }
}

pub fn get(target: &str) -> Builder {
    Request::get(format!("http://test.example{target}"))
}

pub fn post(target: &str) -> Builder {
    Request::post(format!("http://test.example{target}"))
}

/// A connection with the runtime it lives on.
pub struct Client {
    runtime: Runtime,
    pub requests: SendRequest<Bytes>,
}

impl Client {
    #[track_caller]
    pub fn connect(addr: SocketAddr) -> Client {
        Client::with(addr, &h2::client::Builder::new())
    }

    /// Connects with other settings than the usual ones.
    #[track_caller]
    pub fn with(addr: SocketAddr, settings: &h2::client::Builder) -> Client {
        // A thread of its own, so that the connection lives on while the test waits for others.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let requests = runtime.block_on(async {
            let stream = TcpStream::connect(addr).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (requests, connection) = settings.handshake(stream).await.unwrap();
            runtime.spawn(async move {
                let _ = connection.await; // its streams tell how it ended
            });
            requests
        });
        Client { runtime, requests }
    }

    /// One request on a connection of its own.
    #[track_caller]
    pub fn ask(addr: SocketAddr, request: Builder) -> Reply {
        Client::connect(addr).send(request, b"")
    }

    /// Sends a request with this body, and reads the whole reply.
    #[track_caller]
    pub fn send(&mut self, request: Builder, body: &'static [u8]) -> Reply {
        let (reply, mut out) = self.begin(request, body.is_empty());
        self.run(async {
            if !body.is_empty() {
                send_all(&mut out, Bytes::from_static(body), true)
                    .await
                    .unwrap();
            }
            read(reply).await.unwrap()
        })
    }

    /// Sends a request's head.
    #[track_caller]
    pub fn begin(&mut self, request: Builder, ends: bool) -> (ResponseFuture, SendStream<Bytes>) {
        let request = request.body(()).unwrap();
        let mut requests = self.requests.clone();
        self.run(async move {
            std::future::poll_fn(|cx| requests.poll_ready(cx))
                .await
                .unwrap();
            requests.send_request(request, ends).unwrap()
        })
    }

    /// Runs something on the connection's runtime, for so long at most.
    #[track_caller]
    pub fn run<T>(&self, task: impl Future<Output = T>) -> T {
        let limited = async { tokio::time::timeout(TIMEOUT, task).await };
        self.runtime.block_on(limited).expect("done in time")
    }
}

/// Sends octets as the gateway makes room for them.
pub async fn send_all(
    out: &mut SendStream<Bytes>,
    mut data: Bytes,
    ends: bool,
) -> Result<(), h2::Error> {
    while !data.is_empty() {
        out.reserve_capacity(data.len());
        let room = match std::future::poll_fn(|cx| out.poll_capacity(cx)).await {
            Some(room) => room?,
            None => return Err(h2::Reason::CANCEL.into()),
        };
        let piece = data.split_to(room.min(data.len()));
        out.send_data(piece, ends && data.is_empty())?;
    }
    Ok(())
}

/// Reads a whole reply.
pub async fn read(reply: ResponseFuture) -> Result<Reply, h2::Error> {
    let (head, mut body) = reply.await?.into_parts();
    let mut octets = Vec::new();
    while let Some(data) = next(&mut body).await {
        octets.extend_from_slice(&data?);
    }
    let trailers = body.trailers().await?;
    Ok(Reply {
        status: head.status.as_u16(),
        headers: head.headers,
        body: octets,
        trailers,
    })
}

/// The next octets of a body, for which room is made again.
pub async fn next(body: &mut RecvStream) -> Option<Result<Bytes, h2::Error>> {
    let data = body.data().await?;
    if let Ok(data) = &data {
        let _ = body.flow_control().release_capacity(data.len());
    }
    Some(data)
}
