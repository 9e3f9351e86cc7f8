//! The live thing a plan becomes, and one worker's view of it.
//!
//! Must hold: a snapshot never changes once it is published; what lives on from one to the next
//! (listeners, upstreams, filters, breakers) is shared by `Arc`. A worker's view is made of cells that
//! fill at first use, so that a reload of 10,000 routes costs a worker next to nothing.

use std::cell::OnceCell;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use portway_core::{ListenerId, Mono, RouteId, UpstreamId};
use portway_filter::Chain;
use portway_net::{Connections, Drain};
use portway_plan::Plan;
use portway_telemetry::access_log::AccessLog;
use portway_telemetry::metrics::{RouteHandle, Slots, UpstreamHandle};
use portway_tls::Acceptor;
use portway_upstream::retry::Budget;
use portway_upstream::{Breaker, Upstream, WorkerUpstream};

use crate::worker::Worker;

/// A plan that serves.
pub struct Snapshot {
    /// Counts the snapshots of this process, from 1.
    pub generation: u64,
    /// What it was made from.
    pub plan: Plan,
    /// By `ListenerId`.
    pub listeners: Vec<Arc<Door>>,
    /// What clients over TCP are told of HTTP/3, by `ListenerId`.
    pub alt_svc: Vec<Box<[u8]>>,
    /// The filters of listeners that pass bytes, by `ListenerId`.
    pub gates: Vec<Chain>,
    /// By `UpstreamId`.
    pub upstreams: Vec<Arc<LiveUpstream>>,
    /// By `RouteId`.
    pub routes: Vec<LiveRoute>,
    /// The filters of exchanges that no route takes.
    pub no_route: Chain,
    /// The global access log.
    pub log: Option<AccessLog>,
}

impl Snapshot {
    /// Whether nobody has it, or a connection that it would have to serve, but who asks and the
    /// listeners that it was the last of.
    pub(crate) fn is_unused(self: &Arc<Snapshot>) -> bool {
        let mut known = 1;
        for door in self.left() {
            if Arc::strong_count(door) > 1 {
                return false;
            }
            known += 1;
        }
        Arc::strong_count(self) <= known
    }

    /// Lets go of a snapshot that is unused.
    pub(crate) fn free(self: Arc<Snapshot>) {
        self.left().for_each(|door| door.last.store(None));
    }

    /// The listeners that no later snapshot has.
    fn left(self: &Arc<Snapshot>) -> impl Iterator<Item = &Arc<Door>> {
        let is_last = |door: &&Arc<Door>| {
            let last = door.last.load();
            last.as_ref().is_some_and(|last| Arc::ptr_eq(last, self))
        };
        self.listeners.iter().filter(is_last)
    }
}

/// What of a route outlives a reload that did not change it.
pub struct LiveRoute {
    /// Its filters with their state.
    pub filters: Chain,
    /// Its breaker.
    pub breaker: Option<Arc<Breaker>>,
    /// Its access log.
    pub log: Option<AccessLog>,
}

/// A listener that is open.
pub struct Door {
    /// Never used twice, so that a connection finds its listener in a later snapshot.
    pub key: u64,
    /// Its name at the time it was opened.
    pub name: Arc<str>,
    /// The address it got.
    pub addr: SocketAddr,
    /// Ends it without ending the process.
    pub drain: Drain,
    /// Its TLS; swapped when certificates change.
    pub(crate) acceptor: ArcSwapOption<Acceptor>,
    /// Its open connections.
    pub connections: Connections,
    /// Those of them that are over UDP.
    pub over_udp: Connections,
    /// Whether it has UDP sockets, or waits for them.
    pub(crate) wants_udp: bool,
    /// Whether its UDP sockets are open and take new clients: nobody is sent there before or after.
    pub(crate) is_open_over_udp: AtomicBool,
    /// The last snapshot that had it, once no config has it any more: what arrives until its
    /// connections have ended is served by that one. The two hold each other until then.
    pub(crate) last: ArcSwapOption<Snapshot>,
    /// When something was last said about its clients, in milliseconds; 0 for never.
    pub(crate) warned_ms: AtomicU64,
    /// Copies of its listening sockets, for a successor.
    pub(crate) sockets: Mutex<Vec<TcpListener>>,
}

