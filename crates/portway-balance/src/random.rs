//! `random`: any target, in proportion to its weight.
//!
//! Must hold: picks are independent of each other; shares follow the effective weights.

use crate::balancer::{Balancer, TargetInfo, View, full_weight};
use crate::choose::by_weight;
use crate::rng::Rng;

/// See the module.
pub struct Random {
    rng: Rng,
    weight_max: u32,
}

impl Random {
    /// The same `seed` gives the same picks.
    #[must_use]
    pub fn new(targets: &[TargetInfo], seed: u64) -> Random {
        let mut random = Random {
            rng: Rng::new(seed),
            weight_max: 0,
        };
        random.set_targets(targets);
        random
    }
}

impl Balancer for Random {
    fn pick(&mut self, view: &View<'_>, _hash: Option<u64>) -> Option<usize> {
        by_weight(view, &mut self.rng, self.weight_max)
    }

    fn set_targets(&mut self, targets: &[TargetInfo]) {
        self.weight_max = weight_max(targets);
    }
}

/// The largest effective weight that a set can have: what sampling by weight measures against.
pub(crate) fn weight_max(targets: &[TargetInfo]) -> u32 {
    targets.iter().map(full_weight).max().unwrap_or(0)
}
