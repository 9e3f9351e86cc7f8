//! One direction of a relay: read here, write there, end there when it ended here.
//!
//! Must hold: nothing is read while something is unwritten. Small amounts are copied; once reads keep
//! filling the buffer, bytes move through a pipe (`splice`) and are never copied to this process. Bytes
//! in a pipe are part of the stream: a pipe that is dropped with some in it is closed, not reused.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::pipe::{SpliceFlags, splice};
use tokio::io::{Interest, ReadBuf};
use tokio::net::TcpStream;

use super::Stream;
use super::pool::{Pipe, RelayPool, SIZES};

/// Full reads in a row of a buffer before a larger one, or a pipe, is worth it.
const FULL_READS: u32 = 2;
/// Reads in a row that a smaller buffer would have held, before there is one.
const SMALL_READS: u32 = 16;
/// Below so many bytes at once, copying costs less than the two calls of a pipe.
const SPLICE_BYTES_MIN: usize = 16 * 1024;
/// A direction lets others run after so many reads.
const READS_PER_TURN: u32 = 16;

/// What broke.
#[derive(Debug)]
pub(super) enum Broke {
    Reading(io::Error),
    Writing(io::Error),
}

/// One direction.
pub(super) struct Half {
    /// Empty while there is nothing to pass on.
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    pipe: Option<Pipe>,
    /// Bytes in the pipe.
    piped: usize,
    size: usize,
    full_reads: u32,
    small_reads: u32,
    may_splice: bool,
    splicing: bool,
    /// Something was written that may wait in the writer's own buffer.
    unflushed: bool,
    state: State,
    passed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// All was read; what is left must be written.
    Ending,
    Done,
}

impl Half {
    /// A direction in which these bytes were read before.
    pub(super) fn new(early: Vec<u8>) -> Half {
        Half {
            start: 0,
            end: early.len(),
            buffer: early.into(),
            pipe: None,
            piped: 0,
            size: 0,
            full_reads: 0,
            small_reads: 0,
            may_splice: true,
            splicing: false,
            unflushed: false,
            state: State::Open,
            passed: 0,
        }
    }

    /// Bytes written so far.
    pub(super) fn passed(&self) -> u64 {
        self.passed
    }

