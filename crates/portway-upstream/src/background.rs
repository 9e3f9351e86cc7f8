//! What runs for an upstream beside the request path: discovery, active checks, the review of outliers.
//!
//! Must hold: targets that need no looking up are there before `spawn` returns; every task ends when the
//! handle is dropped. Never: waits on the request path, or takes a target away because a source failed.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use portway_core::{Clock, Mono};
use portway_discovery::{Source, SourceError, SourceSpec, TargetSet, build};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::guard::Guard;
use crate::health::active;
use crate::target::Target;
use crate::upstream::{TargetSet as Targets, Upstream};

/// How often ejected targets are looked at: well within the 100 ms in which a change must show.
const REVIEW_EVERY: Duration = Duration::from_millis(50);
/// Success rates are judged every so many reviews: 10 s.
const REVIEWS_PER_RATE: u32 = 200;
/// The same failure again within this time needs no second warning. Sources that fail try again
/// sooner, so a longer silence means that all was well between.
const SAME_STREAK: Duration = Duration::from_secs(120);
/// Targets that one line of the log names.
const LABELS_MAX: usize = 10;

/// An upstream's background tasks; they end when this is dropped.
#[derive(Debug)]
pub struct Tasks(Vec<AbortHandle>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

/// Starts what the upstream's spec asks for. `operators` is where the operators' API of this gateway
/// listens: no target may lead there.
#[must_use]
pub fn spawn(
    upstream: Arc<Upstream>,
    clock: Clock,
    runtime: &Handle,
    operators: Option<SocketAddr>,
) -> Tasks {
    let mut tasks = Vec::new();
    let mut guard = Guard::new(operators);
    let mut source = build(&upstream.spec.source);
    if matches!(upstream.spec.source, SourceSpec::Static(_)) {
        // Addresses need no waiting: they are there before anybody picks.
        let _inside = runtime.enter();
        let mut cx = Context::from_waker(Waker::noop());
        let first = match source.next().as_mut().poll(&mut cx) {
            Poll::Ready(Ok(set)) => Some(set),
            // Names are looked up; who has no targets at all makes do with the addresses until then.
            _ if upstream.targets().targets.is_empty() => {
                Some(upstream.spec.source.known_targets())
            }
            _ => None,
        };
        if let Some(set) = first.filter(|set| !set.targets.is_empty()) {
            apply(&upstream, &guard.strip(&upstream.spec.name, &set), &clock);
        }
    }
    let discover = discover(Arc::clone(&upstream), source, guard, clock.clone());
    tasks.push(runtime.spawn(discover).abort_handle());
    if let Some(spec) = upstream.spec.health.clone() {
        tasks.push(
            runtime
                .spawn(active::check(Arc::clone(&upstream), spec, clock.clone()))
                .abort_handle(),
        );
    }
    if upstream.spec.outlier.is_some() {
        tasks.push(runtime.spawn(review(upstream, clock)).abort_handle());
    }
    Tasks(tasks)
}

async fn discover(
    upstream: Arc<Upstream>,
    mut source: Box<dyn Source>,
    mut guard: Guard,
    clock: Clock,
) {
    let mut last: Option<(SourceError, Mono)> = None;
    loop {
        match source.next().await {
            Ok(set) => {
                last = None;
                apply(&upstream, &guard.strip(&upstream.spec.name, &set), &clock);
            }
            Err(error) => {
                let now = clock.now();
                let said = last.is_some_and(|(e, at)| e == error && now.since(at) < SAME_STREAK);
                if !said {
                    tracing::warn!(
                        upstream = %upstream.spec.name,
                        %error,
                        "targets could not be found; the last ones stay"
                    );
                }
                last = Some((error, now));
            }
        }
    }
}

fn apply(upstream: &Upstream, set: &TargetSet, clock: &Clock) {
    let before = upstream.targets();
    upstream.set_targets(set, clock.now());
    let after = upstream.targets();
    // The first set is no change.
    if before.generation == 0 {
        return;
    }
    tracing::info!(
        upstream = %upstream.spec.name,
        targets = after.targets.len(),
        added = %labels(&not_in(&after, &before)),
        removed = %labels(&not_in(&before, &after)),
        "targets changed"
    );
}

/// The targets of `these` that `those` do not have.
fn not_in<'a>(these: &'a Targets, those: &Targets) -> Vec<&'a Target> {
    let those: HashSet<_> = those.targets.iter().map(|t| t.addr).collect();
    let missing = these.targets.iter().filter(|t| !those.contains(&t.addr));
    missing.map(Arc::as_ref).collect()
}

fn labels(targets: &[&Target]) -> String {
    let mut said: Vec<&str> = targets.iter().take(LABELS_MAX).map(|t| &*t.label).collect();
    let more = targets.len() - said.len();
    let rest = format!("{more} more");
    if more > 0 {
        said.push(&rest);
    }
    said.join(" ")
}

async fn review(upstream: Arc<Upstream>, clock: Clock) {
    let mut reviews = 0u32;
    loop {
        tokio::time::sleep(REVIEW_EVERY).await;
        reviews = reviews.wrapping_add(1);
        upstream.review(clock.now(), reviews.is_multiple_of(REVIEWS_PER_RATE));
    }
}

#[cfg(test)]
mod tests;
