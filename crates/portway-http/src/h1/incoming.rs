//! Reading messages off a connection: a request's head, a reply's head, and the body behind either.
//!
//! Must hold: a body ends exactly where its framing says; a connection that ends earlier is an error,
//! never an end (RFC 9112, section 8). A target's connection goes home the moment its reply is
//! complete and the request was sent whole, and never otherwise; from then on it is another exchange's, and
//! whoever still asks for frames is told of the end without a look at it.

use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use portway_core::{Code, Mono, ProxyError, limits};

use super::chunked::{Chunk, Chunks};
use super::conn::{Conn, Decoder, HTTP2_BEGINS, State};
use super::parse::{self, HeadLimits, ReplyHead, RequestHead};
use super::pump::Pump;
use crate::body::{BodyLength, Frame, PollFrame};
use crate::hygiene::framing::Framing;
use crate::request::Request;

/// Where a target's connection goes when its reply is complete.
pub trait Home {
    /// Takes the connection back; it is reusable.
    fn give_back(&self, conn: Conn);
}

/// A body that is still on its connection.
pub struct Incoming {
    conn: Conn,
    /// The rest of the request, if the reply began before all of it was sent.
    pump: Option<Box<Pump>>,
    home: Option<Rc<dyn Home>>,
    /// All of it has been handed out: what the connection brings now is of another message.
    ended: bool,
}

impl Incoming {
    /// The body of the message whose head was read from `conn`.
    #[must_use]
    pub fn new(conn: Conn) -> Incoming {
        Incoming {
            conn,
            pump: None,
            home: None,
            ended: false,
        }
    }

    /// A reply's body: goes on sending the request's rest while it is read, and brings the connection
    /// home at its end.
    #[must_use]
    pub fn of_reply(conn: Conn, pump: Option<Box<Pump>>, home: Rc<dyn Home>) -> Incoming {
        Incoming {
            conn,
            pump,
            home: Some(home),
            ended: false,
        }
    }

    /// Goes on sending the rest of the request.
    pub fn poll_pump(&mut self, cx: &mut Context<'_>) {
        if let Some(pump) = &mut self.pump
            && let Poll::Ready(sent) = pump.poll(cx)
        {
            if sent.is_err() {
                // The reply goes on; only the connection cannot be used again.
                self.conn.set_unusable();
            }
            self.pump = None;
        }
    }

    /// The next frame; `None` at the end.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> PollFrame {
        self.poll_passing(cx, 0)
    }

    /// The next frame. A large one may have so many octets and is in a buffer of the whole worker: it
    /// must be dropped or copied before the caller waits for anything.
    pub fn poll_passing(&mut self, cx: &mut Context<'_>, bytes_max: usize) -> PollFrame {
        self.poll_pump(cx);
        if self.ended {
            self.go_home(); // if the request's rest kept it until now
            return Poll::Ready(None);
        }
        let frame = ready!(self.conn.poll_body(cx, bytes_max));
        if self.conn.body_is_done() {
            self.ended = true;
            self.go_home();
        }
        Poll::Ready(frame)
    }

    /// Sets the most octets the body may have; 0 for no limit.
    pub fn limit(&self, bytes_max: u64) {
        self.conn.limit_body(bytes_max);
    }

    fn go_home(&mut self) {
        if self.pump.is_none()
            && let Some(home) = self.home.take()
            && self.conn.is_reusable()
        {
            home.give_back(self.conn.clone());
        }
    }

    /// What is known of the octets that are still to come.
    #[must_use]
    pub fn length(&self) -> BodyLength {
        if self.ended {
            return BodyLength::Exact(0);
        }
        match self.conn.0.borrow().decoder {
            Decoder::Done => BodyLength::Exact(0),
            Decoder::Length(left) => BodyLength::Exact(left),
            Decoder::Chunked(_) | Decoder::Close => BodyLength::Unknown,
        }
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incoming({:?})", self.length())
    }
}

impl Conn {
    /// Reads a request's head. `None` when the client closed without starting one.
    pub fn poll_request_head(
        &self,
        cx: &mut Context<'_>,
        limits: &HeadLimits,
        keep_forwarded: bool,
        request: &mut Request,
    ) -> Poll<Result<Option<RequestHead>, ProxyError>> {
        let mut state = self.0.borrow_mut();
        state.body_bytes = 0; // of the last request: this one may never have a body
        loop {
            state.skip_empty_lines();
            match state.take_head(limits.head_bytes_max) {
                Ok(Some(head)) => {
                    let hosts = &mut state.hosts;
                    let read =
                        parse::request_head_again(&head, limits, keep_forwarded, hosts, request);
                    let head = match read {
                        Ok(head) => head,
                        Err(error) => return Poll::Ready(Err(state.put_back(&head, error))),
                    };
                    state.begin_body(head.framing);
                    state.expects_continue = head.expects_continue;
                    return Poll::Ready(Ok(Some(head)));
                }
                Ok(None) => {}
                Err(error) => {
                    request.set_unread();
                    return Poll::Ready(Err(state.name_what_came(error, limits)));
                }
            }
            let ended = match ready!(state.poll_fill(cx, limits::READ_BYTES)) {
                Ok(0) => None,
                Ok(_) => continue,
                Err(error) => Some(error),
            };
            if state.read.is_empty() {
                return Poll::Ready(Ok(None));
            }
            request.set_unread();
            return Poll::Ready(Err(state.broken(ended)));
        }
    }

