//! Which exchanges are logged.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A share of all exchanges, and in any case the slow ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPolicy {
    /// Of 2^32.
    share: u64,
    slow_over_ns: u64,
}

impl LogPolicy {
    /// Logs `percent` of all exchanges (0 to 100, what is outside counts as the nearer end), and
    /// all that took longer than `slow_over`.
    #[must_use]
    pub fn new(percent: f64, slow_over: Option<Duration>) -> LogPolicy {
        let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        LogPolicy {
            share: (percent.clamp(0.0, 100.0) / 100.0 * 4_294_967_296.0) as u64,
            slow_over_ns: slow_over.map_or(u64::MAX, nanos),
        }
    }

    #[inline]
    pub(crate) fn wants(&self, dice: &mut Dice, duration_ns: u64) -> bool {
        self.share > u64::from(u32::MAX)
            || duration_ns > self.slow_over_ns
            || u64::from(dice.roll()) < self.share
    }
}

impl Default for LogPolicy {
    /// Everything.
    fn default() -> LogPolicy {
        LogPolicy::new(100.0, None)
    }
}

/// Random numbers, good enough to choose log lines. A counter would be in step with clients that
/// repeat a pattern.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new() -> Dice {
        // Any state but zero; the standard library's hash keys are the random numbers at hand.
        Dice(RandomState::new().hash_one(0u8) | 1)
    }

    /// Marsaglia, "Xorshift RNGs", 2003, with the shifts 13, 7, 17; the high half is the better one.
    #[inline]
    fn roll(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged_of_100_000(policy: LogPolicy, duration_ns: u64) -> usize {
        let mut dice = Dice::new();
        (0..100_000)
            .filter(|_| policy.wants(&mut dice, duration_ns))
            .count()
    }

    #[test]
    fn logs_about_the_share_it_was_told() {
        assert_eq!(logged_of_100_000(LogPolicy::default(), 0), 100_000);
        assert_eq!(logged_of_100_000(LogPolicy::new(0.0, None), 0), 0);
        assert_eq!(logged_of_100_000(LogPolicy::new(f64::NAN, None), 0), 0);
        let tenth = logged_of_100_000(LogPolicy::new(10.0, None), 0);
        assert!((9_000..11_000).contains(&tenth), "{tenth}");
    }

    #[test]
    fn logs_every_slow_exchange() {
        let policy = LogPolicy::new(0.0, Some(Duration::from_millis(500)));
        assert_eq!(logged_of_100_000(policy, 500_000_001), 100_000);
        assert_eq!(logged_of_100_000(policy, 500_000_000), 0);
    }
}
