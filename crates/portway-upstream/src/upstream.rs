//! What all workers share of an upstream: its targets, their health, its breaker and its limits.
//!
//! Must hold: a target set is swapped whole; whatever a worker derives from it, it derives again when
//! `epoch` has moved. A target that stays (same address) keeps its load, health and history.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use portway_balance::{Load, SideBySide};
use portway_core::Mono;
use portway_discovery::{SourceSpec, TargetSet as Discovered};
use portway_tls::Connector;
use tokio::sync::Notify;

use crate::breaker::Breaker;
use crate::spec::UpstreamSpec;
use crate::target::{Target, Unfit};

/// The targets of an upstream at one time.
#[derive(Debug, Default)]
pub struct TargetSet {
    /// Counts the sets of this upstream.
    pub generation: u64,
    /// In the order of their source.
    pub targets: Vec<Arc<Target>>,
}

/// An upstream, shared by all workers.
#[derive(Debug)]
pub struct Upstream {
    /// What it was made from.
    pub spec: UpstreamSpec,
    targets: ArcSwap<TargetSet>,
    connector: ArcSwapOption<Connector>,
    epoch: AtomicU64,
    /// Told of each new set; the active checks are the one that waits for it.
    new_set: Notify,
    /// Targets of the upstream's last form, until the first set of its source: those that are in it
    /// keep what is known of them.
    remembered: Mutex<Vec<Arc<Target>>>,
    /// Held while a target is ejected, so that two at once cannot exceed the share allowed.
    pub(crate) ejecting: Mutex<()>,
    /// Its circuit breaker.
    pub breaker: Option<Arc<Breaker>>,
    /// What is under way.
    pub usage: Arc<Usage>,
}

/// What is under way to an upstream, all workers together.
#[derive(Debug, Default)]
pub struct Usage {
    /// Open connections.
    pub connections: Counter,
    /// Exchanges that wait for a connection to open.
    pub pending: Counter,
    /// Exchanges.
    pub requests: Counter,
    /// Open connections without an exchange; counted only where connections are limited.
    pub idle: Counter,
    /// Exchanges for which a worker should give up an idle connection.
    pub wanted: Counter,
}

impl Usage {
    /// Whether an idle connection should make room for an exchange that found none.
    #[must_use]
    pub fn is_room_wanted(&self, connections_max: u32) -> bool {
        let wanted = self.wanted.now();
        wanted != 0 && self.connections.now().saturating_add(wanted) > connections_max
    }
}

/// A bounded count on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counter(AtomicU32);

impl Counter {
    /// One more, unless that would be more than `max` (0: no limit).
    #[must_use]
    pub fn try_begin(&self, max: u32) -> bool {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        if max != 0 && before >= max {
            self.end();
            return false;
        }
        true
    }

