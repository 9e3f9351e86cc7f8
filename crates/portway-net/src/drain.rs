//! The end of serving, told to every worker, and the count of what is still open.
//!
//! Must hold: the states only go forward (running, draining, stop); asking on the request path is
//! one relaxed load, since a request that just misses the change does no harm.
//! Never: closes anything itself. A worker that learns of the drain wakes its idle connections
//! ([`crate::Wheel::wake_all`]), and each ends itself when it may.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use portway_core::Mono;
use tokio::sync::{Notify, watch};

/// How far the end of serving has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainState {
    /// Serving.
    Running,
    /// Accepting nothing new; what runs may finish until the deadline.
    Draining {
        /// What still runs by then is cut.
        deadline: Mono,
    },
    /// What still runs is cut now.
    Stop,
}

/// The signal; clones are the same one.
#[derive(Clone)]
pub struct Drain(Arc<Shared>);

struct Shared {
    /// How far it has come, as a number. Set before the state is sent.
    reached: AtomicU8,
    state: watch::Sender<DrainState>,
}

const ENDING: u8 = 1;
const STOPPED: u8 = 2;

impl Default for Drain {
    fn default() -> Self {
        Drain::new()
    }
}

impl Drain {
    /// Running.
    #[must_use]
    pub fn new() -> Drain {
        Drain(Arc::new(Shared {
            reached: AtomicU8::new(0),
            state: watch::Sender::new(DrainState::Running),
        }))
    }

    /// Draining or stopped: finish this exchange and keep no connection alive.
    #[must_use]
    #[inline]
    pub fn is_ending(&self) -> bool {
        self.0.reached.load(Ordering::Relaxed) >= ENDING
    }

    /// Stopped: what still runs ends now.
    #[must_use]
    #[inline]
    pub fn is_stopped(&self) -> bool {
        self.0.reached.load(Ordering::Relaxed) == STOPPED
    }

    /// The state now; takes a lock, so not once per request.
    #[must_use]
    pub fn state(&self) -> DrainState {
        *self.0.state.borrow()
    }

    /// Begins the drain. A second call may only bring the deadline nearer; after [`Drain::stop`]
    /// it changes nothing.
    pub fn start(&self, deadline: Mono) {
        self.0.reached.fetch_max(ENDING, Ordering::Relaxed);
        self.0.state.send_if_modified(|state| {
            let nearer = match *state {
                DrainState::Running => true,
                DrainState::Draining { deadline: known } => deadline < known,
                DrainState::Stop => false,
            };
            if nearer {
                *state = DrainState::Draining { deadline };
            }
            nearer
        });
    }

    /// Cuts what still runs.
    pub fn stop(&self) {
        self.0.reached.store(STOPPED, Ordering::Relaxed);
        self.0.state.send_if_modified(|state| {
            std::mem::replace(state, DrainState::Stop) != DrainState::Stop
        });
    }

    /// Waits until it is no longer running: the moment to stop accepting and wake idle connections.
    pub async fn ending(&self) {
        self.reached(|state| *state != DrainState::Running).await;
    }

    /// Waits until what still runs is to be cut.
    pub async fn stopped(&self) {
        self.reached(|state| *state == DrainState::Stop).await;
    }

    async fn reached(&self, when: impl FnMut(&DrainState) -> bool) {
        let mut receiver = self.0.state.subscribe();
        let state = receiver.wait_for(when).await;
        state.expect("`self` keeps the sender");
    }
}

/// The open connections of one listener, over all workers. Clones count together.
#[derive(Clone)]
pub struct Connections(Arc<Counted>);

/// On its own cache lines: every worker writes it, though only once per connection.
#[repr(align(128))]
struct Counted {
    /// Open ones, and in the high half the ones among them that have had their last reply: read at
    /// once, or a connection that closes could hide another.
    open: AtomicU64,
    max: AtomicUsize,
    none_open: Notify,
}

const ONE_OPEN: u64 = 1;
const ONE_LINGERING: u64 = 1 << 32;

fn open_of(counts: u64) -> usize {
    (counts % ONE_LINGERING) as usize
}

fn waited_for(counts: u64) -> usize {
    open_of(counts).saturating_sub((counts / ONE_LINGERING) as usize)
}

impl Connections {
    /// None open, `max` allowed at once.
    #[must_use]
    pub fn new(max: usize) -> Connections {
        Connections(Arc::new(Counted {
            open: AtomicU64::new(0),
            max: AtomicUsize::new(max),
            none_open: Notify::new(),
        }))
    }

