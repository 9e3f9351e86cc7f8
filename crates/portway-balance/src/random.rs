//! `random`: any target, in proportion to its weight.
//!
//! Must hold: picks are independent of each other; shares follow the effective weights.

use crate::balancer::{Balancer, TargetInfo, View};
use crate::sampler::Sampler;

/// See the module.
pub struct Random {
    sampler: Sampler,
}

impl Random {
    /// The same `seed` gives the same picks.
    #[must_use]
    pub fn new(seed: u64) -> Random {
        Random {
            sampler: Sampler::new(seed),
        }
    }
}

impl Balancer for Random {
    fn pick(&mut self, view: &View<'_>, _hash: Option<u64>) -> Option<usize> {
        self.sampler.one(view)
    }

    fn set_targets(&mut self, _targets: &[TargetInfo]) {
        self.sampler.forget();
    }
}
