//! A circuit breaker's settings, wherever a config has them: in the `circuit_breaker` filter and in an
//! upstream.
//!
//! Must hold: both places mean the same by them and refuse the same.

use std::time::Duration;

use portway_config::{Percent, Spanned};
use portway_core::{Diagnostics, Span};

use crate::BreakerPolicy;

/// Settings that are not checked yet.
pub struct BreakerSettings<'c> {
    /// So many failures in a row open it; 0 for none.
    pub failure_threshold: u32,
    /// This share of failures in the window opens it.
    pub failure_rate: Option<&'c Spanned<Percent>>,
    /// Below so many requests in the window the rate says nothing.
    pub minimum_requests: u32,
    /// The window of the rate.
    pub window: &'c Spanned<Duration>,
    /// How long it stays open; 30 s if nothing is said.
    pub open_for: Option<&'c Spanned<Duration>>,
    /// Probes let through when half open.
    pub half_open_requests: &'c Spanned<u32>,
}

const OPEN_FOR: Duration = Duration::from_secs(30);

impl BreakerSettings<'_> {
    /// The policy that they mean; `None` after a problem was noted.
    pub fn policy(&self, problems: &mut Diagnostics) -> Option<BreakerPolicy> {
        let mut good = true;
        let mut wrong = |span: &Span, what: &str, hint: &str| {
            problems.error(span, what, hint);
            good = false;
        };
        if let Some(zero) = self.failure_rate.filter(|r| r.percent() == 0.0) {
            let what = "a rate of 0% is always reached";
            wrong(zero.span(), what, "set more than 0%");
        }
        if let Some(zero) = self.open_for.filter(|d| d.is_zero()) {
            let what = "a circuit open for no time is never open";
            wrong(zero.span(), what, "set a time, as in 30s");
        }
        if self.window.is_zero() {
            let what = "a window of no time holds no requests";
            wrong(self.window.span(), what, "set a time, as in 10s");
        }
        if self.half_open_requests.value() == 0 {
            let what = "without probes the circuit would never close again";
            wrong(self.half_open_requests.span(), what, "set at least 1");
        }
        good.then(|| BreakerPolicy {
            failure_threshold: self.failure_threshold,
            failure_rate: self.failure_rate.map(|r| r.fraction()),
            minimum_requests: self.minimum_requests.max(1),
            window: self.window.value(),
            open_for: self.open_for.map_or(OPEN_FOR, Spanned::value),
            half_open_requests: self.half_open_requests.value(),
        })
    }
}
