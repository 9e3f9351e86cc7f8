//! A client that sends exactly the bytes it is given.
//!
//! Must hold: nothing is added, changed or held back; replies are read by their own framing and
//! kept as they came. Calls without `try_` panic at the test's line if it does not go as told.

use std::io::{Error, ErrorKind, Result};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::wait::TIMEOUT;
use crate::wire::{Fields, Head, Wire, broken};

/// How the end of a reply's body was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body by rule: to HEAD, 204, 304.
    None,
    /// Content-Length.
    Length,
    /// Transfer-Encoding: chunked.
    Chunked,
    /// The connection closed.
    Close,
}

/// One final reply.
#[derive(Clone, Debug)]
pub struct RawReply {
    /// The status code.
    pub status: u16,
    /// Status line and fields.
    pub head: Head,
    /// The content, without chunk framing.
    pub body: Vec<u8>,
    /// Trailer fields.
    pub trailers: Fields,
    /// How the body ended.
    pub framing: Framing,
    /// 1xx replies that came before.
    pub interim: Vec<Head>,
    /// Every byte of the final reply.
    pub raw: Vec<u8>,
}

impl RawReply {
    /// A field that is there at most once.
    ///
    /// # Panics
    /// If it is there more than once.
    #[must_use]
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.field(name)
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The reply, if its status is this.
    ///
    /// # Panics
    /// If it is not, with the reply.
    #[track_caller]
    pub fn expect_status(&self, status: u16) -> &RawReply {
        let raw = String::from_utf8_lossy(&self.raw);
        assert_eq!(self.status, status, "{raw}");
        self
    }
}

/// A connection to the gateway.
pub struct RawClient {
    wire: Wire,
}

impl RawClient {
    /// Connects.
    ///
    /// # Panics
    /// If that fails within 5 s.
    #[must_use]
    #[track_caller]
    pub fn connect(addr: SocketAddr) -> RawClient {
        RawClient::try_connect(addr).unwrap_or_else(|error| panic!("connect to {addr}: {error}"))
    }

    /// Connects.
    ///
    /// # Errors
    /// Those of the socket, and a timeout after 5 s.
    pub fn try_connect(addr: SocketAddr) -> Result<RawClient> {
        let stream = TcpStream::connect_timeout(&addr, TIMEOUT)?;
        let wire = Wire::new(stream);
        Ok(RawClient { wire })
    }

    /// One request on a connection of its own, and its reply.
    ///
    /// # Panics
    /// If there is no whole reply.
    #[must_use]
    #[track_caller]
    pub fn ask(addr: SocketAddr, request: impl AsRef<[u8]>) -> RawReply {
        let mut client = RawClient::connect(addr);
        let request = request.as_ref();
        client.send(request);
        if request.starts_with(b"HEAD ") {
            client.reply_to_head()
        } else {
            client.reply()
        }
    }

    /// A GET on a connection of its own.
    ///
    /// # Panics
    /// If there is no whole reply.
    #[must_use]
    #[track_caller]
    pub fn get(addr: SocketAddr, target: &str) -> RawReply {
        RawClient::ask(addr, get(target))
    }

    /// How long each further call may take, in place of 5 s.
    pub fn set_timeout(&mut self, timeout: Duration) -> &mut RawClient {
        self.wire.set_timeout(timeout);
        self
    }

