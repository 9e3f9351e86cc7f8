//! A worker: one thread, one runtime, its own listeners, pools, counters and view of the snapshot.
//!
//! Must hold: nothing here is touched by another thread; commands come in through a bounded channel.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use portway_core::{ListenerId, Mono, limits};
use portway_http::Exchange;
use portway_http::h1::{BufferPool, DateCache};
use portway_net::{Drain, RelayPool, Wheel};
use portway_telemetry::access_log::WorkerLog;
use portway_telemetry::metrics::WorkerShard;
use portway_upstream::WorkerUpstream;
use tokio::sync::{Notify, mpsc};

use crate::accept;
use crate::gateway::Shared;
use crate::secure::Failures;
use crate::snapshot::{Door, LiveUpstream, WorkerSnapshot};
use crate::turns::Turns;

/// What a worker is told.
pub enum Command {
    /// Accept connections here.
    Listen(Arc<Door>, TcpListener),
    /// Accept HTTP/3 here.
    #[cfg(feature = "http3")]
    ListenHttp3(Arc<Door>, std::net::UdpSocket),
    /// Take the new snapshot now, not at the next request: the old one can be freed.
    Refresh,
}

/// One worker's own things.
pub struct Worker {
    /// Which one, from 0.
    pub index: usize,
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// Its timers.
    pub wheel: Wheel,
    /// Its spare connection buffers.
    pub buffers: BufferPool,
    /// Its spare buffers and pipes of tunnels.
    pub relays: RelayPool,
    /// Its counters.
    pub shard: WorkerShard,
    /// Its access log buffers.
    pub log: RefCell<WorkerLog>,
    /// The current `Date`.
    pub date: RefCell<DateCache>,
    /// Random numbers for everything that is not a secret.
    pub random: RefCell<fastrand::Rng>,
    /// Handshakes that failed, for the log.
    pub handshake_failures: Failures,
    /// Handshakes take turns.
    pub turns: Turns,
    /// Wakes tunnels, which no request does, when there is a new snapshot.
    pub refreshed: Notify,
    /// Mirrored requests on their way.
    pub mirrors: Cell<usize>,
    /// Client connections of this worker over TCP.
    pub connections: Cell<usize>,
    /// The same over UDP.
    pub quic_connections: Cell<usize>,
    snapshot: RefCell<Rc<WorkerSnapshot>>,
    generation: Cell<u64>,
    upstreams: RefCell<HashMap<usize, Adopted>>,
    /// Those of them that may have to give up idle connections for other workers.
    limited: RefCell<Vec<Rc<WorkerUpstream>>>,
    #[allow(clippy::vec_box)] // an exchange is moved about by its pointer
    spare: RefCell<Vec<Box<Exchange>>>,
    /// Wall time minus monotonic time, nanoseconds.
    wall_offset_ns: Cell<u64>,
}

/// An upstream and this worker's part of it.
type Adopted = (Arc<LiveUpstream>, Rc<WorkerUpstream>);

/// Spare exchanges kept.
const SPARE_MAX: usize = 256;
/// Every so many ticks: log buffers go out, the wall clock is read again.
const TICKS_PER_FLUSH: u32 = 10;
/// Connections that are told to end do so at once, but for those that wait for something else.
const CUT_WITHIN: Duration = Duration::from_millis(50);
/// Those over UDP have nobody who speaks for them after that: what they are told goes out until then.
const TELL_WITHIN: Duration = Duration::from_millis(250);
/// Every so many ticks: idle connections are looked over.
const TICKS_PER_REAP: u32 = 100;

impl Worker {
    /// A worker of `shared`.
    #[must_use]
    pub fn new(index: usize, shared: Arc<Shared>) -> Rc<Worker> {
        let current = shared.current.load_full();
        let clock = shared.clock.clone();
        let worker = Worker {
            index,
            wheel: Wheel::new(clock),
            buffers: BufferPool::default(),
            relays: RelayPool::default(),
            shard: shared.registry.worker(),
            log: RefCell::new(WorkerLog::new()),
            date: RefCell::new(DateCache::new(0)),
            random: RefCell::new(fastrand::Rng::new()),
            handshake_failures: Failures::default(),
            turns: Turns::default(),
            refreshed: Notify::new(),
            mirrors: Cell::new(0),
            connections: Cell::new(0),
            quic_connections: Cell::new(0),
            generation: Cell::new(current.generation),
            snapshot: RefCell::new(Rc::new(WorkerSnapshot::new(current))),
            upstreams: RefCell::default(),
            limited: RefCell::default(),
            spare: RefCell::default(),
            wall_offset_ns: Cell::new(0),
            shared,
        };
        worker.read_wall_clock();
        Rc::new(worker)
    }

    /// The current snapshot, as this worker sees it.
    #[must_use]
    pub fn snapshot(&self) -> Rc<WorkerSnapshot> {
        if self.shared.generation.load(Ordering::Acquire) != self.generation.get() {
            self.refresh();
        }
        Rc::clone(&self.snapshot.borrow())
    }

    /// The snapshot that serves a listener's connections, and the listener's place in it: the current
    /// one, or the last that had it.
    #[must_use]
    pub fn snapshot_of(&self, door: &Door) -> Option<(Rc<WorkerSnapshot>, ListenerId)> {
        let current = self.snapshot();
        match current.find_listener(door.key) {
            Some(id) => Some((current, id)),
            None => self.last_snapshot_of(door),
        }
    }

