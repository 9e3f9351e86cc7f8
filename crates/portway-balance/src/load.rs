//! Exchanges under way to a target, counted by all workers together.
//!
//! Must hold: a count belongs to one target for as long as anybody holds a [`Load`] of it, over any
//! number of target sets, so each `end` meets its `begin`. Counts lie in blocks of a cache line: alone
//! there ([`Load::alone`]), since two that are written all the time would slow each other down; or
//! side by side ([`SideBySide`]), for a policy that reads all of them at every pick.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Counts of a block: as many as a cache line holds.
pub(crate) const BLOCK: usize = 16;
/// Two counts share a word, the even one in its low half: reading all takes half the reads.
pub(crate) const PAIRS: usize = BLOCK / 2;

/// Alone in a pair of cache lines: the prefetcher fetches two.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Block {
    counts: [AtomicU64; PAIRS],
    /// Handles of each count. Nobody looks here while exchanges run.
    holders: [AtomicU32; BLOCK],
}

impl Block {
    /// All counts in pairs, each as it was at some moment of this call.
    #[inline]
    pub(crate) fn pairs(&self) -> [u64; PAIRS] {
        self.counts
            .each_ref()
            .map(|pair| pair.load(Ordering::Relaxed))
    }

    /// A count of this block that nobody holds.
    fn take(self: &Arc<Block>) -> Option<Load> {
        let free = |holders: &AtomicU32| {
            holders
                .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
        };
        let at = self.holders.iter().position(free)?;
        Some(Load {
            block: Arc::clone(self),
            at: at as u32,
        })
    }
}

/// The count of one target. Clones count the same.
#[derive(Debug)]
pub struct Load {
    block: Arc<Block>,
    /// Below [`BLOCK`].
    at: u32,
}

impl Load {
    /// No exchange under way; on a cache line of its own.
    #[must_use]
    pub fn alone() -> Load {
        let block = Arc::<Block>::default();
        block.holders[0].store(1, Ordering::Relaxed);
        Load { block, at: 0 }
    }

    /// One exchange more.
    #[inline]
    pub fn begin(&self) {
        self.word().fetch_add(1 << self.shift(), Ordering::Relaxed);
    }

    /// One exchange fewer. Each `begin` has exactly one `end`.
    #[inline]
    pub fn end(&self) {
        self.word().fetch_sub(1 << self.shift(), Ordering::Relaxed);
    }

    /// Exchanges under way now.
    #[must_use]
    #[inline]
    pub fn active(&self) -> u32 {
        (self.word().load(Ordering::Relaxed) >> self.shift()) as u32
    }

    /// Whether the two lie in one block: then they are read together, and slow each other down.
    #[must_use]
    pub fn is_beside(&self, other: &Load) -> bool {
        Arc::ptr_eq(&self.block, &other.block)
    }

    #[inline]
    fn word(&self) -> &AtomicU64 {
        &self.block.counts[self.at as usize / 2 % PAIRS]
    }

    #[inline]
    fn shift(&self) -> u32 {
        self.at % 2 * 32
    }

    pub(crate) fn block(&self) -> &Arc<Block> {
        &self.block
    }

    /// Its place in its block.
    pub(crate) fn at(&self) -> usize {
        self.at as usize
    }
}

impl Clone for Load {
    fn clone(&self) -> Load {
        self.block.holders[self.at()].fetch_add(1, Ordering::Relaxed);
        Load {
            block: Arc::clone(&self.block),
            at: self.at,
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Release: whoever takes the count next sees it as we left it, at zero.
        self.block.holders[self.at()].fetch_sub(1, Ordering::Release);
    }
}

/// Hands out counts that lie side by side.
#[derive(Debug)]
pub struct SideBySide {
    /// Blocks that may have room.
    blocks: Vec<Arc<Block>>,
}

impl SideBySide {
    /// Next to these, as far as their blocks have room.
    pub fn with<'a>(known: impl IntoIterator<Item = &'a Load>) -> SideBySide {
        let mut blocks: Vec<Arc<Block>> = known
            .into_iter()
            .map(|load| Arc::clone(&load.block))
            .collect();
        blocks.sort_unstable_by_key(|block| Arc::as_ptr(block).addr());
        blocks.dedup_by(|a, b| Arc::ptr_eq(a, b));
        SideBySide { blocks }
    }

    /// A count with no exchange under way.
    #[must_use]
    pub fn take(&mut self) -> Load {
        while let Some(block) = self.blocks.last() {
            match block.take() {
                Some(load) => return load,
                None => self.blocks.pop(),
            };
        }
        let load = Load::alone();
        self.blocks.push(Arc::clone(&load.block));
        load
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks_of(loads: &[Load]) -> usize {
        SideBySide::with(loads).blocks.len()
    }

    #[test]
    fn counts_what_is_under_way() {
        let load = Load::alone();
        load.begin();
        load.begin();
        load.end();
        assert_eq!(load.active(), 1);
        assert_eq!(load.clone().active(), 1);
    }

    #[test]
    fn neighbours_do_not_count_for_each_other() {
        let mut places = SideBySide::with([]);
        let loads: Vec<Load> = (0..40).map(|_| places.take()).collect();
        for (times, load) in loads.iter().enumerate() {
            (0..times).for_each(|_| load.begin());
        }
        for load in loads.iter().step_by(2).skip(1) {
            load.end();
        }
        for (times, load) in loads.iter().enumerate() {
            let ended = times > 0 && times % 2 == 0;
            assert_eq!(load.active() as usize, times - usize::from(ended));
        }
        assert_eq!(blocks_of(&loads), 3);
    }

    #[test]
    fn neighbours_counted_by_two_threads_stay_exact() {
        let mut places = SideBySide::with([]);
        let loads: Vec<Load> = (0..4).map(|_| places.take()).collect();
        let run = || {
            for n in 0..40_000 {
                loads[n % 4].begin();
                if n % 3 != 0 {
                    loads[n % 4].end();
                }
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(run);
            run();
        });
        let left: u32 = loads.iter().map(Load::active).sum();
        assert_eq!(left, 2 * 40_000_u32.div_ceil(3));
    }

    #[test]
    fn a_count_is_given_to_another_once_nobody_holds_it() {
        let mut places = SideBySide::with([]);
        let mut loads: Vec<Load> = (0..BLOCK).map(|_| places.take()).collect();
        let held = loads[3].clone();
        drop(loads.drain(2..5));
        let mut places = SideBySide::with(&loads);
        loads.extend([places.take(), places.take()]);
        assert_eq!(blocks_of(&loads), 1, "the places of 2 and 4");
        loads.push(places.take());
        assert_eq!(blocks_of(&loads), 2, "3 is still held");
        held.begin();
        assert!(loads.iter().all(|load| load.active() == 0));
    }

    #[test]
    fn what_begins_alone_can_be_joined() {
        let first = Load::alone();
        let second = Load::alone();
        assert!(!first.is_beside(&second));
        let third = SideBySide::with([&first]).take();
        assert!(first.is_beside(&third));
    }
}
