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
pub(crate) fn by_counting(view: &View<'_>, uniform: u64) -> Option<usize> {
    let best = view.usable.iter().map(|t| tier(view, *t)).min()?;
    let of_best = || {
        view.usable
            .iter()
            .copied()
            .filter(|t| tier(view, *t) == best)
    };
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
pub(crate) fn by_weight(view: &View<'_>, rng: &mut Rng, weight_max: u32) -> Option<usize> {
    match draw(view, rng, weight_max, view.usable.len()) {
        Some(at) => Some(view.usable[at] as usize),
        None => by_counting(view, rng.next()),
    }
}

/// Two different random targets by weight, of which the second may be missing.
#[inline]
pub(crate) fn two_by_weight(
    view: &View<'_>,
    rng: &mut Rng,
    weight_max: u32,
) -> Option<(usize, Option<usize>)> {
    let Some(first) = draw(view, rng, weight_max, view.usable.len()) else {
        let first = by_counting(view, rng.next())?;
        return Some((first, None));
    };
    let target = view.usable[first];
    let second = if view.usable.len() == 2 {
        // Weight has had its say in which of the two came first.
        Some(view.usable[1 - first]).filter(|t| is_first_choice(view, *t))
    } else {
        draw(view, rng, weight_max, first).map(|at| view.usable[at])
    };
    Some((target as usize, second.map(|t| t as usize)))
}

/// The position in `usable` of a target of the best tier, by weight, other than position `except`
/// (the length for none); `None` if there is none or chance does not find it.
#[inline]
fn draw(view: &View<'_>, rng: &mut Rng, weight_max: u32, except: usize) -> Option<usize> {
    let count = view.usable.len();
    let others = (count - usize::from(except < count)) as u64;
    if others == 0 {
        return None;
    }
    for _ in 0..DRAWS_MAX {
        let draw = rng.next();
        // High half for the position, low half for the chance: independent enough after mixing.
        let at = (((draw >> 32) * others) >> 32) as usize;
        let at = at + usize::from(at >= except);
        let chance = ((draw & 0xffff_ffff) * u64::from(weight_max)) >> 32;
        let target = view.usable[at];
        if chance < u64::from(view.weight(target))
            && (view.tried.is_empty() || !view.is_tried(target))
        {
            return Some(at);
        }
    }
    None
}
