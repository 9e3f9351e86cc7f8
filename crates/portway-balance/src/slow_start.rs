//! `slow_start`: a target that just became usable gets its full weight little by little.
//!
//! Must hold: the share rises in a straight line from 10 % to all of it over the window, and a
//! target with weight never ramps from nothing: without traffic it would never warm up.

use std::time::Duration;

use crate::balancer::{WEIGHT_MAX, WEIGHT_SCALE};

/// The least share of its weight that a starting target gets, percent. Envoy's default.
pub const SHARE_MIN_PERCENT: u64 = 10;

/// The effective weight (× [`WEIGHT_SCALE`]) of a target of configured `weight`, `since` it became
/// usable, with a ramp over `window`. A window of zero means no ramp.
#[must_use]
pub fn slow_start_weight(weight: u32, since: Duration, window: Duration) -> u32 {
    let full = weight.min(WEIGHT_MAX) * WEIGHT_SCALE;
    if since >= window {
        return full;
    }
    // since < window, so window is not zero and the share is below one.
    let share = u128::from(full) * since.as_nanos() / window.as_nanos();
    let share = u32::try_from(share).unwrap_or(full);
    let least = (u64::from(full) * SHARE_MIN_PERCENT / 100) as u32;
    share.max(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_in_a_straight_line_from_a_tenth() {
        let s = Duration::from_secs;
        assert_eq!(slow_start_weight(1, s(0), s(30)), 10);
        assert_eq!(slow_start_weight(1, s(3), s(30)), 10);
        assert_eq!(slow_start_weight(1, s(15), s(30)), 50);
        assert_eq!(slow_start_weight(1, s(29), s(30)), 96);
        assert_eq!(slow_start_weight(1, s(30), s(30)), 100);
        assert_eq!(slow_start_weight(3, s(15), s(30)), 150);
    }

    #[test]
    fn no_window_means_the_whole_weight_at_once() {
        assert_eq!(slow_start_weight(7, Duration::ZERO, Duration::ZERO), 700);
    }

    #[test]
    fn nothing_stays_nothing_and_the_largest_does_not_overflow() {
        let s = Duration::from_secs;
        assert_eq!(slow_start_weight(0, s(1), s(30)), 0);
        assert_eq!(
            slow_start_weight(u32::MAX, s(99), s(30)),
            WEIGHT_MAX * WEIGHT_SCALE
        );
        assert!(slow_start_weight(u32::MAX, s(29), Duration::MAX) > 0);
    }
}
