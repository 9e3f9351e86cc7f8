//! Passing bytes between two connections, both ways at once, in one task.
//!
//! Must hold: each direction ends by itself, so a peer that only stopped sending is still sent to
//! (half-close); a reader is never ahead of its writer by more than one buffer or pipe (back-pressure);
//! while nothing flows, nothing is held but the sockets. Bytes between two plain sockets stay in the
//! kernel once there are many of them. Never: looks into the bytes, or waits without a deadline.

mod half;
mod pool;

pub use pool::RelayPool;

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use portway_core::Mono;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::timer::Timer;
use half::{Broke, Half};

/// A connection whose bytes can be passed on.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// The socket, if its bytes are those of the connection: nothing is encrypted or kept in between.
    fn plain(&self) -> Option<&TcpStream>;
}

impl Stream for TcpStream {
    fn plain(&self) -> Option<&TcpStream> {
        Some(self)
    }
}

/// Bytes that were passed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// From the client to the target.
    pub up: u64,
    /// From the target to the client.
    pub down: u64,
}

/// Why passing on is over.
#[derive(Debug)]
pub enum End {
    /// Both said all they had to say.
    Closed,
    /// Not a byte either way for too long.
    Idle,
    /// The deadline of a drain came.
    Cut,
    /// The client's connection broke.
    Client(io::Error),
    /// The target's connection broke.
    Target(io::Error),
}

impl End {
    /// Whether what was passed on must not pass for all there was: both connections are to be reset.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        matches!(self, End::Client(_) | End::Target(_))
    }
}

/// What a relay needs besides its connections.
pub struct Relay<'a> {
    /// The worker's spare buffers and pipes.
    pub pool: &'a RelayPool,
    /// The task's timer.
    pub timer: &'a Timer,
    /// Without a byte either way for so long, it ends.
    pub idle: Duration,
    /// Taken from the client before, and not passed on yet.
    pub early_up: Vec<u8>,
    /// Taken from the target before, and not passed on yet.
    pub early_down: Vec<u8>,
}

impl Relay<'_> {
    /// Passes bytes until it is over. `watch` is told of new bytes whenever there were some, and
    /// asked by when all must be over.
    pub async fn run<C: Stream, T: Stream>(
        self,
        client: &mut C,
        target: &mut T,
        mut watch: impl FnMut(Passed) -> Mono,
    ) -> End {
        let wheel = self.timer.wheel();
        let mut up = Half::new(self.early_up);
        let mut down = Half::new(self.early_down);
        let mut known = Passed::default();
        let mut last = wheel.now();
        poll_fn(|cx| {
            if let Poll::Ready(Err(broke)) = up.poll(cx, client, target, self.pool) {
                return Poll::Ready(match broke {
                    Broke::Reading(error) => End::Client(error),
                    Broke::Writing(error) => End::Target(error),
                });
            }
            if let Poll::Ready(Err(broke)) = down.poll(cx, target, client, self.pool) {
                return Poll::Ready(match broke {
                    Broke::Reading(error) => End::Target(error),
                    Broke::Writing(error) => End::Client(error),
                });
            }
            let new = Passed {
                up: up.passed() - known.up,
                down: down.passed() - known.down,
            };
            if new != Passed::default() {
                last = wheel.now();
                known = Passed {
                    up: up.passed(),
                    down: down.passed(),
                };
            }
            let cut = watch(new);
            if up.is_done() && down.is_done() {
                return Poll::Ready(End::Closed);
            }
            let idle = last + self.idle;
            let end = if cut <= idle { End::Cut } else { End::Idle };
            self.timer.poll(cx, idle.min(cut)).map(|()| end)
        })
        .await
    }
}

#[cfg(test)]
mod tests;
