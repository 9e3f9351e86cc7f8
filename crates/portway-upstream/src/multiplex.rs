//! Connections to one target that many exchanges use at once, kept by one worker.
//!
//! Must hold: no connection has more streams than its target allows; one that is closing takes no new
//! one; a new connection is opened only when those that are there, or are being opened, cannot take all
//! who wait. Who waits is told when something changes, and waits no longer than a connection may take.

mod keep_alive;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use portway_core::{Code, Mono, ProxyError};
use portway_http::h1::{Conn, Role};
use portway_http::h2::client::{self, Client, Scheme, Slot, Watch};
use portway_net::timer::{Wheel, with_deadline};
use portway_tls::Alpn;
use tokio::sync::Notify;

use crate::attempt::Attempt;
use crate::connect::{
    Held, begin_connection, begin_pending, connect_deadline, no_connection_in_time, open_stream,
    wait_for_room,
};
use crate::pool::Pool;
use crate::upstream::Upstream;

/// A target is taken to allow so many streams until one of its connections has said otherwise; no
/// target should allow fewer (RFC 9113, section 6.5.2).
const STREAMS_EXPECTED: usize = 100;

/// One target's connections.
pub struct Multiplex {
    upstream: Arc<Upstream>,
    wheel: Wheel,
    open: RefCell<Vec<Open>>,
    changed: Rc<Notify>,
    /// Connections being opened.
    connecting: Cell<usize>,
    /// Exchanges that want a stream.
    waiting: Cell<usize>,
    /// Streams that a connection allows, as the last one said.
    streams_expected: Cell<usize>,
    closed: Cell<bool>,
    /// Where connections go home for which the target picks HTTP/1; `None` if it may not.
    conns: Option<Rc<Pool>>,
}

/// What an exchange gets.
pub enum Checkout {
    /// A stream.
    Stream(Slot),
    /// A fresh connection for which the target picked HTTP/1, and its pool.
    Conn(Conn, Rc<Pool>),
}

struct Open {
    client: Client,
    watched: Rc<Watched>,
    /// Streams opened until the last look.
    opened: u64,
    /// It has had no stream since.
    idle_since: Mono,
}

impl Multiplex {
    /// No connections yet.
    #[must_use]
    pub fn new(upstream: Arc<Upstream>, wheel: Wheel) -> Multiplex {
        Multiplex {
            upstream,
            wheel,
            open: RefCell::default(),
            changed: Rc::default(),
            connecting: Cell::new(0),
            waiting: Cell::new(0),
            streams_expected: Cell::new(STREAMS_EXPECTED),
            closed: Cell::new(false),
            conns: None,
        }
    }

    /// The same for a target that may pick HTTP/1 instead.
    #[must_use]
    pub fn or_conns(mut self, conns: Rc<Pool>) -> Multiplex {
        self.conns = Some(conns);
        self
    }

