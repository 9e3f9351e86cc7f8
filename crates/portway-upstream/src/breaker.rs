//! The circuit breaker: one state for all workers in one padded atomic (Nygard, "Release It!").
//!
//! Must hold: a permit that is dropped without a verdict gives its probe back, and probes that take too
//! long are replaced, so a half-open breaker cannot wedge; a result counts only in the period (closed or
//! half-open) in which its exchange was let through.
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

/// The unpacked state. `since` is the tick at which it came about: an exchange's result counts only in
/// the period in which it was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// Failures in a row.
    Closed { since: u32, failures: u32 },
    /// Until when, in ticks of 10 ms.
    Open(u32),
    /// Probes let through, and those that succeeded.
    HalfOpen {
        since: u32,
        issued: u16,
        succeeded: u16,
    },
}

/// Of a period's first tick so many bits are kept: 124 days of 10 ms.
const SINCE_MASK: u32 = (1 << 30) - 1;

impl Word {
    fn pack(self) -> u64 {
        match self {
            Word::Closed { since, failures } => u64::from(since) << 32 | u64::from(failures),
            Word::Open(until) => 1 << 62 | u64::from(until),
            Word::HalfOpen {
                since,
                issued,
                succeeded,
            } => {
                let counts = u64::from(issued) << 16 | u64::from(succeeded);
                2 << 62 | u64::from(since) << 32 | counts
            }
        }
    }

    fn unpack(word: u64) -> Word {
        let since = (word >> 32) as u32 & SINCE_MASK;
        match word >> 62 {
            0 => Word::Closed {
                since,
                failures: word as u32,
            },
            1 => Word::Open(word as u32),
            _ => Word::HalfOpen {
                since,
                issued: (word >> 16) as u16,
                succeeded: word as u16,
            },
        }
    }
}

/// Leave to send one exchange; its verdict must come back through [`Permit::record`].
#[derive(Debug)]
pub struct Permit<'a> {
    breaker: &'a Breaker,
    /// The period in which it was given.
    since: u32,
    probe: bool,
    recorded: bool,
}

const TICK_NS: u64 = 10_000_000;

fn ticks(at: Mono) -> u32 {
    // 32 bits of 10 ms are 497 days of uptime; past them an open breaker closes early, once.
    (at.nanos() / TICK_NS) as u32
}

/// What says that a period began now.
fn since(now: Mono) -> u32 {
    ticks(now) & SINCE_MASK
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
            let (since, issued, succeeded) = match Word::unpack(word) {
                Word::Closed { since, .. } => return Ok(self.permit(since, false)),
                Word::Open(until) if ticks(now) < until => {
                    return Err(Duration::from_nanos(
                        u64::from(until - ticks(now)) * TICK_NS,
                    ));
                }
                Word::Open(_) => (since(now), 1, 0),
                Word::HalfOpen { since, issued, .. } if issued >= self.probes_max() => {
                    self.wait_for_probes(since, now)?;
                    (self::since(now), 1, 0)
                }
                Word::HalfOpen {
                    since,
                    issued,
                    succeeded,
                } => (since, issued + 1, succeeded),
            };
            let next = Word::HalfOpen {
                since,
                issued,
                succeeded,
            };
            match self.swap(word, next) {
                Ok(()) => return Ok(self.permit(since, true)),
                Err(current) => word = current,
            }
        }
    }

    /// Probes may take long (a download, a stream of events): after as long as the breaker was open,
    /// others are let through in their place.
    fn wait_for_probes(&self, began: u32, now: Mono) -> Result<(), Duration> {
        let open_for = ticks(Mono(0) + self.policy.open_for).max(1);
        match since(now).wrapping_sub(began) & SINCE_MASK < open_for {
            true => Err(Duration::from_secs(1)),
            false => Ok(()),
        }
    }

    fn probes_max(&self) -> u16 {
        u16::try_from(self.policy.half_open_requests).unwrap_or(u16::MAX)
    }

    /// What it is doing.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        match Word::unpack(self.word.load(Ordering::Relaxed)) {
            Word::Closed { .. } => BreakerState::Closed,
            Word::Open(_) => BreakerState::Open,
            Word::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    fn permit(&self, since: u32, probe: bool) -> Permit<'_> {
        Permit {
            breaker: self,
            since,
            probe,
            recorded: false,
        }
    }

    fn swap(&self, from: u64, to: Word) -> Result<(), u64> {
        self.word
            .compare_exchange_weak(from, to.pack(), Ordering::AcqRel, Ordering::Relaxed)
            .map(|_| ())
    }

    fn record(&self, permit: &Permit<'_>, ok: bool, now: Mono) {
        let mut word = self.word.load(Ordering::Relaxed);
        let mut rate_trips = None;
        loop {
            let next = match Word::unpack(word) {
                Word::Closed { since, failures } if !permit.probe && since == permit.since => {
                    let trips = *rate_trips.get_or_insert_with(|| self.count(ok, now));
                    match self.closed_after(since, failures, ok, trips, now) {
                        Some(next) => next,
                        None => return,
                    }
                }
                Word::HalfOpen {
                    since,
                    issued,
                    succeeded,
                } if permit.probe && since == permit.since => match ok {
                    false => self.open(now),
                    true if succeeded + 1 >= self.probes_max() => Word::Closed {
                        since: self::since(now),
                        failures: 0,
                    },
                    true => Word::HalfOpen {
                        since,
                        issued,
                        succeeded: succeeded + 1,
                    },
                },
                _ => return, // let through in another period
            };
            match self.swap(word, next) {
                Ok(()) => {
                    let same = matches!(next, Word::Closed { since, .. } if since == permit.since);
                    if !same {
                        self.window.store(0, Ordering::Relaxed);
                    }
                    return;
                }
                Err(current) => word = current,
            }
        }
    }

    /// What a closed breaker becomes; `None` if it stays as it is.
    fn closed_after(
        &self,
        since: u32,
        failures: u32,
        ok: bool,
        rate_trips: bool,
        now: Mono,
    ) -> Option<Word> {
        let threshold = self.policy.failure_threshold;
        let failures_now = if ok { 0 } else { failures.saturating_add(1) };
        if rate_trips || (threshold != 0 && failures_now >= threshold) {
            return Some(self.open(now));
        }
        (failures_now != failures).then_some(Word::Closed {
            since,
            failures: failures_now,
        })
    }

    fn open(&self, now: Mono) -> Word {
        Word::Open(ticks(now + self.policy.open_for).max(1))
    }

    /// Counts in the window; whether the rate is now over its threshold.
    fn count(&self, ok: bool, now: Mono) -> bool {
        let Some(rate) = self.policy.failure_rate else {
            return false;
        };
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
                    return !ok
                        && total >= u64::from(self.policy.minimum_requests)
                        && failed as f64 >= rate * total as f64;
                }
                Err(current) => word = current,
            }
        }
    }

    fn give_back(&self, permit: &Permit<'_>) {
        let mut word = self.word.load(Ordering::Relaxed);
        while let Word::HalfOpen {
            since,
            issued,
            succeeded,
        } = Word::unpack(word)
            && since == permit.since
        {
            let next = Word::HalfOpen {
                since,
                issued: issued.saturating_sub(1),
                succeeded,
            };
            match self.swap(word, next) {
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
        self.breaker.record(&self, ok, now);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.probe && !self.recorded {
            self.breaker.give_back(self);
        }
    }
}

#[cfg(test)]
mod tests;
