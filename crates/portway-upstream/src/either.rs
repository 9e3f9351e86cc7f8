//! Connections to one target that picks its protocol in each TLS handshake (RFC 7301), kept by one worker.
//!
//! Must hold: what is open is used before a connection is opened, streams first; an exchange that opens
//! one speaks what the target picked there and then, so a target may change its mind at any time.

use std::rc::Rc;
use std::sync::Arc;

use portway_core::Mono;
use portway_http::h1::Conn;
use portway_net::timer::Wheel;

use crate::multiplex::Multiplex;
use crate::pool::Pool;
use crate::upstream::Upstream;

/// One target's connections of both kinds.
pub struct Either {
    conns: Rc<Pool>,
    streams: Rc<Multiplex>,
}

impl Either {
    /// No connections yet.
    #[must_use]
    pub fn new(upstream: Arc<Upstream>, wheel: Wheel) -> Either {
        let conns = Rc::new(Pool::new(Arc::clone(&upstream), wheel.clone()));
        let streams = Multiplex::new(upstream, wheel).or_conns(Rc::clone(&conns));
        Either {
            conns,
            streams: Rc::new(streams),
        }
    }

    /// An idle HTTP/1 connection, if no stream is to be had at once.
    pub(crate) fn take_conn(&self) -> Option<Conn> {
        if self.streams.has_room() {
            return None;
        }
        self.conns.take()
    }

    /// Its HTTP/1 connections.
    pub(crate) fn conns(&self) -> &Rc<Pool> {
        &self.conns
    }

    /// Its HTTP/2 connections, and whatever is opened anew.
    pub(crate) fn streams(&self) -> &Rc<Multiplex> {
        &self.streams
    }

    /// Since when the longest idle one is idle.
    pub(crate) fn idle_since(&self) -> Option<Mono> {
        let both = [self.conns.idle_since(), self.streams.idle_since()];
        both.into_iter().flatten().min()
    }

    /// Closes the one that has been idle for longest; whether there was one.
    pub(crate) fn evict(&self) -> bool {
        match (self.conns.idle_since(), self.streams.idle_since()) {
            (Some(conn), Some(stream)) if stream < conn => self.streams.evict(),
            (None, _) => self.streams.evict(),
            _ => self.conns.evict(),
        }
    }

    /// Closes what was idle too long, and what is too much.
    pub(crate) fn reap(&self) {
        self.conns.reap();
        self.streams.reap();
    }

    /// How many connections are idle.
    pub(crate) fn idle(&self) -> usize {
        self.conns.len() + self.streams.idle()
    }

    /// Lets go of all, now and in future: the target is gone.
    pub(crate) fn close(&self) {
        self.conns.close();
        self.streams.close();
    }
}
