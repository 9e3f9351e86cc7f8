//! Passing a body on to a connection: how large its frames may be, and how long they may stay.
//!
//! Must hold: a frame in the worker's large buffer is written, or copied out of it, before the task
//! waits; a peer that stops reading is owed at most an ordinary read of the body or, if that is more,
//! twice what its socket has taken at once, so that thousands of such peers cannot use up the memory.

#[cfg(test)]
mod tests;

use std::io;
use std::task::{Context, Poll};

use portway_core::limits;

use super::conn::Conn;
use crate::body::{Body, PollFrame};

/// A body's way to a connection.
#[derive(Debug, Default)]
pub(crate) struct Passing {
    /// Octets that had been written to the connection when its peer last had to be waited for.
    waited_at: Option<u64>,
    /// The last frame may be in a buffer that is only lent.
    lent: bool,
}

impl Passing {
    /// The next frame, for somebody who queues it on the connection and then calls `poll_flush`.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Body,
        conn: &Conn,
    ) -> PollFrame {
        if !matches!(body, Body::H1(_)) {
            return body.poll_frame(cx);
        }
        let written = conn.written();
        let at_once = written - *self.waited_at.get_or_insert(written);
        let room = conn.took_at_once(at_once).saturating_mul(2);
        self.lent = room > limits::BODY_READ_BYTES as u64;
        if self.lent {
            body.poll_passing(cx, usize::try_from(room).unwrap_or(usize::MAX))
        } else {
            body.poll_frame(cx)
        }
    }

    /// Writes what is queued. What has to wait is not left in a lent buffer.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>, conn: &Conn) -> Poll<io::Result<()>> {
        let flushed = conn.poll_flush(cx);
        if flushed.is_pending() {
            self.waited_at = Some(conn.written());
            conn.has_to_wait(std::mem::take(&mut self.lent));
        }
        flushed
    }
}
