//! The wheel's memory: a slab of entries, threaded into one circle of slots, a tick each.
//!
//! Must hold: a linked entry lies in a slot at or before the tick of its deadline, and within one
//! turn of the wheel; a deadline further off is looked at once a turn and put on again. An entry
//! whose deadline moved later or away stays where it lies until the wheel gets there.
//! Never: calls a waker.

use std::task::Waker;

use portway_core::Mono;

/// Slots of the circle; a power of two. One turn is 10.24 s: ten thousand idle connections cost a
/// thousand looks a second, and the circle itself is 4 KiB.
pub(super) const SLOTS: u64 = 1024;

/// No entry: the end of a list.
const NONE: u32 = u32::MAX;
/// `Entry::due` of an entry in no slot.
const UNLINKED: u64 = u64::MAX;

struct Entry {
    /// `Mono::NEVER` if not armed.
    deadline: Mono,
    /// The tick in whose slot the entry lies.
    due: u64,
    prev: u32,
    /// Also the chain of free entries.
    next: u32,
    waker: Option<Waker>,
}

pub(super) struct Slots {
    entries: Vec<Entry>,
    free: u32,
    armed: usize,
    /// The last tick whose slot was emptied.
    tick: u64,
    heads: Box<[u32; SLOTS as usize]>,
}

impl Slots {
    pub(super) fn new(tick: u64) -> Slots {
        Slots {
            entries: Vec::new(),
            free: NONE,
            armed: 0,
            tick,
            heads: Box::new([NONE; SLOTS as usize]),
        }
    }

    pub(super) fn armed(&self) -> usize {
        self.armed
    }

    pub(super) fn insert(&mut self) -> u32 {
        let entry = Entry {
            deadline: Mono::NEVER,
            due: UNLINKED,
            prev: NONE,
            next: NONE,
            waker: None,
        };
        if self.free == NONE {
            let key = u32::try_from(self.entries.len()).expect("fewer tasks than memory holds");
            self.entries.push(entry);
            return key;
        }
        let key = self.free;
        self.free = self.entries[key as usize].next;
        self.entries[key as usize] = entry;
        key
    }

    /// Frees the entry; the caller drops the waker once the wheel is no longer borrowed.
    pub(super) fn remove(&mut self, key: u32) -> Option<Waker> {
        self.set(key, Mono::NEVER, u64::MAX);
        self.unlink(key);
        let entry = &mut self.entries[key as usize];
        entry.next = self.free;
        self.free = key;
        entry.waker.take()
    }

    /// Sets the deadline and its tick. Touches a list only if the entry must be seen sooner than
    /// where it lies.
    #[inline]
    pub(super) fn set(&mut self, key: u32, deadline: Mono, tick: u64) {
        let entry = &mut self.entries[key as usize];
        let was_armed = entry.deadline != Mono::NEVER;
        entry.deadline = deadline;
        if deadline == Mono::NEVER {
            self.armed -= usize::from(was_armed);
            return;
        }
        self.armed += usize::from(!was_armed);
        if entry.due > tick {
            self.unlink(key);
            self.link(key, tick);
        }
    }

    /// Remembers whom to wake; gives back the waker it replaces.
    #[inline]
    pub(super) fn set_waker(&mut self, key: u32, waker: &Waker) -> Option<Waker> {
        let entry = &mut self.entries[key as usize];
        match &entry.waker {
            Some(known) if known.will_wake(waker) => None,
            _ => entry.waker.replace(waker.clone()),
        }
    }

    /// Moves the hand to `tick`; entries whose deadline has passed are disarmed and their wakers
    /// put into `woken`.
    pub(super) fn advance(&mut self, tick: u64, now: Mono, woken: &mut Vec<Waker>) {
        let first = self.tick + 1;
        // After a long gap one turn sees every slot.
        let last = tick.min(self.tick + SLOTS);
        self.tick = tick.max(self.tick);
        for passed in first..=last {
            // Taken off as a whole: an entry put on again may land in this same slot.
            let mut key = std::mem::replace(&mut self.heads[slot(passed)], NONE);
            while key != NONE {
                let entry = &mut self.entries[key as usize];
                let next = entry.next;
                entry.due = UNLINKED;
                let deadline = entry.deadline;
                if deadline <= now {
                    entry.deadline = Mono::NEVER;
                    woken.extend(entry.waker.take());
                    self.armed -= 1;
                } else if deadline != Mono::NEVER {
                    self.link(key, super::tick_after(deadline));
                }
                key = next;
            }
        }
    }

    /// Takes every waker there is; a task that is woken polls again and leaves a new one.
    pub(super) fn take_wakers(&mut self, woken: &mut Vec<Waker>) {
        woken.extend(self.entries.iter_mut().filter_map(|e| e.waker.take()));
    }

    fn link(&mut self, key: u32, tick: u64) {
        let due = tick.clamp(self.tick + 1, self.tick + SLOTS);
        let head = std::mem::replace(&mut self.heads[slot(due)], key);
        if head != NONE {
            self.entries[head as usize].prev = key;
        }
        let entry = &mut self.entries[key as usize];
        entry.due = due;
        entry.prev = NONE;
        entry.next = head;
    }

    fn unlink(&mut self, key: u32) {
        let entry = &mut self.entries[key as usize];
        if entry.due == UNLINKED {
            return;
        }
        let (due, prev, next) = (entry.due, entry.prev, entry.next);
        entry.due = UNLINKED;
        if prev == NONE {
            self.heads[slot(due)] = next;
        } else {
            self.entries[prev as usize].next = next;
        }
        if next != NONE {
            self.entries[next as usize].prev = prev;
        }
    }
}

fn slot(tick: u64) -> usize {
    (tick % SLOTS) as usize
}
