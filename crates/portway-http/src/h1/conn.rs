//! One HTTP/1 connection, to a client or to a target: its socket, its buffers, and how far the
//! current message's body has been read.
//!
//! Must hold: used by one task of one thread; a borrow never outlives a poll. While a connection idles
//! it holds no buffer: buffers go back to the worker's pool.

mod buffers;
mod out;

use std::any::Any;
use std::cell::RefCell;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use portway_core::{Code, Mono, ProxyError, limits};
use portway_net::stream::poll_recv;
use tokio::io::{AsyncReadExt, ReadBuf};

pub use self::buffers::BufferPool;
use self::buffers::Buffers;
use super::chunked::Chunks;
use super::io::Io;
use crate::Exchange;
use crate::hygiene::forwarded::write_forwarded;
use crate::hygiene::host::HostMemo;

/// Which side of the gateway a connection is on: decides whose fault a broken one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// To a client.
    Client,
    /// To a target.
    Target,
}

/// How the body that is being read ends.
#[derive(Debug)]
pub(super) enum Decoder {
    /// It is over, or there is none.
    Done,
    /// After so many more octets.
    Length(u64),
    /// By its last chunk.
    Chunked(Chunks),
    /// With the connection.
    Close,
}

#[derive(Debug)]
pub(super) struct State {
    io: Io,
    role: Role,
    pub(super) pool: BufferPool,
    /// What has arrived and not been used.
    pub(super) read: BytesMut,
    /// How far `read` was searched for the end of a head.
    pub(super) scanned: usize,
    /// Small things to write: heads, chunk sizes, small bodies.
    pub(super) out: Vec<u8>,
    out_written: usize,
    /// One large piece to write after `out`.
    data: Bytes,
    /// CRLF follows `data`.
    chunk_end: bool,
    /// TLS holds records that may not have left.
    unflushed: bool,
    eof: bool,
    /// Not an end in order: the peer is gone for certain.
    broken: bool,
    /// When a peer that has ended its side is given up.
    pub(super) gone_at: Mono,
    has_buffers: bool,
    pub(super) decoder: Decoder,
    /// The most octets the body may have; 0 for no limit.
    pub(super) body_bytes_max: u64,
    /// Octets of the body handed out so far.
    pub(super) body_bytes: u64,
    /// The client waits for `100 Continue` before it sends its body.
    pub(super) expects_continue: bool,
    /// The host of the last request.
    pub(super) hosts: HostMemo,
    /// Whether the connection can carry another message after this one.
    pub(super) reusable: bool,
    /// Octets written since it was opened.
    written: u64,
    /// The most octets of one message that were written without waiting for the peer, since the last
    /// wait.
    at_once: u64,
    /// Dropped with the connection.
    held: Option<Box<dyn Any>>,
}

/// A handle to a connection; clones are the same connection.
#[derive(Clone, Debug)]
pub struct Conn(pub(super) Rc<RefCell<State>>);

/// What of HTTP/2's preface looks like a head.
pub(super) const HTTP2_BEGINS: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

impl Conn {
    /// A fresh connection.
    #[must_use]
    pub fn new(io: Io, role: Role, pool: &BufferPool) -> Conn {
        Conn(Rc::new(RefCell::new(State {
            io,
            role,
            pool: pool.clone(),
            read: BytesMut::new(),
            scanned: 0,
            out: Vec::new(),
            out_written: 0,
            data: Bytes::new(),
            chunk_end: false,
            unflushed: false,
            eof: false,
            broken: false,
            gone_at: Mono::NEVER,
            has_buffers: false,
            decoder: Decoder::Done,
            body_bytes_max: 0,
            body_bytes: 0,
            expects_continue: false,
            hosts: HostMemo::default(),
            reusable: true,
            written: 0,
            at_once: 0,
            held: None,
        })))
    }

    /// Whether what came first is the beginning of HTTP/2's preface (RFC 9113, section 3.4), which an
    /// HTTP/1 parser takes for a request of another version; nothing of it has been used up then.
    #[must_use]
    pub fn begins_http2(&self) -> bool {
        let state = self.0.borrow();
        state.written == 0 && state.read.starts_with(HTTP2_BEGINS)
    }

    /// Takes the connection apart: its transport, and what was read from it and not used. `None` while
    /// anything else holds on to it.
    #[must_use]
    pub fn into_parts(self) -> Option<(Io, Bytes)> {
        let state = Rc::into_inner(self.0)?.into_inner();
        Some((state.io, state.read.freeze()))
    }

