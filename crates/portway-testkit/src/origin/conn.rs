//! One connection of an origin: requests as they came, and replies as the handler wants them.

use std::fmt::Write as _;
use std::io::Result;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Shared, lock};
use crate::wire::{Fields, Head, Wire};

/// How long an origin's connection waits for the next request, and a handler for its peer.
const PATIENCE: Duration = Duration::from_secs(120);

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub struct RawRequest {
    /// Request line and fields.
    pub head: Head,
    /// The content, without chunk framing. Empty in a handler of [`super::Origin::start_early`].
    pub body: Vec<u8>,
    /// The body's bytes, chunk framing with them.
    pub raw_body: Vec<u8>,
    /// The size of each chunk, if chunked.
    pub chunks: Vec<usize>,
    /// Trailer fields.
    pub trailers: Fields,
    /// Which connection, from 1.
    pub connection: u64,
    /// Which request of its connection, from 1.
    pub number: u64,
}

impl RawRequest {
    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.head.word(0)
    }

    /// The request target.
    #[must_use]
    pub fn target(&self) -> &str {
        self.head.word(1)
    }

    /// `HTTP/1.1`, hopefully.
    #[must_use]
    pub fn version(&self) -> &str {
        self.head.word(2)
    }

    /// A field that is there at most once.
    ///
    /// # Panics
    /// If it is there more than once.
    #[must_use]
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.field(name)
    }

    /// Head and body, byte for byte.
    #[must_use]
    pub fn raw(&self) -> Vec<u8> {
        [&self.head.raw[..], &self.raw_body].concat()
    }

    /// The last path segment as a number, if it is one: `/delay/250`.
    #[must_use]
    pub fn last_number(&self) -> Option<u64> {
        let path = self.target().split('?').next().unwrap_or_default();
        path.rsplit('/').next()?.parse().ok()
    }
}

/// The connection a request came over. Sending never fails for the handler: if the peer is gone,
/// what is sent is lost and [`OriginConn::is_gone`] says so.
pub struct OriginConn {
    wire: Wire,
    gone: bool,
    ended: bool,
    /// The body of the current request has not been read.
    body_waits: bool,
}

impl OriginConn {
    /// Sends these bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        if !self.gone {
            self.gone = self.wire.send(bytes.as_ref()).is_err();
        }
    }

    /// A reply with a Content-Length. `fields` are whole lines: `["X-A: b"]`.
    pub fn reply(&mut self, status: u16, fields: &[&str], body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        let mut head = reply_head(status, fields);
        let _ = write!(head, "Content-Length: {}\r\n\r\n", body.len());
        let mut all = head.into_bytes();
        all.extend(body);
        self.send(all);
    }

    /// The head of a chunked reply.
    pub fn chunked_head(&mut self, status: u16, fields: &[&str]) {
        let head = reply_head(status, fields);
        self.send(head + "Transfer-Encoding: chunked\r\n\r\n");
    }

    /// One chunk; an empty one would end the body and is not sent.
    pub fn chunk(&mut self, data: impl AsRef<[u8]>) {
        let data = data.as_ref();
        if !data.is_empty() {
            let size = format!("{:x}\r\n", data.len());
            self.send([size.as_bytes(), data, b"\r\n"].concat());
        }
    }

    /// The end of a chunked body, with trailer lines.
    pub fn end_chunks(&mut self, trailers: &[&str]) {
        let trailers: String = trailers.iter().map(|line| format!("{line}\r\n")).collect();
        self.send(format!("0\r\n{trailers}\r\n"));
    }

    /// Reads the body of the current request, in a handler of [`super::Origin::start_early`].
    /// Empty if it breaks off, or was read.
    pub fn read_body(&mut self, request: &RawRequest) -> Vec<u8> {
        let mut read = request.clone();
        if !std::mem::take(&mut self.body_waits) || body(&mut self.wire, &mut read).is_err() {
            return Vec::new();
        }
        read.body
    }

    /// Reads and throws away what comes for this long.
    pub fn read_for(&mut self, time: Duration) {
        let _ = self.wire.wait_close(time);
    }

    /// Closes the connection after this reply, in order. Unread bytes make it a reset, as with any
    /// socket.
    pub fn close(&mut self) {
        self.wire.shutdown(Shutdown::Both);
        self.ended = true;
    }

    /// Closes the sending half only, and waits for the peer to close.
    pub fn half_close(&mut self) {
        self.wire.shutdown(Shutdown::Write);
        let _ = self.wire.wait_close(PATIENCE);
        self.ended = true;
    }

    /// Ends the connection with a reset.
    pub fn reset(&mut self) {
        self.wire.reset_on_close();
        self.ended = true;
    }

    /// Waits until the peer ends the connection, or the origin is stopped; whether it did within
    /// the time.
    pub fn wait_close(&mut self, timeout: Duration) -> bool {
        let closed = self.wire.wait_close(timeout).is_ok();
        self.gone |= closed;
        closed
    }

    /// Sends nothing until the peer gives up; what it sends meanwhile is read and thrown away.
    pub fn hang(&mut self) {
        self.wait_close(PATIENCE);
        self.ended = true;
    }

    /// Sending failed: the peer has ended the connection.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// The wire itself, for what is not offered here.
    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }
}

