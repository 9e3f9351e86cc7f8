//! A client's HTTP/3 connection and its streams.
//!
//! Must hold: every number that a client could drive up has a limit here, in the endpoint or in the
//! [`Watch`]; a connection over one is told so (H3_EXCESSIVE_LOAD) and ended; a stream that is dropped
//! before its reply is whole is reset.
//! Never: routes, waits by itself, or answers a request: that is up to whoever drives the connection.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use ::h3::error::{ConnectionError, StreamError};
use bytes::Bytes;
use http::request::Parts;
use http::{
    Method,
    header::{CONTENT_LENGTH, EXPECT},
};
use portway_core::{Code, ProxyError, limits};
use portway_net::Wheel;
use quinn::VarInt;

use super::code;
use super::confirmation::Confirmation;
use super::endpoint::Greeted;
use super::fault::Fault;
use super::incoming::Incoming;
use super::names::Limits;
use super::stream::Stream;
use super::transport::{Handle, Quic, Shared};
use super::watch::Watch;
use crate::body::{Body, BodyLength, BodyStream};
use crate::exchange::{Downstream, Exchange, Protocol};
use crate::h1::{HeadLimits, Role};
use crate::hygiene::intake::Peer;
use crate::streams::{self, Ended, Taken, head};

/// So long a client may keep a confirmation back (RFC 9000, section 18.2, `max_ack_delay`).
const ACK_DELAY_MAX: Duration = Duration::from_millis(25);

/// A connection from a client.
pub struct Connection {
    inner: ::h3::server::Connection<Quic, Bytes>,
    quic: quinn::Connection,
    shared: Rc<Shared>,
    state: State,
    /// Datagrams that had been sent when it was closed.
    sent_at_end: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Serving,
    /// The client was told to open no more streams.
    Leaving,
    /// It was told which stream was the last.
    Parting,
    /// It is over.
    Aborted,
}

impl Connection {
    /// Takes over a connection whose handshake went well. The client's SETTINGS need not have come.
    ///
    /// # Errors
    /// If the client is gone.
    pub async fn open(
        greeted: Greeted,
        wheel: &Wheel,
        head: &HeadLimits,
    ) -> Result<Connection, ProxyError> {
        let quic = greeted.0;
        // A head somewhat over the limit is answered by us and logged.
        let encoded = (head.head_bytes_max * 2) as u64;
        let sections = Limits {
            encoded,
            // What Huffman's code may unpack to at most must not refuse what is within the limit.
            unpacked: encoded + (head.fields_max * 64) as u64,
            fields: head.fields_max * 4,
        };
        let shared = Rc::new(Shared::new(Watch::new(wheel), sections));
        let inner = ::h3::server::builder()
            .max_field_section_size(sections.unpacked)
            .send_grease(false)
            .build(Quic::new(quic.clone(), Rc::clone(&shared)))
            .await
            .map_err(broken)?;
        Ok(Connection {
            inner,
            quic,
            shared,
            state: State::Serving,
            sent_at_end: 0,
        })
    }