    /// Reads one reply head, which may be an informational one (1xx).
    pub fn poll_reply_head(
        &self,
        cx: &mut Context<'_>,
        head_request: bool,
        spare: &mut HeaderMap,
    ) -> Poll<Result<ReplyHead, ProxyError>> {
        let mut state = self.0.borrow_mut();
        loop {
            let head = state.take_head(limits::REPLY_HEADER_BYTES_MAX);
            // Whatever is wrong with it, it is the target's fault, not the client's.
            let head =
                head.map_err(|error| ProxyError::new(Code::UpstreamBadReply, error.detail))?;
            if let Some(head) = head {
                let head = parse::reply_head(&head, head_request, std::mem::take(spare));
                if let Ok(head) = &head {
                    state.begin_body(head.framing);
                    let informational = head.status.is_informational();
                    state.reusable &= head.persistent || informational;
                    if head.status == StatusCode::SWITCHING_PROTOCOLS {
                        state.reusable = false;
                    }
                }
                return Poll::Ready(head);
            }
            match ready!(state.poll_fill(cx, limits::READ_BYTES)) {
                Ok(0) => return Poll::Ready(Err(state.broken(None))),
                Err(error) => return Poll::Ready(Err(state.broken(Some(error)))),
                Ok(_) => {}
            }
        }
    }

    /// Whether anything of a reply has arrived: after that a retry is no longer "nothing came".
    #[must_use]
    pub fn has_begun_reply(&self) -> bool {
        !self.0.borrow().read.is_empty()
    }

    /// Reads the next frame of the current message's body.
    fn poll_body(&self, cx: &mut Context<'_>, large_bytes_max: usize) -> PollFrame {
        let mut state = self.0.borrow_mut();
        if state.expects_continue
            && let Err(error) = state.say_continue(cx)
        {
            return Poll::Ready(Some(Err(error)));
        }
        let Some(room) = state.large_read(large_bytes_max) else {
            return state.poll_body(cx);
        };
        state.wake_buffers();
        let large = state.pool.large(room);
        let own = std::mem::replace(&mut state.read, large);
        let frame = state.poll_body(cx);
        debug_assert!(state.read.is_empty(), "more was read than the body has");
        state.read = own;
        frame
    }
}

impl State {
    fn begin_body(&mut self, framing: Framing) {
        self.body_bytes = 0;
        self.body_bytes_max = 0;
        self.expects_continue = false;
        self.gone_at = Mono::NEVER;
        self.decoder = match framing {
            Framing::None | Framing::Length(0) => Decoder::Done,
            Framing::Length(length) => Decoder::Length(length),
            Framing::Chunked => Decoder::Chunked(Chunks::default()),
            Framing::Close => Decoder::Close,
        };
    }

    /// Empty lines in front of a request line are forgiven (RFC 9112, section 2.2): they are no request yet.
    pub(super) fn skip_empty_lines(&mut self) {
        // The CR may have come, and have been searched, before the LF.
        while self.scanned < 2 && self.read.starts_with(b"\r\n") {
            self.scanned = 0;
            let _ = self.read.split_to(2);
        }
    }

    fn take_head(&mut self, bytes_max: usize) -> Result<Option<Bytes>, ProxyError> {
        match parse::head_end(&self.read, &mut self.scanned) {
            Ok(Some(end)) if end <= bytes_max => {
                self.scanned = 0;
                Ok(Some(self.read.split_to(end).freeze()))
            }
            Ok(None) if self.read.len() <= bytes_max => Ok(None),
            Ok(_) => Err(ProxyError::new(
                Code::HeadersTooLarge,
                "the head is over the limit",
            )),
            Err(detail) => Err(self.malformed(detail)),
        }
    }

    /// What is no HTTP/1 head may be for another protocol's reader.
    #[cold]
    fn put_back(&mut self, head: &Bytes, error: ProxyError) -> ProxyError {
        if head == HTTP2_BEGINS {
            let rest = self.read.split();
            self.read.extend_from_slice(head);
            self.read.unsplit(rest);
        }
        error
    }

