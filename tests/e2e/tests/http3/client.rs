//! A client on the `h3` crate, and one that writes octets onto QUIC streams itself, to break the rules.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use h3::client::{RequestStream, SendRequest};
use h3::error::StreamError;
use http::request::Builder;
use http::{Request, Response};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint};
use tokio::runtime::Runtime;

pub use crate::http2::client::Reply;
use crate::tls::Authority;
use crate::tls::client::Wishes;

/// How long anything may take before it counts as not happening.
const TIMEOUT: Duration = Duration::from_secs(20);

pub type Stream = RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>;
pub type Requests = SendRequest<h3_quinn::OpenStreams, Bytes>;

pub fn get(target: &str) -> Builder {
    Request::get(format!("https://a.example{target}"))
}

pub fn post(target: &str) -> Builder {
    Request::post(format!("https://a.example{target}"))
}

/// A QUIC connection with the runtime it lives on.
pub struct Quic {
    runtime: Runtime,
    pub connection: Connection,
    endpoint: Endpoint,
}

impl Quic {
    /// Connects as a client of HTTP/3.
    #[track_caller]
    pub fn connect(addr: SocketAddr, ca: &Authority) -> Quic {
        Quic::try_connect(addr, "a.example", &Wishes::of(ca), "h3")
            .unwrap_or_else(|error| panic!("{error}"))
    }

    pub fn try_connect(
        addr: SocketAddr,
        host: &str,
        wishes: &Wishes,
        alpn: &str,
    ) -> Result<Quic, quinn::ConnectionError> {
        // A thread of its own, so that the connection lives on while the test waits for others.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mut tls = wishes.0.clone();
        tls.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        let crypto = QuicClientConfig::try_from(tls).unwrap();
        let connected = runtime.block_on(async {
            let own: IpAddr = match addr {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            };
            let mut endpoint = Endpoint::client((own, 0).into()).unwrap();
            endpoint.set_default_client_config(ClientConfig::new(Arc::new(crypto)));
            let connecting = endpoint.connect(addr, host).unwrap();
            let connection = tokio::time::timeout(TIMEOUT, connecting)
                .await
                .expect("an answer")?;
            Ok((connection, endpoint))
        });
        connected.map(|(connection, endpoint)| Quic {
            runtime,
            connection,
            endpoint,
        })
    }

    /// Runs something on the connection's runtime, for so long at most.
    #[track_caller]
    pub fn run<T>(&self, task: impl Future<Output = T>) -> T {
        let limited = async { tokio::time::timeout(TIMEOUT, task).await };
        self.runtime.block_on(limited).expect("done in time")
    }

    /// Closes it, and waits until that is on its way.
    pub fn leave(self) {
        self.connection.close(0x100u32.into(), b"");
        self.run(self.endpoint.wait_idle());
    }

    /// The code that the gateway has closed the connection with.
    #[track_caller]
    pub fn closed_with(&self) -> u64 {
        match self.run(self.connection.closed()) {
            quinn::ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
            other => panic!("{other}"),
        }
    }
}

/// An HTTP/3 connection.
pub struct Client {
    pub quic: Quic,
    pub requests: Requests,
}

impl Client {
    #[track_caller]
    pub fn connect(addr: SocketAddr, ca: &Authority) -> Client {
        Client::over(Quic::connect(addr, ca))
    }

    #[track_caller]
    pub fn over(quic: Quic) -> Client {
        let over = h3_quinn::Connection::new(quic.connection.clone());
        let (mut driver, requests) = quic.run(h3::client::new(over)).unwrap();
        quic.runtime.spawn(async move {
            let _ = std::future::poll_fn(|cx| driver.poll_close(cx)).await; // streams tell how it ended
        });
        Client { quic, requests }
    }

    /// One request on a connection of its own.
    #[track_caller]
    pub fn ask(addr: SocketAddr, ca: &Authority, request: Builder) -> Reply {
        Client::connect(addr, ca).send(request, b"")
    }

