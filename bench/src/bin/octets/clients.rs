//! Connections of every protocol, behind one way to ask and one way to read.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use fastrand::Rng;
use h3_quinn::OpenStreams;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use portway_bench::anyone;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint, TransportConfig, VarInt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tungstenite::handshake::client::generate_key;

use crate::asked::{Asked, KEY, Octets, SAID, Shape};
use crate::local::Local;

/// Windows and socket buffers of clients: what a slow one leaves unread waits in the gateway.
const WINDOWS: [u32; 4] = [1000, 16_384, 65_535, 1 << 20];
/// A smaller one makes TCP itself wait for its timers, with segments of 64 KiB.
const SMALLEST_BUFFER_BYTES: u32 = 128 * 1024;
/// Whatever gives no octet for so long hangs.
const LONGEST: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http1Tls,
    Http2,
    Http2Tls,
    Http3,
    /// HTTP/1 with many requests at once.
    Pipelined,
    WebSocket,
}

pub const PROTOCOLS: [(&str, Protocol); 7] = [
    ("h1", Protocol::Http1),
    ("h1-tls", Protocol::Http1Tls),
    ("h2", Protocol::Http2),
    ("h2-tls", Protocol::Http2Tls),
    ("h3", Protocol::Http3),
    ("pipelined", Protocol::Pipelined),
    ("websocket", Protocol::WebSocket),
];

#[derive(Clone)]
pub struct Place {
    pub protocol: Protocol,
    pub port: u16,
    /// Of paths: what leads to the target.
    pub prefix: String,
}

impl Place {
    pub fn path(&self, asked: &Asked) -> String {
        format!("{}/{asked}", self.prefix)
    }

    pub fn url(&self, asked: &Asked) -> String {
        let scheme = match self.protocol {
            Protocol::Http1Tls | Protocol::Http2Tls | Protocol::Http3 => "https",
            _ => "http",
        };
        format!("{scheme}://localhost:{}{}", self.port, self.path(asked))
    }

    /// A connection with a receive buffer of any size.
    pub async fn tcp(&self, rng: &mut Rng) -> Result<TcpStream, String> {
        let socket = TcpSocket::new_v4().map_err(told)?;
        let size = WINDOWS[rng.usize(..WINDOWS.len())];
        let size = size.max(SMALLEST_BUFFER_BYTES);
        socket.set_recv_buffer_size(size).map_err(told)?;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let stream = socket.connect(addr).await.map_err(told)?;
        stream.set_nodelay(true).map_err(told)?;
        Ok(stream)
    }

    pub async fn connect(&self, rng: &mut Rng) -> Result<Sender, String> {
        match self.protocol {
            Protocol::Http1 | Protocol::Pipelined | Protocol::WebSocket => {
                one(self.tcp(rng).await?).await
            }
            Protocol::Http1Tls => one(self.tls(b"http/1.1", rng).await?).await,
            Protocol::Http2 => two(self.tcp(rng).await?, rng).await,
            Protocol::Http2Tls => two(self.tls(b"h2", rng).await?, rng).await,
            Protocol::Http3 => self.three(rng).await,
        }
    }

    async fn tls(
        &self,
        alpn: &[u8],
        rng: &mut Rng,
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + use<>, String> {
        let config = anyone::config(alpn).map_err(told)?;
        let name = ServerName::try_from("localhost").map_err(told)?;
        let tcp = self.tcp(rng).await?;
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, tcp).await.map_err(told)
    }

    async fn three(&self, rng: &mut Rng) -> Result<Sender, String> {
        let tls = anyone::config(b"h3").map_err(told)?;
        let mut config =
            ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).map_err(told)?));
        let mut transport = TransportConfig::default();
        transport.stream_receive_window(VarInt::from_u32(WINDOWS[rng.usize(..WINDOWS.len())]));
        config.transport_config(Arc::new(transport));
        let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).map_err(told)?;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let connecting = endpoint.connect_with(config, addr, "localhost");
        let connection = connecting.map_err(told)?.await.map_err(told)?;
        let over = h3_quinn::Connection::new(connection);
        let (mut driver, requests) = h3::client::new(over).await.map_err(told)?;
        tokio::task::spawn_local(async move { driver.wait_idle().await });
        Ok(Sender::Three(requests))
    }
}

async fn one(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<Sender, String> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(told)?;
    tokio::task::spawn_local(connection.with_upgrades());
    Ok(Sender::One(sender))
}

async fn two(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    rng: &mut Rng,
) -> Result<Sender, String> {
    let (sender, connection) = http2::Builder::new(Local)
        .initial_stream_window_size(WINDOWS[rng.usize(..WINDOWS.len())])
        .initial_connection_window_size(WINDOWS[rng.usize(..WINDOWS.len())])
        .handshake(TokioIo::new(stream))
        .await
        .map_err(told)?;
    tokio::task::spawn_local(connection);
    Ok(Sender::Two(sender))
}

/// A connection to ask over.
pub enum Sender {
    One(http1::SendRequest<Octets>),
    Two(http2::SendRequest<Octets>),
    Three(h3::client::SendRequest<OpenStreams, Bytes>),
}

impl Sender {
    /// For another stream of the same connection, if its protocol has streams.
    pub fn another(&self) -> Option<Sender> {
        match self {
            Sender::One(_) => None,
            Sender::Two(sender) => Some(Sender::Two(sender.clone())),
            Sender::Three(sender) => Some(Sender::Three(sender.clone())),
        }
    }

    /// Whether another request may be sent.
    pub async fn ready(&mut self) -> bool {
        match self {
            Sender::One(sender) => sender.ready().await.is_ok(),
            Sender::Two(sender) => sender.ready().await.is_ok(),
            Sender::Three(_) => true,
        }
    }