    /// Ready when there is something to read (or the peer closed), without holding a buffer.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.borrow_mut();
        state.skip_empty_lines();
        if !state.read.is_empty() || state.eof {
            return Poll::Ready(());
        }
        state.rest();
        if let Io::Tcp(stream) = &state.io
            && ready!(stream.poll_read_ready(cx)).is_err()
        {
            return Poll::Ready(());
        }
        // A fresh socket counts as ready until a read has shown otherwise: without this, a connection
        // that never asks would pass for one whose request has begun.
        let filled = state.poll_fill(cx, limits::READ_BYTES);
        state.skip_empty_lines();
        match filled {
            Poll::Pending => state.rest(),
            Poll::Ready(Ok(1..)) if state.read.is_empty() => {
                // Nothing but empty lines: others have their turn before the next of them.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(_) => {}
        }
        filled.map(|_| ())
    }

    /// Ready when the peer has gone away for certain. One that has only ended its side may still read:
    /// see [`Conn::gone_at`]. Bytes that come early (a pipelined request) are kept, up to the size of
    /// one head; past that their sender has to wait.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.borrow_mut();
        while state.read.len() < limits::READ_BYTES && !state.eof {
            let _ = ready!(state.poll_fill(cx, limits::READ_BYTES)); // an error is remembered
        }
        if state.broken {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// When to give up a peer that has ended its side of the connection after a whole message: FIN comes
    /// from one that still reads as from one that went away, and only writing would tell them apart.
    /// [`Mono::NEVER`] while it has not. Counts from the first call, for each message anew.
    #[must_use]
    pub fn gone_at(&self, now: Mono) -> Mono {
        let mut state = self.0.borrow_mut();
        if state.eof && state.gone_at == Mono::NEVER {
            state.gone_at = now + limits::HALF_CLOSED_PATIENCE;
        }
        state.gone_at
    }

    /// Whether an idle pooled connection is still usable: open, and silent. A byte that nobody asked
    /// for would be taken for the next reply (response desynchronization).
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let mut state = self.0.borrow_mut();
        if !state.reusable || state.eof || !state.read.is_empty() {
            return false;
        }
        if let Io::Tcp(stream) = &state.io
            && !portway_net::stream::may_read(stream)
        {
            return true;
        }
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let quiet = state.poll_fill(&mut cx, 1).is_pending();
        state.rest();
        quiet
    }

    /// Whether bytes of a next message have already arrived.
    #[must_use]
    pub fn has_early_bytes(&self) -> bool {
        !self.0.borrow().read.is_empty()
    }

    /// Whether the peer has closed its side.
    #[must_use]
    pub fn is_eof(&self) -> bool {
        self.0.borrow().eof
    }

    /// Whether the current message's body has been read to its end.
    #[must_use]
    pub fn body_is_done(&self) -> bool {
        matches!(self.0.borrow().decoder, Decoder::Done)
    }

    /// Octets of the current message's body that were read.
    #[must_use]
    pub fn body_bytes(&self) -> u64 {
        self.0.borrow().body_bytes
    }

    /// Lowers (or sets) the most octets the current body may have; 0 for no limit.
    pub fn limit_body(&self, bytes_max: u64) {
        self.0.borrow_mut().body_bytes_max = bytes_max;
    }

