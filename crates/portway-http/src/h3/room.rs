//! Room for the heads and trailers of one connection that have begun to come and are not whole.
//!
//! What is collected of them has been read, so that QUIC's windows do not hold it. Must hold: those that were
//! given room never come to more than there is; the others are not read on until there is some, and cannot
//! wait for each other, since whoever has room has enough for all of its frame.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};

pub(super) struct Room {
    octets: u64,
    left: Cell<u64>,
    /// Those who wait, by the number of their stream.
    waiting: RefCell<BTreeMap<u64, Waker>>,
}

impl Room {
    pub(super) fn new(octets: u64) -> Room {
        Room {
            octets,
            left: Cell::new(octets),
            waiting: RefCell::default(),
        }
    }

    /// Takes room for a stream's frame; pending while there is not enough.
    pub(super) fn poll_take(&self, octets: u64, stream: u64, cx: &Context<'_>) -> Poll<u64> {
        let octets = octets.min(self.octets);
        let mut waiting = self.waiting.borrow_mut();
        match self.left.get().checked_sub(octets) {
            Some(left) => {
                self.left.set(left);
                waiting.remove(&stream);
                Poll::Ready(octets)
            }
            None => {
                waiting.insert(stream, cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Gives back what a stream took, if anything, and has it wait no more.
    pub(super) fn give_back(&self, octets: u64, stream: u64) {
        let waiting = {
            let mut waiting = self.waiting.borrow_mut();
            waiting.remove(&stream);
            if octets == 0 {
                return;
            }
            self.left.update(|left| left + octets);
            std::mem::take(&mut *waiting)
        };
        waiting.into_values().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_no_room_gets_it_when_another_gives_its_own_back() {
        let room = Room::new(10);
        let cx = Context::from_waker(Waker::noop());
        assert_eq!(room.poll_take(6, 0, &cx), Poll::Ready(6));
        assert_eq!(room.poll_take(5, 4, &cx), Poll::Pending);
        assert_eq!(room.poll_take(4, 8, &cx), Poll::Ready(4));
        assert_eq!(room.waiting.borrow().len(), 1);
        room.give_back(6, 0);
        assert!(room.waiting.borrow().is_empty());
        assert_eq!(room.poll_take(5, 4, &cx), Poll::Ready(5));
    }

    #[test]
    fn who_leaves_waits_no_more_and_none_waits_for_ever() {
        let room = Room::new(10);
        let cx = Context::from_waker(Waker::noop());
        assert_eq!(room.poll_take(99, 0, &cx), Poll::Ready(10));
        assert_eq!(room.poll_take(1, 4, &cx), Poll::Pending);
        room.give_back(0, 4);
        assert!(room.waiting.borrow().is_empty());
    }
}
