//! `ring_hash`: consistent hashing on a ring of points, as libketama does it, placed by XXH64.
//!
//! Must hold: a target's points depend on its key and its weight relative to the heaviest one, not
//! on the other targets, so that removing one moves only its own keys. Two nodes with the same
//! targets place every key alike, in whatever order they list them.
//! Never: follows slow start or load; a key stays where it is.

use crate::balancer::{Balancer, TargetInfo, View, hash};
use crate::choose::{by_counting, is_first_choice};
use crate::rng::mix;
use crate::sampler::Sampler;

/// Points of the heaviest target. Two such targets make 1024 points, the usual least size of a
/// ring; shares then differ by about 1 / sqrt(512) = 4 %.
pub const POINTS_PER_TARGET: usize = 512;
/// Points of a whole ring. More targets than fit get fewer points each, by halves, so that the
/// points that stay are the same ones. 16 to 20 bytes a point: at most 5 MiB for each worker.
pub const POINTS_MAX: usize = 256 * 1024;
/// Steps along the ring in search of a target that may be picked.
const STEPS_MAX: usize = 1024;

/// See the module.
pub struct RingHash {
    /// For exchanges without a hash.
    sampler: Sampler,
    /// Where the points are, ascending, and the target of each.
    points: Vec<u64>,
    owners: Vec<u32>,
    /// For each slice of the hash space, the first point in it or after it, and the number of
    /// points at the end. There are about as many slices as points, so a look-up is a jump and a
    /// step or two.
    first: Vec<u32>,
    shift: u32,
}

impl RingHash {
    /// `seed` only matters for exchanges without a hash.
    #[must_use]
    pub fn new(targets: &[TargetInfo], seed: u64) -> RingHash {
        let mut ring = RingHash {
            sampler: Sampler::new(seed),
            points: Vec::new(),
            owners: Vec::new(),
            first: Vec::new(),
            shift: 63,
        };
        ring.set_targets(targets);
        ring
    }

    /// The first point at or after `hash`; the number of points if there is none.
    #[inline]
    fn find(&self, hash: u64) -> usize {
        let slice = (hash >> self.shift) as usize;
        let mut at = self.first.get(slice).copied().unwrap_or(0) as usize;
        while self.points.get(at).is_some_and(|point| *point < hash) {
            at += 1;
        }
        at
    }
}

impl Balancer for RingHash {
    fn pick(&mut self, view: &View<'_>, hash: Option<u64>) -> Option<usize> {
        let Some(hash) = hash else {
            return self.sampler.one(view);
        };
        let count = self.owners.len();
        let mut at = self.find(hash);
        for _ in 0..count.min(STEPS_MAX) {
            at = if at < count { at } else { 0 };
            let target = self.owners[at];
            if view.is_usable(target) && is_first_choice(view, target) {
                return Some(target as usize);
            }
            at += 1;
        }
        by_counting(view, mix(hash))
    }

    fn set_targets(&mut self, targets: &[TargetInfo]) {
        self.sampler.forget();
        let ring = place(targets);
        let bits = ring.len().next_power_of_two().trailing_zeros().max(1);
        self.shift = 64 - bits;
        self.first = first_of_slices(&ring, bits);
        // Points are even over the slices: putting each into its slice all but sorts them, in about
        // half the time of a sort, which a worker spends between two exchanges.
        let mut sorted = vec![(0, 0); ring.len()];
        let mut next = self.first.clone();
        for point in ring {
            let slice = (point.0 >> self.shift) as usize;
            sorted[next[slice] as usize] = point;
            next[slice] += 1;
        }
        // Two points in one place: the target with the lower key has it, on every node.
        let key = |target: u32| targets[target as usize].key;
        for slice in self.first.windows(2).filter(|s| s[1] - s[0] > 1) {
            sorted[slice[0] as usize..slice[1] as usize]
                .sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| key(a.1).cmp(&key(b.1))));
        }
        (self.points, self.owners) = sorted.into_iter().unzip();
    }
}

/// For each of 2^bits slices of the hash space, how many points lie below it; at the end all.
fn first_of_slices(ring: &[(u64, u32)], bits: u32) -> Vec<u32> {
    let mut first = vec![0u32; (1 << bits) + 1];
    for (point, _) in ring {
        first[(point >> (64 - bits)) as usize + 1] += 1;
    }
    let mut below = 0;
    for count in &mut first {
        below += *count;
        *count = below;
    }
    first
}

/// Every target's points, in no order.
fn place(targets: &[TargetInfo]) -> Vec<(u64, u32)> {
    let heaviest = u64::from(targets.iter().map(|t| t.weight).max().unwrap_or(0));
    let mut most = POINTS_PER_TARGET;
    while most > 1 && most * targets.len() > POINTS_MAX {
        most /= 2;
    }
    let mut ring = Vec::with_capacity(most * targets.len());
    for (index, target) in (0u32..).zip(targets).filter(|(_, t)| t.weight > 0) {
        let share = u64::from(target.weight) * most as u64;
        let points = share.div_ceil(heaviest);
        for replica in 0..points {
            let mut name = [0u8; 16];
            name[..8].copy_from_slice(&target.key.to_le_bytes());
            name[8..].copy_from_slice(&replica.to_le_bytes());
            ring.push((hash(&name), index));
        }
    }
    ring
}