    /// A clearer word for what is not HTTP/1 at all, and for a head whose target alone is too long.
    fn name_what_came(&self, error: ProxyError, limits: &HeadLimits) -> ProxyError {
        let first_line = self.read.iter().take_while(|b| **b != b'\n').count();
        if error.kind == Code::HeadersTooLarge && first_line > limits.target_bytes_max {
            return ProxyError::new(Code::UriTooLong, "the request line is over the limit");
        }
        if self.read.starts_with(&[0x16, 0x03]) {
            return ProxyError::new(
                Code::BadRequest,
                "this is a TLS handshake on a plain HTTP port",
            );
        }
        error
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> PollFrame {
        loop {
            match self.next_frame() {
                Ok(Some(frame)) => return Poll::Ready(frame.map(Ok)),
                Ok(None) => {}
                Err(error) => {
                    self.reusable = false;
                    self.decoder = Decoder::Done;
                    return Poll::Ready(Some(Err(error)));
                }
            }
            let want = self.want();
            let filled = ready!(self.poll_fill(cx, want));
            let ended = match filled {
                Ok(0) => None,
                Ok(_) => continue,
                Err(error) => Some(error),
            };
            self.reusable = false;
            let closes = matches!(self.decoder, Decoder::Close) && ended.is_none();
            self.decoder = Decoder::Done;
            return Poll::Ready((!closes).then(|| Err(self.broken(ended))));
        }
    }

    /// The next frame of what has arrived. `Ok(None)`: more input is needed; `Ok(Some(None))`: the end.
    fn next_frame(&mut self) -> Result<Option<Option<Frame>>, ProxyError> {
        let frame = match &mut self.decoder {
            Decoder::Done => return Ok(Some(None)),
            Decoder::Length(_) | Decoder::Close if self.read.is_empty() => return Ok(None),
            Decoder::Length(left) => {
                let take = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(self.read.len());
                *left -= take as u64;
                if *left == 0 {
                    self.decoder = Decoder::Done;
                }
                Frame::Data(self.read.split_to(take).freeze())
            }
            Decoder::Close => Frame::Data(self.read.split().freeze()),
            Decoder::Chunked(chunks) => match chunks.decode(&mut self.read) {
                Ok(Chunk::More) => return Ok(None),
                Ok(Chunk::Data(data)) => Frame::Data(data),
                Ok(Chunk::End(trailers)) => {
                    self.decoder = Decoder::Done;
                    match trailers {
                        None => return Ok(Some(None)),
                        Some(trailers) => Frame::Trailers(trailers),
                    }
                }
                Err(detail) => return Err(self.malformed(detail)),
            },
        };
        if let Frame::Data(data) = &frame {
            self.body_bytes += data.len() as u64;
            if self.body_bytes_max != 0 && self.body_bytes > self.body_bytes_max {
                return Err(ProxyError::new(
                    Code::PayloadTooLarge,
                    "the request body is over the limit",
                ));
            }
        }
        Ok(Some(Some(frame)))
    }

    /// How much to read at once for the rest of the body. Small chunks do not make a small body: as
    /// much again as there was.
    fn want(&self) -> usize {
        let mut want = self.expected();
        if let Decoder::Chunked(_) = self.decoder {
            want = want.max(usize::try_from(self.body_bytes).unwrap_or(usize::MAX));
        }
        want.clamp(limits::READ_BYTES, limits::BODY_READ_BYTES)
    }

    /// How much to read into the large buffer: only octets of the body, and so many that it is worth
    /// it.
    fn large_read(&self, bytes_max: usize) -> Option<usize> {
        let room = bytes_max.min(limits::LARGE_READ_BYTES).min(self.expected());
        (self.read.is_empty() && room > limits::BODY_READ_BYTES).then_some(room)
    }

    /// So many octets are to come before anything but octets of the body can.
    fn expected(&self) -> usize {
        let left = match &self.decoder {
            Decoder::Length(left) => *left,
            Decoder::Chunked(chunks) => chunks.expected(),
            Decoder::Done => 0,
            Decoder::Close => u64::MAX,
        };
        usize::try_from(left).unwrap_or(usize::MAX)
    }

    /// Tells a waiting client to send its body, once somebody wants to read it (RFC 9110, 10.1.1). A
    /// client that has already begun to send needs no telling.
    fn say_continue(&mut self, cx: &mut Context<'_>) -> Result<(), ProxyError> {
        self.expects_continue = false;
        if !self.read.is_empty() {
            return Ok(());
        }
        self.wake_buffers();
        self.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        // If the socket is full now, the reply's own flush sends it first.
        match self.poll_flush(cx) {
            Poll::Ready(Err(error)) => Err(self.broken(Some(error))),
            _ => Ok(()),
        }
    }
}