    /// Whether the client still waits for `100 Continue`.
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        self.0.borrow().expects_continue
    }

    /// Whether another message may follow on this connection.
    #[must_use]
    pub fn is_reusable(&self) -> bool {
        let state = self.0.borrow();
        state.reusable && !state.eof && matches!(state.decoder, Decoder::Done)
    }

    /// Whether nothing happened after which the place of a next message is in doubt: a body that was
    /// malformed, too large or cut off.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.0.borrow().reusable
    }

    /// No further message on this connection.
    pub fn set_unusable(&self) {
        self.0.borrow_mut().reusable = false;
    }

    /// Fills in what targets are told about the client of a request that was read here. On a client's
    /// connection it stays the same as long as the host does; what a trusted proxy tells does not.
    pub fn remember_told(&self, exchange: &mut Exchange) {
        exchange.client.told = None;
        if exchange.client.trusted {
            return;
        }
        let request = &exchange.request;
        let mut state = self.0.borrow_mut();
        let told = state.hosts.told(&request.host, request.port, || {
            let mut lines = Vec::new();
            write_forwarded(exchange, &mut lines);
            lines.into()
        });
        exchange.client.told = told;
    }

    /// Gives the buffers back while nothing is in them.
    pub fn rest(&self) {
        self.0.borrow_mut().rest();
    }

    /// Makes closing send RST instead of FIN, so that the peer cannot take a cut-off message for a
    /// whole one.
    pub fn abort(&self) {
        let mut state = self.0.borrow_mut();
        state.reusable = false;
        let stream = match &state.io {
            Io::Tcp(stream) => stream,
            Io::Tls(stream) => stream.tcp(),
        };
        // A socket that is already gone needs no reset.
        let _ = stream.set_zero_linger();
    }

    /// Keeps something until the connection is closed (a count that goes down when dropped).
    pub fn hold(&self, held: Box<dyn Any>) {
        self.0.borrow_mut().held = Some(held);
    }

    /// Reads what comes next as it is: for a tunnel.
    pub(crate) fn poll_take(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.0.borrow_mut();
        if state.read.is_empty() && !state.eof {
            let filled = state.poll_fill(cx, limits::READ_BYTES);
            if filled.is_pending() {
                state.rest(); // a tunnel that is silent holds no buffer either
            }
            ready!(filled)?;
        }
        let taken = state.read.len().min(buf.remaining());
        buf.put_slice(&state.read[..taken]);
        state.read.advance(taken);
        Poll::Ready(Ok(()))
    }

    /// Reads and throws away what comes, up to so many octets; ready with whether the peer closed.
    pub fn poll_discard(&self, cx: &mut Context<'_>, left: &mut u64) -> Poll<bool> {
        let mut state = self.0.borrow_mut();
        let turn_ends = left.saturating_sub(limits::BODY_BYTES_PER_TURN as u64);
        loop {
            let have = state.read.len() as u64;
            *left = left.saturating_sub(have);
            state.read.clear();
            if *left == 0 || state.eof {
                return Poll::Ready(state.eof);
            }
            if *left < turn_ends {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match ready!(state.poll_fill(cx, limits::READ_BYTES)) {
                Ok(0) | Err(_) => return Poll::Ready(true),
                Ok(_) => {}
            }
        }
    }
}

impl State {
    pub(super) fn wake_buffers(&mut self) {
        if !self.has_buffers {
            let buffers = self.pool.take();
            self.read = buffers.read;
            self.out = buffers.out;
            self.has_buffers = true;
        }
    }

    fn rest(&mut self) {
        let idle =
            self.read.is_empty() && self.out.len() == self.out_written && self.data.is_empty();
        if self.has_buffers && idle {
            self.out.clear();
            self.out_written = 0;
            self.has_buffers = false;
            let buffers = Buffers {
                read: std::mem::take(&mut self.read),
                out: std::mem::take(&mut self.out),
            };
            self.pool.give(buffers);
        }
    }

    /// Reads once; 0 octets means that the peer closed.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        want: usize,
    ) -> Poll<io::Result<usize>> {
        self.wake_buffers();
        let spare = self.read.capacity() - self.read.len();
        if spare < want.div_ceil(2) {
            self.read.reserve(want);
        }
        let read = match &mut self.io {
            Io::Tcp(stream) => ready!(poll_recv(stream, cx, &mut self.read)),
            Io::Tls(stream) => ready!(pin!(stream.read_buf(&mut self.read)).poll(cx)),
        };
        if !matches!(read, Ok(n) if n > 0) {
            self.eof = true;
            self.broken = read.is_err();
        }
        Poll::Ready(read)
    }

    /// The peer closed or broke the connection in the middle of a message.
    pub(super) fn broken(&self, source: Option<io::Error>) -> ProxyError {
        let error = match self.role {
            Role::Client => ProxyError::new(Code::ClientGone, "the client closed the connection"),
            Role::Target => {
                ProxyError::new(Code::UpstreamReset, "the target closed the connection")
            }
        };
        match source {
            Some(source) => error.with_source(source),
            None => error,
        }
    }

    /// The peer sent something that is not HTTP.
    pub(super) fn malformed(&self, detail: &'static str) -> ProxyError {
        let code = match self.role {
            Role::Client => Code::BadRequest,
            Role::Target => Code::UpstreamBadReply,
        };
        ProxyError::new(code, detail)
    }
}