    /// Whether a stream is to be had at once.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let open = self.open.borrow();
        let mut clients = open.iter().map(|entry| &entry.client);
        clients.any(|client| !client.is_closing() && client.streams() < client.streams_max())
    }

    /// A stream, on any connection but the one that refused.
    pub async fn checkout(
        &self,
        attempt: &Attempt<'_>,
        refused_by: Option<&Client>,
    ) -> Result<Checkout, ProxyError> {
        if let Some(slot) = self.find(refused_by) {
            return Ok(Checkout::Stream(slot));
        }
        let _pending = begin_pending(attempt.upstream)?;
        let _waiting = More::of(&self.waiting);
        let deadline = connect_deadline(attempt);
        let mut has_connected = false;
        loop {
            let held = match () {
                () if has_connected || self.may_be_enough() => None,
                () => match begin_connection(attempt) {
                    None if self.is_growing() => None,
                    None => match wait_for_room(attempt, deadline).await {
                        Ok(held) => Some(held),
                        // The one that refused may be the only one there can be.
                        Err(error) => return self.find(None).map(Checkout::Stream).ok_or(error),
                    },
                    held => held,
                },
            };
            if let Some(held) = held {
                has_connected = true; // a target that allows no stream is not asked again and again
                if let Some(checkout) = self.connect(attempt, deadline, held).await? {
                    return Ok(checkout);
                }
            } else {
                let changed = self.changed.notified();
                let waited = with_deadline(attempt.timer, deadline, changed).await;
                waited.map_err(|_| no_connection_in_time(attempt))?;
            }
            if let Some(slot) = self.find(refused_by) {
                return Ok(Checkout::Stream(slot));
            }
        }
    }

    /// Waits until the target has told its settings on a connection, or it is closing.
    pub async fn settle(&self, attempt: &Attempt<'_>, client: &Client) -> Result<(), ProxyError> {
        let deadline = connect_deadline(attempt);
        loop {
            let changed = self.changed.notified();
            if client.is_settled() || client.is_closing() {
                return Ok(());
            }
            let waited = with_deadline(attempt.timer, deadline, changed).await;
            waited.map_err(|_| no_connection_in_time(attempt))?;
        }
    }

    /// A stream of the first connection that has one, so that the others can age out.
    fn find(&self, refused_by: Option<&Client>) -> Option<Slot> {
        let mut open = self.open.borrow_mut();
        let mut closing = false;
        let slot = open.iter().find_map(|entry| {
            closing |= entry.client.is_closing();
            let refused = refused_by.is_some_and(|client| client.is_same(&entry.client));
            if refused { None } else { entry.client.open() }
        });
        if closing {
            open.retain(|entry| !entry.client.is_closing());
        }
        slot
    }

    /// Whether connections under way may take all who wait.
    fn may_be_enough(&self) -> bool {
        let mut unsettled = 0;
        for entry in self.open.borrow().iter() {
            if entry.client.is_settled() {
                self.streams_expected.set(entry.client.streams_max().max(1));
            } else {
                unsettled += 1;
            }
        }
        let coming = self.streams_expected.get() * (self.connecting.get() + unsettled);
        coming >= self.waiting.get()
    }

    fn is_growing(&self) -> bool {
        let open = self.open.borrow();
        self.connecting.get() > 0 || open.iter().any(|entry| !entry.client.is_settled())
    }

    /// Opens a connection and takes its first stream.
    async fn connect(
        &self,
        attempt: &Attempt<'_>,
        deadline: Mono,
        held: Held,
    ) -> Result<Option<Checkout>, ProxyError> {
        let connecting = Connecting {
            _more: More::of(&self.connecting),
            changed: &self.changed,
        };
        let stream = open_stream(attempt, deadline, None).await?;
        let picked = stream.session().map(|session| session.alpn);
        let scheme = match (picked, &self.conns) {
            (None, _) => Scheme::HTTP,
            (Some(Some(Alpn::H2)), _) => Scheme::HTTPS,
            (Some(_), Some(pool)) => {
                self.streams_expected.set(1); // the next one is likely to serve one exchange as well
                let conn = Conn::new(stream, Role::Target, attempt.buffers);
                conn.hold(Box::new(held));
                return Ok(Some(Checkout::Conn(conn, Rc::clone(pool))));
            }
            (Some(_), None) => {
                let detail = format!("{} does not speak HTTP/2", attempt.picked.target().label);
                return Err(ProxyError::new(Code::UpstreamTls, detail));
            }
        };
        let watched = Rc::new(Watched {
            upstream: Arc::clone(&self.upstream),
            changed: Rc::clone(&self.changed),
            held: RefCell::new(Some(held)),
            is_pooled: Cell::new(!self.closed.get()),
            is_counted_idle: Cell::new(false),
        });
        let watch: Rc<dyn Watch> = Rc::clone(&watched) as Rc<dyn Watch>;
        let handshake = client::connect(stream, scheme, watch);
        let (client, driver) = with_deadline(attempt.timer, deadline, handshake)
            .await
            .map_err(|_| no_connection_in_time(attempt))??;
        let driven = Rc::clone(&watched);
        let timer = self.wheel.timer();
        tokio::task::spawn_local(async move {
            keep_alive::drive(driver, timer).await;
            driven.held.take();
        });
        let slot = client.open();
        if !self.closed.get() {
            self.open.borrow_mut().push(Open {
                opened: client.opened(),
                client,
                watched,
                idle_since: self.wheel.now(),
            });
        }
        drop(connecting);
        Ok(slot.map(Checkout::Stream))
    }

    /// Closes what was idle too long, and what is too much.
    pub fn reap(&self) {
        let now = self.wheel.now();
        let spec = &self.upstream.spec;
        let mut idle = 0;
        self.open.borrow_mut().retain_mut(|entry| {
            let client = &entry.client;
            if client.streams() > 0 || client.opened() != entry.opened {
                entry.opened = client.opened();
                entry.idle_since = now;
            }
            if client.streams() > 0 {
                return !client.is_closing();
            }
            idle += 1;
            !client.is_closing()
                && idle <= spec.pool.idle_per_target_max
                && now.since(entry.idle_since) < spec.timeouts.idle
        });
    }

    /// Since when the longest idle one is idle.
    pub(crate) fn idle_since(&self) -> Option<Mono> {
        let open = self.open.borrow();
        let idle = open.iter().filter(|entry| entry.client.streams() == 0);
        idle.map(|entry| entry.idle_since).min()
    }

    /// Closes the one that has been idle for longest; whether there was one.
    pub(crate) fn evict(&self) -> bool {
        let mut open = self.open.borrow_mut();
        let idle = open
            .iter()
            .enumerate()
            .filter(|(_, e)| e.client.streams() == 0);
        let Some((at, _)) = idle.min_by_key(|(_, entry)| entry.idle_since) else {
            return false;
        };
        let evicted = open.remove(at);
        drop(open);
        // Its place is free now, not only when it has said goodbye.
        evicted.watched.held.take();
        true
    }

    /// How many connections are idle.
    #[must_use]
    pub fn idle(&self) -> usize {
        let open = self.open.borrow();
        open.iter().filter(|e| e.client.streams() == 0).count()
    }

    /// Lets go of all, now and in future: the target is gone. What is under way goes on.
    pub fn close(&self) {
        self.closed.set(true);
        self.open.borrow_mut().clear();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.watched.is_pooled.set(false);
        self.watched.uncount_idle();
    }
}

