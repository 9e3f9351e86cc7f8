//! Active checks: each target is asked at its own times whether it works.
//!
//! Must hold: a verdict takes as many results in a row as the config says; targets of one upstream
//! are not asked all at once, nor more than [`CHECKS_MAX`] of them at the same time; a target that
//! stays when the set changes keeps its results, one that goes is no longer asked.
//! Never: changes who is picked by anything but a mark on the target.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portway_core::Clock;
use portway_tls::TargetName;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};

use crate::health::probe::{Asked, probe};
use crate::spec::HealthSpec;
use crate::target::{Target, Unfit};
use crate::upstream::Upstream;

/// Checks under way at once per upstream: a thousand targets that all hang must not use up the
/// process's sockets. Those that wait are late, not lost.
const CHECKS_MAX: usize = 64;
/// The first checks of new targets are spread over this time at most.
const SPREAD_MAX: Duration = Duration::from_millis(100);

/// Checks the upstream's targets until it is dropped.
pub(crate) async fn check(upstream: Arc<Upstream>, spec: HealthSpec, clock: Clock) {
    let checker = Checker {
        upstream,
        spec,
        clock,
        places: Semaphore::new(CHECKS_MAX),
    };
    let checker = Arc::new(checker);
    let mut tasks = JoinSet::new();
    let mut running: HashMap<SocketAddr, AbortHandle> = HashMap::new();
    loop {
        let set = checker.upstream.targets();
        let listed: HashSet<SocketAddr> = set.targets.iter().map(|t| t.addr).collect();
        running.retain(|addr, task| {
            let stays = listed.contains(addr);
            if !stays {
                task.abort();
            }
            stays
        });
        for addr in listed {
            running
                .entry(addr)
                .or_insert_with(|| tasks.spawn(Arc::clone(&checker).watch(addr)));
        }
        // Those that were aborted leave their results behind.
        while tasks.try_join_next().is_some() {}
        checker.upstream.targets_changed().await;
    }
}

struct Checker {
    upstream: Arc<Upstream>,
    spec: HealthSpec,
    clock: Clock,
    places: Semaphore,
}

/// Results in a row: one of the two is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct InRow {
    good: u32,
    bad: u32,
}

impl InRow {
    fn note(&mut self, ok: bool) {
        *self = match ok {
            true => InRow {
                good: self.good.saturating_add(1),
                bad: 0,
            },
            false => InRow {
                good: 0,
                bad: self.bad.saturating_add(1),
            },
        };
    }

    /// Whether the target is to be left out from now on; `None` while that is not decided.
    fn verdict(self, spec: &HealthSpec) -> Option<bool> {
        match self {
            InRow { bad, .. } if bad > 0 && bad >= spec.unhealthy_after => Some(true),
            InRow { good, .. } if good > 0 && good >= spec.healthy_after => Some(false),
            _ => None,
        }
    }
}

impl Checker {
    /// Checks one address; the target behind it may be replaced by one of another weight meanwhile.
    async fn watch(self: Arc<Self>, addr: SocketAddr) {
        let spread = SPREAD_MAX.min(self.spec.interval / 10);
        tokio::time::sleep(spread.mul_f64(fastrand::f64())).await;
        let mut in_row = InRow::default();
        loop {
            let Ok(place) = self.places.acquire().await else {
                return;
            };
            // Begun before the check: the interval goes from start to start.
            let next = tokio::time::sleep(jittered(self.spec.interval, fastrand::f64()));
            let connector = self.upstream.connector();
            let known = self.upstream.targets();
            let target = known.targets.iter().find(|t| t.addr == addr);
            let name = target.map_or(TargetName::Ip(addr.ip()), |t| t.tls_name());
            let asked = Asked {
                addr,
                protocol: self.upstream.spec.protocol,
                tls: connector.as_deref().map(|connector| (connector, name)),
            };
            let result = probe(asked, &self.spec.probe, self.spec.timeout).await;
            drop(place);
            let set = self.upstream.targets();
            if let Some(target) = set.targets.iter().find(|t| t.addr == addr) {
                in_row.note(result.is_ok());
                self.judge(target, in_row, result.err());
            }
            drop(set);
            next.await;
        }
    }

    fn judge(&self, target: &Target, in_row: InRow, failure: Option<Box<str>>) {
        let now = self.clock.now();
        let why = failure.as_deref().unwrap_or_default().to_owned();
        // Before the mark: who sees the target left out also sees why.
        target.note_check(now, failure);
        let Some(unfit) = in_row.verdict(&self.spec) else {
            return;
        };
        if !self.upstream.mark(target, Unfit::Unhealthy, unfit, now) {
            return;
        }
        let (upstream, target) = (&self.upstream.spec.name, &target.label);
        match unfit {
            true => tracing::warn!(%upstream, %target, why, "target is unhealthy"),
            false => tracing::info!(%upstream, %target, "target is healthy again"),
        }
    }
}

/// The interval, moved by up to 10 % either way, so that many gateways do not ask in step.
fn jittered(interval: Duration, random: f64) -> Duration {
    interval.mul_f64(0.9 + 0.2 * random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests;
