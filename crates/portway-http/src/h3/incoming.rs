//! A request's body on its way in: frame by frame, as fast as whoever it is for takes them.
//!
//! Must hold: nothing is read before the last piece has been used up, so that a slow reader slows its own
//! stream alone, but one look for the end where all that was declared has come; the library is asked for the
//! end and for trailers, and has no part in the octets; octets are counted against the declared length before
//! the end is passed on, which is the stream's own. A stream that breaks is an error, never an end; one that
//! is dropped before its end is stopped.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use ::h3::error::StreamError;
use ::h3::server::RequestStream;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use portway_core::{Code, ProxyError};

use super::receiving::Receiving;
use super::server::stream_error;
use super::stream::Stream;
use super::transport::Handle;
use crate::body::{BodyLength, BodyStream, Frame, PollFrame};
use crate::h1::Role;
use crate::streams::{Arriving, At};

/// The half of a stream that carries the request.
pub(super) type ReceiveHalf = RequestStream<Receiving, Bytes>;

/// A body that is still on its stream.
pub(super) struct Incoming {
    stream: ReceiveHalf,
    account: Arriving,
    handle: Rc<Handle>,
    /// What was found by looking whether there is a body.
    peeked: Option<Result<Option<Frame>, ProxyError>>,
    /// To be told to go on when somebody first wants a frame.
    waiting: Option<Rc<Stream>>,
}

impl Incoming {
    /// The body behind a head.
    pub(super) fn new(stream: ReceiveHalf, handle: Rc<Handle>) -> Incoming {
        Incoming {
            stream,
            handle,
            account: Arriving::new(Role::Client, BodyLength::Unknown),
            peeked: None,
            waiting: None,
        }
    }

    /// Ready when it is known whether there is a body.
    pub(super) fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.peeked.is_none() {
            let found = ready!(self.poll_raw(cx));
            self.peeked = Some(found);
        }
        Poll::Ready(())
    }

    /// Counts from here on, against what the head declared; gives the counter.
    pub(super) fn begin(&mut self, role: Role, declared: BodyLength) -> Rc<Cell<u64>> {
        let at = self.account.at;
        self.account = Arriving::new(role, declared);
        // Trailers without data before them: the data has ended, whatever was declared.
        if at != At::Data {
            if let Err(error) = self.account.end_of_data() {
                self.peeked = Some(Err(error));
            }
            self.account.at = at;
        }
        self.note_whole();
        self.account.counter()
    }

    /// Then only the stream's end is missing.
    fn note_whole(&self) {
        if self.account.at == At::Data && self.account.length() == BodyLength::Exact(0) {
            self.handle.is_whole.set(true);
        }
    }

    /// Says `100 Continue` when the first frame is wanted.
    pub(super) fn before_first(&mut self, stream: Rc<Stream>) {
        self.waiting = Some(stream);
    }

    /// The next frame, uncounted.
    fn poll_raw(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, ProxyError>> {
        while self.account.at == At::Data {
            if let Some(octets) = self.handle.data.take() {
                return Poll::Ready(Ok(Some(Frame::Data(octets))));
            }
            match self.stream.poll_recv_data(cx) {
                Poll::Ready(Ok(None)) => self.account.end_of_data()?,
                Poll::Ready(Ok(Some(_))) => {} // none has octets
                Poll::Ready(Err(error)) => return Poll::Ready(Err(stream_error(error))),
                Poll::Pending if self.handle.data.borrow().is_some() => {}
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.account.at == At::End {
            return Poll::Ready(Ok(None));
        }
        let section = ready!(self.stream.poll_recv_trailers(cx)).map_err(stream_error)?;
        self.account.at = At::End;
        Poll::Ready(Ok(section.map(Frame::Trailers)))
    }

    fn poll_counted(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, ProxyError>> {
        let found = match self.peeked.take() {
            Some(found) => found,
            None => ready!(self.poll_raw(cx)),
        };
        Poll::Ready(match found? {
            Some(Frame::Data(octets)) => {
                self.account.take(octets.len())?;
                self.note_whole();
                self.look_for_end();
                Ok(Some(Frame::Data(octets)))
            }
            Some(Frame::Trailers(section)) => self.clean(section),
            None => Ok(None),
        })
    }

    /// An end that came together with all that was declared goes on with it.
    fn look_for_end(&mut self) {
        if self.account.length() == BodyLength::Exact(0) {
            // Who wants the next frame asks again.
            let _ = self.poll_peek(&mut Context::from_waker(Waker::noop()));
        }
    }

    fn clean(&self, section: HeaderMap) -> Result<Option<Frame>, ProxyError> {
        let section = self.account.clean(section)?;
        Ok(section.map(Frame::Trailers))
    }
}

impl BodyStream for Incoming {
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> PollFrame {
        let this = self.get_mut();
        if let Some(stream) = this.waiting.take()
            && this.peeked.is_none()
        {
            stream.inform(StatusCode::CONTINUE, &HeaderMap::new());
        }
        let polled = ready!(this.poll_counted(cx));
        if let Err(error) = &polled
            && error.kind == Code::BadRequest
            && !is_of_connection(error)
        {
            this.handle.made_us_reset();
        }
        if !matches!(polled, Ok(Some(_))) {
            this.account.at = At::End;
        }
        Poll::Ready(polled.transpose())
    }

    fn length(&self) -> BodyLength {
        match self.peeked {
            Some(Ok(Some(Frame::Trailers(_))) | Err(_)) => BodyLength::Unknown,
            _ => self.account.length(),
        }
    }

    /// The declared length does not tell: more may come that breaks it, or trailers.
    fn is_over(&self) -> bool {
        match &self.peeked {
            Some(found) => matches!(found, Ok(None)),
            None => self.account.at == At::End,
        }
    }

    fn limit(self: Pin<&mut Self>, bytes_max: u64) {
        self.get_mut().account.limit(bytes_max);
    }
}

/// Whether it broke all streams at once.
fn is_of_connection(error: &ProxyError) -> bool {
    let source = error.source().and_then(|e| e.downcast_ref());
    matches!(source, Some(StreamError::ConnectionError { .. }))
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incoming({:?})", self.length())
    }
}
