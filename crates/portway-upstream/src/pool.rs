//! Idle connections to one target, kept by one worker.
//!
//! Must hold: the connection used last is used first, so that the rest can age out; a connection that
//! closed or spoke while idle is never used.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use portway_core::Mono;
use portway_http::h1::{Conn, Home};
use portway_net::timer::Wheel;

use crate::spec::PoolSpec;

/// One target's idle connections.
pub struct Pool {
    spec: PoolSpec,
    idle_timeout: Duration,
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
    pub fn new(spec: PoolSpec, idle_timeout: Duration, wheel: Wheel) -> Pool {
        Pool {
            spec,
            idle_timeout,
            wheel,
            idle: RefCell::default(),
            closed: Cell::new(false),
        }
    }

    /// The most recently used connection that is still good.
    #[must_use]
    pub fn take(&self) -> Option<Conn> {
        let mut idle = self.idle.borrow_mut();
        let oldest = self.wheel.now() - self.idle_timeout;
        while let Some(kept) = idle.pop() {
            if kept.since >= oldest && kept.conn.is_quiet() {
                return Some(kept.conn);
            }
        }
        None
    }

    /// Closes what was idle too long or went bad.
    pub fn reap(&self) {
        let oldest = self.wheel.now() - self.idle_timeout;
        self.idle
            .borrow_mut()
            .retain(|kept| kept.since >= oldest && kept.conn.is_quiet());
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
        self.idle.borrow_mut().clear();
    }
}

impl Home for Pool {
    fn give_back(&self, conn: Conn) {
        let mut idle = self.idle.borrow_mut();
        if !self.closed.get() && idle.len() < self.spec.idle_per_target_max {
            conn.rest();
            idle.push(Idle {
                conn,
                since: self.wheel.now(),
            });
        }
    }
}
