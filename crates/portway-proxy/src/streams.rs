//! A client connection that carries many exchanges at once (HTTP/2, HTTP/3): what its tasks share.
//!
//! Must hold: streams are told apart by nothing but their exchange, which goes the same way as one of
//! HTTP/1; a connection that ends in order lets its streams finish.

mod exchange;

pub(crate) use exchange::exchange;

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use portway_core::limits;
use portway_http::Protocol;
use portway_http::streams::Ended;

use crate::snapshot::Door;
use crate::worker::Worker;

/// A client that was told that its connection ends has this long to take note.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// What the tasks of one connection share.
pub(crate) struct Session {
    pub(crate) worker: Rc<Worker>,
    pub(crate) door: Arc<Door>,
    pub(crate) peer: SocketAddr,
    pub(crate) tls: Option<Arc<portway_tls::Session>>,
    /// Exchanges that run, also of streams that the client has given up meanwhile.
    running: Cell<usize>,
    /// The connection's own task, to be woken when none runs any more.
    driver: Cell<Option<Waker>>,
}

/// Counts an exchange as running.
pub(crate) struct Running(pub(crate) Rc<Session>);

impl Drop for Running {
    fn drop(&mut self) {
        let left = self.0.running.get() - 1;
        self.0.running.set(left);
        if left == 0
            && let Some(driver) = self.0.driver.take()
        {
            driver.wake();
        }
    }
}

impl Session {
    /// One in which nothing runs yet.
    pub(crate) fn new(
        worker: Rc<Worker>,
        door: Arc<Door>,
        peer: SocketAddr,
        tls: Option<Arc<portway_tls::Session>>,
    ) -> Rc<Session> {
        Rc::new(Session {
            worker,
            door,
            peer: SocketAddr::new(peer.ip().to_canonical(), peer.port()),
            tls,
            running: Cell::new(0),
            driver: Cell::new(None),
        })
    }

    /// Counts one more exchange; `None` if there are as many as may be: a stream that was reset is forgotten
    /// where streams are counted, but its exchange may still have to notice.
    pub(crate) fn run_another(self: &Rc<Session>) -> Option<Running> {
        let before = self.running.get();
        (before < limits::H2_STREAMS_MAX as usize).then(|| {
            self.running.set(before + 1);
            Running(Rc::clone(self))
        })
    }

    /// Counts and logs how the connection ended.
    pub(crate) fn report(&self, protocol: Protocol, ended: &Ended) {
        let (listener, version) = (&self.door.name, protocol.as_str());
        match ended {
            Ended::Closed => {}
            Ended::Flood(flood) => {
                match protocol {
                    Protocol::Http3 => self.worker.shard.http3_flood(*flood),
                    _ => self.worker.shard.http2_flood(*flood),
                }
                tracing::warn!(
                    %listener,
                    peer = %self.peer,
                    kind = flood.as_str(),
                    "an {version} connection was ended: too many frames without work"
                );
            }
            Ended::Broken(error) => tracing::debug!(
                %listener,
                peer = %self.peer,
                %error,
                "an {version} connection broke"
            ),
        }
    }

    /// Exchanges that run.
    pub(crate) fn running(&self) -> usize {
        self.running.get()
    }

    /// Wakes the connection's own task when the last exchange has ended.
    pub(crate) fn wake_when_none_runs(&self, driver: &Waker) {
        self.driver.set(Some(driver.clone()));
    }

    /// Whether no new requests are to come.
    pub(crate) fn is_ending(&self) -> bool {
        self.worker.is_ending() || self.door.drain.is_ending()
    }

    /// Whether the deadline of the drain has passed.
    pub(crate) fn is_cut(&self) -> bool {
        self.door.drain.is_stopped() || self.worker.shared.drain.is_stopped()
    }
}