    /// This side's address.
    ///
    /// # Panics
    /// If the socket has none any more.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        let addr = self.wire.stream().local_addr();
        addr.expect("connected")
    }

    /// The connection, for what is not offered here.
    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// Sends these bytes.
    ///
    /// # Panics
    /// If they cannot all be sent.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut RawClient {
        if let Err(error) = self.try_send(bytes) {
            panic!("send: {error}");
        }
        self
    }

    /// Sends these bytes.
    ///
    /// # Errors
    /// Those of the socket; a gateway that answered early may have closed.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        self.wire.send(bytes.as_ref())
    }

    /// Sends pieces of `size` bytes with a pause after each.
    ///
    /// # Errors
    /// As [`RawClient::try_send`].
    pub fn try_send_slowly(
        &mut self,
        bytes: impl AsRef<[u8]>,
        size: usize,
        pause: Duration,
    ) -> Result<()> {
        for piece in bytes.as_ref().chunks(size) {
            self.wire.send(piece)?;
            std::thread::sleep(pause);
        }
        Ok(())
    }

    /// The next final reply, to anything but HEAD.
    ///
    /// # Panics
    /// If there is no whole, well-framed one.
    #[must_use]
    #[track_caller]
    pub fn reply(&mut self) -> RawReply {
        self.try_reply("GET")
            .unwrap_or_else(|error| panic!("no reply: {error}"))
    }

    /// The next final reply, to a HEAD.
    ///
    /// # Panics
    /// As [`RawClient::reply`].
    #[must_use]
    #[track_caller]
    pub fn reply_to_head(&mut self) -> RawReply {
        self.try_reply("HEAD")
            .unwrap_or_else(|error| panic!("no reply: {error}"))
    }

    /// The next final reply, to a request with this method.
    ///
    /// # Errors
    /// `UnexpectedEof` if the connection closes before its end, `InvalidData` if it is not well
    /// framed, and those of the socket.
    pub fn try_reply(&mut self, method: &str) -> Result<RawReply> {
        let mut interim = Vec::new();
        loop {
            let head = self.try_head()?;
            let status = status(&head)?;
            // 101 is final: what follows is no HTTP.
            if (100..200).contains(&status) && status != 101 {
                interim.push(head);
                continue;
            }
            return self.rest(method, status, head, interim);
        }
    }

    /// The next head, interim or final; what follows it is left unread.
    ///
    /// # Errors
    /// As [`RawClient::try_reply`].
    pub fn try_head(&mut self) -> Result<Head> {
        let head = self.wire.head()?;
        head.ok_or_else(|| Error::new(ErrorKind::UnexpectedEof, "closed before a reply"))
    }

    fn rest(
        &mut self,
        method: &str,
        status: u16,
        head: Head,
        interim: Vec<Head>,
    ) -> Result<RawReply> {
        let mut reply = RawReply {
            status,
            raw: head.raw.clone(),
            body: Vec::new(),
            trailers: Vec::new(),
            framing: framing(method, status, &head)?,
            interim,
            head,
        };
        match reply.framing {
            Framing::None => {}
            Framing::Chunked => {
                let chunked = self.wire.chunked()?;
                reply.raw.extend(chunked.raw);
                reply.body = chunked.body;
                reply.trailers = chunked.trailers;
            }
            Framing::Length => {
                let length = reply.head.field("content-length").unwrap_or_default();
                let length = length
                    .parse()
                    .map_err(|_| broken(format!("Content-Length {length:?}")))?;
                reply.body = self.wire.exactly(length)?;
                reply.raw.extend(&reply.body);
            }
            Framing::Close => {
                reply.body = self.wire.to_close()?;
                reply.raw.extend(&reply.body);
            }
        }
        Ok(reply)
    }

    /// Everything until the gateway closes.
    ///
    /// # Panics
    /// If it does not close in order within the timeout.
    #[must_use]
    #[track_caller]
    pub fn read_to_close(&mut self) -> Vec<u8> {
        let all = self.wire.to_close();
        all.unwrap_or_else(|error| panic!("not closed: {error}"))
    }

    /// The gateway closes, or resets, and sends nothing more.
    ///
    /// # Panics
    /// If it sends something, or stays open.
    #[track_caller]
    pub fn expect_closed(&mut self) {
        match self.wire.to_close() {
            Ok(rest) if rest.is_empty() => {}
            Ok(rest) => panic!("more came: {}", String::from_utf8_lossy(&rest)),
            Err(error) if error.kind() == ErrorKind::TimedOut => panic!("still open"),
            Err(_) => {
                let rest = self.wire.ahead();
                assert!(rest.is_empty(), "{}", String::from_utf8_lossy(rest));
            }
        }
    }

    /// The gateway neither sends nor closes for this long.
    ///
    /// # Panics
    /// If it does.
    #[track_caller]
    pub fn expect_silence(&mut self, time: Duration) {
        match self.wire.stirs(time) {
            Ok(false) => {}
            Ok(true) => {
                let came = String::from_utf8_lossy(self.wire.ahead());
                panic!("not silent: {came:?}");
            }
            Err(error) => panic!("not silent: {error}"),
        }
    }

    /// Closes this side's sending half.
    pub fn half_close(&mut self) -> &mut RawClient {
        self.wire.shutdown(Shutdown::Write);
        self
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        self.wire.reset_on_close();
    }
}

/// A plain GET with a Host.
#[must_use]
pub fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: test.example\r\n\r\n")
}

/// A POST with a Host and a Content-Length.
#[must_use]
pub fn post(target: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {target} HTTP/1.1\r\nHost: test.example\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn status(head: &Head) -> Result<u16> {
    let version = head.word(0);
    let known = version == "HTTP/1.1" || version == "HTTP/1.0";
    let status = head.word(1);
    match status.parse() {
        Ok(status @ 100..=999) if known => Ok(status),
        _ => Err(broken(format!("status line {:?}", head.start))),
    }
}

/// RFC 9112, section 6.3; a reply with two answers to the question is broken.
fn framing(method: &str, status: u16, head: &Head) -> Result<Framing> {
    let encodings = head.all("transfer-encoding");
    let lengths = head.all("content-length");
    if encodings.len() + lengths.len() > 1 {
        return Err(broken(format!("two lengths in {:?}", head.fields)));
    }
    if method == "HEAD" || matches!(status, 101 | 204 | 304) {
        return Ok(Framing::None);
    }
    match (encodings.first(), lengths.first()) {
        (Some(&"chunked"), _) => Ok(Framing::Chunked),
        (Some(other), _) => Err(broken(format!("Transfer-Encoding {other:?}"))),
        (None, Some(_)) => Ok(Framing::Length),
        (None, None) => Ok(Framing::Close),
    }
}
