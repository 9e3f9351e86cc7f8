//! Sending a reply to a client: its head, then its body as fast as the client reads it.
//!
//! Must hold: a reply that cannot be completed is never ended as if it were complete.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use portway_core::{Code, ProxyError, limits};

use super::chunked;
use super::conn::Conn;
use super::passing::Passing;
use super::serialize;
use crate::body::{Body, Frame};
use crate::hygiene::framing::Framing;

/// A reply's body on its way to a client; the head was queued on the connection before.
#[derive(Debug)]
pub struct ReplyWriter {
    framing: Framing,
    /// Octets written so far.
    pub bytes: u64,
    ended: bool,
    /// The head of a bodiless reply, or octets of the body, are queued on the connection.
    unflushed: bool,
    waits_for_client: bool,
    passing: Passing,
}

impl ReplyWriter {
    /// A writer that follows this framing.
    #[must_use]
    pub fn new(framing: Framing) -> ReplyWriter {
        let ended = framing == Framing::None;
        ReplyWriter {
            framing,
            bytes: 0,
            ended,
            unflushed: ended,
            waits_for_client: false,
            passing: Passing::default(),
        }
    }

    /// Ready when all is written, or when it never will be.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        conn: &Conn,
        body: &mut Body,
    ) -> Poll<Result<(), ProxyError>> {
        let turn_ends = self.bytes + limits::BODY_BYTES_PER_TURN as u64;
        loop {
            let turn_is_over = self.bytes >= turn_ends;
            if self.unflushed && (self.ended || turn_is_over || conn.is_full()) {
                let flushed = self.poll_flush(cx, conn);
                if flushed.is_pending() {
                    body.poll_companion(cx); // a client may read only what answers the rest of its request
                }
                ready!(flushed)?;
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            if turn_is_over {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.passing.poll_frame(cx, body, conn) {
                Poll::Ready(Some(Ok(Frame::Data(data)))) => self.queue(conn, data),
                Poll::Ready(Some(Ok(Frame::Trailers(trailers)))) => self.end(conn, Some(&trailers)),
                Poll::Ready(None) => self.end(conn, None),
                Poll::Ready(Some(Err(error))) => {
                    let _ = self.poll_flush(cx, conn); // the client gets what there is
                    return Poll::Ready(Err(error));
                }
                Poll::Pending => {
                    ready!(self.poll_flush(cx, conn))?; // what came so far does not wait for the rest
                    return Poll::Pending;
                }
            }
            self.unflushed = true;
        }
    }

    fn queue(&mut self, conn: &Conn, data: Bytes) {
        self.bytes += data.len() as u64;
        if self.framing == Framing::Chunked {
            conn.queue(|out| chunked::write_size(out, data.len()));
            conn.queue_chunk(data);
        } else {
            conn.queue_data(data);
        }
    }

    /// Whether the last poll waited for the client to read (rather than for the body to come).
    #[must_use]
    pub fn waits_for_client(&self) -> bool {
        self.waits_for_client
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, conn: &Conn) -> Poll<Result<(), ProxyError>> {
        let flushed = self.passing.poll_flush(cx, conn);
        self.waits_for_client = flushed.is_pending();
        self.unflushed &= self.waits_for_client;
        flushed.map_err(|error| {
            ProxyError::new(Code::ClientGone, "the client stopped reading the reply")
                .with_source(error)
        })
    }

    fn end(&mut self, conn: &Conn, trailers: Option<&HeaderMap>) {
        self.ended = true;
        if self.framing == Framing::Chunked {
            conn.queue(|out| serialize::last_chunk(out, trailers));
        }
    }
}
