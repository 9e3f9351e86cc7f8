//! What all policies share: which targets are better left alone.
//!
//! Must hold: order of preference is untried with weight, tried with weight, untried of weight 0,
//! tried of weight 0. A target that weighs nothing was asked to take no traffic, so even a target
//! that failed this exchange before comes first.
//! Never: picks a target that is not in `usable`.

use crate::balancer::View;
use crate::rng::scale;

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
