//! What a connection writes: small things in one buffer, one large piece behind them, both in one call.
//!
//! Must hold: nothing is queued behind a large piece before that is written.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use portway_core::limits;
use portway_net::stream::poll_send;
use tokio::io::AsyncWrite;

use super::{Conn, State};
use crate::h1::io::Io;

/// Data up to this size is copied behind the head: it costs less than another write. More than a first
/// read, so that the beginning of a body goes out together with what follows it.
const COPY_BYTES_MAX: usize = 16 * 1024;
/// So much of what was copied does not wait for more: two such pieces are an ordinary read of a body.
const OUT_BYTES_MAX: usize = limits::BODY_READ_BYTES / 2;

impl Conn {
    /// Octets written since the connection was opened: whether its peer makes progress.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.0.borrow().written
    }

    /// Whether anything waits to be written.
    #[must_use]
    pub fn has_unwritten(&self) -> bool {
        let state = self.0.borrow();
        state.out.len() > state.out_written || !state.data.is_empty() || state.unflushed
    }

    /// Whether what is queued has to be written before more is.
    pub(in crate::h1) fn is_full(&self) -> bool {
        let state = self.0.borrow();
        !state.data.is_empty() || state.out.len() >= OUT_BYTES_MAX
    }

    /// So many octets of the current message were written without waiting. Returns the most that ever
    /// were since there last was a wait.
    pub(in crate::h1) fn took_at_once(&self, bytes: u64) -> u64 {
        let mut state = self.0.borrow_mut();
        state.at_once = state.at_once.max(bytes);
        state.at_once
    }

    /// The peer does not take at once what is queued. If that is in a lent buffer, it is moved out.
    pub(in crate::h1) fn has_to_wait(&self, lent: bool) {
        let mut state = self.0.borrow_mut();
        state.at_once = 0;
        if lent {
            state.data = Bytes::copy_from_slice(&state.data);
        }
    }

    /// Queues bytes behind what is already queued by letting `write` append them.
    pub fn queue(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.borrow_mut();
        state.wake_buffers();
        debug_assert!(state.data.is_empty(), "flush before more is queued");
        write(&mut state.out);
    }

    /// Queues a body's octets.
    pub(in crate::h1) fn queue_data(&self, data: Bytes) {
        let mut state = self.0.borrow_mut();
        state.wake_buffers();
        debug_assert!(state.data.is_empty(), "flush before more is queued");
        if data.len() <= COPY_BYTES_MAX {
            state.out.extend_from_slice(&data);
        } else {
            state.data = data;
        }
    }

    /// Queues a chunk's octets and the CRLF behind them.
    pub(in crate::h1) fn queue_chunk(&self, data: Bytes) {
        self.queue_data(data);
        let mut state = self.0.borrow_mut();
        if state.data.is_empty() {
            state.out.extend_from_slice(b"\r\n");
        } else {
            state.chunk_end = true;
        }
    }

    /// Writes what is queued.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_flush(cx)
    }

    /// Ends our side of the connection: what was written still arrives, then FIN.
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.borrow_mut();
        ready!(state.poll_flush(cx))?;
        match &mut state.io {
            Io::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Io::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl State {
    pub(in crate::h1) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let out = &self.out[self.out_written..];
            if out.is_empty() && self.data.is_empty() {
                if self.unflushed {
                    ready!(self.poll_flush_tls(cx))?;
                }
                self.out.clear();
                self.out_written = 0;
                return Poll::Ready(Ok(()));
            }
            let end: &[u8] = if self.chunk_end { b"\r\n" } else { b"" };
            let sent = match &mut self.io {
                Io::Tcp(stream) => poll_send(stream, cx, out, &[&self.data, end]),
                Io::Tls(stream) => {
                    self.unflushed = true;
                    let all = [out, &self.data, end].map(IoSlice::new);
                    Pin::new(stream).poll_write_vectored(cx, &all)
                }
            };
            match ready!(sent) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(n) => {
                    self.written += n as u64;
                    let of_out = n.min(self.out.len() - self.out_written);
                    self.out_written += of_out;
                    self.finish_data(n - of_out);
                }
                Err(error) => {
                    self.reusable = false;
                    return Poll::Ready(Err(error));
                }
            }
        }
    }

    /// Records that were made and did not fit into the socket.
    fn poll_flush_tls(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Io::Tls(stream) = &mut self.io else {
            return Poll::Ready(Ok(()));
        };
        let flushed = ready!(Pin::new(stream).poll_flush(cx));
        self.unflushed = false;
        self.reusable &= flushed.is_ok();
        Poll::Ready(flushed)
    }

    /// So many octets of `data` and the CRLF behind it were written.
    fn finish_data(&mut self, written: usize) {
        let of_data = written.min(self.data.len());
        self.data.advance(of_data);
        if of_data > 0 && self.data.is_empty() {
            self.data = Bytes::new(); // an empty rest would still hold the buffer
        }
        if self.chunk_end && self.data.is_empty() {
            // What is left of the CRLF goes out like any small thing.
            self.chunk_end = false;
            self.out.clear();
            self.out_written = 0;
            self.out.extend_from_slice(&b"\r\n"[written - of_data..]);
        }
    }
}
