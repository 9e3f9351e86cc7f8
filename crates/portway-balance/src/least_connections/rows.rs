//! The targets of a view in rows of sixteen lanes, a row for each block of counts.
//!
//! Must hold: the target given is one that no other beats, and each of several as good has the chance
//! of its weight; where single precision could not tell two targets apart, the answer is `None`.
//! A busyness (exchanges per weight) times the least common multiple of all weights is a whole
//! number, and those below 2^24 are exact in an `f32`.
//! A pick reads every count and compares it with what it was at the last pick. Only a row in which
//! something changed is worked out anew, by functions over slices that become vector instructions:
//! by themselves, because inside a larger function the compiler makes branches of them.

use std::sync::Arc;

use crate::balancer::View;
use crate::load::{BLOCK, Block, Load, PAIRS};
use crate::rng::scale;

/// Whole numbers up to this are exact in an `f32`.
const EXACT_MAX: f32 = 16_777_216.0;
/// Counts are read by blocks if at least one in so many of a block is of this view, else one by one.
const SPARSE: usize = 4;
/// How busy a lane without a target is: more than any target.
const NOBODY: i32 = i32::MAX;

/// Some targets, each in its lane.
#[derive(Clone, Debug)]
struct Row {
    /// The common multiple of all weights by the lane's weight.
    factors: [f32; BLOCK],
    /// 0, or [`NOBODY`].
    floors: [i32; BLOCK],
    /// By their greatest common divisor; 0 for a lane without a target.
    weights: [u32; BLOCK],
    targets: [u32; BLOCK],
    /// The counts at the last look, and what follows from them.
    seen: [u64; PAIRS],
    /// Count times factor: the bits of the `f32`, which as whole numbers are in the same order.
    busy: [i32; BLOCK],
    least: i32,
    /// The weight of the least busy lanes up to each lane, with it.
    ends: [u32; BLOCK],
}

const EMPTY: Row = Row {
    factors: [0.0; BLOCK],
    floors: [NOBODY; BLOCK],
    weights: [0; BLOCK],
    targets: [u32::MAX; BLOCK],
    seen: [0; PAIRS],
    busy: [NOBODY; BLOCK],
    least: NOBODY,
    ends: [0; BLOCK],
};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Empty if nothing is usable or the weights have no common multiple that is exact.
    rows: Vec<Row>,
    /// The block of each row; empty if the counts lie too far apart for that.
    blocks: Vec<Arc<Block>>,
}

impl Rows {
    /// Makes the rows for a view.
    #[cold]
    pub(super) fn learn(&mut self, view: &View<'_>) {
        self.rows.clear();
        self.blocks.clear();
        let weighted = view.usable.iter().filter(|t| view.weight(**t) > 0);
        let mut targets: Vec<u32> = weighted.copied().collect();
        let Some(scale) = Scale::of(targets.iter().map(|t| view.weight(*t))) else {
            return;
        };
        self.blocks = side_by_side(view, &mut targets);
        if self.blocks.is_empty() {
            let row = |row: &[u32]| scale.row(view, row.iter().copied().enumerate());
            self.rows.extend(targets.chunks(BLOCK).map(row));
        } else {
            let block = |t: u32| place(view, t).map(|(block, _)| block);
            let at = |t: u32| view.loads.get(t as usize).map_or(0, Load::at);
            let rows = targets.chunk_by(|a, b| block(*a) == block(*b));
            let row = |row: &[u32]| scale.row(view, row.iter().map(|t| (at(*t), *t)));
            self.rows.extend(rows.map(row));
        }
    }

    /// The least busy target; `None` if there is none or rows cannot tell. `uniform` is a random
    /// number that chooses among several.
    #[inline]
    pub(super) fn least_busy(&mut self, view: &View<'_>, uniform: u64) -> Option<usize> {
        let (least, tied) = self.look(view);
        if least >= EXACT_MAX.to_bits() as i32 {
            return None;
        }
        let mut left = scale(uniform, u64::from(tied)) as u32;
        let row = self.rows.iter().find(|row| {
            let tied = if row.least == least { row.tied() } else { 0 };
            let is_it = left < tied;
            left -= if is_it { 0 } else { tied };
            is_it
        })?;
        let target = row.targets.get(lane_of(&row.ends, left))?;
        Some(*target as usize)
    }

    /// Reads all counts: how busy the least busy lane is, and the weight of all that are.
    #[inline]
    fn look(&mut self, view: &View<'_>) -> (i32, u32) {
        let mut least = (NOBODY, 0);
        if self.blocks.is_empty() {
            for row in &mut self.rows {
                let pairs = row.gather(view);
                row.look(pairs, &mut least);
            }
        } else {
            for (row, block) in self.rows.iter_mut().zip(&self.blocks) {
                row.look(block.pairs(), &mut least);
            }
        }
        least
    }
}

impl Row {
    #[inline]
    fn look(&mut self, pairs: [u64; PAIRS], (least, tied): &mut (i32, u32)) {
        let pairwise = pairs.iter().zip(&self.seen);
        if pairwise.fold(0, |differs, (a, b)| differs | (a ^ b)) != 0 {
            self.seen = pairs;
            self.count();
        }
        let others = if self.least < *least { 0 } else { *tied };
        let own = if self.least > *least { 0 } else { self.tied() };
        *tied = others + own;
        *least = self.least.min(*least);
    }

