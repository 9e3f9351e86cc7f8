//! How an upstream is doing, for the operators' API.
//!
//! Must hold: reads only; nothing here is on the request path.

use portway_core::Mono;
use serde::Serialize;

use crate::target::{LastCheck, Target, Unfit};
use crate::upstream::Upstream;

/// How an upstream is doing.
#[derive(Clone, Debug, Serialize)]
pub struct UpstreamReport {
    /// Its name.
    pub name: String,
    /// How a target is picked.
    pub policy: String,
    /// Where its targets come from.
    pub source: String,
    /// Counts its target sets.
    pub generation: u64,
    /// `closed`, `open` or `half_open`; absent without a breaker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<&'static str>,
    /// Open connections, all workers.
    pub connections: u32,
    /// No more than so many; absent without a limit, as the next two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_max: Option<u32>,
    /// Exchanges that wait for a connection.
    pub pending: u32,
    /// No more than so many wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_max: Option<u32>,
    /// Exchanges under way.
    pub requests: u32,
    /// No more than so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_max: Option<u32>,
    /// Its targets.
    pub targets: Vec<TargetReport>,
}

/// How a target is doing.
#[derive(Clone, Debug, Serialize)]
pub struct TargetReport {
    /// Its address.
    pub address: String,
    /// Its weight.
    pub weight: u32,
    /// `healthy`, `unhealthy` or `ejected`.
    pub health: &'static str,
    /// What is wrong: what the last active check saw, or why it was ejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For how long it has been healthy, unhealthy or ejected, seconds; absent if it always was
    /// healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_seconds: Option<u64>,
    /// It stays ejected for so long yet, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ejected_for_seconds: Option<u64>,
    /// The last active check ended so long ago, seconds; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checked_seconds_ago: Option<u64>,
    /// Exchanges under way.
    pub active_requests: u32,
}

/// How the upstream is doing.
#[must_use]
pub fn report(upstream: &Upstream, now: Mono) -> UpstreamReport {
    let set = upstream.targets();
    UpstreamReport {
        name: upstream.spec.name.to_string(),
        policy: upstream.spec.balance.policy.name().to_owned(),
        source: upstream.spec.source.name().to_owned(),
        generation: set.generation,
        breaker: upstream.breaker.as_ref().map(|b| b.state().as_str()),
        connections: upstream.usage.connections.now(),
        connections_max: limit(upstream.spec.limits.connections_max),
        pending: upstream.usage.pending.now(),
        pending_max: limit(upstream.spec.limits.pending_max),
        requests: set.targets.iter().map(|t| t.load.active()).sum(),
        requests_max: limit(upstream.spec.limits.requests_max),
        targets: set.targets.iter().map(|t| of_target(t, now)).collect(),
    }
}

fn limit(max: u32) -> Option<u32> {
    Some(max).filter(|max| *max != 0)
}

fn of_target(target: &Target, now: Mono) -> TargetReport {
    let check = target.last_check();
    let since = target.unfit_since().or_else(|| target.fit_since());
    TargetReport {
        address: target.label.to_string(),
        weight: target.weight,
        health: match () {
            () if target.is(Unfit::Unhealthy) => "unhealthy",
            () if target.is(Unfit::Ejected) => "ejected",
            () => "healthy",
        },
        reason: reason(target, check.as_ref()),
        since_seconds: since.map(|at| now.since(at).as_secs()),
        ejected_for_seconds: target
            .ejected_until()
            .map(|until| until.since(now).as_secs()),
        checked_seconds_ago: check.map(|check| now.since(check.at).as_secs()),
        active_requests: target.load.active(),
    }
}

/// A failed check is told of before it is one too many: it is the first sign.
fn reason(target: &Target, check: Option<&LastCheck>) -> Option<String> {
    match check.and_then(|check| check.failure.as_deref()) {
        Some(failure) => Some(failure.to_owned()),
        None if target.is(Unfit::Ejected) => Some("too many exchanges with it failed".to_owned()),
        None => None,
    }
}

#[cfg(test)]
mod tests;
