//! An HTTP/2 client connection: one task drives it, and one task runs each of its streams' exchanges
//! (`streams`).
//!
//! Must hold: streams are told apart by nothing but their exchange, which goes the same way as one of
//! HTTP/1; a stream that waits holds up no other; every wait has a deadline; a connection that ends in
//! order lets its streams finish, and one that floods is ended, counted and named.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use portway_core::Mono;
use portway_http::Protocol;
use portway_http::h1::Io;
use portway_http::h2::{Arrived, Connection};
use portway_http::streams::{Ended, Request, Stream};
use portway_net::{Lingering, Timer, with_deadline};
use portway_plan::ClientTimeouts;

use crate::snapshot::Door;
use crate::streams::{self, GRACE, Session};
use crate::worker::Worker;

/// Serves a client's connection to its end. `early` was read from it before it was known to be HTTP/2.
pub async fn serve(
    worker: Rc<Worker>,
    door: Arc<Door>,
    (io, early): (Io, Bytes),
    peer: SocketAddr,
) {
    let Some((snapshot, listener)) = worker.snapshot_of(&door) else {
        return;
    };
    let listener = &snapshot.shared.plan.listeners[listener.index()];
    let (head, timeouts) = (listener.head, listener.timeouts);
    drop(snapshot); // a long connection must not keep an old snapshot alive
    let timer = worker.wheel.timer();
    let tls = io.session().cloned();
    let accepting = Connection::accept(io, early, &worker.wheel, &head);
    let deadline = worker.wheel.now() + timeouts.header;
    let Ok(Ok(connection)) = with_deadline(&timer, deadline, accepting).await else {
        return;
    };
    let session = Session::new(worker, door, peer, tls);
    let mut driver = Driver {
        quiet_since: Some(session.worker.wheel.now()),
        session,
        connection,
        timer,
        timeouts,
        seen_request: false,
        head_since: None,
        ending_since: None,
        lingering: None,
    };
    let ended = poll_fn(|cx| driver.poll(cx)).await;
    driver.session.report(Protocol::Http2, &ended);
}

struct Driver {
    session: Rc<Session>,
    connection: Connection<Io>,
    timer: Timer,
    timeouts: ClientTimeouts,
    seen_request: bool,
    /// Since when no exchange runs.
    quiet_since: Option<Mono>,
    /// Since when a head has been coming.
    head_since: Option<Mono>,
    /// Since when all is said, and only the client's closing is waited for.
    ending_since: Option<Mono>,
    lingering: Option<Lingering>,
}

impl Driver {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        self.connection.begin_turn();
        loop {
            // A fresh connection may have been accepted on the promise to be served.
            if self.session.is_ending() && self.seen_request {
                self.connection.leave();
            }
            let cut = self.session.is_cut();
            if cut {
                self.connection.abort();
            }
            match self.connection.poll_next(cx) {
                Poll::Ready(Ok(arrived)) => {
                    self.start(arrived);
                    continue;
                }
                Poll::Ready(Err(ended)) => return Poll::Ready(ended),
                Poll::Pending => {}
            }
            if cut && self.session.running() == 0 {
                return Poll::Ready(self.connection.verdict());
            }
            let deadline = self.deadline();
            if self.timer.poll(cx, deadline).is_pending() {
                self.session.wake_when_none_runs(cx.waker());
                return Poll::Pending;
            }
            if let Some(ended) = self.be_late() {
                return Poll::Ready(ended);
            }
        }
    }

    fn start(&mut self, arrived: Arrived) {
        self.seen_request = true;
        let Some(running) = self.session.run_another() else {
            arrived.stream().refuse();
            return;
        };
        tokio::task::spawn_local(streams::exchange(running, arrived));
    }

    /// Until when what is waited for now must have come.
    fn deadline(&mut self) -> Mono {
        let now = self.session.worker.wheel.now();
        if self.connection.is_ending() {
            self.lingering
                .get_or_insert_with(|| self.session.door.connections.linger());
            return *self.ending_since.get_or_insert(now) + GRACE;
        }
        let since = |marked: &mut Option<Mono>, holds: bool| match holds {
            true => Some(*marked.get_or_insert(now)),
            false => {
                *marked = None;
                None
            }
        };
        let head_is_open = self.connection.head_is_open();
        let head = since(&mut self.head_since, head_is_open)
            .map_or(Mono::NEVER, |at| at + self.timeouts.header);
        let wait = if self.connection.is_leaving() {
            GRACE
        } else if self.seen_request {
            self.timeouts.idle
        } else {
            self.timeouts.header
        };
        let nothing_runs = self.session.running() == 0;
        let quiet = since(&mut self.quiet_since, nothing_runs).map_or(Mono::NEVER, |at| at + wait);
        head.min(quiet)
    }

    /// What was waited for has not come.
    fn be_late(&mut self) -> Option<Ended> {
        if self.connection.is_ending() {
            return Some(self.connection.verdict());
        }
        if self.connection.is_leaving() || self.connection.head_is_open() {
            self.connection.abort();
        } else {
            self.connection.leave();
            self.quiet_since = None;
        }
        None
    }
}
