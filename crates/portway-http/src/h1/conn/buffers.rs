//! A worker's buffers: lent to the connections that something moves on, kept while none needs them.
//!
//! Must hold: no more are kept than [`BufferPool::KEPT_MAX`]; a large buffer is handed out again only when
//! nobody holds on to what was read into it.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::BytesMut;
use portway_core::limits;

/// Read and write buffers, at rest in the worker's pool while no connection needs them.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    pub(super) read: BytesMut,
    pub(super) out: Vec<u8>,
}

/// A worker's buffers that no connection is using.
#[derive(Clone, Debug, Default)]
pub struct BufferPool(Rc<RefCell<Spare>>);

#[derive(Debug, Default)]
struct Spare {
    kept: Vec<Buffers>,
    /// A handle to the worker's one large buffer; empty until the first large body.
    large: BytesMut,
}

impl BufferPool {
    /// So many are kept; more are freed.
    const KEPT_MAX: usize = 256;
    /// A larger write buffer is freed rather than kept.
    const OUT_BYTES_KEPT: usize = 64 * 1024;

    pub(super) fn take(&self) -> Buffers {
        self.0.borrow_mut().kept.pop().unwrap_or_default()
    }

    pub(super) fn give(&self, buffers: Buffers) {
        let kept = &mut self.0.borrow_mut().kept;
        if kept.len() < BufferPool::KEPT_MAX && buffers.out.capacity() <= BufferPool::OUT_BYTES_KEPT
        {
            kept.push(buffers);
        }
    }

    /// The large buffer with room for so many octets, at most [`limits::LARGE_READ_BYTES`]. While
    /// anybody holds on to what was read into it, the next one to ask gets a new one.
    pub(in crate::h1) fn large(&self, room: usize) -> BytesMut {
        let mut spare = self.0.borrow_mut();
        let mut large = std::mem::take(&mut spare.large);
        large.reserve(limits::LARGE_READ_BYTES);
        // This end of it is handle enough: once the front is dropped, all of it can be had again.
        spare.large = large.split_off(room);
        large
    }
}
