//! The gateway as a whole: its workers, its background, and what all of them share.
//!
//! Must hold: a gateway that started serves until it is drained; draining lets what runs finish, up to
//! the deadline, and then ends every thread it started.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use portway_acme::Keeper;
use portway_core::Clock;
use portway_net::{Drain, Inherited, worker_cpus};
use portway_plan::Plan;
use portway_telemetry::access_log::LogSinks;
use portway_telemetry::metrics::Registry;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc;

use crate::apply::{self, ApplyError};
use crate::certificates::{self, CertificateReport};
use crate::local::Shown;
use crate::snapshot::{Door, Snapshot};
use crate::worker::{self, Command};

/// What all workers share.
pub struct Shared {
    /// Time.
    pub clock: Clock,
    /// Metrics.
    pub registry: Registry,
    /// Access log outputs.
    pub sinks: LogSinks,
    /// Obtains certificates.
    pub keeper: Keeper,
    /// What listeners that expose the metrics showed last.
    pub shown: Shown,
    /// The end of the process.
    pub drain: Drain,
    /// The snapshot that new exchanges use.
    pub current: ArcSwap<Snapshot>,
    /// Its generation, so that workers need not touch `current` to see that nothing changed.
    pub generation: AtomicU64,
}

/// What a gateway is started with.
#[derive(Default)]
pub struct GatewayOptions {
    /// Time; the system's if none is given.
    pub clock: Option<Clock>,
    /// Listening sockets of a predecessor.
    pub inherited: Inherited,
    /// Metrics that others count in too.
    pub registry: Registry,
    /// Where the operators' API listens, if that is an address: no upstream's target may lead there.
    pub operators: Option<SocketAddr>,
}

/// A running gateway.
pub struct Gateway {
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// One change at a time.
    changing: Mutex<Changing>,
    /// Health checks, discovery; also for the operators' API. Gone once the gateway is stopped.
    background: Mutex<Option<Runtime>>,
    handle: Handle,
    operators: Option<SocketAddr>,
    outgoing: apply::Outgoing,
    /// Listeners that no config has any more, as long as they have connections.
    leaving: Mutex<Vec<Weak<Door>>>,
    workers: Mutex<Vec<JoinHandle<()>>>,
}

/// What only a change of the config touches.
pub(crate) struct Changing {
    pub(crate) commands: Vec<mpsc::Sender<Command>>,
    pub(crate) inherited: Inherited,
    pub(crate) next_door: u64,
}

/// What a change did.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The generation that serves now.
    pub generation: u64,
    /// From the plan to the swap.
    pub took: Duration,
}

/// The end of a process waits no longer than this for what should end at once.
pub const STOP_WITHIN: Duration = Duration::from_secs(2);
/// From one look to the next, meanwhile.
const STOP_LOOK: Duration = Duration::from_millis(1);
/// Commands that may wait for a worker: far more than one reload sends.
const COMMANDS_MAX: usize = 4096;

impl Gateway {
    /// Binds the plan's listeners and starts serving.
    ///
    /// # Errors
    /// If a listener cannot be bound or a log not be opened.
    pub fn start(options: GatewayOptions, plan: Plan) -> Result<Gateway, ApplyError> {
        let workers = plan.process.workers.unwrap_or_else(worker_cpus).max(1);
        let background = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("background")
            .enable_all()
            .build()
            .map_err(ApplyError::Thread)?;
        let mut changing = Changing {
            commands: Vec::new(),
            inherited: options.inherited,
            next_door: 1,
        };
        let clock = options.clock.unwrap_or_else(Clock::system);
        let sinks = LogSinks::new();
        let keeper = Keeper::new(clock.clone());
        let parts = apply::Parts {
            clock: &clock,
            sinks: &sinks,
            keeper: &keeper,
            runtime: background.handle(),
            workers,
            operators: options.operators,
            leaving: &[],
        };
        let first = apply::build(&parts, &mut changing, None, plan)?;
        let shared = Arc::new(Shared {
            clock,
            registry: options.registry,
            sinks,
            keeper,
            shown: Shown::default(),
            drain: Drain::new(),
            generation: AtomicU64::new(first.snapshot.generation),
            current: ArcSwap::from_pointee(first.snapshot),
        });
        shared
            .registry
            .set_config_generation(shared.generation.load(Ordering::Relaxed));
        let mut threads = Vec::new();
        for index in 0..workers {
            let (sender, receiver) = mpsc::channel(COMMANDS_MAX);
            changing.commands.push(sender);
            threads.push(start_worker(index, Arc::clone(&shared), receiver)?);
        }
        apply::open(&changing, first.opened, &shared, background.handle());
        certificates::collect(&shared);
        background.spawn(keep_certificates(Arc::clone(&shared)));
        Ok(Gateway {
            shared,
            changing: Mutex::new(changing),
            handle: background.handle().clone(),
            background: Mutex::new(Some(background)),
            operators: options.operators,
            outgoing: apply::Outgoing::default(),
            leaving: Mutex::default(),
            workers: Mutex::new(threads),
        })
    }

