//! `maglev`: consistent hashing by a look-up table (Eisenbud et al., "Maglev: A Fast and Reliable
//! Software Network Load Balancer", NSDI 2016, section 3.4), with weights as Envoy adds them.
//!
//! Must hold: shares are within a few percent of the weights, a look-up is one step, and removing a
//! target moves few keys besides its own. Two nodes with the same targets place every key alike,
//! in whatever order they list them.
//! Never: follows slow start or load; a key stays where it is.

use crate::balancer::{Balancer, TargetInfo, View, hash};
use crate::choose::{by_counting, is_first_choice};
use crate::rng::mix;
use crate::sampler::Sampler;

/// Table size, a prime as the permutations need: the paper's and Envoy's default.
pub const TABLE_SIZE: usize = 65_537;
/// Table size of an upstream with few targets: 20 KiB instead of 256 KiB for each worker.
pub const TABLE_SIZE_SMALL: usize = 5_003;
/// Targets up to which the small table is used. The paper wants a hundred slots for each target,
/// so that shares differ by no more than 1 %. Keys move when an upstream grows past this number.
pub const TARGETS_SMALL_MAX: usize = 50;
/// Further slots that are asked when the first one's target may not be picked.
const STEPS_MAX: u32 = 32;
/// A slot not taken yet.
const EMPTY: u32 = u32::MAX;

/// See the module.
pub struct Maglev {
    /// For exchanges without a hash.
    sampler: Sampler,
    table: Vec<u32>,
}

impl Maglev {
    /// `seed` only matters for exchanges without a hash.
    #[must_use]
    pub fn new(targets: &[TargetInfo], seed: u64) -> Maglev {
        let mut maglev = Maglev {
            sampler: Sampler::new(seed),
            table: Vec::new(),
        };
        maglev.set_targets(targets);
        maglev
    }
}

impl Balancer for Maglev {
    fn pick(&mut self, view: &View<'_>, hash: Option<u64>) -> Option<usize> {
        let Some(mut hash) = hash else {
            return self.sampler.one(view);
        };
        // A target that is away leaves its keys to all others by weight, not to a neighbour.
        for _ in 0..STEPS_MAX {
            let Some(&target) = self.table.get(slot(hash, self.table.len())) else {
                break;
            };
            if view.is_usable(target) && is_first_choice(view, target) {
                return Some(target as usize);
            }
            hash = mix(hash.wrapping_add(1));
        }
        by_counting(view, mix(hash))
    }

    fn set_targets(&mut self, targets: &[TargetInfo]) {
        self.sampler.forget();
        self.table = populate(targets);
    }
}

/// The slot of a hash. With two constants the compiler turns the divisions into multiplications.
#[inline]
fn slot(hash: u64, size: usize) -> usize {
    if size == TABLE_SIZE_SMALL {
        (hash % TABLE_SIZE_SMALL as u64) as usize
    } else {
        (hash % TABLE_SIZE as u64) as usize
    }
}

/// A target's turn at the table: it walks its own permutation of the slots.
struct Turn {
    target: u32,
    weight: u64,
    at: usize,
    skip: usize,
    /// Grows by the weight each round; a turn is taken when it reaches the heaviest weight.
    credit: u64,
}

fn populate(targets: &[TargetInfo]) -> Vec<u32> {
    let mut turns = turns(targets);
    let Some(heaviest) = turns.iter().map(|t| t.weight).max() else {
        return Vec::new();
    };
    let size = table_size(targets.len());
    let mut table = vec![EMPTY; size];
    let mut taken = 0;
    while taken < size {
        for turn in &mut turns {
            turn.credit += turn.weight;
            if turn.credit < heaviest || taken == size {
                continue;
            }
            turn.credit -= heaviest;
            // The permutation visits every slot and one is free, so this ends.
            while table[turn.at] != EMPTY {
                // Both are below the size; a division here was most of the time this takes.
                turn.at += turn.skip;
                turn.at -= if turn.at >= size { size } else { 0 };
            }
            table[turn.at] = turn.target;
            taken += 1;
        }
    }
    table
}

fn table_size(targets: usize) -> usize {
    if targets <= TARGETS_SMALL_MAX {
        TABLE_SIZE_SMALL
    } else {
        TABLE_SIZE
    }
}

/// The targets with weight, in the order of their keys, each with its permutation.
fn turns(targets: &[TargetInfo]) -> Vec<Turn> {
    let size = table_size(targets.len()) as u64;
    let mut order: Vec<(u32, &TargetInfo)> = (0u32..)
        .zip(targets)
        .filter(|(_, t)| t.weight > 0)
        .collect();
    order.sort_by_key(|(_, t)| t.key);
    order
        .into_iter()
        .map(|(target, info)| {
            let second = hash(&info.key.to_le_bytes());
            Turn {
                target,
                weight: u64::from(info.weight),
                at: (info.key % size) as usize,
                skip: (second % (size - 1)) as usize + 1,
                credit: 0,
            }
        })
        .collect()
}
