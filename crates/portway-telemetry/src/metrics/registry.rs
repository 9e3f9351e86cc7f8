//! All metrics of the process: the workers' shards, the control side's own counters, and what
//! other parts report when asked.
//!
//! Must hold: a series lives as long as the config names it, through any number of reloads. A
//! worker that ends leaves its counts behind.
//! Never: is on the request path; workers use their [`WorkerShard`].

use super::encode::{self, Format};
use super::gather::Gather;
use super::name::Metric;
use super::process;
use super::shard::{Shard, WorkerShard};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The first part of every metric's name, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// Checks a name: ASCII letters, digits and underscores, not a digit first (the rule of
    /// <https://prometheus.io/docs/concepts/data_model/>, without the colon, which is for rules).
    #[must_use]
    pub fn parse(name: &str) -> Option<Namespace> {
        let starts_well = name
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        let well = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        (starts_well && name.bytes().all(well)).then(|| Namespace(Arc::from(name)))
    }
}

impl Default for Namespace {
    fn default() -> Namespace {
        Namespace(Arc::from("portway"))
    }
}

/// What became of a changed config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadResult {
    /// It is in use now.
    Applied,
    /// It was refused; the old one stays.
    Refused,
}

/// What a series is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A route.
    Route,
    /// An upstream.
    Upstream,
    /// A listener.
    Listener,
}

type Collect = Box<dyn Fn(&mut Gather) + Send + Sync>;

/// All metrics of the process. Clones share them.
#[derive(Clone, Default)]
pub struct Registry(Arc<Shared>);

#[derive(Default)]
struct Shared {
    namespace: Mutex<Namespace>,
    shards: Mutex<Vec<Arc<Shard>>>,
    collectors: Mutex<Vec<Collect>>,
    reloads_applied: AtomicU64,
    reloads_refused: AtomicU64,
    config_generation: AtomicU64,
}

impl Registry {
    /// An empty registry with the namespace `portway`.
    #[must_use]
    pub fn new() -> Registry {
        Registry::default()
    }

    /// A new worker's share. Call it on the worker's own thread, once per worker.
    #[must_use]
    pub fn worker(&self) -> WorkerShard {
        let shard = Arc::<Shard>::default();
        lock(&self.0.shards).push(Arc::clone(&shard));
        WorkerShard::new(shard)
    }

    /// Calls `report` at every scrape, from the scraping thread. It must not wait for a worker.
    pub fn collect_with(&self, report: impl Fn(&mut Gather) + Send + Sync + 'static) {
        lock(&self.0.collectors).push(Box::new(report));
    }

    /// Changes the first part of all names.
    pub fn set_namespace(&self, namespace: Namespace) {
        *lock(&self.0.namespace) = namespace;
    }

    /// Counts an attempt to load a changed config.
    pub fn config_reloaded(&self, result: ReloadResult) {
        let count = match result {
            ReloadResult::Applied => &self.0.reloads_applied,
            ReloadResult::Refused => &self.0.reloads_refused,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Says which config is in use.
    pub fn set_config_generation(&self, generation: u64) {
        self.0
            .config_generation
            .store(generation, Ordering::Relaxed);
    }

    /// Forgets the series of names the config no longer has: `keep` says which to keep. Call it
    /// after a reload, when the workers use the new snapshot. A listener with open connections
    /// stays until a later call.
    pub fn retain(&self, keep: impl Fn(Subject, &str) -> bool) {
        for shard in self.shards() {
            shard.routes.retain(|name, _| keep(Subject::Route, name));
            shard
                .upstreams
                .retain(|name, _| keep(Subject::Upstream, name));
            shard
                .listeners
                .retain(|name, series| series.active.read() > 0 || keep(Subject::Listener, name));
        }
    }

    /// The whole exposition. Takes about 10 µs per route in use: call it on a background thread.
    #[must_use]
    pub fn encode(&self, format: Format) -> String {
        let mut out = Gather::new();
        for shard in self.shards() {
            out.add_shard(&shard);
        }
        let count = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let shared = &self.0;
        let reloads = Metric::ConfigReloads;
        out.counter(reloads, &["applied"], count(&shared.reloads_applied));
        out.counter(reloads, &["refused"], count(&shared.reloads_refused));
        let generation = count(&shared.config_generation) as f64;
        out.gauge(Metric::ConfigGeneration, &[], generation);
        process::gather(&mut out);
        for report in lock(&shared.collectors).iter() {
            report(&mut out);
        }
        let namespace = lock(&shared.namespace).clone();
        encode::encode(out, &namespace.0, format)
    }

    fn shards(&self) -> Vec<Arc<Shard>> {
        lock(&self.0.shards).clone()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("namespace", &*lock(&self.0.namespace))
            .field("workers", &lock(&self.0.shards).len())
            .finish_non_exhaustive()
    }
}

/// A panic while a list was locked leaves the list whole: every change to one is a single call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