    /// The weight of the least busy lanes.
    #[inline]
    fn tied(&self) -> u32 {
        self.ends[BLOCK - 1]
    }

    /// Works out what follows from the counts.
    #[inline(never)]
    fn count(&mut self) {
        let (low, high) = self.busy.split_at_mut(PAIRS);
        let (low_factors, high_factors) = self.factors.split_at(PAIRS);
        measure(&self.seen, 0, low_factors, low);
        measure(&self.seen, u32::BITS, high_factors, high);
        self.least = least_of(&mut self.busy, &self.floors);
        weigh_least(&self.busy, self.least, &self.weights, &mut self.ends);
        let mut end = 0;
        for weight in &mut self.ends {
            end += *weight;
            *weight = end;
        }
    }

    /// The counts of its targets where they do not lie side by side.
    fn gather(&self, view: &View<'_>) -> [u64; PAIRS] {
        std::array::from_fn(|pair| {
            let active = |lane: usize| u64::from(view.active(self.targets[lane]));
            active(pair) | active(pair + PAIRS) << u32::BITS
        })
    }
}

/// The lane of a place in a block: low halves of the pairs first, then high ones, so that either is
/// taken out of all pairs in one step.
fn lane(at: usize) -> usize {
    at / 2 + at % 2 * PAIRS
}

/// How busy the lanes of one half of the pairs are.
#[inline(never)]
fn measure(pairs: &[u64], shift: u32, factors: &[f32], busy: &mut [i32]) {
    for ((pair, factor), busy) in pairs.iter().zip(factors).zip(busy) {
        // Signed: the conversion of unsigned numbers is no single instruction everywhere.
        let count = (pair >> shift) as i32;
        *busy = (count as f32 * factor).to_bits() as i32;
    }
}

/// Lifts lanes without a target out of the way; the least of all.
#[inline(never)]
fn least_of(busy: &mut [i32], floors: &[i32]) -> i32 {
    let mut least = NOBODY;
    for (busy, floor) in busy.iter_mut().zip(floors) {
        *busy |= floor;
        least = least.min(*busy);
    }
    least
}

/// The weight of each lane that is among the least busy, 0 for others.
#[inline(never)]
fn weigh_least(busy: &[i32], least: i32, weights: &[u32], out: &mut [u32]) {
    for ((busy, weight), out) in busy.iter().zip(weights).zip(out) {
        *out = weight & u32::from(*busy == least).wrapping_neg();
    }
}

/// The lane in whose part of the weight `at` falls.
#[inline(never)]
fn lane_of(ends: &[u32], at: u32) -> usize {
    ends.iter().map(|end| u32::from(at >= *end)).sum::<u32>() as usize
}

/// Where a target's count lies; `None` if the view has none for it.
fn place(view: &View<'_>, target: u32) -> Option<(usize, usize)> {
    let load = view.loads.get(target as usize)?;
    Some((Arc::as_ptr(load.block()).addr(), load.at()))
}

/// Sorts the targets by where their counts lie and gives the blocks; none if that is too many blocks,
/// or if not each target has a count of its own.
fn side_by_side(view: &View<'_>, targets: &mut [u32]) -> Vec<Arc<Block>> {
    targets.sort_unstable_by_key(|t| place(view, *t));
    let places = || targets.iter().map(|t| place(view, *t));
    let own = places().all(|p| p.is_some()) && places().zip(places().skip(1)).all(|(a, b)| a != b);
    let mut blocks: Vec<Arc<Block>> = Vec::new();
    for load in targets.iter().filter_map(|t| view.loads.get(*t as usize)) {
        let last = blocks.last();
        if !last.is_some_and(|last| Arc::ptr_eq(last, load.block())) {
            blocks.push(Arc::clone(load.block()));
        }
    }
    if !own || blocks.len() * BLOCK > (targets.len() * SPARSE).max(BLOCK) {
        blocks.clear();
    }
    blocks
}

/// What weights have in common.
struct Scale {
    divisor: u32,
    multiple: u32,
}

impl Scale {
    /// `None` without weights, or if they cannot be compared exactly.
    fn of(weights: impl Iterator<Item = u32> + Clone) -> Option<Scale> {
        let divisor = weights.clone().reduce(divisor)?;
        let mut multiple = 1;
        let mut total = 0_u32;
        for weight in weights {
            let weight = weight / divisor;
            multiple = lcm(multiple, weight)?;
            total = total.checked_add(weight)?;
        }
        Some(Scale { divisor, multiple })
    }

    /// A row of targets, each with its place in the row's block.
    fn row(&self, view: &View<'_>, targets: impl Iterator<Item = (usize, u32)>) -> Row {
        let mut row = EMPTY;
        for (at, target) in targets {
            let lane = lane(at);
            let weight = view.weight(target) / self.divisor;
            row.factors[lane] = (self.multiple / weight) as f32;
            row.floors[lane] = 0;
            row.weights[lane] = weight;
            row.targets[lane] = target;
        }
        row.count();
        row
    }
}

/// The greatest common divisor.
fn divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { divisor(b, a % b) }
}

/// The least common multiple, as long as it is exact.
fn lcm(a: u32, b: u32) -> Option<u32> {
    let multiple = (a / divisor(a, b)).checked_mul(b)?;
    (multiple <= EXACT_MAX as u32).then_some(multiple)
}