    /// Sends a request with this body, and reads the whole reply.
    #[track_caller]
    pub fn send(&mut self, request: Builder, body: &'static [u8]) -> Reply {
        let mut requests = self.requests.clone();
        let sent = self.quic.run(async move {
            let mut stream = requests.send_request(request.body(()).unwrap()).await?;
            if !body.is_empty() {
                stream.send_data(Bytes::from_static(body)).await?;
            }
            // What was answered before its end was waved off.
            let _ = stream.finish().await;
            read(&mut stream).await
        });
        sent.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Sends a request's head.
    #[track_caller]
    pub fn begin(&mut self, request: Builder) -> Stream {
        let request = request.body(()).unwrap();
        let sent = self.quic.run(self.requests.send_request(request));
        sent.unwrap_or_else(|error| panic!("{error}"))
    }

    #[track_caller]
    pub fn run<T>(&self, task: impl Future<Output = T>) -> T {
        self.quic.run(task)
    }
}

/// The reply's head, past informational ones.
pub async fn head(stream: &mut Stream) -> Result<Response<()>, StreamError> {
    loop {
        let head = stream.recv_response().await?;
        if !head.status().is_informational() {
            return Ok(head);
        }
    }
}

/// Reads a whole reply.
pub async fn read(stream: &mut Stream) -> Result<Reply, StreamError> {
    let (head, ()) = head(stream).await?.into_parts();
    let mut body = Vec::new();
    while let Some(mut data) = stream.recv_data().await? {
        body.extend_from_slice(&data.copy_to_bytes(data.remaining()));
    }
    Ok(Reply {
        status: head.status.as_u16(),
        headers: head.headers,
        body,
        trailers: stream.recv_trailers().await?,
    })
}

/// GET https://a.example/ as a HEADERS frame.
pub const HEAD: &[u8] = b"\x01\x10\x00\x00\xd1\xd7\xc1\x50\x09a.example";
/// The same for POST.
pub const POST: &[u8] = b"\x01\x10\x00\x00\xd4\xd7\xc1\x50\x09a.example";

/// A frame of this type.
pub fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap() | 0x4000;
    [&[kind][..], &length.to_be_bytes(), payload].concat()
}

/// What comes on a stream that these octets were sent on, then its end: octets, or the code it is reset
/// with.
pub async fn exchange(connection: &Connection, octets: &[u8]) -> Result<Vec<u8>, u64> {
    let (mut send, mut receive) = connection.open_bi().await.map_err(|_| 0u64)?;
    let _ = send.write_all(octets).await;
    let _ = send.finish();
    all(&mut receive).await
}

/// What comes on a stream.
pub async fn all(receive: &mut quinn::RecvStream) -> Result<Vec<u8>, u64> {
    let read = receive.read_to_end(1 << 20).await;
    read.map_err(|error| match error {
        quinn::ReadToEndError::Read(quinn::ReadError::Reset(code)) => code.into_inner(),
        quinn::ReadToEndError::Read(quinn::ReadError::ConnectionLost(
            quinn::ConnectionError::ApplicationClosed(close),
        )) => close.error_code.into_inner(),
        other => panic!("{other}"),
    })
}

/// Opens the control stream and says what must be said on it.
pub async fn settle(connection: &Connection) -> quinn::SendStream {
    let mut control = connection.open_uni().await.unwrap();
    control.write_all(&[0, 4, 0]).await.unwrap();
    control
}

/// The status in a reply's octets, if its head begins with one of the static table.
pub fn status(reply: &[u8]) -> Option<u16> {
    let length = match reply.get(1)? >> 6 {
        0 => 1,
        1 => 2,
        _ => 4,
    };
    let line = reply.get(1 + length + 2..)?;
    let table = [
        (63, 100),
        (64, 204),
        (65, 206),
        (66, 302),
        (67, 400),
        (68, 403),
        (69, 421),
        (70, 425),
        (71, 500),
    ];
    match line {
        [0xd9, ..] => Some(200),
        [0xdb, ..] => Some(404),
        // Larger indices than the prefix has room for.
        [0xff, rest, ..] => table
            .iter()
            .find(|(at, _)| at - 63 == *rest)
            .map(|(_, status)| *status),
        _ => None,
    }
}

/// Whether a client with these wishes would send early data, by the tickets it has.
pub fn early(addr: SocketAddr, wishes: &Wishes) -> bool {
    let mut tls = wishes.0.clone();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let crypto = Arc::new(QuicClientConfig::try_from(tls).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        endpoint.set_default_client_config(ClientConfig::new(crypto));
        endpoint
            .connect(addr, "a.example")
            .unwrap()
            .into_0rtt()
            .is_ok()
    })
}

/// The first packets of so many clients, each of which would begin a handshake.
pub fn greetings(count: usize, ca: &Authority) -> Vec<Vec<u8>> {
    let mut tls = Wishes::of(ca).0;
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let crypto = Arc::new(QuicClientConfig::try_from(tls).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let server = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        endpoint.set_default_client_config(ClientConfig::new(crypto));
        let mut greetings: Vec<Vec<u8>> = Vec::new();
        let mut connecting = Vec::new();
        let mut packet = vec![0; 2048];
        while greetings.len() < count {
            connecting.push(
                endpoint
                    .connect(server.local_addr().unwrap(), "a.example")
                    .unwrap(),
            );
            let known = greetings.len();
            while greetings.len() == known {
                let length = server.recv(&mut packet).await.unwrap();
                // By the connection's id: a handshake begins with more than one packet.
                let id = &packet[6..6 + usize::from(packet[5])];
                if !greetings.iter().any(|g| g[6..].starts_with(id)) {
                    greetings.push(packet[..length].to_vec());
                }
            }
        }
        greetings
    })
}
