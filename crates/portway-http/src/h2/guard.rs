//! The transport under a client's HTTP/2 connection: passes octets on and holds the budgets against them.
//!
//! Must hold: what completes a flood or breaks a rule is not passed on; one connection reads so much per turn of its task
//! and lets others run; closing waits for the client to have read what was said last.
//! Never: changes or keeps an octet.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use portway_core::limits;
use portway_net::Wheel;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::meter::{Meter, Offence};

/// What the transport and whoever drives the connection share.
#[derive(Debug)]
pub(super) struct Watch {
    meter: RefCell<Meter>,
    /// Octets that may still be read in this turn.
    turn_bytes: Cell<usize>,
    offence: Cell<Option<Offence>>,
    /// All is said; only the client's closing is waited for.
    closing: Cell<bool>,
}

impl Watch {
    pub(super) fn new(wheel: &Wheel) -> Watch {
        Watch {
            meter: RefCell::new(Meter::new(wheel.now())),
            turn_bytes: Cell::new(limits::H2_TURN_BYTES),
            offence: Cell::new(None),
            closing: Cell::new(false),
        }
    }

    pub(super) fn begin_turn(&self) {
        self.turn_bytes.set(limits::H2_TURN_BYTES);
    }

    pub(super) fn offence(&self) -> Option<Offence> {
        self.offence.get()
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    fn sent(&self, octets: &[u8]) {
        let flood = self.meter.borrow_mut().send(octets);
        let offence = self.offence.get().or(flood.map(Offence::Flood));
        self.offence.set(offence);
    }

    pub(super) fn head_is_open(&self) -> bool {
        self.meter.borrow().head_is_open()
    }
}

/// The transport.
pub(super) struct Guard<T> {
    io: T,
    /// Octets that were read before it was known that this is HTTP/2.
    early: Bytes,
    watch: Rc<Watch>,
    wheel: Wheel,
    closed: bool,
    /// Octets that may still be thrown away while the client reads our last words.
    linger_bytes: usize,
}

impl<T> Guard<T> {
    pub(super) fn new(io: T, early: Bytes, watch: Rc<Watch>, wheel: Wheel) -> Guard<T> {
        Guard {
            io,
            early,
            watch,
            wheel,
            closed: false,
            linger_bytes: limits::H2_LINGER_BYTES,
        }
    }
}

impl<T: AsyncRead + Unpin> Guard<T> {
    fn poll_fill(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let take = self.early.len().min(buf.remaining());
        buf.put_slice(&self.early[..take]);
        self.early.advance(take);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Guard<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.watch.offence().is_some() {
            return Poll::Pending; // whoever drives the connection ends it in this same turn
        }
        let turn = this.watch.turn_bytes.get();
        if turn == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(this.poll_fill(cx, buf))?;
        let came = &buf.filled()[before..];
        this.watch.turn_bytes.set(turn.saturating_sub(came.len()));
        let offence = this
            .watch
            .meter
            .borrow_mut()
            .receive(came, this.wheel.now());
        if offence.is_some() {
            this.watch.offence.set(offence);
            buf.set_filled(before);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.io).poll_write(cx, octets))?;
        this.watch.sent(&octets[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.io).poll_write_vectored(cx, pieces))?;
        let mut left = written;
        for piece in pieces {
            let of_piece = left.min(piece.len());
            this.watch.sent(&piece[..of_piece]);
            left -= of_piece;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    /// Ends our side, then reads on until the client has ended its own: a socket that is closed with
    /// unread octets resets the connection, and our last words with it.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.watch.closing.set(true);
        if !this.closed {
            ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
            this.closed = true;
        }
        let mut thrown_away = [0; 4096];
        while this.linger_bytes > 0 {
            let mut buf = ReadBuf::new(&mut thrown_away);
            if ready!(Pin::new(&mut this.io).poll_read(cx, &mut buf)).is_err() {
                break;
            }
            if buf.filled().is_empty() {
                break;
            }
            this.linger_bytes = this.linger_bytes.saturating_sub(buf.filled().len());
        }
        Poll::Ready(Ok(()))
    }
}
