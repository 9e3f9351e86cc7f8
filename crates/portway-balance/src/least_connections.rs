//! `least_connections`: the target with the fewest exchanges under way per weight.
//!
//! Must hold: every usable target's count is read at each pick, so the choice is the least busy one
//! of all workers' exchanges and not of this worker's; ties are broken at random by weight, or an
//! idle upstream would send everything to its first target, from every worker at once.
//! The cost grows with the targets, so the ordinary pick goes over them in rows, without a branch for
//! a target: see `rows`. What rows cannot hold exactly goes one by one, as does a retry.

mod rows;

use std::cmp::Ordering;

use crate::balancer::{Balancer, TargetInfo, View};
use crate::choose::{by_counting, is_first_choice};
use crate::rng::Rng;
use rows::Rows;

/// See the module.
pub struct LeastConnections {
    rng: Rng,
    /// The view that the rows are made from.
    version: Option<u64>,
    rows: Rows,
}

impl LeastConnections {
    /// The same `seed` breaks ties the same way.
    #[must_use]
    pub fn new(seed: u64) -> LeastConnections {
        LeastConnections {
            rng: Rng::new(seed),
            version: None,
            rows: Rows::default(),
        }
    }

    /// The same choice as the rows make, target by target and in whole numbers.
    #[cold]
    fn one_by_one(&mut self, view: &View<'_>) -> Option<usize> {
        let mut best: Option<Best> = None;
        for &target in view.usable {
            if !is_first_choice(view, target) {
                continue;
            }
            let active = u64::from(view.active(target));
            let weight = u64::from(view.weight(target));
            let tied_weight = match &best {
                None => weight,
                Some(b) => match (active * b.weight).cmp(&(b.active * weight)) {
                    Ordering::Greater => continue,
                    Ordering::Less => weight,
                    Ordering::Equal => b.tied_weight + weight,
                },
            };
            // Of several as good, each ends up kept with the chance weight / weight of all of them.
            if tied_weight == weight || self.rng.below(tied_weight) < weight {
                best = Some(Best {
                    target,
                    active,
                    weight,
                    tied_weight,
                });
            } else if let Some(best) = &mut best {
                best.tied_weight = tied_weight;
            }
        }
        best.map(|best| best.target as usize)
    }
}

/// The best target so far, and the weight of all that are as good.
struct Best {
    target: u32,
    active: u64,
    weight: u64,
    tied_weight: u64,
}

impl Balancer for LeastConnections {
    fn pick(&mut self, view: &View<'_>, _hash: Option<u64>) -> Option<usize> {
        if self.version != Some(view.version) {
            self.version = Some(view.version);
            self.rows.learn(view);
        }
        let uniform = self.rng.next();
        let picked = if view.tried.is_empty() {
            self.rows.least_busy(view, uniform)
        } else {
            None
        };
        picked
            .or_else(|| self.one_by_one(view))
            .or_else(|| by_counting(view, uniform))
    }

    fn set_targets(&mut self, _targets: &[TargetInfo]) {
        self.version = None;
    }
}