    #[cold]
    fn last_snapshot_of(&self, door: &Door) -> Option<(Rc<WorkerSnapshot>, ListenerId)> {
        let last = WorkerSnapshot::new(door.last.load_full()?);
        let id = last.find_listener(door.key)?;
        Some((Rc::new(last), id))
    }

    #[cold]
    fn refresh(&self) {
        let current = self.shared.current.load_full();
        self.generation.set(current.generation);
        *self.snapshot.borrow_mut() = Rc::new(WorkerSnapshot::new(current));
        let mut known = self.upstreams.borrow_mut();
        known.retain(|_, (live, _)| !live.retired.load(Ordering::Acquire));
        let limited = known.values().map(|(_, part)| part);
        let limited = limited.filter(|part| part.is_limited()).map(Rc::clone);
        *self.limited.borrow_mut() = limited.collect();
    }

    /// The worker's part of an upstream: the one it had before the reload, or a new one.
    pub(crate) fn adopt_upstream(&self, live: &Arc<LiveUpstream>) -> Rc<WorkerUpstream> {
        let mut known = self.upstreams.borrow_mut();
        let entry = known.entry(Arc::as_ptr(live) as usize).or_insert_with(|| {
            let seed = self.random.borrow_mut().u64(..);
            let part = WorkerUpstream::new(Arc::clone(&live.upstream), self.wheel.clone(), seed);
            let part = Rc::new(part);
            if part.is_limited() {
                self.limited.borrow_mut().push(Rc::clone(&part));
            }
            (Arc::clone(live), part)
        });
        Rc::clone(&entry.1)
    }

    /// Counts the snapshots; a tunnel that sees it move looks whether its route is still there.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::Acquire)
    }

    /// An exchange to fill.
    #[must_use]
    pub fn take_exchange(&self) -> Box<Exchange> {
        self.spare
            .borrow_mut()
            .pop()
            .unwrap_or_else(|| Box::new(Exchange::blank()))
    }

    /// Takes an exchange back for the next.
    pub fn give_exchange(&self, mut exchange: Box<Exchange>) {
        exchange.clear();
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_MAX {
            spare.push(exchange);
        }
    }

    /// Wall time at a monotonic time, nanoseconds since the Unix epoch.
    #[must_use]
    pub fn wall_ns(&self, at: Mono) -> u64 {
        at.nanos().wrapping_add(self.wall_offset_ns.get())
    }

    /// Whether the process is on its way out.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.shared.drain.is_ending()
    }

    fn read_wall_clock(&self) {
        let wall = self.wheel.clock().wall();
        let nanos = u64::try_from(wall.as_nanos()).unwrap_or(0);
        self.wall_offset_ns
            .set(nanos.wrapping_sub(self.wheel.clock().now().nanos()));
        self.date.borrow_mut().update(wall.as_secs());
    }

    async fn tick(self: Rc<Worker>) {
        let mut ticks = 0u32;
        let mut every = tokio::time::interval(limits::TIMER_TICK);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            every.tick().await;
            ticks = ticks.wrapping_add(1);
            if ticks.is_multiple_of(TICKS_PER_FLUSH) {
                self.read_wall_clock();
                self.log.borrow_mut().flush();
            }
            // After the wall clock: whoever sees a new date may rely on the wheel having turned as far.
            self.wheel.tick();
            self.limited.borrow().iter().for_each(|u| u.make_room());
            if ticks.is_multiple_of(TICKS_PER_REAP) {
                self.upstreams
                    .borrow()
                    .values()
                    .for_each(|(_, part)| part.reap());
            }
        }
    }
}

/// A worker's life, on its own thread: ends when the process stops.
pub async fn run(index: usize, shared: Arc<Shared>, mut commands: mpsc::Receiver<Command>) {
    let worker = Worker::new(index, Arc::clone(&shared));
    let ticking = tokio::task::spawn_local(Rc::clone(&worker).tick());
    let obey = async {
        while let Some(command) = commands.recv().await {
            match command {
                Command::Listen(door, socket) => {
                    tokio::task::spawn_local(accept::accept(Rc::clone(&worker), door, socket));
                }
                #[cfg(feature = "http3")]
                Command::ListenHttp3(door, socket) => {
                    let listening = crate::http3::listen(Rc::clone(&worker), door, socket);
                    tokio::task::spawn_local(listening);
                }
                Command::Refresh => {
                    drop(worker.snapshot());
                    worker.refreshed.notify_waiters();
                }
            }
        }
    };
    tokio::select! {
        () = obey => {}
        () = wake_when_ending(&worker, &shared.drain) => {}
        () = shared.drain.stopped() => {}
    }
    end_connections(&worker).await;
    ticking.abort();
    worker.log.borrow_mut().flush();
}

/// Lets connections cut what they have under way, so that it is counted and logged.
async fn end_connections(worker: &Worker) {
    worker.wheel.wake_all();
    let none_of = async |open: &Cell<usize>| {
        while open.get() > 0 {
            tokio::task::yield_now().await;
        }
    };
    let _ = tokio::time::timeout(CUT_WITHIN, none_of(&worker.connections)).await;
    let _ = tokio::time::timeout(TELL_WITHIN, none_of(&worker.quic_connections)).await;
}

/// Connections that wait for a request find out that there will be none.
async fn wake_when_ending(worker: &Worker, drain: &Drain) {
    drain.ending().await;
    loop {
        worker.wheel.wake_all();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
