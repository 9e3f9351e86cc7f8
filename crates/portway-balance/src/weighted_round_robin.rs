//! `weighted_round_robin`: nginx's smooth weighted round robin, which spreads the picks of a heavy
//! target instead of bunching them (5:1:1 gives a a b a c a a).
//!
//! Must hold: over a cycle of the sum of the weights each target is picked exactly weight times.
//! After a failure a target's effective weight is 0 and comes back by 1 a pick. Looks at every
//! usable target, so the cost grows with their number.

use portway_core::Mono;

use crate::balancer::{Balancer, Outcome, TargetInfo, View, WEIGHT_SCALE, carry_over, full_weight};
use crate::choose::by_counting;
use crate::rng::Rng;

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// What the target is owed: rises by the effective weight each pick, falls by all weights when
    /// it is picked.
    current: i64,
    /// What failures have taken off its weight, scaled as weights are.
    penalty: u32,
    /// The weight of the set, scaled: what one failure takes off.
    full: u32,
}

/// See the module.
pub struct WeightedRoundRobin {
    keys: Vec<u64>,
    states: Vec<State>,
    rng: Rng,
}

impl WeightedRoundRobin {
    /// Begins at the start of the cycle; `seed` only matters when nothing has weight.
    #[must_use]
    pub fn new(targets: &[TargetInfo], seed: u64) -> WeightedRoundRobin {
        let mut wrr = WeightedRoundRobin {
            keys: Vec::new(),
            states: Vec::new(),
            rng: Rng::new(seed),
        };
        wrr.set_targets(targets);
        wrr
    }
}

impl Balancer for WeightedRoundRobin {
    fn pick(&mut self, view: &View<'_>, _hash: Option<u64>) -> Option<usize> {
        let mut total = 0i64;
        let mut best: Option<(usize, i64)> = None;
        for &target in view.usable {
            let weight = view.weight(target);
            let Some(state) = self.states.get_mut(target as usize) else {
                continue;
            };
            if weight == 0 || (!view.tried.is_empty() && view.is_tried(target)) {
                continue;
            }
            let effective = i64::from(weight.saturating_sub(state.penalty));
            state.penalty = state.penalty.saturating_sub(WEIGHT_SCALE);
            state.current += effective;
            total += effective;
            if best.is_none_or(|(_, current)| state.current > current) {
                best = Some((target as usize, state.current));
            }
        }
        let Some((target, current)) = best else {
            return by_counting(view, self.rng.next(), None);
        };
        self.states[target].current = current - total;
        Some(target)
    }

    fn done(&mut self, target: usize, outcome: Outcome, _now: Mono) {
        if !outcome.ok
            && let Some(state) = self.states.get_mut(target)
        {
            state.penalty = state.full;
        }
    }

    fn set_targets(&mut self, targets: &[TargetInfo]) {
        self.states = carry_over(&self.keys, &self.states, targets, &State::default());
        self.keys = targets.iter().map(|t| t.key).collect();
        for (state, target) in self.states.iter_mut().zip(targets) {
            state.full = full_weight(target);
            // What was owed by an old set's weights would bunch the picks of the new one.
            state.current = 0;
        }
    }
}