    /// Sends the request and waits for the reply's head.
    pub async fn ask(&mut self, place: &Place, asked: &Asked) -> Result<Reply, Unasked> {
        let tunnel = asked.shape == Shape::Tunnel;
        let sent = if tunnel { 0 } else { asked.sent };
        let body = Asked { sent, ..*asked }.request();
        let method = if sent > 0 { Method::PUT } else { Method::GET };
        let mut request = Request::builder().method(method);
        if tunnel {
            request = request
                .header(header::CONNECTION, "upgrade")
                .header(header::UPGRADE, "websocket")
                .header(header::SEC_WEBSOCKET_VERSION, "13")
                .header(header::SEC_WEBSOCKET_KEY, generate_key());
        }
        request = if matches!(self, Sender::One(_)) {
            request
                .uri(place.path(asked))
                .header(header::HOST, "localhost")
        } else {
            request.uri(place.url(asked))
        };
        match self {
            Sender::One(sender) => {
                let request = request.body(body).map_err(Unasked::told)?;
                let reply = soon(sender.try_send_request(request)).await;
                let reply = reply.map_err(Unasked::hangs)?;
                Ok(Reply::hyper(reply.map_err(Unasked::hyper)?))
            }
            Sender::Two(sender) => {
                let request = request.body(body).map_err(Unasked::told)?;
                let reply = soon(sender.try_send_request(request)).await;
                let reply = reply.map_err(Unasked::hangs)?;
                Ok(Reply::hyper(reply.map_err(Unasked::hyper)?))
            }
            Sender::Three(sender) => three_asks(sender, request, body).await,
        }
    }
}

async fn three_asks(
    sender: &mut h3::client::SendRequest<OpenStreams, Bytes>,
    mut request: http::request::Builder,
    mut body: Octets,
) -> Result<Reply, Unasked> {
    if let Some(length) = body.told() {
        request = request.header(header::CONTENT_LENGTH, length);
    }
    let request = request.body(()).map_err(Unasked::told)?;
    let mut stream = sender.send_request(request).await.map_err(Unasked::told)?;
    loop {
        let Some(piece) = body.piece() else {
            // As below.
            let _ = stream.finish().await;
            break;
        };
        let sent = soon(stream.send_data(piece)).await;
        // Whoever is answered early may stop reading: the reply tells. To finish such a stream would end the
        // connection, in this library.
        if sent.map_err(Unasked::hangs)?.is_err() {
            break;
        }
    }
    let head = soon(stream.recv_response()).await;
    let head = head.map_err(Unasked::hangs)?.map_err(Unasked::told)?;
    let (head, ()) = head.into_parts();
    let body = Body::Three(Box::new(stream));
    Ok(Reply { head, body })
}

/// Why there is no reply.
pub struct Unasked {
    /// The connection had ended before: nothing was sent.
    pub unsent: bool,
    pub why: String,
}

impl Unasked {
    fn hangs(why: String) -> Unasked {
        Unasked { unsent: false, why }
    }

    fn told(error: impl std::error::Error) -> Unasked {
        Unasked {
            unsent: false,
            why: told(error),
        }
    }

    fn hyper<T>(mut error: hyper::client::conn::TrySendError<T>) -> Unasked {
        Unasked {
            unsent: error.take_message().is_some(),
            why: told(error.into_error()),
        }
    }
}

pub struct Reply {
    head: http::response::Parts,
    body: Body,
}

enum Body {
    Hyper(Incoming),
    Three(Box<h3::client::RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>>),
}

impl Reply {
    fn hyper(reply: http::Response<Incoming>) -> Reply {
        let (head, body) = reply.into_parts();
        let body = Body::Hyper(body);
        Reply { head, body }
    }

    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    fn field(&self, name: &str) -> &str {
        let value = self.head.headers.get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    pub fn key(&self) -> &str {
        self.field(KEY)
    }

    pub fn said(&self) -> &str {
        self.field(SAID)
    }

    /// The next octets; `None` at the end of the whole reply.
    pub async fn next(&mut self) -> Option<Result<Bytes, String>> {
        soon(self.piece())
            .await
            .unwrap_or_else(|why| Some(Err(why)))
    }

    async fn piece(&mut self) -> Option<Result<Bytes, String>> {
        match &mut self.body {
            Body::Hyper(body) => loop {
                match body.frame().await? {
                    Ok(frame) => {
                        if let Ok(data) = frame.into_data() {
                            return Some(Ok(data));
                        }
                    }
                    Err(error) => return Some(Err(told(error))),
                }
            },
            Body::Three(stream) => match stream.recv_data().await {
                Ok(data) => data.map(|mut data| Ok(data.copy_to_bytes(data.remaining()))),
                Err(error) => Some(Err(told(error))),
            },
        }
    }

    /// What follows an upgrade.
    pub async fn upgraded(self) -> Result<impl AsyncRead + AsyncWrite, String> {
        let Body::Hyper(body) = self.body else {
            return Err("only HTTP/1 upgrades".into());
        };
        let mut reply = http::Response::from_parts(self.head, body);
        let upgraded = hyper::upgrade::on(&mut reply).await.map_err(told)?;
        Ok(TokioIo::new(upgraded))
    }
}

/// # Errors
/// That nothing happens.
pub async fn soon<T>(what: impl Future<Output = T>) -> Result<T, String> {
    let done = tokio::time::timeout(LONGEST, what).await;
    done.map_err(|_| format!("hangs: nothing for {LONGEST:?}"))
}

/// An error with its causes.
pub fn told(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