/// A connection as others know it: who waits for a stream, and the upstream's counts.
struct Watched {
    upstream: Arc<Upstream>,
    changed: Rc<Notify>,
    held: RefCell<Option<Held>>,
    is_pooled: Cell<bool>,
    is_counted_idle: Cell<bool>,
}

impl Watched {
    fn uncount_idle(&self) {
        if self.is_counted_idle.replace(false) {
            self.upstream.usage.idle.end();
        }
    }
}

impl Watch for Watched {
    fn taken(&self) {
        self.uncount_idle();
    }

    fn given_back(&self, last: bool) {
        let is_limited = self.upstream.spec.limits.connections_max != 0;
        if last && is_limited && self.is_pooled.get() && !self.is_counted_idle.replace(true) {
            let counted = self.upstream.usage.idle.try_begin(0);
            debug_assert!(counted, "there is no limit");
        }
        self.changed.notify_one();
    }

    fn changed(&self) {
        self.changed.notify_waiters();
    }
}

/// One more of something while it is held.
struct More<'a>(&'a Cell<usize>);

impl<'a> More<'a> {
    fn of(count: &'a Cell<usize>) -> More<'a> {
        count.set(count.get() + 1);
        More(count)
    }
}

impl Drop for More<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A connection being opened; whatever comes of it, those who wait look again.
struct Connecting<'a> {
    _more: More<'a>,
    changed: &'a Notify,
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        self.changed.notify_waiters();
    }
}
