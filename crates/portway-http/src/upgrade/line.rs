//! What carries one side of a tunnel: a connection of HTTP/1 that has switched, or a stream of HTTP/2.
//!
//! Must hold: nothing is read that nobody has room for, nor sent that the peer has not made room for.

use std::io;
use std::task::{Context, Poll};

use tokio::io::ReadBuf;

use crate::h1::Conn;
use crate::h2::Tunnel;

/// One side's way.
#[derive(Debug)]
pub enum Line {
    /// A connection of its own.
    H1(Conn),
    /// A stream of a connection that others use too.
    H2(Box<Tunnel>),
}

/// How a side is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// All was said: as one ends a connection.
    InOrder,
    /// Something is missing, and the peer must not take what it has for all there was.
    Broken,
}

impl Line {
    /// Queues octets; what was queued before must have been flushed.
    pub(super) fn queue(&mut self, octets: &[u8]) {
        match self {
            Line::H1(conn) => conn.queue(|out| out.extend_from_slice(octets)),
            Line::H2(tunnel) => tunnel.queue(octets),
        }
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Line::H1(conn) => conn.poll_flush(cx),
            Line::H2(tunnel) => tunnel.poll_flush(cx),
        }
    }

    pub(super) fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Line::H1(conn) => conn.poll_take(cx, buf),
            Line::H2(tunnel) => tunnel.poll_take(cx, buf),
        }
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Line::H1(conn) => conn.poll_shutdown(cx),
            Line::H2(tunnel) => tunnel.poll_shutdown(cx),
        }
    }

    pub(super) fn part(&mut self, how: Parting) {
        match (self, how) {
            (Line::H1(conn), Parting::Broken) => conn.abort(),
            (Line::H1(_), Parting::InOrder) => {} // closed when it is dropped
            (Line::H2(tunnel), how) => tunnel.part(how),
        }
    }
}
