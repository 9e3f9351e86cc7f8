//! The generic cell rate algorithm: a token bucket kept as one number, the theoretical arrival time
//! (TAT) of the next request that would come exactly in step (ATM Forum TM 4.1, section 4.4.2).
//!
//! Must hold: in any span of `t` seconds at most `burst + rate * t` requests pass, whatever the order
//! in which workers come; a refused request changes nothing. Never: reads a clock.

use std::sync::atomic::{AtomicU64, Ordering};

use portway_core::Mono;

/// The fastest rate, requests per second. Above it the interval, whole nanoseconds, would be off by
/// more than half a percent.
pub const RATE_MAX: f64 = 10_000_000.0;

/// How much may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Time in which one token comes back, nanoseconds; at least 1.
    interval_ns: u64,
    /// Time in which an empty bucket fills, nanoseconds.
    full_ns: u64,
    /// Tokens of a full bucket.
    burst: u64,
}

/// What a limiter says of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Pass {
        /// Time until the bucket is full again, nanoseconds; what is left follows from it, see
        /// [`Quota::rest`], and few ask.
        full_in_ns: u64,
    },
    /// It does not, and nothing was taken.
    Refuse {
        /// The earliest time at which it would pass, from now, nanoseconds.
        after_ns: u64,
    },
}

/// What is left in a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// Whole tokens.
    pub remaining: u64,
    /// Time until it is full again, nanoseconds.
    pub full_in_ns: u64,
}

impl Quota {
    /// A bucket of `burst` tokens of which `rate` come back each second. `None` if the rate is not
    /// above 0 and at most [`RATE_MAX`], the burst is 0, or filling would take more than a century.
    #[must_use]
    pub fn new(rate: f64, burst: u64) -> Option<Quota> {
        const CENTURY_NS: f64 = 100.0 * 365.0 * 86_400.0 * 1e9;
        if !(rate > 0.0 && rate <= RATE_MAX) || burst == 0 {
            return None;
        }
        let interval = 1e9 / rate;
        if interval * burst as f64 > CENTURY_NS {
            return None;
        }
        let interval_ns = interval.round() as u64;
        Some(Quota {
            interval_ns,
            full_ns: interval_ns * burst,
            burst,
        })
    }

    /// Tokens of a full bucket.
    #[must_use]
    pub fn burst(&self) -> u64 {
        self.burst
    }

    /// Time in which an empty bucket fills, nanoseconds.
    #[must_use]
    pub fn full_ns(&self) -> u64 {
        self.full_ns
    }

    /// Decides over a bucket that stands at `tat`. On a pass also gives where it stands next.
    #[must_use]
    #[inline]
    pub fn decide(&self, tat: u64, now: Mono) -> (Verdict, Option<u64>) {
        let next = tat.max(now.0) + self.interval_ns;
        let ahead = next - now.0;
        match ahead.checked_sub(self.full_ns) {
            None | Some(0) => (Verdict::Pass { full_in_ns: ahead }, Some(next)),
            Some(after_ns) => (Verdict::Refuse { after_ns }, None),
        }
    }

    /// Time until a bucket is full again that refuses a request for so long, nanoseconds.
    #[must_use]
    pub fn full_in(&self, after_ns: u64) -> u64 {
        self.full_ns - self.interval_ns + after_ns
    }

    /// What is left in a bucket that is full again in so long.
    #[must_use]
    pub fn rest(&self, full_in_ns: u64) -> Rest {
        Rest {
            remaining: self.full_ns.saturating_sub(full_in_ns) / self.interval_ns,
            full_in_ns,
        }
    }
}

/// One bucket for all workers. Alone in its pair of cache lines (the prefetcher fetches two), so that
/// its neighbours do not slow it down.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Bucket(AtomicU64);

impl Bucket {
    /// Takes a token if there is one.
    #[inline]
    pub fn take(&self, quota: &Quota, now: Mono) -> Verdict {
        // Relaxed: the number itself is all there is to agree on.
        let mut tat = self.0.load(Ordering::Relaxed);
        loop {
            let (verdict, next) = quota.decide(tat, now);
            let Some(next) = next else { return verdict };
            match self
                .0
                .compare_exchange_weak(tat, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return verdict,
                Err(current) => tat = current,
            }
        }
    }

