//! `least_connections`: the target with the fewest exchanges under way per weight.
//!
//! Must hold: looks at every usable target, so the cost grows with their number; ties are broken at
//! random by weight, or an idle upstream would send everything to its first target, from every
//! worker at once.

use crate::balancer::{Balancer, TargetInfo, View};
use crate::choose::{by_counting, is_first_choice};
use crate::rng::Rng;

/// See the module.
pub struct LeastConnections {
    rng: Rng,
}

impl LeastConnections {
    /// The same `seed` breaks ties the same way.
    #[must_use]
    pub fn new(seed: u64) -> LeastConnections {
        LeastConnections {
            rng: Rng::new(seed),
        }
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
                    std::cmp::Ordering::Greater => continue,
                    std::cmp::Ordering::Less => weight,
                    std::cmp::Ordering::Equal => b.tied_weight + weight,
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
        match best {
            Some(best) => Some(best.target as usize),
            None => by_counting(view, self.rng.next()),
        }
    }

    fn set_targets(&mut self, _targets: &[TargetInfo]) {}
}