    /// Whether its end has been passed on.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Passes on what can be. Ready when it is over.
    pub(super) fn poll<R: Stream, W: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
        pool: &RelayPool,
    ) -> Poll<Result<(), Broke>> {
        let mut reads = 0;
        while self.state != State::Done {
            ready!(self.poll_write(cx, to)).map_err(Broke::Writing)?;
            if self.state == State::Ending {
                self.rest(pool);
                ready!(Pin::new(&mut *to).poll_shutdown(cx)).map_err(Broke::Writing)?;
                self.state = State::Done;
                break;
            }
            if reads == READS_PER_TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            reads += 1;
            let both = from.plain().is_some() && to.plain().is_some();
            if self.splicing && both {
                ready!(self.poll_splice_in(cx, from, pool)).map_err(Broke::Reading)?;
            } else {
                ready!(self.poll_read(cx, from, pool)).map_err(Broke::Reading)?;
                self.learn(both);
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write<W: Stream>(&mut self, cx: &mut Context<'_>, to: &mut W) -> Poll<io::Result<()>> {
        while self.start < self.end {
            let bytes = &self.buffer[self.start..self.end];
            let written = ready!(Pin::new(&mut *to).poll_write(cx, bytes))?;
            self.wrote(written)?;
            self.start += written;
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(&mut *to).poll_flush(cx))?;
            self.unflushed = false;
        }
        while let (Some(pipe), 1..) = (&self.pipe, self.piped) {
            let Some(socket) = to.plain() else {
                return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
            };
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            let moved = ready!(poll_io(cx, socket, Interest::WRITABLE, || {
                splice(&pipe.read, None, socket, None, self.piped, flags)
            }))?;
            self.wrote(moved)?;
            self.piped -= moved;
        }
        Poll::Ready(Ok(()))
    }

    fn wrote(&mut self, bytes: usize) -> io::Result<()> {
        self.passed += bytes as u64;
        match bytes {
            0 => Err(io::ErrorKind::WriteZero.into()),
            _ => Ok(()),
        }
    }

    fn poll_read<R: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        pool: &RelayPool,
    ) -> Poll<io::Result<()>> {
        if self.buffer.len() != SIZES[self.size] {
            self.rest(pool);
            self.buffer = pool.buffer(self.size);
        }
        let mut buf = ReadBuf::new(&mut self.buffer);
        let read = Pin::new(from).poll_read(cx, &mut buf);
        let filled = buf.filled().len();
        match read {
            Poll::Pending => {
                self.rest(pool);
                return Poll::Pending;
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {}
        }
        (self.start, self.end) = (0, filled);
        if filled == 0 {
            self.state = State::Ending;
        }
        Poll::Ready(Ok(()))
    }

    /// Chooses the way for the next bytes by how many there were. `both` ends are plain sockets.
    fn learn(&mut self, both: bool) {
        let (filled, size) = (self.end, SIZES[self.size]);
        self.full_reads = if filled == size {
            self.full_reads + 1
        } else {
            0
        };
        let smaller = self.size.checked_sub(1).map_or(0, |size| SIZES[size]);
        self.small_reads = if filled < smaller {
            self.small_reads + 1
        } else {
            0
        };
        if self.full_reads >= FULL_READS {
            self.full_reads = 0;
            self.splicing = both && self.may_splice && size >= SPLICE_BYTES_MIN;
            if !self.splicing && self.size + 1 < SIZES.len() {
                self.size += 1;
            }
        } else if self.small_reads >= SMALL_READS {
            self.small_reads = 0;
            self.size -= 1;
        }
    }

    fn poll_splice_in<R: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        pool: &RelayPool,
    ) -> Poll<io::Result<()>> {
        let Some(socket) = from.plain() else {
            self.splicing = false;
            return Poll::Ready(Ok(()));
        };
        if self.pipe.is_none() {
            self.rest(pool);
            self.pipe = pool.pipe();
        }
        let Some(pipe) = &self.pipe else {
            self.copy_from_now_on();
            return Poll::Ready(Ok(()));
        };
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let moved = poll_io(cx, socket, Interest::READABLE, || {
            splice(socket, None, &pipe.write, None, pipe.size, flags)
        });
        match moved {
            Poll::Pending => {
                self.rest(pool);
                return Poll::Pending;
            }
            Poll::Ready(Ok(0)) => self.state = State::Ending,
            Poll::Ready(Ok(moved)) => {
                pool.count_piped(moved);
                self.spliced(moved);
            }
            // Not to be had here (a kernel or filter without it): nothing has been taken yet.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::InvalidInput => {
                self.copy_from_now_on();
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
        }
        Poll::Ready(Ok(()))
    }

    fn spliced(&mut self, moved: usize) {
        self.piped = moved;
        self.small_reads = if moved < SPLICE_BYTES_MIN {
            self.small_reads + 1
        } else {
            0
        };
        if self.small_reads >= SMALL_READS {
            self.small_reads = 0;
            self.splicing = false;
        }
    }

    fn copy_from_now_on(&mut self) {
        self.splicing = false;
        self.may_splice = false;
    }

    /// Gives back what holds nothing.
    fn rest(&mut self, pool: &RelayPool) {
        if self.start == self.end && !self.buffer.is_empty() {
            (self.start, self.end) = (0, 0);
            pool.give_buffer(std::mem::take(&mut self.buffer));
        }
        if self.piped == 0
            && let Some(pipe) = self.pipe.take()
        {
            pool.give_pipe(pipe);
        }
    }
}

/// Does a call on a socket when it is ready for it; waits where the call says that it was not.
fn poll_io(
    cx: &mut Context<'_>,
    socket: &TcpStream,
    interest: Interest,
    call: impl Fn() -> rustix::io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        if interest.is_readable() {
            ready!(socket.poll_read_ready(cx))?;
        } else {
            ready!(socket.poll_write_ready(cx))?;
        }
        match socket.try_io(interest, || call().map_err(io::Error::from)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return Poll::Ready(done),
        }
    }
}