    /// Makes `plan` the one that new exchanges use.
    ///
    /// # Errors
    /// If a listener cannot be bound, a log not be opened, or the gateway is draining: then nothing has
    /// changed.
    pub fn apply(&self, plan: Plan) -> Result<Applied, ApplyError> {
        let started = self.shared.clock.now();
        let mut changing = self.changing();
        // Workers that are ending accept nothing: a new listener would leave its clients waiting.
        if self.shared.drain.is_ending() {
            return Err(ApplyError::Ending);
        }
        let shared = &self.shared;
        let workers = changing.commands.len();
        let leaving = self.leaving();
        let parts = apply::Parts {
            clock: &shared.clock,
            sinks: &shared.sinks,
            keeper: &shared.keeper,
            runtime: &self.handle,
            workers,
            operators: self.operators,
            leaving: &leaving,
        };
        let old = shared.current.load_full();
        let next = apply::build(&parts, &mut changing, Some(&old), plan)?;
        let generation = next.snapshot.generation;
        let left = apply::publish(shared, &old, next.snapshot);
        let took = shared.clock.now().since(started);
        apply::open(&changing, next.opened, shared, &self.handle);
        let deadline = shared.clock.now() + old.plan.process.drain_timeout;
        apply::leave(&shared.current.load_full(), &old, &left, deadline);
        let mut leaving = lock(&self.leaving);
        leaving.retain(|door| door.strong_count() > 0);
        leaving.extend(left.iter().map(Arc::downgrade));
        drop(leaving);
        apply::refresh(&changing);
        drop(changing);
        self.outgoing.free(old, &self.handle);
        Ok(Applied { generation, took })
    }

    /// Tells a predecessor process, if there is one, that this one accepts; its sockets that no listener
    /// took are closed.
    ///
    /// # Errors
    /// If the predecessor is gone; this gateway serves all the same.
    pub fn ready(&self) -> std::io::Result<()> {
        std::mem::take(&mut self.changing().inherited).ready()
    }

    /// The snapshot that serves now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.current.load_full()
    }

    /// Every certificate that listeners present.
    #[must_use]
    pub fn certificates(&self) -> Vec<CertificateReport> {
        certificates::report(&self.snapshot(), &self.shared.keeper)
    }

    /// The runtime of everything that is not the request path.
    #[must_use]
    pub fn background(&self) -> &Handle {
        &self.handle
    }

    /// Client connections open now, over all listeners, those that drain too; without those that have
    /// had their last reply.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        let leaving = self.leaving();
        let snapshot = self.snapshot();
        let doors = snapshot.listeners.iter().chain(&leaving);
        doors.map(|door| door.connections.count()).sum()
    }

    /// Stops accepting and lets what runs finish, for so long at most.
    pub fn drain(&self, within: Duration) {
        let deadline = self.shared.clock.now() + within;
        self.shared.drain.start(deadline);
        self.snapshot()
            .listeners
            .iter()
            .for_each(|door| door.close());
    }

    /// Waits until a drain is over: all connections closed, or the deadline passed.
    pub async fn drained(&self) {
        self.shared.drain.ending().await;
        loop {
            let late = match self.shared.drain.state() {
                portway_net::DrainState::Draining { deadline } => {
                    self.shared.clock.now() >= deadline
                }
                portway_net::DrainState::Stop => true,
                portway_net::DrainState::Running => false,
            };
            if late || self.open_connections() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends every thread, whatever still runs, and writes the log out. Blocks, yet never for longer than
    /// [`STOP_WITHIN`] for each of the three: what is stuck then (in a file system that does not
    /// answer) is left behind. Not to be called on a runtime's thread.
    pub fn stop(&self) {
        self.shared.drain.stop();
        let threads = std::mem::take(&mut *lock(&self.workers));
        let mut waited = Duration::ZERO;
        while waited < STOP_WITHIN && !threads.iter().all(JoinHandle::is_finished) {
            std::thread::sleep(STOP_LOOK);
            waited += STOP_LOOK;
        }
        for (worker, thread) in threads.into_iter().enumerate() {
            if !thread.is_finished() {
                tracing::error!(worker, "a worker is stuck and is left behind");
            } else if thread.join().is_err() {
                tracing::error!(worker, "a worker ended by a panic");
            }
        }
        if !self.shared.sinks.flush(STOP_WITHIN) {
            tracing::warn!("the access log could not be written out in time");
        }
        if let Some(background) = lock(&self.background).take() {
            background.shutdown_timeout(STOP_WITHIN);
        }
    }

    /// Listeners that no config has any more, and that still have something.
    fn leaving(&self) -> Vec<Arc<Door>> {
        let leaving = lock(&self.leaving);
        leaving.iter().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn changing(&self) -> MutexGuard<'_, Changing> {
        lock(&self.changing)
    }
}

/// Until the gateway drains: then a successor may want to order.
async fn keep_certificates(shared: Arc<Shared>) {
    tokio::select! {
        () = shared.keeper.clone().run() => {}
        () = shared.drain.ending() => {}
    }
}

/// What is locked here is whole after every statement, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start_worker(
    index: usize,
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
) -> Result<JoinHandle<()>, ApplyError> {
    std::thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build_local(Default::default());
            match runtime {
                Ok(runtime) => {
                    runtime.block_on(worker::run(index, shared, commands));
                    // Dropped, it would wait for reads of files that may never end.
                    runtime.shutdown_background();
                }
                Err(error) => {
                    tracing::error!(%error, worker = index, "cannot start a worker's runtime")
                }
            }
        })
        .map_err(ApplyError::Thread)
}

#[cfg(test)]
mod tests;
