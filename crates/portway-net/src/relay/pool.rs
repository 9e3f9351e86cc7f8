//! A worker's buffers and pipes that no relay is using.
//!
//! Must hold: a pipe comes back empty or not at all, so that no relay finds another's bytes in one.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

/// Sizes of buffers, bytes. A dialogue needs no more than the first; a stream that fills it gets the
/// next, and the last is what the L2 cache of a core holds beside other things.
pub(super) const SIZES: [usize; 3] = [8 * 1024, 64 * 1024, 256 * 1024];
/// So many of a size are kept.
const KEPT_MAX: [usize; SIZES.len()] = [256, 64, 16];
/// Pipes kept. Each is two descriptors.
const PIPES_KEPT_MAX: usize = 64;
/// A pipe's size, bytes. Unprivileged users share 64 MiB of pipes; past that, pipes stay at what the
/// kernel gives.
const PIPE_BYTES: usize = 512 * 1024;

/// Spare buffers and pipes; clones are the same ones.
#[derive(Clone, Default)]
pub struct RelayPool(Rc<RefCell<Spare>>);

#[derive(Default)]
struct Spare {
    buffers: [Vec<Box<[u8]>>; SIZES.len()],
    pipes: Vec<Pipe>,
    piped: u64,
}

/// A pipe with nothing in it.
pub(super) struct Pipe {
    pub(super) read: OwnedFd,
    pub(super) write: OwnedFd,
    pub(super) size: usize,
}

impl Pipe {
    fn open() -> Option<Pipe> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        let size = fcntl_setpipe_size(&write, PIPE_BYTES).unwrap_or(SIZES[1]);
        Some(Pipe { read, write, size })
    }
}

impl RelayPool {
    /// A buffer of a size.
    pub(super) fn buffer(&self, size: usize) -> Box<[u8]> {
        let spare = self.0.borrow_mut().buffers[size].pop();
        spare.unwrap_or_else(|| vec![0; SIZES[size]].into())
    }

    /// Takes a buffer back.
    pub(super) fn give_buffer(&self, buffer: Box<[u8]>) {
        let Some(size) = SIZES.iter().position(|size| *size == buffer.len()) else {
            return; // one that was made for early bytes
        };
        let kept = &mut self.0.borrow_mut().buffers[size];
        if kept.len() < KEPT_MAX[size] {
            kept.push(buffer);
        }
    }

    /// Bytes that went through pipes so far, and were not copied.
    #[must_use]
    pub fn piped_bytes(&self) -> u64 {
        self.0.borrow().piped
    }

    /// Counts bytes that went into a pipe.
    pub(super) fn count_piped(&self, bytes: usize) {
        self.0.borrow_mut().piped += bytes as u64;
    }

    /// A pipe; none if the process has no descriptors left for one.
    pub(super) fn pipe(&self) -> Option<Pipe> {
        let spare = self.0.borrow_mut().pipes.pop();
        spare.or_else(Pipe::open)
    }

    /// Takes an empty pipe back.
    pub(super) fn give_pipe(&self, pipe: Pipe) {
        let kept = &mut self.0.borrow_mut().pipes;
        if kept.len() < PIPES_KEPT_MAX {
            kept.push(pipe);
        }
    }
}