    /// What is left.
    #[must_use]
    pub fn rest(&self, quota: &Quota, now: Mono) -> Rest {
        quota.rest(self.0.load(Ordering::Relaxed).saturating_sub(now.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn passes_the_burst_then_the_rate() {
        let quota = Quota::new(2.0, 3).unwrap();
        let bucket = Bucket::default();
        let at = |ns| Mono(SECOND + ns);
        let passes = |now| matches!(bucket.take(&quota, now), Verdict::Pass { .. });
        assert_eq!(
            [passes(at(0)), passes(at(0)), passes(at(0)), passes(at(0))],
            [true, true, true, false]
        );
        assert!(!passes(at(SECOND / 2 - 1)));
        assert!(passes(at(SECOND / 2)));
        assert!(!passes(at(SECOND / 2)));
    }

    #[test]
    fn says_how_long_to_wait_and_what_is_left() {
        let quota = Quota::new(10.0, 2).unwrap();
        let bucket = Bucket::default();
        let now = Mono(SECOND);
        let pass = |full_in_ns| Verdict::Pass { full_in_ns };
        let left = |full_in_ns| quota.rest(full_in_ns).remaining;
        assert_eq!(bucket.take(&quota, now), pass(SECOND / 10));
        assert_eq!(left(SECOND / 10), 1);
        assert_eq!(bucket.take(&quota, now), pass(SECOND / 5));
        assert_eq!(left(SECOND / 5), 0);
        let wait = SECOND / 10;
        assert_eq!(bucket.take(&quota, now), Verdict::Refuse { after_ns: wait });
        assert_eq!(left(quota.full_in(wait)), 0);
        assert_eq!(bucket.take(&quota, Mono(now.0 + wait)), pass(SECOND / 5));
        assert_eq!(bucket.rest(&quota, Mono(now.0 + 2 * wait)).remaining, 1);
    }

    #[test]
    fn refuses_quotas_that_mean_nothing() {
        for (rate, burst) in [
            (0.0, 1),
            (-1.0, 1),
            (f64::NAN, 1),
            (1.0, 0),
            (2e7, 1),
            (1e-9, 10),
        ] {
            assert_eq!(Quota::new(rate, burst), None, "{rate} {burst}");
        }
        assert!(Quota::new(0.001, 1).is_some());
    }

    #[test]
    fn lets_two_threads_take_exactly_the_burst() {
        const BURST: u64 = 100_000;
        let quota = Quota::new(1.0, BURST).unwrap();
        let bucket = Bucket::default();
        let take = || {
            (0..BURST)
                .filter(|_| matches!(bucket.take(&quota, Mono(SECOND)), Verdict::Pass { .. }))
                .count() as u64
        };
        let passed = std::thread::scope(|scope| {
            let other = scope.spawn(take);
            take() + other.join().unwrap()
        });
        assert_eq!(passed, BURST);
    }

    /// A token bucket as the textbook has it, in fractions of a token.
    struct Oracle {
        tokens_ns: u128,
        last: u64,
    }

    impl Oracle {
        fn take(&mut self, quota: &Quota, now: u64) -> bool {
            let gained = u128::from(now - self.last);
            self.last = now;
            self.tokens_ns = (self.tokens_ns + gained).min(u128::from(quota.full_ns));
            let price = u128::from(quota.interval_ns);
            let enough = self.tokens_ns >= price;
            self.tokens_ns -= if enough { price } else { 0 };
            enough
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_textbook_token_bucket(
            rate in 0.01f64..1e6,
            burst in 1u64..1000,
            steps in proptest::collection::vec(0u64..2_000_000_000, 1..200),
        ) {
            let quota = Quota::new(rate, burst).unwrap();
            let bucket = Bucket::default();
            let mut now = SECOND;
            let mut oracle = Oracle { tokens_ns: u128::from(quota.full_ns), last: now };
            for step in steps {
                now += step / (1 + rate as u64);
                let passed = matches!(bucket.take(&quota, Mono(now)), Verdict::Pass { .. });
                prop_assert_eq!(passed, oracle.take(&quota, now));
            }
        }
    }
}
