//! A client's HTTP/2 connection and its streams.
//!
//! Must hold: every number that a client could drive up has a limit here or in [`super::meter`]; a
//! connection over one is told so (GOAWAY, ENHANCE_YOUR_CALM) and ended, one that breaks a rule of frames, too; a stream that is dropped before
//! its reply is whole is reset.
//! Never: routes, waits by itself, or answers a request: that is up to whoever drives the connection.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use ::h2::server::{Builder, SendResponse};
use ::h2::{Reason, RecvStream};
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use portway_core::{Code, ProxyError, limits};
use portway_net::Wheel;
use tokio::io::{AsyncRead, AsyncWrite};

use super::guard::{Guard, Watch};
use super::meter::Offence;
use super::{Incoming, Outgoing, Tunnel, Waiting};
use crate::body::{Body, BodyLength};
use crate::exchange::{Downstream, Exchange, Protocol};
use crate::h1::{DateCache, HeadLimits, Role};
use crate::hygiene::intake::Peer;
use crate::own_fields::OwnFields;
use crate::reply::Reply;
use crate::streams::{self, Ended, HasBody, Taken, fields, head};
use crate::upgrade::{Line, Upgrade, WEBSOCKET_ACCEPT, Wanted};

/// A connection from a client.
pub struct Connection<T> {
    inner: ::h2::server::Connection<Guard<T>, Bytes>,
    watch: Rc<Watch>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Serving,
    /// The client was told to open no more streams.
    Leaving,
    /// The client was told that this is over.
    Aborted,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Connection<T> {
    /// Takes over a transport from which `early` has been read, up to the client's preface. Its first
    /// octets may not have come yet: to be called under a deadline.
    ///
    /// # Errors
    /// If the client is gone or speaks something else.
    pub async fn accept(
        io: T,
        early: Bytes,
        wheel: &Wheel,
        head: &HeadLimits,
    ) -> Result<Connection<T>, ProxyError> {
        let watch = Rc::new(Watch::new(wheel));
        let guard = Guard::new(io, early, Rc::clone(&watch), wheel.clone());
        let inner = builder(head).handshake(guard).await.map_err(broken)?;
        Ok(Connection {
            inner,
            watch,
            state: State::Serving,
        })
    }

    /// Lets the connection read a fair share again; to be called once per turn of its task.
    pub fn begin_turn(&self) {
        self.watch.begin_turn();
    }

    /// Drives the connection; ready with a request, or with its end.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Arrived, Ended>> {
        loop {
            let polled = self.inner.poll_accept(cx);
            if let (Some(offence), false) = (self.watch.offence(), self.state == State::Aborted) {
                self.end(match offence {
                    Offence::Flood(_) => Reason::ENHANCE_YOUR_CALM,
                    Offence::Breach(breach) => breach.reason(),
                });
                continue;
            }
            return Poll::Ready(match ready!(polled) {
                Some(Ok((request, respond))) => Ok(Arrived::new(request, respond)),
                Some(Err(error)) => Err(self.ended(Some(error))),
                None => Err(self.ended(None)),
            });
        }
    }

    /// Tells the client to open no more streams; ends when those that run are done.
    pub fn leave(&mut self) {
        if self.state == State::Serving {
            self.state = State::Leaving;
            self.inner.graceful_shutdown();
        }
    }

    /// Ends all streams and says so.
    pub fn abort(&mut self) {
        self.end(Reason::NO_ERROR);
    }

    fn end(&mut self, reason: Reason) {
        if self.state != State::Aborted {
            self.state = State::Aborted;
            self.inner.abrupt_shutdown(reason);
        }
    }

    /// Whether all is said, and only the client's closing is waited for.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.state == State::Aborted || self.watch.is_closing()
    }

    /// Whether the client was told that this ends.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.state != State::Serving
    }

    /// Whether a head has begun and not ended: its end has a deadline.
    #[must_use]
    pub fn head_is_open(&self) -> bool {
        self.watch.head_is_open()
    }

    /// How it ends if it is dropped now.
    #[must_use]
    pub fn verdict(&self) -> Ended {
        self.ended(None)
    }

    fn ended(&self, error: Option<::h2::Error>) -> Ended {
        match (self.watch.offence(), error) {
            (Some(Offence::Flood(flood)), _) => Ended::Flood(flood),
            (Some(Offence::Breach(breach)), _) => {
                Ended::Broken(ProxyError::new(Code::BadRequest, breach.as_str()))
            }
            (None, None) => Ended::Closed,
            (None, Some(error)) => Ended::Broken(broken(error)),
        }
    }
}