    /// One fewer.
    pub fn end(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Upstream {
    /// An upstream without targets yet.
    #[must_use]
    pub fn new(spec: UpstreamSpec) -> Upstream {
        let breaker = spec.breaker.clone().map(|p| Arc::new(Breaker::new(p)));
        Upstream {
            spec,
            targets: ArcSwap::default(),
            connector: ArcSwapOption::empty(),
            epoch: AtomicU64::new(0),
            new_set: Notify::new(),
            remembered: Mutex::default(),
            ejecting: Mutex::default(),
            breaker,
            usage: Arc::default(),
        }
    }

    /// Makes TLS connections to the targets; `None` if they are plain.
    #[must_use]
    pub fn connector(&self) -> Option<Arc<Connector>> {
        self.connector.load_full()
    }

    /// What new connections are made with from now on.
    pub fn set_connector(&self, connector: Option<Arc<Connector>>) {
        self.connector.store(connector);
    }

    /// The targets now.
    #[must_use]
    pub fn targets(&self) -> Arc<TargetSet> {
        self.targets.load_full()
    }

    /// Moves whenever targets or their health change.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Takes what a discovery source found.
    pub fn set_targets(&self, found: &Discovered, now: Mono) {
        let old = self.targets.load();
        let remembered = self.take_remembered();
        let known: HashMap<_, _> = remembered
            .iter()
            .chain(&old.targets)
            .map(|t| (t.addr, t))
            .collect();
        let first = known.is_empty();
        // A policy that reads all counts at each pick gets the new ones next to the known ones.
        let reads_all = self.spec.balance.policy.reads_all_loads();
        let known_loads = known.values().map(|t| &t.load);
        let mut side_by_side = reads_all.then(|| SideBySide::with(known_loads));
        let mut load = || {
            let next = side_by_side.as_mut().map(SideBySide::take);
            next.unwrap_or_else(Load::alone)
        };
        let targets = found
            .targets
            .iter()
            .map(|d| match known.get(&d.addr) {
                Some(t) if t.weight == d.weight && t.is_named(d.host.as_deref()) => Arc::clone(t),
                Some(t) => Arc::new(t.carried_on(d.host.as_deref(), d.weight)),
                None => {
                    let target = Target::new(d.addr, d.host.as_deref(), d.weight, load());
                    if !first {
                        target.begin_slow_start(now);
                    }
                    Arc::new(target)
                }
            })
            .collect();
        let generation = old.generation + 1;
        self.targets.store(Arc::new(TargetSet {
            generation,
            targets,
        }));
        self.bump();
        self.new_set.notify_one();
    }

    /// Learns from the upstream of the same name in the last snapshot: a change of policy or of a
    /// list does not forget who is ill. To be called before anything runs for this upstream.
    ///
    /// Its targets are used until the source has spoken, if that is the same one or a list: a list
    /// of addresses speaks at once, and one with names in it must not leave the upstream empty while
    /// they are looked up. With any other source the targets of before may be quite wrong; what is
    /// known of them counts once the new source names them.
    ///
    /// The targets are copies: what the old upstream still learns from exchanges under way moves
    /// its own epoch only, and a mark here must move this one. The breaker, unless its policy changed,
    /// and what counts against the limits are the same: what runs on the old upstream still loads the
    /// targets of this one.
    pub fn inherit(&mut self, old: &Upstream) {
        self.usage = Arc::clone(&old.usage);
        if let (Some(breaker), Some(before)) = (&mut self.breaker, &old.breaker)
            && breaker.policy() == before.policy()
        {
            *breaker = Arc::clone(before);
        }
        let set = old.targets();
        let targets: Vec<_> = set
            .targets
            .iter()
            .map(|t| Arc::new(self.adopt(t)))
            .collect();
        let same = self.spec.source == old.spec.source;
        if same || matches!(self.spec.source, SourceSpec::Static(_)) {
            let generation = set.generation;
            self.targets.store(Arc::new(TargetSet {
                generation,
                targets,
            }));
            self.bump();
        } else {
            *self
                .remembered
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = targets;
        }
    }

    /// A copy of a target, without the marks that nothing here would ever take away.
    fn adopt(&self, target: &Target) -> Target {
        let copy = target.carried_on(Some(&target.host), target.weight);
        let fit = [
            (Unfit::Unhealthy, self.spec.health.is_none()),
            (Unfit::Ejected, self.spec.outlier.is_none()),
        ];
        fit.iter()
            .filter(|(_, gone)| *gone)
            .for_each(|(why, _)| copy.forgive(*why));
        copy
    }

    fn take_remembered(&self) -> Vec<Arc<Target>> {
        std::mem::take(
            &mut *self
                .remembered
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Waits for a set that was not waited for before. One task may wait.
    pub(crate) async fn targets_changed(&self) {
        self.new_set.notified().await;
    }

    /// Notes that a target is (no longer) left out; whether that changed anything.
    pub fn mark(&self, target: &Target, why: Unfit, unfit: bool, now: Mono) -> bool {
        let changed = target.set(why, unfit, now);
        if changed {
            self.bump();
        }
        changed
    }

    fn bump(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests;