    /// Drives the connection; ready with a request, or with its end.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Arrived, Ended>> {
        self.shared.watch.set_driver(cx.waker());
        self.shared.poll_ends(cx);
        // Made anew each time: what it waits for is kept by the connection.
        let polled = pin!(self.inner.accept()).poll(cx);
        if self.shared.watch.flood().is_some() && self.state != State::Aborted {
            self.close(code::EXCESSIVE_LOAD);
            return Poll::Ready(Err(self.verdict()));
        }
        if self.shared.watch.has_said_goaway() || self.shared.has_reset_many() {
            self.leave();
        }
        Poll::Ready(match ready!(polled) {
            Ok(Some(resolver)) => match self.shared.accepted.take() {
                Some(handle) => Ok(Arrived {
                    resolver,
                    handle,
                    shared: Rc::clone(&self.shared),
                    quic: self.quic.clone(),
                }),
                None => Err(Ended::Closed), // each that is accepted has one
            },
            Ok(None) => {
                // Nothing is asked for any more; the client need not have all replies yet.
                self.part();
                return Poll::Pending;
            }
            Err(error) => Err(self.ended(error)),
        })
    }

    /// Tells the client to open no more streams. Those that it opens before it hears of that are served.
    pub fn leave(&mut self) {
        if self.state == State::Serving {
            self.state = State::Leaving;
            // With no stream to count from, the library's word for it is the last.
            let streams = match self.shared.has_accepted.get() {
                true => limits::H2_STREAMS_MAX as usize,
                false => return self.part(),
            };
            self.go_away(streams);
        }
    }

    /// Tells the client which stream was the last; those that come now are turned away.
    pub fn part(&mut self) {
        if self.state != State::Aborted {
            self.state = State::Parting;
            // By itself the library would take one that the client was told is not served.
            self.shared.refuses.set(true);
            self.go_away(1);
        }
    }

    fn go_away(&mut self, streams: usize) {
        let telling = pin!(self.inner.shutdown(streams));
        // What has no room now goes along with what does next; a client that is gone needs no word.
        let _ = telling.poll(&mut Context::from_waker(Waker::noop()));
    }

    /// Ends all streams. What the client has not confirmed is lost to it.
    pub fn abort(&mut self) {
        self.close(code::NO_ERROR);
    }

    /// Ends it although streams have been cut: their resets go first, since the library keeps a close back
    /// behind what congestion keeps back, and forgets it then. `late`: no matter what the client hears of.
    /// To be called again until it is true: what can be said has been said.
    pub fn cut(&mut self, late: bool) -> bool {
        let stats = self.quic.stats();
        if self.state != State::Aborted {
            if !late && stats.frame_tx.reset_stream < self.shared.resets.get() {
                return false;
            }
            self.abort();
            return late;
        }
        late || stats.udp_tx.datagrams > self.sent_at_end
    }

    fn close(&mut self, code: u32) {
        if self.state != State::Aborted {
            self.state = State::Aborted;
            self.sent_at_end = self.quic.stats().udp_tx.datagrams;
            self.quic.close(VarInt::from_u32(code), b"");
        }
    }

    /// How long it takes to say something and to have it confirmed, with losses: three times the probe
    /// timeout (RFC 9002, section 6.2.1) of a connection whose round trips vary as much as is assumed of new
    /// ones.
    #[must_use]
    pub fn some_round_trips(&self) -> Duration {
        (self.quic.rtt() * 3 + ACK_DELAY_MAX) * 3
    }

    /// Whether the client was told that this ends.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.state != State::Serving
    }

    /// Whether the client was told which stream was the last.
    #[must_use]
    pub fn is_parting(&self) -> bool {
        matches!(self.state, State::Parting | State::Aborted)
    }

    /// How it ends if it is dropped now.
    #[must_use]
    pub fn verdict(&self) -> Ended {
        self.shared
            .watch
            .flood()
            .map_or(Ended::Closed, Ended::Flood)
    }

    fn ended(&self, error: ConnectionError) -> Ended {
        match self.verdict() {
            Ended::Closed if self.state != State::Aborted && !is_over(&error) => {
                Ended::Broken(broken(error))
            }
            verdict => verdict,
        }
    }
}

/// Whether it is an end like others.
fn is_over(error: &ConnectionError) -> bool {
    error.is_h3_no_error() || matches!(error, ConnectionError::Timeout { .. })
}

fn broken(error: ConnectionError) -> ProxyError {
    let error_of = match &error {
        ConnectionError::Local { .. } => {
            ProxyError::new(Code::BadRequest, "the connection is not sound HTTP/3")
        }
        _ => ProxyError::new(Code::ClientGone, "the client closed the connection"),
    };
    error_of.with_source(error)
}

/// A stream on which a request is to come.
pub struct Arrived {
    resolver: ::h3::server::RequestResolver<Quic, Bytes>,
    handle: Rc<Handle>,
    shared: Rc<Shared>,
    quic: quinn::Connection,
}

impl Arrived {
    /// Tells the client that nothing was done and that it may ask again. There is reason to only if it has
    /// reset streams whose exchanges still run.
    pub fn refuse(self) {
        self.handle.given_up();
        self.handle.reset_with.set(Some(code::REQUEST_REJECTED));
        self.handle.stop_with.set(code::REQUEST_REJECTED);
    }

    /// Tells the client that its request came too slowly, if the reading of it is dropped.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        Deadline(Rc::clone(&self.handle))
    }

    /// Tells when the client has all of the reply.
    #[must_use]
    pub fn confirmation(&self) -> Confirmation {
        let shared = Rc::clone(&self.shared);
        Confirmation::new(Rc::clone(&self.handle), shared, self.quic.clone())
    }

    /// Reads the request's head, and as much as tells whether there is a body.
    ///
    /// # Errors
    /// If there is no head that could be answered; the client has been told.
    pub async fn read(self) -> Result<Asked, ProxyError> {
        let Arrived {
            resolver, handle, ..
        } = self;
        let resolved = resolver.resolve_request().await;
        let (request, stream) = resolved.map_err(|error| {
            if !matches!(error, StreamError::ConnectionError { .. }) {
                handle.made_us_reset();
            }
            stream_error(error)
        })?;
        handle.has_head.set(true);
        handle.reset_with.set(Some(code::INTERNAL_ERROR));
        let (send, receive) = stream.split();
        let (parts, ()) = request.into_parts();
        let mut body = Incoming::new(receive, Rc::clone(&handle));
        if handle.fault.get().is_none() {
            let waits = is_bodiless_by_custom(&parts);
            poll_fn(|cx| match body.poll_peek(cx) {
                Poll::Pending if !waits => Poll::Ready(()),
                peeked => peeked,
            })
            .await;
        }
        Ok(Asked {
            parts,
            body,
            stream: Rc::new(Stream::new(send, Rc::clone(&handle))),
            handle,
        })
    }
}

