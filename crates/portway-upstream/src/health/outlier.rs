//! Passive health: a target that fails its exchanges is left out for a while
//! (Envoy's "outlier detection").
//!
//! Must hold: at least one target may be ejected (unless none may) and never more than the share allowed; the longer a
//! target keeps failing after its return, the longer it stays out. On the request path a success of a
//! healthy target writes nothing shared.

use std::sync::atomic::Ordering;
use std::time::Duration;

use portway_core::Mono;

use crate::spec::OutlierSpec;
use crate::target::{Target, Unfit};
use crate::upstream::Upstream;

/// A rate needs so many exchanges between two looks to say anything.
const RATE_EXCHANGES_MIN: u64 = 20;
/// The growth of the time out stops here.
const EJECTIONS_COUNTED_MAX: u32 = 10;

impl Upstream {
    /// Learns how an exchange with a target ended.
    pub fn observe(&self, target: &Target, ok: bool, now: Mono) {
        let Some(spec) = &self.spec.outlier else {
            return;
        };
        if spec.success_rate_below.is_some() {
            target
                .recent
                .fetch_add(1 << 32 | u64::from(!ok), Ordering::Relaxed);
        }
        if ok {
            if target.failures_in_row.load(Ordering::Relaxed) != 0 {
                target.failures_in_row.store(0, Ordering::Relaxed);
            }
            return;
        }
        let failures = target.failures_in_row.fetch_add(1, Ordering::Relaxed) + 1;
        if spec.consecutive_failures != 0 && failures >= spec.consecutive_failures {
            self.eject(spec, target, now);
        }
    }

    /// Brings back who has been out long enough, and looks at success rates. Called by the background
    /// several times a second; `rates` is true once per rate interval.
    pub fn review(&self, now: Mono, rates: bool) {
        let Some(spec) = &self.spec.outlier else {
            return;
        };
        for target in &self.targets().targets {
            let until = Mono(target.ejected_until.load(Ordering::Relaxed));
            if target.is(Unfit::Ejected) && now >= until {
                target.failures_in_row.store(0, Ordering::Relaxed);
                self.mark(target, Unfit::Ejected, false, now);
            } else if !target.is(Unfit::Ejected) && now >= until + spec.eject_for.saturating_mul(10)
            {
                target.ejections.store(0, Ordering::Relaxed);
            }
            if rates && let Some(below) = spec.success_rate_below {
                let seen = target.recent.swap(0, Ordering::Relaxed);
                let (total, failed) = (seen >> 32, seen & 0xffff_ffff);
                if total >= RATE_EXCHANGES_MIN && ((total - failed) as f64) < below * total as f64 {
                    self.eject(spec, target, now);
                }
            }
        }
    }

    fn eject(&self, spec: &OutlierSpec, target: &Target, now: Mono) {
        // Another target is being ejected right now: the next failure comes back here.
        let Ok(_one_at_a_time) = self.ejecting.try_lock() else {
            return;
        };
        let set = self.targets();
        let out = set.targets.iter().filter(|t| t.is(Unfit::Ejected)).count();
        let share = (set.targets.len() as f64 * spec.ejected_max) as usize;
        let may = share.max(usize::from(spec.ejected_max > 0.0));
        if out >= may || target.is(Unfit::Ejected) {
            return;
        }
        let times = target
            .ejections
            .fetch_add(1, Ordering::Relaxed)
            .min(EJECTIONS_COUNTED_MAX);
        let long: Duration = spec.eject_for.saturating_mul(1 << times);
        target
            .ejected_until
            .store((now + long).nanos(), Ordering::Relaxed);
        if self.mark(target, Unfit::Ejected, true, now) {
            tracing::warn!(upstream = %self.spec.name, target = %target.label, out_for = ?long, "target ejected");
        }
    }
}

#[cfg(test)]
mod tests;
