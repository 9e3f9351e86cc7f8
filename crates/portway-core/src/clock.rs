//! Time as the data plane sees it: nanoseconds on a monotonic scale.
//!
//! Must hold: every monotonic time read outside this module goes through a `Clock`, so that a test
//! can turn the hands itself. Pure crates take a `Mono` as an argument and read no clock at all.

use std::ops::{Add, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in monotonic time, in nanoseconds since the clock was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

impl Mono {
    /// A time that never comes: the deadline of something without one.
    pub const NEVER: Mono = Mono(u64::MAX);

    /// Nanoseconds since the clock was made.
    #[must_use]
    pub fn nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the clock was made.
    #[must_use]
    pub fn millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Mono {
    type Output = Mono;

    fn add(self, rhs: Duration) -> Mono {
        let nanos = u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX);
        Mono(self.0.saturating_add(nanos))
    }
}

impl Sub<Duration> for Mono {
    type Output = Mono;

    fn sub(self, rhs: Duration) -> Mono {
        let nanos = u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX);
        Mono(self.0.saturating_sub(nanos))
    }
}

/// Where time comes from: the system, or a test's hand.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System(Instant),
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The system's monotonic clock, starting at a small positive value now.
    #[must_use]
    pub fn system() -> Clock {
        #[allow(clippy::disallowed_methods)] // the one place that reads it
        Clock(Source::System(Instant::now()))
    }

    /// A clock that stands still until its [`ManualClock`] moves it.
    #[must_use]
    pub fn manual() -> (Clock, ManualClock) {
        // Not zero: "never happened" is often written as zero.
        let hand = Arc::new(AtomicU64::new(1_000_000_000));
        (Clock(Source::Manual(Arc::clone(&hand))), ManualClock(hand))
    }

    /// Now.
    #[must_use]
    #[inline]
    pub fn now(&self) -> Mono {
        match &self.0 {
            // One second ahead, so that `now - small duration` does not saturate at start.
            Source::System(start) => {
                let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
                Mono(nanos.saturating_add(1_000_000_000))
            }
            Source::Manual(hand) => Mono(hand.load(Ordering::Acquire)),
        }
    }

    /// Wall-clock time since the Unix epoch, for logs, cookies and dates; never for measuring.
    #[must_use]
    pub fn wall(&self) -> Duration {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
    }
}

/// The hand of a manual clock.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_add(nanos, Ordering::AcqRel);
    }
}
