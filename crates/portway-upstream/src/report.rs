//! How an upstream is doing, for the operators' API.
//!
//! Must hold: reads only; nothing here is on the request path.

use portway_core::Mono;
use serde::Serialize;

use crate::target::{Target, Unfit};
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
    /// Exchanges that wait for a connection.
    pub pending: u32,
    /// Exchanges under way.
    pub requests: u32,
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
    /// What the last active check found wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Exchanges under way.
    pub active_requests: u32,
    /// Since when it has been fit again, seconds; absent if it always was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fit_for_seconds: Option<u64>,
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
        pending: upstream.usage.pending.now(),
        requests: set.targets.iter().map(|t| t.load.active()).sum(),
        targets: set.targets.iter().map(|t| of_target(t, now)).collect(),
    }
}

fn of_target(target: &Target, now: Mono) -> TargetReport {
    TargetReport {
        address: target.label.to_string(),
        weight: target.weight,
        health: match () {
            () if target.is(Unfit::Unhealthy) => "unhealthy",
            () if target.is(Unfit::Ejected) => "ejected",
            () => "healthy",
        },
        reason: target.last_failure(),
        active_requests: target.load.active(),
        fit_for_seconds: target
            .fit_since()
            .filter(|_| target.is_fit())
            .map(|at| now.since(at).as_secs()),
    }
}
