//! One side of a tunnel, as the relay reads and writes it.
//!
//! Must hold: bytes go out in the order in which they came; when a WebSocket is to end, a closing frame
//! with status 1001 goes out at the end of a frame, once, and nothing after it (RFC 6455, sections 5.5.1
//! and 7.4.1). Other protocols have no frames that are known here: nothing is ever said in them.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use portway_net::relay::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Wanted;
use super::frames::Frames;
use super::line::{Line, Parting};

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

    fn is_asked(&self) -> bool {
        self.0.asked.get()
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
    line: Line,
    leaving: Leaving,
    /// `None` for what is no WebSocket.
    talk: Option<Talk>,
}

/// A WebSocket's way to one side.
struct Talk {
    /// Follows what is written to this side.
    frames: Frames,
    /// What ends it here, masked where this side is a server's.
    goodbye: Vec<u8>,
    said: bool,
    heard: bool,
}

impl Side {
    /// The client's side.
    #[must_use]
    pub fn client(line: Line, to: &Wanted, leaving: &Leaving) -> Side {
        Side::new(line, to, leaving, GOING_AWAY.to_vec())
    }

    /// The target's side. What clients send is masked (RFC 6455, section 5.3); `mask` need not be a
    /// secret here, where nobody chose the payload.
    #[must_use]
    pub fn target(line: Line, to: &Wanted, leaving: &Leaving, mask: [u8; 4]) -> Side {
        let mut goodbye = vec![GOING_AWAY[0], 0x80 | GOING_AWAY[1]];
        goodbye.extend(mask);
        let payload = GOING_AWAY[2..].iter().zip(mask);
        goodbye.extend(payload.map(|(byte, mask)| byte ^ mask));
        Side::new(line, to, leaving, goodbye)
    }

    fn new(line: Line, to: &Wanted, leaving: &Leaving, goodbye: Vec<u8>) -> Side {
        let talk = Talk {
            frames: Frames::default(),
            goodbye,
            said: false,
            heard: false,
        };
        Side {
            line,
            leaving: leaving.clone(),
            talk: (*to == Wanted::WebSocket).then_some(talk),
        }
    }

    /// Whether a closing frame went out to this side, the gateway's or the other peer's.
    #[must_use]
    pub fn was_told(&self) -> bool {
        self.talk
            .as_ref()
            .is_some_and(|talk| talk.said || talk.heard)
    }

    /// Leaves the peer.
    pub fn part(&mut self, how: Parting) {
        self.line.part(how);
    }

    /// Says goodbye, if it is time and a frame could begin here; whether it has been said.
    fn leave(&mut self) -> bool {
        let Some(talk) = &mut self.talk else {
            return false;
        };
        if self.leaving.is_asked() && !talk.said && talk.frames.at_boundary() {
            if !talk.frames.is_closed() {
                self.line.queue(&std::mem::take(&mut talk.goodbye));
            }
            talk.said = true;
            self.leaving.0.said.update(|n| n + 1);
        }
        talk.said
    }

    /// Queues as much of this as may go out; how much of it is dealt with.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let bytes = &bytes[..bytes.len().min(WRITE_BYTES_MAX)];
        let Some(talk) = &mut self.talk else {
            self.line.queue(bytes);
            return bytes.len();
        };
        let mut taken = bytes.len();
        if talk.said {
            talk.frames.take(bytes); // after goodbye there is nothing more to say, but to hear
        } else if self.leaving.is_asked() {
            taken = talk.frames.take_frame(bytes);
            self.line.queue(&bytes[..taken]);
        } else {
            talk.frames.take(bytes);
            self.line.queue(bytes);
        }
        if !talk.heard && talk.frames.is_closed() {
            talk.heard = true;
            self.leaving.0.heard.update(|n| n + 1);
        }
        taken
    }
}

impl AsyncRead for Side {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let said = self.leave();
        if self.line.poll_flush(cx)?.is_pending() && said {
            return Poll::Pending; // a peer that does not read is not listened to any more
        }
        self.line.poll_take(cx, buf)
    }
}

impl AsyncWrite for Side {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.line.poll_flush(cx))?;
        self.leave();
        let taken = self.take(bytes);
        if let Poll::Ready(Err(error)) = self.line.poll_flush(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.line.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.line.poll_shutdown(cx)
    }
}

impl Stream for Side {
    fn plain(&self) -> Option<&TcpStream> {
        None // what is read ahead, and what is queued, is in the connection
    }
}