impl Door {
    /// What makes its connections secure; `None` for a plain listener.
    #[must_use]
    pub fn acceptor(&self) -> Option<Arc<Acceptor>> {
        self.acceptor.load_full()
    }

    /// Copies of its listening sockets; none once it is closed.
    #[must_use]
    pub fn share_sockets(&self) -> Vec<TcpListener> {
        let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        sockets
            .iter()
            .filter_map(|socket| socket.try_clone().ok())
            .collect()
    }

    /// Whether to say something about its clients: once a minute, or they could fill the disk.
    #[must_use]
    pub fn may_warn(&self, now: Mono) -> bool {
        const PAUSE_MS: u64 = 60_000;
        let last = self.warned_ms.load(Ordering::Relaxed);
        let due = last == 0 || now.millis() >= last + PAUSE_MS;
        due && self
            .warned_ms
            .compare_exchange(
                last,
                now.millis().max(1),
                Ordering::Relaxed,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// Lets go of the listening sockets; workers close theirs when they learn of the drain.
    pub fn close(&self) {
        self.sockets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

/// An upstream with what runs for it in the background.
pub struct LiveUpstream {
    /// What workers share.
    pub upstream: Arc<Upstream>,
    /// No longer in any snapshot to come: workers let go of its pools.
    pub retired: AtomicBool,
    /// Discovery and health checks; they end when this is retired or dropped.
    pub(crate) tasks: Mutex<Option<portway_upstream::background::Tasks>>,
}

impl LiveUpstream {
    /// Lets go of it in all workers, and ends what runs for it in the background.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        *tasks = None;
    }
}

/// One worker's view of a snapshot.
pub struct WorkerSnapshot {
    /// What all workers see.
    pub shared: Arc<Snapshot>,
    upstreams: Box<[OnceCell<Rc<WorkerUpstream>>]>,
    budgets: Box<[OnceCell<Budget>]>,
    /// Counters by route; one more for exchanges without a route.
    pub route_counters: Slots<RouteHandle>,
    /// Counters by upstream.
    pub upstream_counters: Slots<UpstreamHandle>,
}

impl WorkerSnapshot {
    /// A view in which nothing has been used yet.
    #[must_use]
    pub fn new(shared: Arc<Snapshot>) -> WorkerSnapshot {
        let (routes, upstreams) = (shared.routes.len(), shared.upstreams.len());
        WorkerSnapshot {
            upstreams: std::iter::repeat_with(OnceCell::new)
                .take(upstreams)
                .collect(),
            budgets: std::iter::repeat_with(OnceCell::new).take(routes).collect(),
            route_counters: Slots::new(routes + 1),
            upstream_counters: Slots::new(upstreams),
            shared,
        }
    }

    /// The worker's part of an upstream.
    #[must_use]
    pub fn upstream(&self, worker: &Worker, id: UpstreamId) -> &Rc<WorkerUpstream> {
        self.upstreams[id.index()]
            .get_or_init(|| worker.adopt_upstream(&self.shared.upstreams[id.index()]))
    }

    /// The worker's retry budget of a route.
    #[must_use]
    pub fn budget(&self, worker: &Worker, id: RouteId) -> &Budget {
        self.budgets[id.index()].get_or_init(|| Budget::new(worker.wheel.now()))
    }

    /// Where a listener stands in this snapshot; `None` if it is gone.
    #[must_use]
    pub fn find_listener(&self, key: u64) -> Option<ListenerId> {
        let at = self
            .shared
            .listeners
            .iter()
            .position(|door| door.key == key)?;
        Some(ListenerId(u32::try_from(at).ok()?))
    }
}
