//! A circuit breaker's settings, wherever a config has them: in the `circuit_breaker` filter and in an
//! upstream.
//!
//! Must hold: both places mean the same by them and refuse the same.

use std::time::Duration;

use portway_config::{Percent, Spanned};
use portway_core::{Diagnostics, Span};

use crate::BreakerPolicy;

/// Settings that are not checked yet; what is not said is as the docs of the filter have it.
pub struct BreakerSettings<'c> {
    /// So many failures in a row open it; 0 for none. Five, or none beside a rate, if nothing is said.
    pub failure_threshold: Option<u32>,
    /// This share of failures in the window opens it.
    pub failure_rate: Option<&'c Spanned<Percent>>,
    /// Below so many requests in the window the rate says nothing.
    pub minimum_requests: Option<u32>,
    /// The window of the rate.
    pub window: Option<&'c Spanned<Duration>>,
    /// How long it stays open.
    pub open_for: Option<&'c Spanned<Duration>>,
    /// Probes let through when half open.
    pub half_open_requests: Option<&'c Spanned<u32>>,
}

const FAILURE_THRESHOLD: u32 = 5;
const MINIMUM_REQUESTS: u32 = 20;
const WINDOW: Duration = Duration::from_secs(10);
const OPEN_FOR: Duration = Duration::from_secs(30);
const HALF_OPEN_REQUESTS: u32 = 3;

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
        if let Some(zero) = self.window.filter(|d| d.is_zero()) {
            let what = "a window of no time holds no requests";
            wrong(zero.span(), what, "set a time, as in 10s");
        }
        if let Some(zero) = self.half_open_requests.filter(|n| n.value() == 0) {
            let what = "without probes the circuit would never close again";
            wrong(zero.span(), what, "set at least 1");
        }
        let alone = match self.failure_rate {
            Some(_) => 0,
            None => FAILURE_THRESHOLD,
        };
        good.then(|| BreakerPolicy {
            failure_threshold: self.failure_threshold.unwrap_or(alone),
            failure_rate: self.failure_rate.map(|r| r.fraction()),
            minimum_requests: self.minimum_requests.unwrap_or(MINIMUM_REQUESTS).max(1),
            window: self.window.map_or(WINDOW, Spanned::value),
            open_for: self.open_for.map_or(OPEN_FOR, Spanned::value),
            half_open_requests: self
                .half_open_requests
                .map_or(HALF_OPEN_REQUESTS, Spanned::value),
        })
    }
}