fn builder(head: &HeadLimits) -> Builder {
    let mut builder = Builder::new();
    // A head somewhat over the limit is answered by us and logged; far over it, the library answers.
    let list_bytes_max = u32::try_from(head.head_bytes_max * 2).unwrap_or(u32::MAX);
    builder
        .max_concurrent_streams(limits::H2_STREAMS_MAX)
        .enable_connect_protocol()
        .initial_window_size(limits::H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::H2_CONNECTION_WINDOW_BYTES)
        .max_header_list_size(list_bytes_max)
        .max_send_buffer_size(limits::H2_SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(limits::H2_UNSEEN_RESETS_MAX)
        .max_local_error_reset_streams(Some(limits::H2_FORCED_RESETS_MAX))
        .max_concurrent_reset_streams(limits::H2_RESET_STREAMS_KEPT)
        .reset_stream_duration(limits::H2_RESET_STREAM_KEPT);
    builder
}

fn broken(error: ::h2::Error) -> ProxyError {
    let error_of = if error.is_io() {
        ProxyError::new(Code::ClientGone, "the client closed the connection")
    } else {
        ProxyError::new(Code::BadRequest, "the connection is not sound HTTP/2")
    };
    error_of.with_source(error)
}

/// A request that arrived, not yet looked at.
pub struct Arrived {
    parts: http::request::Parts,
    body: RecvStream,
    stream: Rc<Stream>,
}

impl Arrived {
    fn new(request: http::Request<RecvStream>, respond: SendResponse<Bytes>) -> Arrived {
        let (parts, body) = request.into_parts();
        let stream = Stream {
            respond: RefCell::new(respond),
        };
        Arrived {
            parts,
            body,
            stream: Rc::new(stream),
        }
    }
}

impl streams::Request for Arrived {
    type Stream = Stream;
    const PROTOCOL: Protocol = Protocol::Http2;

    fn stream(&self) -> &Rc<Stream> {
        &self.stream
    }

    fn take(
        self,
        limits: &HeadLimits,
        peer: Peer,
        exchange: &mut Exchange,
    ) -> Result<Taken, ProxyError> {
        let bodiless = self.body.is_end_stream();
        exchange.downstream = Downstream::H2(Rc::clone(&self.stream));
        let protocol = self.parts.extensions.get::<::h2::ext::Protocol>().cloned();
        let protocol = protocol.as_ref().map(|p| p.as_str());
        let request = &mut exchange.request;
        let head = head::read(self.parts, protocol, limits, peer, request)?;
        if head.websocket && bodiless {
            let detail = "a tunnel that ends before it begins";
            return Err(ProxyError::new(Code::BadRequest, detail));
        }
        if head.websocket {
            exchange.upgrade = Upgrade::Asked(Wanted::WebSocket);
            return Ok(Taken {
                tunnel: Some(Waiting(self.body)),
                ..Taken::default()
            });
        }
        if bodiless {
            exchange.body = Body::Empty;
            return Ok(Taken {
                declared: BodyLength::Exact(0),
                ..Taken::default()
            });
        }
        let mut body = Incoming::new(self.body, Role::Client, head.declared);
        let bytes = body.counter();
        if head.expects_continue {
            let stream = self.stream;
            body = body.before_first(move || {
                stream.inform(StatusCode::CONTINUE, &HeaderMap::new());
            });
        }
        exchange.body = Body::H2(Box::new(body));
        Ok(Taken {
            declared: head.declared,
            bytes,
            tunnel: None,
        })
    }
}

/// One stream, for whoever answers on it. Dropping all of it before the reply is whole resets it.
pub struct Stream {
    respond: RefCell<SendResponse<Bytes>>,
}

impl Stream {
    /// Ready when the client has given the request up. To be polled only before the reply is sent.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.respond.borrow_mut().poll_reset(cx).map(|_| ())
    }

    /// Sends an informational reply (1xx).
    pub fn inform(&self, status: StatusCode, headers: &HeaderMap) {
        let reply = streams::informational(status, headers);
        // A client that is gone needs no information.
        let _ = self.respond.borrow_mut().send_informational(reply);
    }
}

impl streams::Stream for Stream {
    type Outgoing = Outgoing;

    fn refuse(&self) {
        self.respond.borrow_mut().send_reset(Reason::REFUSED_STREAM);
    }

    fn send_head(
        &self,
        reply: &mut Reply,
        has_body: HasBody,
        own: &OwnFields,
        date: &DateCache,
    ) -> Result<Option<Outgoing>, ProxyError> {
        let length = reply.body.length();
        let ends = has_body == HasBody::No || reply.body.is_empty();
        let head = streams::reply_head(reply, has_body, own, date);
        let sent = self.respond.borrow_mut().send_response(head, ends);
        let stream = sent.map_err(not_waited_for)?;
        Ok((!ends).then(|| Outgoing::new(stream, Role::Client, length)))
    }

    /// By RFC 8441, section 5.
    fn switch(
        &self,
        waiting: Waiting,
        reply: &mut Reply,
        own: &OwnFields,
        date: &DateCache,
    ) -> Result<Line, ProxyError> {
        let mut head = Response::new(());
        *head.headers_mut() = fields::of(reply, own, date);
        head.headers_mut().remove(WEBSOCKET_ACCEPT);
        let sent = self.respond.borrow_mut().send_response(head, false);
        let stream = sent.map_err(not_waited_for)?;
        let tunnel = Tunnel::new(stream, waiting.0, None);
        Ok(Line::H2(Box::new(tunnel)))
    }
}

fn not_waited_for(error: ::h2::Error) -> ProxyError {
    ProxyError::new(Code::ClientGone, "the client did not wait for the reply").with_source(error)
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}
