//! `p2c`: the less busy of two random targets (Mitzenmacher, "The Power of Two Choices in
//! Randomized Load Balancing", 2001).
//!
//! Must hold: the two are drawn by weight and compared by exchanges under way per weight; on a tie
//! the first drawn wins, so that an idle upstream still shares by weight. Cost does not grow with
//! the number of targets.

use std::hint::select_unpredictable;

use crate::balancer::{Balancer, TargetInfo, View};
use crate::sampler::Sampler;

/// See the module.
pub struct P2c {
    sampler: Sampler,
}

impl P2c {
    /// The same `seed` gives the same draws.
    #[must_use]
    pub fn new(seed: u64) -> P2c {
        P2c {
            sampler: Sampler::new(seed),
        }
    }
}

impl Balancer for P2c {
    fn pick(&mut self, view: &View<'_>, _hash: Option<u64>) -> Option<usize> {
        let (first, second) = self.sampler.two(view)?;
        let Some(second) = second else {
            return Some(first);
        };
        // Even odds: a branch would be guessed wrong every other time.
        let better = less_busy(view, second as u32, first as u32);
        Some(select_unpredictable(better, second, first))
    }

    fn set_targets(&mut self, _targets: &[TargetInfo]) {
        self.sampler.forget();
    }
}

/// Whether `a` has fewer exchanges under way per weight than `b`. Multiplied crosswise: a division
/// would cost more than the rest of the pick.
#[inline]
fn less_busy(view: &View<'_>, a: u32, b: u32) -> bool {
    let a_load = u64::from(view.active(a)) * u64::from(view.weight(b).max(1));
    let b_load = u64::from(view.active(b)) * u64::from(view.weight(a).max(1));
    a_load < b_load
}
