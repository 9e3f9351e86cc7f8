//! What all policies share: which targets are better left alone, and sampling by weight.
//!
//! Must hold: order of preference is untried with weight, tried with weight, untried of weight 0,
//! tried of weight 0. A target that weighs nothing was asked to take no traffic, so even a target
//! that failed this exchange before comes first.
//! Never: picks a target that is not in `usable`.

use crate::balancer::View;
use crate::rng::{Rng, scale};

/// Draws before sampling turns to counting. With weights at a quarter of the largest on average,
/// one exchange in a hundred has to count.
const DRAWS_MAX: u32 = 16;

/// Whether `target` is of the best kind: it has weight and was not tried.
#[inline]
pub(crate) fn is_first_choice(view: &View<'_>, target: u32) -> bool {
    view.weight(target) > 0 && (view.tried.is_empty() || !view.is_tried(target))
}

/// How good `target` is as a choice; less is better.
fn tier(view: &View<'_>, target: u32) -> u8 {
    let weightless = view.weight(target) == 0;
    u8::from(weightless) * 2 + u8::from(view.is_tried(target))
}

/// The best target by counting: by weight among those of the best tier present. `uniform` is a
/// random or hashed 64-bit number; the same number gives the same target.
#[cold]
pub(crate) fn by_counting(view: &View<'_>, uniform: u64, except: Option<u32>) -> Option<usize> {
    let candidates = || view.usable.iter().copied().filter(|t| Some(*t) != except);
    let best = candidates().map(|t| tier(view, t)).min()?;
    let of_best = || candidates().filter(|t| tier(view, *t) == best);
    let share = |t: u32| u64::from(view.weight(t).max(1));
    let mut left = scale(uniform, of_best().map(share).sum());
    for target in of_best() {
        let share = share(target);
        if left < share {
            return Some(target as usize);
        }
        left -= share;
    }
    None
}

/// A random target by weight. `weight_max` is at least every effective weight: a target drawn
/// evenly is kept with the chance weight / weight_max, which needs no table that a change of weight
/// would make stale.
#[inline]
pub(crate) fn by_weight(
    view: &View<'_>,
    rng: &mut Rng,
    weight_max: u32,
    except: Option<u32>,
) -> Option<usize> {
    let count = view.usable.len() as u64;
    for _ in 0..DRAWS_MAX {
        let draw = rng.next();
        // High half for the position, low half for the chance: independent enough after mixing.
        let at = ((draw >> 32) * count) >> 32;
        let chance = ((draw & 0xffff_ffff) * u64::from(weight_max)) >> 32;
        let target = *view.usable.get(at as usize)?;
        if chance < u64::from(view.weight(target))
            && Some(target) != except
            && (view.tried.is_empty() || !view.is_tried(target))
        {
            return Some(target as usize);
        }
    }
    by_counting(view, rng.next(), except)
}

/// Two different random targets by weight, of which the second may be missing.
#[inline]
pub(crate) fn two_by_weight(
    view: &View<'_>,
    rng: &mut Rng,
    weight_max: u32,
) -> Option<(usize, Option<usize>)> {
    let first = by_weight(view, rng, weight_max, None)?;
    let second = if let [a, b] = view.usable {
        Some(if *a as usize == first { *b } else { *a } as usize)
    } else {
        by_weight(view, rng, weight_max, Some(first as u32))
    };
    // A worse kind of target never wins over a better one, however idle it is.
    let second = second.filter(|s| tier(view, *s as u32) <= tier(view, first as u32));
    Some((first, second))
}
