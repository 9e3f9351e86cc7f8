//! A message's body: pulled frame by frame by whoever writes it, so that a slow writer slows its
//! reader and nothing is buffered that nobody asked to buffer.
//!
//! Must hold: a frame of data is never empty; trailers come last; after `None` or an error the body
//! is over. The ordinary bodies (none, one piece, an HTTP/1 connection's) need no allocation.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use portway_core::ProxyError;

use crate::{h1, h2};

/// A piece of a body.
#[derive(Debug)]
pub enum Frame {
    /// Octets; never empty.
    Data(Bytes),
    /// The trailer section; always last.
    Trailers(HeaderMap),
}

/// What is known of a body's size before it is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyLength {
    /// Exactly so many octets.
    Exact(u64),
    /// Only its end will tell.
    #[default]
    Unknown,
}

/// What comes of polling a body.
pub type PollFrame = Poll<Option<Result<Frame, ProxyError>>>;

/// A body of another making: compressed, cached, read from a file.
pub trait BodyStream {
    /// The next frame; `None` at the end.
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> PollFrame;
    /// What is known of the octets that are still to come.
    fn length(&self) -> BodyLength;
    /// Whether it is certain that nothing more comes, not even trailers.
    fn is_over(&self) -> bool {
        self.length() == BodyLength::Exact(0)
    }
    /// Goes on with what goes along with it, while nobody has room for a frame: for what is made of
    /// another body.
    fn poll_companion(self: Pin<&mut Self>, _: &mut Context<'_>) {}
    /// Sets the most octets that may come from a peer; 0 for no limit: for what is made of another body.
    fn limit(self: Pin<&mut Self>, _bytes_max: u64) {}
    /// Nobody waits for the rest any longer, for this reason. True if its form has an end that says so: the
    /// frames from now on are that end, and come at once.
    fn give_up(self: Pin<&mut Self>, _reason: &ProxyError) -> bool {
        false
    }
}

/// A message's body.
#[derive(Default)]
pub enum Body {
    /// No octets.
    #[default]
    Empty,
    /// All octets at once.
    Full(Bytes),
    /// From an HTTP/1 connection.
    H1(h1::Incoming),
    /// From an HTTP/2 stream.
    H2(Box<h2::Incoming>),
    /// Anything else.
    Stream(Pin<Box<dyn BodyStream>>),
}

impl Body {
    /// The next frame; `None` at the end.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> PollFrame {
        match self {
            Body::Empty => Poll::Ready(None),
            Body::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Body::Empty;
                Poll::Ready((!bytes.is_empty()).then_some(Ok(Frame::Data(bytes))))
            }
            Body::H1(incoming) => incoming.poll_frame(cx),
            Body::H2(incoming) => incoming.poll_frame(cx),
            Body::Stream(stream) => stream.as_mut().poll_frame(cx),
        }
    }

    /// Goes on with what goes along with it (sending the rest of the request that it answers), while
    /// nobody has room for a frame.
    pub fn poll_companion(&mut self, cx: &mut Context<'_>) {
        match self {
            Body::H1(incoming) => incoming.poll_pump(cx),
            Body::H2(incoming) => incoming.poll_companion(cx),
            Body::Stream(stream) => stream.as_mut().poll_companion(cx),
            Body::Empty | Body::Full(_) => {}
        }
    }

    /// The next frame, for somebody who has dropped or copied it before waiting for anything: large
    /// bodies come in frames of up to so many octets, in a buffer that the whole worker shares.
    pub fn poll_passing(&mut self, cx: &mut Context<'_>, bytes_max: usize) -> PollFrame {
        match self {
            Body::H1(incoming) => incoming.poll_passing(cx, bytes_max),
            other => other.poll_frame(cx),
        }
    }

    /// The next frame; `None` at the end.
    pub async fn frame(&mut self) -> Option<Result<Frame, ProxyError>> {
        std::future::poll_fn(|cx| self.poll_frame(cx)).await
    }

    /// Throws away what has already arrived, unless that is more than so many octets. A connection whose
    /// message was read to its end by that can be used again.
    pub fn discard_arrived(&mut self, bytes_max: u64) {
        if matches!(self.length(), BodyLength::Exact(left) if left > bytes_max) {
            return;
        }
        let mut cx = Context::from_waker(Waker::noop());
        let mut left = bytes_max;
        while let Poll::Ready(Some(Ok(frame))) = self.poll_frame(&mut cx) {
            let Frame::Data(data) = frame else { continue };
            match left.checked_sub(data.len() as u64) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    }

    /// What is known of the octets that are still to come.
    #[must_use]
    pub fn length(&self) -> BodyLength {
        match self {
            Body::Empty => BodyLength::Exact(0),
            Body::Full(bytes) => BodyLength::Exact(bytes.len() as u64),
            Body::H1(incoming) => incoming.length(),
            Body::H2(incoming) => incoming.length(),
            Body::Stream(stream) => stream.length(),
        }
    }

    /// Whether it is certain that nothing more comes, not even trailers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Body::H2(incoming) => incoming.is_over(),
            Body::Stream(stream) => stream.is_over(),
            other => other.length() == BodyLength::Exact(0),
        }
    }

    /// Gives up the rest. True if the frames from now on are an end that says why, and come at once; else
    /// whoever reads it must be cut off.
    pub fn give_up(&mut self, reason: &ProxyError) -> bool {
        match self {
            Body::Stream(stream) => stream.as_mut().give_up(reason),
            _ => false,
        }
    }

    /// Sets the most octets it may have, where they come from a peer; 0 for no limit.
    pub fn limit(&mut self, bytes_max: u64) {
        match self {
            Body::H1(incoming) => incoming.limit(bytes_max),
            Body::H2(incoming) => incoming.limit(bytes_max),
            Body::Stream(stream) => stream.as_mut().limit(bytes_max),
            Body::Empty | Body::Full(_) => {}
        }
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Body {
        Body::Full(Bytes::from_static(text.as_bytes()))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        Body::Full(Bytes::from(bytes))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({:?})", self.length())
    }
}
