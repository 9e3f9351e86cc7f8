//! One stream as a tunnel (RFC 8441, section 5): its DATA frames are the bytes of a connection, END_STREAM
//! is the end of one direction, and a reset with CANCEL is the connection's.
//!
//! Must hold: the peer gets room for more only when what came has been taken; no more is held for it than
//! one write, until it makes room.

use std::fmt;
use std::io;
use std::task::{Context, Poll, ready};

use ::h2::{Reason, RecvStream, SendStream};
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::ReadBuf;

use super::client::Slot;
use super::outgoing::poll_room;
use crate::upgrade::Parting;

/// A client's half of a stream that may become a tunnel: what it sends waits there.
#[derive(Debug)]
pub struct Waiting(pub(super) RecvStream);

/// Both halves.
pub struct Tunnel {
    send: SendStream<Bytes>,
    receive: RecvStream,
    /// Received and not taken yet.
    came: Bytes,
    /// To be sent when the peer makes room.
    held: BytesMut,
    ended: bool,
    /// The place on a target's connection that the stream takes up.
    _slot: Option<Slot>,
}

impl Tunnel {
    pub(super) fn new(send: SendStream<Bytes>, receive: RecvStream, slot: Option<Slot>) -> Tunnel {
        Tunnel {
            send,
            receive,
            came: Bytes::new(),
            held: BytesMut::new(),
            ended: false,
            _slot: slot,
        }
    }

    pub(crate) fn queue(&mut self, octets: &[u8]) {
        self.held.extend_from_slice(octets);
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let room = ready!(poll_room(&mut self.send, cx, self.held.len()));
            let room = room.map_err(|stopped| stopped.map_or_else(gone, io::Error::other))?;
            let piece = self.held.split_to(room.min(self.held.len())).freeze();
            self.send
                .send_data(piece, false)
                .map_err(io::Error::other)?;
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.came.is_empty() {
            match ready!(self.receive.poll_data(cx)) {
                Some(Ok(data)) => self.came = data,
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let taken = self.came.len().min(buf.remaining());
        buf.put_slice(&self.came[..taken]);
        self.came.advance(taken);
        // Fails only for more than what came.
        let _ = self.receive.flow_control().release_capacity(taken);
        Poll::Ready(Ok(()))
    }

    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        self.end();
        Poll::Ready(Ok(()))
    }

    fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            // Who has reset the stream needs no end of it.
            let _ = self.send.send_data(Bytes::new(), true);
        }
    }

    /// What is not ended in order is reset when it is dropped.
    pub(crate) fn part(&mut self, how: Parting) {
        match how {
            Parting::InOrder if self.held.is_empty() => self.end(),
            Parting::InOrder | Parting::Broken => self.send.send_reset(Reason::CANCEL),
        }
    }
}

/// The stream takes no more, and nobody said why.
fn gone() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tunnel")
    }
}
