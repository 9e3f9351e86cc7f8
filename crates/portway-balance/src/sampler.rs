//! Targets at random by weight, in the same time however many there are and whatever they weigh: the
//! alias method (Walker 1977, in Vose's form of 1991), in whole numbers.
//!
//! Must hold: each target's chance is its effective weight over all of them, to one part in 2^32; a
//! target without weight is drawn only if there is nothing else. The table is made anew when the
//! view's version moves.

use std::hint::select_unpredictable;

use crate::balancer::View;
use crate::choose::by_counting;
use crate::rng::Rng;

/// Draws before a target other than the one before, or one not tried, is looked for by counting.
const DRAWS_MAX: u32 = 16;

/// An even share of all weight: the first part is `own`'s, the rest `other`'s.
#[derive(Clone, Copy, Debug)]
struct Column {
    own: u32,
    other: u32,
    /// The first part, of 2^32.
    part: u32,
}

#[derive(Debug)]
pub(crate) struct Sampler {
    rng: Rng,
    /// The view that the columns are made from.
    version: Option<u64>,
    /// A column for each usable target with weight.
    columns: Vec<Column>,
    /// Used while making the columns, and kept for its room.
    open: Open,
}

/// Columns that are not full yet.
#[derive(Debug, Default)]
struct Open {
    /// What each target still has to place; a column holds `total`.
    left: Vec<u64>,
    below: Vec<u32>,
    above: Vec<u32>,
}

impl Sampler {
    pub(crate) fn new(seed: u64) -> Sampler {
        Sampler {
            rng: Rng::new(seed),
            version: None,
            columns: Vec::new(),
            open: Open::default(),
        }
    }

    /// What was derived from the last set means nothing for the next one.
    pub(crate) fn forget(&mut self) {
        self.version = None;
    }

    /// A random target by weight; `None` only if none is usable.
    #[inline]
    pub(crate) fn one(&mut self, view: &View<'_>) -> Option<usize> {
        self.follow(view);
        match self.untried(view) {
            Some(target) => Some(target as usize),
            None => by_counting(view, self.rng.next()),
        }
    }

    /// Two different random targets by weight, of which the second may be missing.
    #[inline]
    pub(crate) fn two(&mut self, view: &View<'_>) -> Option<(usize, Option<usize>)> {
        self.follow(view);
        let Some(first) = self.untried(view) else {
            return by_counting(view, self.rng.next()).map(|first| (first, None));
        };
        let may = |t: &u32| *t != first && (view.tried.is_empty() || !view.is_tried(*t));
        let second = match &self.columns[..] {
            [] | [_] => None,
            // Weight has had its say in which of the two came first.
            [a, b] => [a.own, b.own].into_iter().find(may),
            _ => (0..DRAWS_MAX).find_map(|_| self.draw().filter(may)),
        };
        Some((first as usize, second.map(|t| t as usize)))
    }

    /// A target that this exchange has not tried; `None` if there is none with weight or chance does
    /// not find it.
    #[inline]
    fn untried(&mut self, view: &View<'_>) -> Option<u32> {
        if view.tried.is_empty() {
            return self.draw();
        }
        (0..DRAWS_MAX).find_map(|_| self.draw().filter(|t| !view.is_tried(*t)))
    }

    #[inline]
    fn draw(&mut self) -> Option<u32> {
        let bits = self.rng.next();
        // High half for the column, low half for the part: independent enough after mixing.
        let at = ((bits >> 32) * self.columns.len() as u64) >> 32;
        let column = self.columns.get(at as usize)?;
        // No branch: it would be guessed wrong as often as the weights are uneven.
        let is_own = (bits as u32) < column.part;
        Some(select_unpredictable(is_own, column.own, column.other))
    }

    #[inline]
    fn follow(&mut self, view: &View<'_>) {
        if self.version != Some(view.version) {
            self.version = Some(view.version);
            self.learn(view);
        }
    }

    /// Makes the columns: a target below the average is topped up by one above it.
    #[cold]
    fn learn(&mut self, view: &View<'_>) {
        let weighted = view.usable.iter().filter(|t| view.weight(**t) > 0);
        self.columns.clear();
        self.columns.extend(weighted.map(|target| Column {
            own: *target,
            other: *target,
            part: 0,
        }));
        let count = self.columns.len() as u64;
        let weight = |column: &Column| u64::from(view.weight(column.own));
        let total: u64 = self.columns.iter().map(weight).sum();
        let Open { left, below, above } = &mut self.open;
        left.clear();
        // Weights and indices are 32 bits wide: the product fits.
        left.extend(self.columns.iter().map(|column| weight(column) * count));
        let all = 0..self.columns.len() as u32;
        below.clear();
        below.extend(all.clone().filter(|at| left[*at as usize] < total));
        above.clear();
        above.extend(all.filter(|at| left[*at as usize] > total));
        while let (Some(poor), Some(rich)) = (below.pop(), above.last().copied()) {
            let (has, rich_at) = (left[poor as usize], rich as usize);
            let other = self.columns[rich_at].own;
            let column = &mut self.columns[poor as usize];
            column.other = other;
            column.part = ((u128::from(has) << 32) / u128::from(total)) as u32;
            left[rich_at] -= total - has;
            if left[rich_at] <= total {
                above.pop();
                if left[rich_at] < total {
                    below.push(rich);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portway_core::Mono;
    use proptest::prelude::*;

    fn columns_of(weights: &[u32], usable: &[u32]) -> Vec<Column> {
        let mut sampler = Sampler::new(1);
        sampler.follow(&View {
            version: 1,
            usable,
            weights,
            loads: &[],
            tried: &[],
            now: Mono(1),
        });
        sampler.columns
    }

    proptest! {
        #[test]
        fn columns_hold_exactly_the_weights(
            weights in prop::collection::vec(prop_oneof![0u32..4, 0u32..=u32::MAX], 1..40),
        ) {
            let usable: Vec<u32> = (0..weights.len() as u32).filter(|t| t % 5 != 3).collect();
            let columns = columns_of(&weights, &usable);
            let mut shares = vec![0.0; weights.len()];
            for column in &columns {
                let part = f64::from(column.part) / 4_294_967_296.0;
                shares[column.own as usize] += part;
                shares[column.other as usize] += 1.0 - part;
            }
            let total: f64 = usable.iter().map(|t| f64::from(weights[*t as usize])).sum();
            for (target, share) in shares.iter().enumerate() {
                let is_usable = usable.contains(&(target as u32));
                let weight = if is_usable { f64::from(weights[target]) } else { 0.0 };
                prop_assert!(weight > 0.0 || *share == 0.0);
                if total > 0.0 {
                    let wanted = weight / total * columns.len() as f64;
                    prop_assert!((share - wanted).abs() < 1e-7, "{} {}", share, wanted);
                }
            }
        }
    }
}
