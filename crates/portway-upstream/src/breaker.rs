//! The circuit breaker: one state for all workers in one padded atomic (Nygard, "Release It!").
//!
//! Must hold: a permit that is dropped without a verdict gives its probe back, so a half-open breaker
//! cannot wedge; results of exchanges that began before it opened do not count for a probe.
//! Never: reads a clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portway_core::Mono;
use portway_filter::BreakerPolicy;

/// What the breaker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// All pass.
    Closed,
    /// None pass.
    Open,
    /// A few pass, to see whether the upstream is well again.
    HalfOpen,
}

impl BreakerState {
    /// As the metric shows it: 0 closed, 1 open, 2 half-open.
    #[must_use]
    pub fn as_number(self) -> u8 {
        match self {
            BreakerState::Closed => 0,
            BreakerState::Open => 1,
            BreakerState::HalfOpen => 2,
        }
    }

    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half_open",
        }
    }
}

/// A circuit breaker, shared by all workers.
#[derive(Debug)]
#[repr(align(128))]
pub struct Breaker {
    /// See [`Word`].
    word: AtomicU64,
    /// The rate's window: number (20 bits), exchanges (22), failures (22).
    window: AtomicU64,
    policy: BreakerPolicy,
}

/// The unpacked state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// Failures in a row.
    Closed(u32),
    /// Until when, in ticks of 10 ms.
    Open(u32),
    /// Probes let through, and those that succeeded.
    HalfOpen(u16, u16),
}

impl Word {
    fn pack(self) -> u64 {
        match self {
            Word::Closed(failures) => u64::from(failures),
            Word::Open(until) => 1 << 62 | u64::from(until),
            Word::HalfOpen(issued, succeeded) => {
                2 << 62 | u64::from(issued) << 16 | u64::from(succeeded)
            }
        }
    }

    fn unpack(word: u64) -> Word {
        match word >> 62 {
            0 => Word::Closed(word as u32),
            1 => Word::Open(word as u32),
            _ => Word::HalfOpen((word >> 16) as u16, word as u16),
        }
    }
}

/// Leave to send one exchange; its verdict must come back through [`Permit::record`].
#[derive(Debug)]
pub struct Permit<'a> {
    breaker: &'a Breaker,
    probe: bool,
    recorded: bool,
}

const TICK_NS: u64 = 10_000_000;

fn ticks(at: Mono) -> u32 {
    // 32 bits of 10 ms are 497 days of uptime; past them an open breaker closes early, once.
    (at.nanos() / TICK_NS) as u32
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(policy: BreakerPolicy) -> Breaker {
        Breaker {
            word: AtomicU64::new(0),
            window: AtomicU64::new(0),
            policy,
        }
    }

    /// Its policy.
    #[must_use]
    pub fn policy(&self) -> &BreakerPolicy {
        &self.policy
    }

    /// Leave for one exchange; or, while open, how long until it is worth asking again.
    pub fn admit(&self, now: Mono) -> Result<Permit<'_>, Duration> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let next = match Word::unpack(word) {
                Word::Closed(_) => return Ok(self.permit(false)),
                Word::Open(until) if ticks(now) < until => {
                    return Err(Duration::from_nanos(
                        u64::from(until - ticks(now)) * TICK_NS,
                    ));
                }
                Word::Open(_) => Word::HalfOpen(1, 0),
                Word::HalfOpen(issued, _)
                    if u32::from(issued) >= self.policy.half_open_requests =>
                {
                    return Err(Duration::from_secs(1));
                }
                Word::HalfOpen(issued, succeeded) => Word::HalfOpen(issued + 1, succeeded),
            };
            match self.swap(word, next) {
                Ok(()) => return Ok(self.permit(true)),
                Err(current) => word = current,
            }
        }
    }

    /// What it is doing.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        match Word::unpack(self.word.load(Ordering::Relaxed)) {
            Word::Closed(_) => BreakerState::Closed,
            Word::Open(_) => BreakerState::Open,
            Word::HalfOpen(..) => BreakerState::HalfOpen,
        }
    }

    fn permit(&self, probe: bool) -> Permit<'_> {
        Permit {
            breaker: self,
            probe,
            recorded: false,
        }
    }

    fn swap(&self, from: u64, to: Word) -> Result<(), u64> {
        self.word
            .compare_exchange_weak(from, to.pack(), Ordering::AcqRel, Ordering::Relaxed)
            .map(|_| ())
    }

    fn record(&self, probe: bool, ok: bool, now: Mono) {
        let rate_trips = self.policy.failure_rate.is_some() && !probe && self.count(ok, now);
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let open = Word::Open(ticks(now + self.policy.open_for).max(1));
            let next = match (Word::unpack(word), ok) {
                (Word::Closed(_), _) if rate_trips => open,
                (Word::Closed(0), true) => return,
                (Word::Closed(_), true) => Word::Closed(0),
                (Word::Closed(failures), false) => {
                    let failures = failures.saturating_add(1);
                    let threshold = self.policy.failure_threshold;
                    if threshold != 0 && failures >= threshold {
                        open
                    } else {
                        Word::Closed(failures)
                    }
                }
                (Word::HalfOpen(issued, succeeded), true) if probe => {
                    let succeeded = succeeded + 1;
                    if u32::from(succeeded) >= self.policy.half_open_requests {
                        Word::Closed(0)
                    } else {
                        Word::HalfOpen(issued, succeeded)
                    }
                }
                (Word::HalfOpen(..), false) if probe => open,
                _ => return,
            };
            match self.swap(word, next) {
                Ok(()) => {
                    if matches!(next, Word::Open(_)) {
                        self.window.store(0, Ordering::Relaxed);
                    }
                    return;
                }
                Err(current) => word = current,
            }
        }
    }

    /// Counts in the window; whether the rate is now over its threshold.
    fn count(&self, ok: bool, now: Mono) -> bool {
        const MASK: u64 = (1 << 22) - 1;
        let length = u64::try_from(self.policy.window.as_nanos())
            .unwrap_or(u64::MAX)
            .max(1);
        let number = (now.nanos() / length) & 0xf_ffff;
        let mut word = self.window.load(Ordering::Relaxed);
        loop {
            let (mut total, mut failed) = (word >> 22 & MASK, word & MASK);
            if word >> 44 != number {
                (total, failed) = (0, 0);
            }
            if total < MASK {
                total += 1;
                failed += u64::from(!ok);
            }
            let next = number << 44 | total << 22 | failed;
            match self.window.compare_exchange_weak(
                word,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    let rate = self.policy.failure_rate.unwrap_or(1.0);
                    return !ok
                        && total >= u64::from(self.policy.minimum_requests)
                        && failed as f64 >= rate * total as f64;
                }
                Err(current) => word = current,
            }
        }
    }

    fn give_back(&self) {
        let mut word = self.word.load(Ordering::Relaxed);
        while let Word::HalfOpen(issued, succeeded) = Word::unpack(word) {
            match self.swap(word, Word::HalfOpen(issued.saturating_sub(1), succeeded)) {
                Ok(()) => return,
                Err(current) => word = current,
            }
        }
    }
}

