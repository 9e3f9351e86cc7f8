//! Sending a request's body to a target, frame by frame, while its reply is being waited for or even
//! read.
//!
//! Must hold: exactly the framing announced in the head; the head queued before goes out together with
//! the first octets.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use portway_core::{Code, ProxyError, limits};

use super::chunked;
use super::conn::Conn;
use super::passing::Passing;
use super::serialize;
use crate::body::Frame;
use crate::hygiene::framing::Framing;
use crate::replay::{Replay, Unsent};

/// A request's body on its way to a target.
pub struct Pump {
    conn: Conn,
    body: Replay,
    framing: Framing,
    trailers: Option<HeaderMap>,
    ended: bool,
    /// Octets of the body are queued on the connection.
    unflushed: bool,
    passing: Passing,
}

impl Pump {
    /// Sends `unsent` on `conn` as `framing` says; keeps up to so many octets for another try.
    #[must_use]
    pub fn new(conn: Conn, unsent: Unsent, framing: Framing, keep_bytes_max: usize) -> Pump {
        Pump {
            conn,
            body: Replay::new(unsent, keep_bytes_max),
            framing,
            trailers: None,
            ended: false,
            unflushed: false,
            passing: Passing::default(),
        }
    }

    /// Ready when all is sent. An error of the client's side means that the request will never be
    /// complete; an error of the target's side may still be followed by its reply.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        let mut moved = 0;
        loop {
            let turn_is_over = moved >= limits::BODY_BYTES_PER_TURN;
            if self.unflushed && (self.ended || turn_is_over || self.conn.is_full()) {
                ready!(self.poll_flush(cx))?;
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            if turn_is_over {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.poll_next(cx) {
                Poll::Ready(Ok(Some(data))) => {
                    moved += data.len();
                    self.queue(data);
                }
                Poll::Ready(Ok(None)) => self.end(),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    ready!(self.poll_flush(cx))?; // the head does not wait for the body
                    return Poll::Pending;
                }
            }
            self.unflushed = true;
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        let flushed = self.passing.poll_flush(cx, &self.conn);
        self.unflushed &= flushed.is_pending();
        flushed.map_err(|error| {
            ProxyError::new(
                Code::UpstreamReset,
                "the target stopped reading the request",
            )
            .with_source(error)
        })
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ProxyError>> {
        let frame = self.body.poll_passing(cx, &mut self.passing, &self.conn);
        match ready!(frame) {
            Some(Ok(Frame::Data(data))) => Poll::Ready(Ok(Some(data))),
            Some(Ok(Frame::Trailers(trailers))) => {
                self.trailers = Some(trailers);
                Poll::Ready(Ok(None))
            }
            Some(Err(error)) => Poll::Ready(Err(error)),
            None => Poll::Ready(Ok(None)),
        }
    }

    fn queue(&mut self, data: Bytes) {
        if self.framing == Framing::Chunked {
            self.conn.queue(|out| chunked::write_size(out, data.len()));
            self.conn.queue_chunk(data);
        } else {
            self.conn.queue_data(data);
        }
    }

    fn end(&mut self) {
        self.ended = true;
        if self.framing == Framing::Chunked {
            self.conn
                .queue(|out| serialize::last_chunk(out, self.trailers.as_ref()));
        }
    }

    /// Whether the last poll waited for the target to read (rather than for the body to come).
    #[must_use]
    pub fn waits_for_target(&self) -> bool {
        self.unflushed
    }

    /// Takes the body back for another try; `None` if octets that were sent are no longer there.
    #[must_use]
    pub fn take_back(self) -> Option<Unsent> {
        self.body.take_back()
    }

    /// Whether all of the request has been handed to the socket.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.ended && !self.unflushed
    }
}
