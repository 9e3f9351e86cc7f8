//! Idle connections to one target, kept by one worker.
//!
//! Must hold: the connection used last is used first, so that the rest can age out; a connection that
//! closed or spoke while idle is never used; where connections are limited, an idle one makes room for
//! an exchange that found none.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use portway_core::Mono;
use portway_http::h1::{Conn, Home};
use portway_net::timer::Wheel;

use crate::upstream::Upstream;

/// One target's idle connections.
pub struct Pool {
    upstream: Arc<Upstream>,
    wheel: Wheel,
    idle: RefCell<Vec<Idle>>,
    closed: Cell<bool>,
}

#[derive(Debug)]
struct Idle {
    conn: Conn,
    since: Mono,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new(upstream: Arc<Upstream>, wheel: Wheel) -> Pool {
        Pool {
            upstream,
            wheel,
            idle: RefCell::default(),
            closed: Cell::new(false),
        }
    }

    /// The most recently used connection that is still good.
    #[must_use]
    pub fn take(&self) -> Option<Conn> {
        let mut idle = self.idle.borrow_mut();
        let oldest = self.oldest_kept();
        while let Some(kept) = idle.pop() {
            self.uncount(1);
            if kept.since >= oldest && kept.conn.is_quiet() {
                return Some(kept.conn);
            }
        }
        None
    }

    /// Closes what was idle too long or went bad.
    pub fn reap(&self) {
        let oldest = self.oldest_kept();
        let mut idle = self.idle.borrow_mut();
        let before = idle.len();
        idle.retain(|kept| kept.since >= oldest && kept.conn.is_quiet());
        self.uncount(before - idle.len());
    }

    /// Since when the longest idle one is idle.
    pub(crate) fn idle_since(&self) -> Option<Mono> {
        self.idle.borrow().first().map(|kept| kept.since)
    }

    /// Closes the one that has been idle for longest; whether there was one.
    pub(crate) fn evict(&self) -> bool {
        let mut idle = self.idle.borrow_mut();
        let any = !idle.is_empty();
        if any {
            idle.remove(0);
            self.uncount(1);
        }
        any
    }

    /// How many are idle.
    #[must_use]
    pub fn len(&self) -> usize {
        self.idle.borrow().len()
    }

    /// Whether none is idle.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Closes all, now and in future: the target is gone.
    pub fn close(&self) {
        self.closed.set(true);
        let closed = std::mem::take(&mut *self.idle.borrow_mut());
        self.uncount(closed.len());
    }

    fn oldest_kept(&self) -> Mono {
        self.wheel.now() - self.upstream.spec.timeouts.idle
    }

    /// The most connections of the upstream; `None` if there is no limit, and so nothing to count.
    fn connections_max(&self) -> Option<u32> {
        Some(self.upstream.spec.limits.connections_max).filter(|max| *max != 0)
    }

    fn uncount(&self, count: usize) {
        if self.connections_max().is_some() {
            (0..count).for_each(|_| self.upstream.usage.idle.end());
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

impl Home for Pool {
    fn give_back(&self, conn: Conn) {
        let mut idle = self.idle.borrow_mut();
        if !self.closed.get() && idle.len() < self.upstream.spec.pool.idle_per_target_max {
            if let Some(max) = self.connections_max() {
                let usage = &self.upstream.usage;
                if usage.is_room_wanted(max) {
                    return;
                }
                let counted = usage.idle.try_begin(0);
                debug_assert!(counted, "there is no limit");
            }
            conn.rest();
            idle.push(Idle {
                conn,
                since: self.wheel.now(),
            });
        }
    }
}