impl Permit<'_> {
    /// The verdict on the exchange.
    pub fn record(mut self, ok: bool, now: Mono) {
        self.recorded = true;
        self.breaker.record(self.probe, ok, now);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.probe && !self.recorded {
            self.breaker.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> BreakerPolicy {
        BreakerPolicy {
            failure_threshold: 3,
            failure_rate: None,
            minimum_requests: 4,
            window: Duration::from_secs(10),
            open_for: Duration::from_secs(30),
            half_open_requests: 2,
        }
    }

    fn at(seconds: u64) -> Mono {
        Mono(seconds * 1_000_000_000)
    }

    fn run(breaker: &Breaker, ok: bool, now: Mono) {
        breaker.admit(now).expect("admitted").record(ok, now);
    }

    #[test]
    fn opens_after_consecutive_failures_only() {
        let breaker = Breaker::new(policy());
        for ok in [false, false, true, false, false] {
            run(&breaker, ok, at(1));
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        run(&breaker, false, at(1));
        assert_eq!(breaker.state(), BreakerState::Open);
        assert_eq!(breaker.admit(at(2)).unwrap_err(), Duration::from_secs(29));
    }

    #[test]
    fn closes_after_all_probes_succeed() {
        let breaker = Breaker::new(policy());
        (0..3).for_each(|_| run(&breaker, false, at(1)));
        let first = breaker.admit(at(31)).expect("a probe");
        let second = breaker.admit(at(31)).expect("a probe");
        assert!(breaker.admit(at(31)).is_err(), "only two probes");
        first.record(true, at(31));
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        second.record(true, at(31));
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn a_failed_probe_opens_it_again() {
        let breaker = Breaker::new(policy());
        (0..3).for_each(|_| run(&breaker, false, at(1)));
        run(&breaker, false, at(31));
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(breaker.admit(at(60)).is_err());
        assert!(breaker.admit(at(61)).is_ok());
    }

    #[test]
    fn a_probe_without_a_verdict_is_given_back() {
        let breaker = Breaker::new(policy());
        (0..3).for_each(|_| run(&breaker, false, at(1)));
        drop((breaker.admit(at(31)), breaker.admit(at(31))));
        assert!(breaker.admit(at(31)).is_ok());
    }

    #[test]
    fn late_results_do_not_count_as_probes() {
        let breaker = Breaker::new(policy());
        let late = breaker.admit(at(1)).expect("closed");
        (0..3).for_each(|_| run(&breaker, false, at(1)));
        let _probe = breaker.admit(at(31)).expect("a probe");
        late.record(false, at(31));
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
    }

    #[test]
    fn opens_at_a_failure_rate_once_enough_was_seen() {
        let rate = BreakerPolicy {
            failure_threshold: 0,
            failure_rate: Some(0.5),
            ..policy()
        };
        let breaker = Breaker::new(rate);
        for ok in [true, false, true] {
            run(&breaker, ok, at(1));
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        run(&breaker, false, at(2));
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[test]
    fn the_rate_forgets_the_last_window() {
        let rate = BreakerPolicy {
            failure_threshold: 0,
            failure_rate: Some(0.5),
            ..policy()
        };
        let breaker = Breaker::new(rate);
        (0..3).for_each(|_| run(&breaker, false, at(1)));
        run(&breaker, false, at(11));
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
