//! Numbers with one writer: a worker adds, the scraper reads.
//!
//! Must hold: only the worker that owns a tally calls `add` and `sub`. That makes a plain load and
//! store exact, so no increment costs a bus lock. A reader sees each number whole, and the numbers
//! among themselves a few instructions apart.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};

/// A count that one thread changes and any thread reads.
#[derive(Debug, Default)]
pub(crate) struct Tally(AtomicU64);

impl Tally {
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        let sum = self.0.load(Ordering::Relaxed).wrapping_add(n);
        self.0.store(sum, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn sub(&self, n: u64) {
        let rest = self.0.load(Ordering::Relaxed).saturating_sub(n);
        self.0.store(rest, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The upper bounds of a histogram's buckets, and how to find a value's bucket without searching.
#[derive(Debug)]
pub(crate) struct Scale<const N: usize> {
    /// Inclusive, ascending, the last one `u64::MAX` (`+Inf`).
    bounds: [u64; N],
    /// By the number of significant bits of a value: the first bucket it can be in.
    first: [u8; 65],
    /// Observed units in one exposed unit (nanoseconds in a second).
    unit: f64,
}

impl<const N: usize> Scale<N> {
    /// Each bound must be at least twice the one before. Then no two of them have the same number
    /// of bits without being in different buckets by one comparison, which is all `find` does.
    const fn new(bounds: [u64; N], unit: f64) -> Scale<N> {
        assert!(N >= 2 && N < 256 && bounds[N - 1] == u64::MAX);
        let mut at = 1;
        while at < N {
            assert!(bounds[at - 1] > 0 && bounds[at] / 2 >= bounds[at - 1]);
            at += 1;
        }
        let mut first = [0u8; 65];
        let mut bits = 1;
        while bits <= 64 {
            let smallest = 1u64 << (bits - 1);
            let mut bucket = 0;
            while bounds[bucket] < smallest {
                bucket += 1;
            }
            first[bits] = bucket as u8;
            bits += 1;
        }
        Scale {
            bounds,
            first,
            unit,
        }
    }

    #[inline]
    fn find(&self, value: u64) -> usize {
        let bits = (u64::BITS - value.leading_zeros()) as usize;
        let bucket = usize::from(self.first[bits]);
        bucket + usize::from(value > self.bounds[bucket])
    }

    /// The bounds in exposed units, the last one infinite.
    pub(crate) fn bounds(&self) -> impl Iterator<Item = f64> {
        self.bounds.iter().map(|bound| match *bound {
            u64::MAX => f64::INFINITY,
            bound => bound as f64 / self.unit,
        })
    }

    /// A sum in exposed units.
    pub(crate) fn scaled(&self, sum: u64) -> f64 {
        sum as f64 / self.unit
    }
}

pub(crate) const DURATION_BUCKETS: usize = 15;
pub(crate) const SIZE_BUCKETS: usize = 11;

/// Durations in nanoseconds, exposed in seconds: from a cached reply to a hopeless one.
pub(crate) static DURATIONS: Scale<DURATION_BUCKETS> = Scale::new(
    [
        500_000,
        1_000_000,
        2_500_000,
        5_000_000,
        10_000_000,
        25_000_000,
        50_000_000,
        100_000_000,
        250_000_000,
        500_000_000,
        1_000_000_000,
        2_500_000_000,
        5_000_000_000,
        10_000_000_000,
        u64::MAX,
    ],
    1e9,
);

/// Sizes in bytes, by factors of four from 128 B to 32 MiB.
pub(crate) static SIZES: Scale<SIZE_BUCKETS> = Scale::new(
    [
        1 << 7,
        1 << 9,
        1 << 11,
        1 << 13,
        1 << 15,
        1 << 17,
        1 << 19,
        1 << 21,
        1 << 23,
        1 << 25,
        u64::MAX,
    ],
    1.0,
);

/// Observations by bucket, and their sum.
#[derive(Debug)]
pub(crate) struct Histogram<const N: usize> {
    sum: Tally,
    buckets: [Tally; N],
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Histogram<N> {
        Histogram {
            sum: Tally::default(),
            buckets: array::from_fn(|_| Tally::default()),
        }
    }
}

impl<const N: usize> Histogram<N> {
    #[inline]
    pub(crate) fn observe(&self, scale: &Scale<N>, value: u64) {
        self.buckets[scale.find(value)].add(1);
        self.sum.add(value);
    }

    pub(crate) fn read(&self) -> (u64, [u64; N]) {
        (
            self.sum.read(),
            array::from_fn(|at| self.buckets[at].read()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn searched<const N: usize>(scale: &Scale<N>, value: u64) -> usize {
        scale.bounds.iter().filter(|bound| value > **bound).count()
    }

    #[test]
    fn a_bound_belongs_to_the_bucket_below_it() {
        for (at, bound) in DURATIONS.bounds.iter().enumerate() {
            assert_eq!(DURATIONS.find(*bound), at);
            assert_eq!(DURATIONS.find(bound - 1), at);
            if *bound != u64::MAX {
                assert_eq!(DURATIONS.find(bound + 1), at + 1);
            }
        }
        assert_eq!(DURATIONS.find(0), 0);
        assert_eq!(SIZES.find(u64::MAX), SIZE_BUCKETS - 1);
    }

    proptest! {
        #[test]
        fn finds_the_bucket_a_search_finds(shift in 0u32..64, noise: u64) {
            let value = noise >> shift;
            prop_assert_eq!(DURATIONS.find(value), searched(&DURATIONS, value));
            prop_assert_eq!(SIZES.find(value), searched(&SIZES, value));
        }
    }
}
