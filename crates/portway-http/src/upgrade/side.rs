//! One connection of a WebSocket tunnel, as the relay reads and writes it.
//!
//! Must hold: bytes go out in the order in which they came; when the tunnel is to end, a closing frame
//! with status 1001 goes out at the end of a frame, once, and nothing after it (RFC 6455, sections 5.5.1
//! and 7.4.1).

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use portway_net::relay::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::frames::Frames;
use crate::h1::Conn;

/// What both sides of a tunnel know of its end; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Leaving(Rc<State>);

#[derive(Debug, Default)]
struct State {
    asked: Cell<bool>,
    /// Closing frames of the gateway's that went out.
    said: Cell<u8>,
    /// Closing frames of the peers' that went by.
    heard: Cell<u8>,
}

impl Leaving {
    /// Both peers are to be told that it ends; whether that is new.
    pub fn ask(&self) -> bool {
        !self.0.asked.replace(true)
    }

    /// Whether both peers have said that nothing more comes from them.
    #[must_use]
    pub fn is_agreed(&self) -> bool {
        self.0.heard.get() == 2
    }

    /// Whether both were told besides: there is nothing left to pass on.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.said.get() == 2 && self.is_agreed()
    }
}

/// Bytes taken at once into the connection's own buffer.
const WRITE_BYTES_MAX: usize = 64 * 1024;
/// "Going away": status 1001, unmasked as servers send it.
const GOING_AWAY: [u8; 4] = [0x88, 2, 0x03, 0xe9];

/// One side.
pub struct Side {
    conn: Conn,
    /// Follows what is written to this side.
    frames: Frames,
    leaving: Leaving,
    /// What ends it here, masked where this side is a server's.
    goodbye: Vec<u8>,
    said: bool,
    heard: bool,
}

impl Side {
    /// The client's side.
    #[must_use]
    pub fn client(conn: Conn, leaving: &Leaving) -> Side {
        Side::new(conn, leaving, GOING_AWAY.to_vec())
    }

    /// The target's side. What clients send is masked (RFC 6455, section 5.3); `mask` need not be a
    /// secret here, where nobody chose the payload.
    #[must_use]
    pub fn target(conn: Conn, leaving: &Leaving, mask: [u8; 4]) -> Side {
        let mut goodbye = vec![GOING_AWAY[0], 0x80 | GOING_AWAY[1]];
        goodbye.extend(mask);
        let payload = GOING_AWAY[2..].iter().zip(mask);
        goodbye.extend(payload.map(|(byte, mask)| byte ^ mask));
        Side::new(conn, leaving, goodbye)
    }

    fn new(conn: Conn, leaving: &Leaving, goodbye: Vec<u8>) -> Side {
        Side {
            conn,
            frames: Frames::default(),
            leaving: leaving.clone(),
            goodbye,
            said: false,
            heard: false,
        }
    }

    fn is_leaving(&self) -> bool {
        self.leaving.0.asked.get() && !self.said
    }

    /// Says goodbye, if it is time and a frame could begin here.
    fn leave(&mut self) {
        if self.is_leaving() && self.frames.at_boundary() {
            if !self.frames.is_closed() {
                let goodbye = std::mem::take(&mut self.goodbye);
                self.conn.queue(|out| out.extend_from_slice(&goodbye));
            }
            self.said = true;
            self.leaving.0.said.update(|n| n + 1);
        }
    }

    fn listen(&mut self) {
        if !self.heard && self.frames.is_closed() {
            self.heard = true;
            self.leaving.0.heard.update(|n| n + 1);
        }
    }
}

impl AsyncRead for Side {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.leave();
        if self.conn.poll_flush(cx)?.is_pending() && self.said {
            return Poll::Pending; // a peer that does not read is not listened to any more
        }
        self.conn.poll_take(cx, buf)
    }
}

impl AsyncWrite for Side {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.conn.poll_flush(cx))?;
        self.leave();
        let taken = if self.said {
            self.frames.take(bytes); // after goodbye there is nothing more to say, but to hear
            bytes.len()
        } else if self.is_leaving() {
            let taken = self.frames.take_frame(bytes);
            self.conn
                .queue(|out| out.extend_from_slice(&bytes[..taken]));
            taken
        } else {
            let bytes = &bytes[..bytes.len().min(WRITE_BYTES_MAX)];
            self.frames.take(bytes);
            self.conn.queue(|out| out.extend_from_slice(bytes));
            bytes.len()
        };
        self.listen();
        if let Poll::Ready(Err(error)) = self.conn.poll_flush(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.conn.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.conn.poll_shutdown(cx)
    }
}

impl Stream for Side {
    fn plain(&self) -> Option<&TcpStream> {
        None // what is read ahead, and what is queued, is in the connection
    }
}
