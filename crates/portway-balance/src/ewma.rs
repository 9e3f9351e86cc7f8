//! `ewma`: the faster of two random targets, by peak-sensitive average latency and load, as in
//! Finagle's and Linkerd's Peak EWMA.
//!
//! Must hold: a latency above the average replaces it at once, one below moves it slowly, and the
//! average fades while a target is not used, so that a target once slow is asked again. A failure
//! never makes a target look fast. Each worker learns for itself.

use std::hint::select_unpredictable;
use std::time::Duration;

use portway_core::Mono;

use crate::balancer::{Balancer, Outcome, TargetInfo, View, carry_over, full_weight};
use crate::sampler::Sampler;

/// After this time without use an average has faded to 1/e; Finagle's and Linkerd's default.
pub const DECAY: Duration = Duration::from_secs(10);
/// What a failed exchange counts as at least: more than an ordinary reply takes.
pub const FAILURE_MIN: Duration = Duration::from_millis(100);
/// What a failed exchange counts as at most, so that a target that failed long is asked again.
pub const FAILURE_MAX: Duration = Duration::from_secs(30);
/// The cost of a target that was never measured and is already being asked, in nanoseconds: one
/// exchange at a time finds out how fast it is.
const UNKNOWN_COST: f64 = 1e15;
/// An average below this many nanoseconds has faded away: the target counts as never measured.
const KNOWN_MIN: f64 = 1.0;
/// The least that an exchange counts as, in nanoseconds: with a coarse clock it can seem to take no
/// time, and must count as measured nevertheless.
const MEASURED_MIN: f64 = 1_000.0;

#[derive(Clone, Copy, Debug)]
struct Average {
    nanos: f64,
    at: Mono,
}

const FRESH: Average = Average {
    nanos: 0.0,
    at: Mono(0),
};

/// See the module.
pub struct Ewma {
    sampler: Sampler,
    /// The largest effective weight that the set can have: what load counts against.
    weight_max: u32,
    keys: Vec<u64>,
    averages: Vec<Average>,
}

impl Ewma {
    /// The same `seed` gives the same draws.
    #[must_use]
    pub fn new(targets: &[TargetInfo], seed: u64) -> Ewma {
        let mut ewma = Ewma {
            sampler: Sampler::new(seed),
            weight_max: 0,
            keys: Vec::new(),
            averages: Vec::new(),
        };
        ewma.set_targets(targets);
        ewma
    }

    /// Expected cost of one exchange more, times the weight (a division saved: see `pick`). Load
    /// counts per weight relative to the heaviest target; weight alone does not change the cost of
    /// an idle target, because the draw is by weight already.
    #[inline]
    fn cost(&self, view: &View<'_>, target: usize, weight: f64) -> f64 {
        let average = self.averages.get(target).copied().unwrap_or(FRESH);
        let nanos = average.nanos * remaining(view.now.nanos().saturating_sub(average.at.nanos()));
        let active = f64::from(view.active(target as u32));
        if nanos >= KNOWN_MIN {
            nanos * (weight + active * f64::from(self.weight_max))
        } else if active > 0.0 {
            UNKNOWN_COST * weight
        } else {
            0.0
        }
    }
}

/// The share of an average that is left after some nanoseconds: 2^-x with x = time / DECAY × log2 e,
/// its fraction in a straight line. At most 6 % above e^(-time / DECAY), and falling all the way,
/// which is all that is asked; `exp` took longer than the rest of the pick.
#[inline]
fn remaining(nanos: u64) -> f64 {
    /// Halvings in a nanosecond, times 2^64.
    const PER_NANO: u64 =
        (std::f64::consts::LOG2_E / DECAY.as_nanos() as f64 * 18_446_744_073_709_551_616.0) as u64;
    // Fixed point with 32 bits behind the point.
    let halvings = (u128::from(nanos) * u128::from(PER_NANO)) >> 32;
    let whole = (halvings >> 32) as u64;
    if whole >= 64 {
        return 0.0;
    }
    let fraction = f64::from(halvings as u32) / 4_294_967_296.0;
    // 2^-whole by its exponent bits: a division would be the dearest step.
    (1.0 - fraction / 2.0) * f64::from_bits((1023 - whole) << 52)
}

impl Balancer for Ewma {
    fn pick(&mut self, view: &View<'_>, _hash: Option<u64>) -> Option<usize> {
        let (first, second) = self.sampler.two(view)?;
        let Some(second) = second else {
            return Some(first);
        };
        let weight = |target: usize| f64::from(view.weight(target as u32));
        let (first_weight, second_weight) = (weight(first), weight(second));
        let first_cost = self.cost(view, first, first_weight) * second_weight;
        let second_cost = self.cost(view, second, second_weight) * first_weight;
        // Even odds: a branch would be guessed wrong every other time.
        Some(select_unpredictable(
            second_cost < first_cost,
            second,
            first,
        ))
    }

    fn done(&mut self, target: usize, outcome: Outcome, now: Mono) {
        let Some(average) = self.averages.get_mut(target) else {
            return;
        };
        let mut nanos = outcome.latency.as_nanos() as f64;
        if !outcome.ok {
            let punished = (average.nanos * 2.0)
                .max(FAILURE_MIN.as_nanos() as f64)
                .min(FAILURE_MAX.as_nanos() as f64);
            nanos = nanos.max(punished);
        }
        let nanos = nanos.max(MEASURED_MIN);
        let kept = remaining(now.nanos().saturating_sub(average.at.nanos()));
        let smoothed = average.nanos * kept + nanos * (1.0 - kept);
        // As good as even odds again.
        average.nanos = select_unpredictable(nanos > average.nanos, nanos, smoothed);
        average.at = now;
    }

    fn set_targets(&mut self, targets: &[TargetInfo]) {
        self.averages = carry_over(&self.keys, &self.averages, targets, &FRESH);
        self.keys = targets.iter().map(|t| t.key).collect();
        self.weight_max = targets.iter().map(full_weight).max().unwrap_or(0);
        self.sampler.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_remains_falls_as_the_exponential_does() {
        let mut last = 1.0;
        for step in 0..800u64 {
            let nanos = step * DECAY.as_nanos() as u64 / 20;
            let (got, exact) = (remaining(nanos), (-(step as f64) / 20.0).exp());
            assert!(got <= last && got <= exact * 1.07 && got >= exact * 0.999);
            last = got;
        }
        assert!(remaining(0) > 0.9999);
        assert!(remaining(u64::MAX) < 1e-9);
    }
}
