//! What runs for an upstream beside the request path: discovery, active checks, the review of outliers.
//!
//! Must hold: targets that need no looking up are there before `spawn` returns; every task ends when the
//! handle is dropped.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use portway_core::Clock;
use portway_discovery::{Source, TargetSet, build};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::health::active;
use crate::upstream::Upstream;

/// How often ejected targets are looked at: well within the 100 ms in which a change must show.
const REVIEW_EVERY: Duration = Duration::from_millis(50);
/// Success rates are judged every so many reviews: 10 s.
const REVIEWS_PER_RATE: u32 = 200;

/// An upstream's background tasks; they end when this is dropped.
#[derive(Debug)]
pub struct Tasks(Vec<AbortHandle>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

/// Starts what the upstream's spec asks for.
#[must_use]
pub fn spawn(upstream: Arc<Upstream>, clock: Clock, runtime: &Handle) -> Tasks {
    let mut tasks = Vec::new();
    let mut source = build(&upstream.spec.source);
    {
        // What is known without waiting is applied before anybody picks.
        let _inside = runtime.enter();
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(Ok(set)) = source.next().as_mut().poll(&mut cx) {
            apply(&upstream, &set, &clock);
        }
    }
    tasks.push(
        runtime
            .spawn(discover(Arc::clone(&upstream), source, clock.clone()))
            .abort_handle(),
    );
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

async fn discover(upstream: Arc<Upstream>, mut source: Box<dyn Source>, clock: Clock) {
    let mut failing = false;
    loop {
        match source.next().await {
            Ok(set) => {
                failing = false;
                apply(&upstream, &set, &clock);
            }
            // Once per streak: the source tries again by itself.
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(upstream = %upstream.spec.name, %error, "targets could not be found; keeping the last ones");
            }
            Err(_) => {}
        }
    }
}

fn apply(upstream: &Upstream, set: &TargetSet, clock: &Clock) {
    let before = upstream.targets();
    upstream.set_targets(set, clock.now());
    if before.generation > 0 {
        let now = upstream.targets();
        let added = now
            .targets
            .iter()
            .filter(|t| !before.targets.iter().any(|b| b.addr == t.addr))
            .count();
        let removed = before
            .targets
            .iter()
            .filter(|b| !now.targets.iter().any(|t| t.addr == b.addr))
            .count();
        tracing::info!(upstream = %upstream.spec.name, targets = now.targets.len(), added, removed, "new set of targets");
    }
}

async fn review(upstream: Arc<Upstream>, clock: Clock) {
    let mut reviews = 0u32;
    loop {
        tokio::time::sleep(REVIEW_EVERY).await;
        reviews = reviews.wrapping_add(1);
        upstream.review(clock.now(), reviews.is_multiple_of(REVIEWS_PER_RATE));
    }
}