/// Status line and fields, without the empty line.
pub(super) fn reply_head(status: u16, fields: &[&str]) -> String {
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    for field in fields {
        let _ = write!(head, "{field}\r\n");
    }
    head
}

fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200 => "OK",
        204 => "No Content",
        304 => "Not Modified",
        404 => "Not Found",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Whatever",
    }
}

/// Serves a connection until it ends.
pub(super) fn serve(
    stream: TcpStream,
    connection: u64,
    bytes: Arc<Mutex<Vec<u8>>>,
    shared: &Shared,
) {
    let mut wire = Wire::new(stream);
    wire.record(bytes);
    wire.set_timeout(PATIENCE);
    let mut conn = OriginConn {
        wire,
        gone: false,
        ended: false,
        body_waits: false,
    };
    for number in 1.. {
        match next(&mut conn, shared, connection, number) {
            Ok(Some(request)) => {
                lock(&shared.seen).request(request.clone());
                let handler = Arc::clone(&lock(&shared.handler));
                handler(&request, &mut conn);
                if conn.body_waits {
                    conn.read_body(&request);
                }
                let close = request.head.all("connection");
                let close = close
                    .iter()
                    .any(|value| value.eq_ignore_ascii_case("close"));
                if conn.ended || conn.gone || close {
                    return;
                }
            }
            Ok(None) => return,
            Err(_) => {
                lock(&shared.seen).broken += 1;
                return;
            }
        }
    }
}

fn next(
    conn: &mut OriginConn,
    shared: &Shared,
    connection: u64,
    number: u64,
) -> Result<Option<RawRequest>> {
    let Some(head) = conn.wire.head()? else {
        return Ok(None);
    };
    let mut request = RawRequest {
        head,
        connection,
        number,
        ..RawRequest::default()
    };
    conn.body_waits = shared.early;
    if !shared.early {
        if request.head.all("expect") == ["100-continue"] {
            conn.send("HTTP/1.1 100 Continue\r\n\r\n");
        }
        body(&mut conn.wire, &mut request)?;
    }
    Ok(Some(request))
}

fn body(wire: &mut Wire, request: &mut RawRequest) -> Result<()> {
    // Taken as it is said: what a request with two lengths means is for the test to look at.
    if !request.head.all("transfer-encoding").is_empty() {
        let chunked = wire.chunked()?;
        request.body = chunked.body;
        request.raw_body = chunked.raw;
        request.chunks = chunked.sizes;
        request.trailers = chunked.trailers;
    } else if let Some(length) = request.head.all("content-length").first() {
        let length = length.parse();
        let length = length.map_err(|_| crate::wire::broken("Content-Length".to_owned()))?;
        request.body = wire.exactly(length)?;
        request.raw_body.clone_from(&request.body);
    }
    Ok(())
}
