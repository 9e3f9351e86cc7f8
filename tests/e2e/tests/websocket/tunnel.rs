//! A client's end of a WebSocket over one stream of HTTP/2.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use bytes::{Buf, Bytes};
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::request::Builder;
use http::{HeaderMap, Request};
use tungstenite::WebSocket;
use tungstenite::protocol::Role;

use crate::http2::client::{Client, next, send_all};

/// A tunnel on a stream, as a blocking connection.
pub struct Tunnel {
    pub client: Client,
    pub send: SendStream<Bytes>,
    pub receive: RecvStream,
    came: Bytes,
}

impl Read for Tunnel {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.came.is_empty() {
            match self.client.run(next(&mut self.receive)) {
                Some(data) => self.came = data.map_err(io::Error::other)?,
                None => return Ok(0),
            }
        }
        let taken = buf.len().min(self.came.len());
        self.came.copy_to_slice(&mut buf[..taken]);
        Ok(taken)
    }
}

impl Write for Tunnel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = send_all(&mut self.send, Bytes::copy_from_slice(bytes), false);
        self.client.run(sent).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An extended CONNECT for this protocol.
pub fn connect_for(protocol: &'static str, target: &str) -> Builder {
    Request::builder()
        .method("CONNECT")
        .uri(format!("http://test.example{target}"))
        .extension(Protocol::from_static(protocol))
        .header("sec-websocket-version", "13")
}

pub fn tunnel_of(mut client: Client, request: Builder) -> (HeaderMap, Tunnel) {
    let (reply, send) = client.begin(request, false);
    let (head, receive) = client.run(reply).expect("a reply").into_parts();
    assert_eq!(head.status, 200);
    let tunnel = Tunnel {
        client,
        send,
        receive,
        came: Bytes::new(),
    };
    (head.headers, tunnel)
}

pub fn open_h2(addr: SocketAddr) -> WebSocket<Tunnel> {
    let (headers, tunnel) = tunnel_of(Client::connect(addr), connect_for("websocket", "/chat"));
    assert!(!headers.contains_key("sec-websocket-accept"), "{headers:?}");
    assert!(!headers.contains_key("upgrade"), "{headers:?}");
    WebSocket::from_raw_socket(tunnel, Role::Client, None)
}