/// Whether nobody sends a body with such a request: then its end, which may come in a packet of its own, is
/// waited for. A target of HTTP/1 would be told of a body otherwise.
fn is_bodiless_by_custom(parts: &Parts) -> bool {
    let methods = [Method::GET, Method::HEAD, Method::OPTIONS, Method::DELETE];
    // Who waits to be told to go on has a body.
    let tells = [CONTENT_LENGTH, EXPECT];
    let has_body = tells.iter().any(|name| parts.headers.contains_key(name));
    methods.contains(&parts.method) && !has_body
}

/// See [`Arrived::deadline`].
pub struct Deadline(Rc<Handle>);

impl Deadline {
    /// It has passed.
    pub fn pass(&self) {
        self.0.made_us_reset();
        self.0.reset_with.set(Some(code::REQUEST_INCOMPLETE));
        self.0.stop_with.set(code::REQUEST_INCOMPLETE);
    }
}

/// A request whose head was decoded.
pub struct Asked {
    parts: Parts,
    body: Incoming,
    stream: Rc<Stream>,
    handle: Rc<Handle>,
}

impl streams::Request for Asked {
    type Stream = Stream;
    const PROTOCOL: Protocol = Protocol::Http3;

    fn stream(&self) -> &Rc<Stream> {
        &self.stream
    }

    fn take(
        self,
        limits: &HeadLimits,
        peer: Peer,
        exchange: &mut Exchange,
    ) -> Result<Taken, ProxyError> {
        exchange.downstream = Downstream::H3(Rc::clone(&self.stream));
        match self.handle.fault.get() {
            None => {}
            Some(fault @ Fault::TooLarge) => {
                return Err(unread(exchange, Code::HeadersTooLarge, fault));
            }
            Some(fault) => return Err(unread(exchange, Code::BadRequest, fault)),
        }
        // No protocol to connect to is offered, and the library knows none that is served.
        let head = head::read(self.parts, None, limits, peer, &mut exchange.request)?;
        let mut body = self.body;
        if body.is_over() {
            if matches!(head.declared, BodyLength::Exact(1..)) {
                let detail = "the body is shorter than its Content-Length";
                return Err(ProxyError::new(Code::BadRequest, detail));
            }
            exchange.body = Body::Empty;
            return Ok(Taken {
                declared: BodyLength::Exact(0),
                ..Taken::default()
            });
        }
        let bytes = body.begin(Role::Client, head.declared);
        if head.expects_continue {
            body.before_first(Rc::clone(&self.stream));
        }
        exchange.body = Body::Stream(Box::pin(body));
        Ok(Taken {
            declared: head.declared,
            bytes,
            tunnel: None,
        })
    }
}

#[cold]
fn unread(exchange: &mut Exchange, code: Code, fault: Fault) -> ProxyError {
    exchange.request.version = http::Version::HTTP_3;
    exchange.request.set_unread();
    let detail = match fault {
        Fault::TooLarge => "the head is over the limit",
        Fault::Truncated => "the stream ended inside a frame",
        Fault::Names(what) => what,
    };
    ProxyError::new(code, detail)
}

/// What an error on a stream, or on its connection, means for the exchange.
pub(super) fn stream_error(error: StreamError) -> ProxyError {
    let malformed = match &error {
        StreamError::StreamError { .. } | StreamError::HeaderTooBig { .. } => true,
        StreamError::Undefined { 0: inner, .. } => inner.downcast_ref::<Fault>().is_some(),
        StreamError::ConnectionError { 0: error, .. } => {
            matches!(error, ConnectionError::Local { .. })
        }
        _ => false,
    };
    let (code, detail) = match malformed {
        true => (Code::BadRequest, "the request is malformed"),
        false => (Code::ClientGone, "the client gave up the request"),
    };
    ProxyError::new(code, detail).with_source(error)
}
