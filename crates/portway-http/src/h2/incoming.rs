//! A body on its way in on one stream: frame by frame, as fast as whoever it is for takes them.
//!
//! Must hold: the sender gets room for more only when the last frame has been used up, so that a slow
//! reader slows its own stream alone; octets are counted against the declared length before the end is
//! passed on (RFC 9113, section 8.1.1); trailers pass the same rules as HTTP/1's.
//! A stream that breaks is an error, never an end; one that is dropped before its end is reset.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use ::h2::{Reason, RecvStream};
use bytes::Bytes;
use http::HeaderMap;
use portway_core::{Code, ProxyError};

use crate::body::{BodyLength, Frame, PollFrame};
use crate::grpc;
use crate::h1::Role;
use crate::h2::client::Slot;
use crate::streams::{Arriving, At};

/// Something to be done while the body is read, like sending the rest of the request it answers.
pub type Companion = Pin<Box<dyn Future<Output = ()>>>;

/// A body that is still on its stream.
pub struct Incoming {
    stream: RecvStream,
    account: Arriving,
    /// Octets of the last frame: room for more once it is used up.
    unreleased: usize,
    /// Called when somebody first wants a frame.
    before_first: Option<Box<dyn FnOnce()>>,
    companion: Option<Companion>,
    /// Told how a gRPC call ended.
    ending: Option<grpc::Ending>,
    /// The place on the connection that the stream takes up.
    _slot: Option<Slot>,
}

impl Incoming {
    /// The body behind a head that declared this length. `role` says who sends it.
    #[must_use]
    pub fn new(stream: RecvStream, role: Role, declared: BodyLength) -> Incoming {
        Incoming {
            stream,
            account: Arriving::new(role, declared),
            unreleased: 0,
            before_first: None,
            companion: None,
            ending: None,
            _slot: None,
        }
    }

    /// The same, with something to be done when the first frame is wanted (saying `100 Continue`).
    #[must_use]
    pub fn before_first(mut self, act: impl FnOnce() + 'static) -> Incoming {
        self.before_first = Some(Box::new(act));
        self
    }

    /// The same, with something to be done while it is read; dropped with it.
    #[must_use]
    pub fn with_companion(mut self, companion: Companion) -> Incoming {
        self.companion = Some(companion);
        self
    }

    /// The same, giving its place on the connection back when it is dropped.
    #[must_use]
    pub(crate) fn holding(mut self, slot: Slot) -> Incoming {
        self._slot = Some(slot);
        self
    }

    /// Tells how a gRPC call ended once its trailers have come.
    pub fn tell_ending(&mut self, ending: grpc::Ending) {
        self.ending = Some(ending);
    }

    /// Octets handed out so far; goes on counting when the body has moved on.
    #[must_use]
    pub fn counter(&self) -> Rc<Cell<u64>> {
        self.account.counter()
    }

    /// Sets the most octets the body may have; 0 for no limit.
    pub fn limit(&mut self, bytes_max: u64) {
        self.account.limit(bytes_max);
    }

    /// What is known of the octets that are still to come.
    #[must_use]
    pub fn length(&self) -> BodyLength {
        if self.stream.is_end_stream() {
            return BodyLength::Exact(0);
        }
        self.account.length()
    }

    /// Whether the peer has ended it and all of it has been handed out, trailers too.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.account.at == At::End || self.stream.is_end_stream()
    }

    /// Goes on with what is to be done while it is read, also while nobody has room for a frame.
    pub fn poll_companion(&mut self, cx: &mut Context<'_>) {
        if let Some(companion) = &mut self.companion
            && companion.as_mut().poll(cx).is_ready()
        {
            self.companion = None;
        }
    }

    /// The next frame; `None` at the end.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> PollFrame {
        self.poll_companion(cx);
        if let Some(act) = self.before_first.take()
            && !self.stream.is_end_stream()
        {
            act();
        }
        let polled = ready!(self.poll_next(cx));
        if !matches!(polled, Ok(Some(_))) {
            self.account.at = At::End;
        }
        Poll::Ready(polled.transpose())
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, ProxyError>> {
        self.release();
        while self.account.at == At::Data {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) if data.is_empty() => {}
                Some(Ok(data)) => return Poll::Ready(self.take(data).map(Some)),
                Some(Err(error)) if self.is_whole_despite(&error) => {
                    return Poll::Ready(Ok(None));
                }
                Some(Err(error)) => {
                    return Poll::Ready(Err(stream_error(self.account.role, error)));
                }
                None => self.account.end_of_data()?,
            }
        }
        if self.account.at == At::End {
            return Poll::Ready(Ok(None));
        }
        let section = ready!(self.stream.poll_trailers(cx))
            .map_err(|error| stream_error(self.account.role, error))?;
        self.account.at = At::End;
        Poll::Ready(self.clean(section).map(|t| t.map(Frame::Trailers)))
    }

    /// The last frame has been used up: its octets may come again.
    fn release(&mut self) {
        if self.unreleased > 0 {
            // Fails only for more than what came.
            let _ = self.stream.flow_control().release_capacity(self.unreleased);
            self.unreleased = 0;
        }
    }

    fn take(&mut self, data: Bytes) -> Result<Frame, ProxyError> {
        self.unreleased = data.len();
        self.account.take(data.len())?;
        Ok(Frame::Data(data))
    }

    /// A target resets without error only after a whole reply, to stop the request (RFC 9113, 8.1).
    fn is_whole_despite(&self, error: &::h2::Error) -> bool {
        self.account.role == Role::Target
            && error.is_reset()
            && error.is_remote()
            && error.reason() == Some(Reason::NO_ERROR)
            && self.account.is_complete()
    }

    fn clean(&self, section: Option<HeaderMap>) -> Result<Option<HeaderMap>, ProxyError> {
        let Some(section) = section else {
            return Ok(None);
        };
        let ended = grpc::status(&section);
        let cleaned = self.account.clean(section)?;
        if let Some(ending) = &self.ending {
            ending.set(ended);
        }
        Ok(cleaned)
    }
}

/// What an error on a stream, or on its connection, means for the exchange.
pub(crate) fn stream_error(role: Role, error: ::h2::Error) -> ProxyError {
    // The library itself found what the peer sent to be no HTTP/2, or no message.
    let malformed = error.is_library() && error.reason() != Some(Reason::NO_ERROR);
    let (code, detail) = match (role, malformed) {
        (Role::Client, true) => (Code::BadRequest, "the request is malformed"),
        (Role::Client, false) => (Code::ClientGone, "the client gave up the request"),
        (Role::Target, true) => (Code::UpstreamBadReply, "the reply is malformed"),
        (Role::Target, false) => (Code::UpstreamReset, "the target gave up the exchange"),
    };
    ProxyError::new(code, detail).with_source(error)
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incoming({:?})", self.length())
    }
}

#[cfg(test)]
mod tests;
