//! `round_robin`: one after the other, whatever they weigh.
//!
//! Must hold: n picks over n usable targets take each once. The first pick of a worker is random,
//! so that workers do not all begin with the same target.

use crate::balancer::{Balancer, TargetInfo, View};
use crate::choose::{by_counting, is_first_choice};
use crate::rng::Rng;

/// See the module.
pub struct RoundRobin {
    next: usize,
    rng: Rng,
}

impl RoundRobin {
    /// Begins at a place that depends on `seed`.
    #[must_use]
    pub fn new(targets: &[TargetInfo], seed: u64) -> RoundRobin {
        let mut rng = Rng::new(seed);
        let next = rng.below(targets.len() as u64) as usize;
        RoundRobin { next, rng }
    }
}

impl Balancer for RoundRobin {
    fn pick(&mut self, view: &View<'_>, _hash: Option<u64>) -> Option<usize> {
        let count = view.usable.len();
        let mut at = if self.next < count { self.next } else { 0 };
        for _ in 0..count {
            let target = view.usable[at];
            at = if at + 1 < count { at + 1 } else { 0 };
            if is_first_choice(view, target) {
                self.next = at;
                return Some(target as usize);
            }
        }
        by_counting(view, self.rng.next())
    }

    fn set_targets(&mut self, _targets: &[TargetInfo]) {}
}