    /// Counts one more until the guard is dropped; none if that would pass the limit.
    #[must_use]
    pub fn open(&self) -> Option<Open> {
        let guard = Open(Arc::clone(&self.0));
        // Exact: a loser gives its place back by dropping the guard.
        let before = self.0.open.fetch_add(ONE_OPEN, Ordering::AcqRel);
        (open_of(before) < self.max()).then_some(guard)
    }

    /// One of those that are open has had its last reply: until the guard is dropped it still counts
    /// towards the limit, but nothing needs to wait for it.
    #[must_use]
    pub fn linger(&self) -> Lingering {
        self.0.open.fetch_add(ONE_LINGERING, Ordering::AcqRel);
        if self.count() == 0 {
            self.0.none_open.notify_waiters();
        }
        Lingering(Arc::clone(&self.0))
    }

    /// Open now, without those that have had their last reply.
    #[must_use]
    pub fn count(&self) -> usize {
        waited_for(self.0.open.load(Ordering::Acquire))
    }

    /// Allowed at once.
    #[must_use]
    pub fn max(&self) -> usize {
        self.0.max.load(Ordering::Relaxed)
    }

    /// Changes what is allowed; those that are open stay.
    pub fn set_max(&self, max: usize) {
        self.0.max.store(max, Ordering::Relaxed);
    }

    /// Waits until none is open.
    pub async fn none_open(&self) {
        loop {
            let mut notified = std::pin::pin!(self.0.none_open.notified());
            // Registered before the count is read, or a last close in between would be missed.
            notified.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            notified.await;
        }
    }
}

/// One open connection of a listener.
pub struct Open(Arc<Counted>);

impl Drop for Open {
    fn drop(&mut self) {
        let before = self.0.open.fetch_sub(ONE_OPEN, Ordering::AcqRel);
        if waited_for(before - ONE_OPEN) == 0 {
            self.0.none_open.notify_waiters();
        }
    }
}

/// A connection whose last reply is out, and which is kept only until its client has read it.
pub struct Lingering(Arc<Counted>);

impl Drop for Lingering {
    fn drop(&mut self) {
        self.0.open.fetch_sub(ONE_LINGERING, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);
    const LATE: Mono = Mono(2_000);
    const SOON: Mono = Mono(1_000);

    #[test]
    fn states_only_go_forward_and_deadlines_only_nearer() {
        let drain = Drain::new();
        assert!(!drain.is_ending());
        drain.start(SOON);
        drain.start(LATE);
        assert!(drain.is_ending() && !drain.is_stopped());
        assert_eq!(drain.state(), DrainState::Draining { deadline: SOON });
        drain.stop();
        drain.start(SOON);
        assert!(drain.is_ending() && drain.is_stopped());
        assert_eq!(drain.state(), DrainState::Stop);
    }

    #[tokio::test]
    async fn every_worker_hears_of_it_even_late() {
        let drain = Drain::new();
        let waiting = {
            let drain = drain.clone();
            async move {
                drain.ending().await;
                drain.stopped().await;
            }
        };
        let telling = async {
            tokio::task::yield_now().await;
            drain.start(LATE);
            tokio::task::yield_now().await;
            drain.stop();
        };
        tokio::join!(waiting, telling);
        drain.ending().await; // asked after the fact
        drain.stopped().await;
    }

    #[test]
    fn connections_past_the_limit_are_refused_and_not_counted() {
        let connections = Connections::new(2);
        let (first, second) = (connections.open(), connections.open());
        assert!(first.is_some() && second.is_some());
        assert!(connections.open().is_none());
        assert_eq!(connections.count(), 2);
        drop(first);
        assert!(connections.open().is_some());
    }

    #[test]
    fn a_lingering_connection_takes_a_place_but_is_not_waited_for() {
        let connections = Connections::new(1);
        let open = connections.open().unwrap();
        let lingering = connections.linger();
        assert_eq!(connections.count(), 0);
        assert!(connections.open().is_none(), "the place is taken");
        drop(lingering);
        drop(open);
        assert_eq!(connections.count(), 0);
        connections.set_max(2);
        assert!(connections.open().is_some());
    }

    #[test]
    fn waiting_for_the_last_connection_ends_with_it() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        for _ in 0..200 {
            let connections = Connections::new(10);
            let open: Vec<Open> = (0..3).map(|_| connections.open().unwrap()).collect();
            let closing = std::thread::spawn(move || drop(open));
            let told = async { tokio::time::timeout(LIMIT, connections.none_open()).await };
            runtime.block_on(told).expect("told");
            closing.join().unwrap();
        }
    }
}
