//! Numbers that nobody counts but the snapshot knows: health, breakers, dropped log lines.

use std::sync::{Arc, Weak};

use portway_plan::Action;
use portway_proxy::Snapshot;
use portway_proxy::gateway::Shared;
use portway_telemetry::metrics::{Gather, Metric};
use portway_upstream::{Breaker, BreakerState};

/// Reports them at every scrape.
pub fn collect(shared: &Arc<Shared>) {
    // Weak: the registry is a part of what it would otherwise keep alive.
    let shared_later: Weak<Shared> = Arc::downgrade(shared);
    shared.registry.collect_with(move |out| {
        let Some(shared) = shared_later.upgrade() else {
            return;
        };
        out.counter(Metric::AccessLogDropped, &[], shared.sinks.dropped());
        let snapshot = shared.current.load_full();
        target_health(&snapshot, out);
        breakers(&snapshot, out);
    });
}

fn target_health(snapshot: &Snapshot, out: &mut Gather) {
    for live in &snapshot.upstreams {
        let upstream = &live.upstream;
        for target in &upstream.targets().targets {
            let fit = f64::from(u8::from(target.is_fit()));
            out.gauge(
                Metric::TargetHealth,
                &[&upstream.spec.name, &target.label],
                fit,
            );
        }
    }
}

/// An upstream's own breaker, else the worst of the routes that lead there alone.
fn breakers(snapshot: &Snapshot, out: &mut Gather) {
    let mut worst: Vec<Option<BreakerState>> = vec![None; snapshot.upstreams.len()];
    for (plan, live) in snapshot.plan.routes.iter().zip(&snapshot.routes) {
        if let (Action::Upstream(id), Some(breaker)) = (&plan.action, &live.breaker) {
            let known = &mut worst[id.index()];
            let state = Some(breaker.state());
            if state.map(badness) > known.map(badness) {
                *known = state;
            }
        }
    }
    for (live, of_routes) in snapshot.upstreams.iter().zip(worst) {
        let own = live.upstream.breaker.as_deref().map(Breaker::state);
        if let Some(state) = own.or(of_routes) {
            let number = f64::from(state.as_number());
            out.gauge(Metric::BreakerState, &[&live.upstream.spec.name], number);
        }
    }
}

fn badness(state: BreakerState) -> u8 {
    match state {
        BreakerState::Closed => 0,
        BreakerState::HalfOpen => 1,
        BreakerState::Open => 2,
    }
}
