//! An HTTP/1 client connection: exchanges one after the other, each read, handled, answered, finished.
//!
//! Must hold: replies go out in the order of their requests; a connection with unread octets of a
//! request is not used for another (CVE-2025-4366); every wait has a deadline; what cannot be completed
//! is cut, never ended as if it were whole.

mod reply;
mod rest;

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::Version;
use portway_core::{Code, ListenerId, ProxyError};
use portway_http::h1::{Conn, Incoming, Io, RequestHead, Role};
use portway_http::hygiene::framing::Framing;
use portway_http::upgrade::Upgrade;
use portway_http::{Body, Downstream, Exchange, Protocol};
use portway_net::Timer;
use portway_plan::ListenerPlan;

use crate::arrival::{self, Origin};
use crate::finish::{finish, note};
use crate::forward::Lease;
use crate::http::handle;
use crate::http2;
use crate::snapshot::{Door, WorkerSnapshot};
use crate::tunnel::Tunnel;
use crate::worker::Worker;

struct Session {
    worker: Rc<Worker>,
    door: Arc<Door>,
    conn: Conn,
    timer: Timer,
    peer: SocketAddr,
    /// The status to log if the exchange ends here and now; 0 when there is none, or it was finished.
    status: Cell<u16>,
    tls: Option<Arc<portway_tls::Session>>,
    /// A tunnel that the last exchange opened.
    tunnel: Cell<Option<Box<Tunnel>>>,
}

/// What becomes of the connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Another request.
    Go,
    /// FIN, after reading what still comes.
    Linger,
    /// A tunnel, which waits in the session.
    Tunnel,
    /// Closed at once.
    Close,
    /// The client speaks HTTP/2.
    Http2,
}

/// Serves a client connection to its end.
pub async fn serve(worker: Rc<Worker>, door: Arc<Door>, io: Io, peer: SocketAddr) {
    let tls = io.session().cloned();
    let conn = Conn::new(io, Role::Client, &worker.buffers);
    let timer = worker.wheel.timer();
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let session = Session {
        worker,
        door,
        conn,
        timer,
        peer,
        status: Cell::new(0),
        tunnel: Cell::new(None),
        tls,
    };
    let mut first = true;
    loop {
        let Some((snapshot, listener)) = session.worker.snapshot_of(&session.door) else {
            break;
        };
        let plan = &snapshot.shared.plan.listeners[listener.index()];
        let wait = if first {
            plan.timeouts.header
        } else {
            plan.timeouts.idle
        };
        drop(snapshot); // an idle connection must not keep an old snapshot alive
        if !session.wait_for_request(wait, first).await {
            break;
        }
        first = false;
        let Some((snapshot, listener)) = session.worker.snapshot_of(&session.door) else {
            break;
        };
        let mut exchange = session.worker.take_exchange();
        let next = {
            let mut running = pin!(session.exchange(&snapshot, listener, &mut exchange));
            poll_fn(|cx| match session.is_cut() {
                true => Poll::Ready(None),
                false => running.as_mut().poll(cx).map(Some),
            })
            .await
        };
        if next.is_none() {
            session.cut(&snapshot, &mut exchange);
        }
        drop(snapshot);
        if let Some(tunnel) = session.tunnel.take() {
            session.pass(*tunnel, &mut exchange).await;
        }
        session.worker.give_exchange(exchange);
        match next {
            Some(Next::Go) => session.conn.rest(),
            Some(Next::Linger) => {
                session.linger().await;
                break;
            }
            Some(Next::Tunnel | Next::Close) | None => break,
            Some(Next::Http2) => return session.go_on_as_http2().await,
        }
    }
}

impl Session {
    /// Hands the connection over, with what was read of it. Boxed: an HTTP/1 connection's task does not
    /// carry the room for it.
    async fn go_on_as_http2(self) {
        let Session {
            worker,
            door,
            conn,
            peer,
            ..
        } = self;
        if let Some(parts) = conn.into_parts() {
            Box::pin(http2::serve(worker, door, parts, peer)).await;
        }
    }

    fn is_ending(&self) -> bool {
        self.worker.is_ending() || self.door.drain.is_ending()
    }

    /// Whether the deadline of the drain has passed.
    fn is_cut(&self) -> bool {
        self.door.drain.is_stopped() || self.worker.shared.drain.is_stopped()
    }

    /// Ends an exchange for which there is no time left.
    fn cut(&self, snapshot: &Rc<WorkerSnapshot>, exchange: &mut Exchange) {
        let status = self.status.get();
        if status != 0 {
            let error = ProxyError::new(Code::Drained, "cut at the end of the drain");
            note(exchange, &error);
            exchange.notes.bytes_in = self.conn.body_bytes();
            self.finish(snapshot, exchange, status, None);
            self.conn.abort();
        }
    }

    fn finish(
        &self,
        snapshot: &WorkerSnapshot,
        exchange: &Exchange,
        status: u16,
        lease: Option<Lease<'_>>,
    ) {
        self.status.set(0);
        finish(&self.worker, snapshot, exchange, status, lease);
    }

    /// Whether a request has begun to arrive. False when the client closed, was idle too long, or
    /// nothing more is to be served.
    async fn wait_for_request(&self, wait: Duration, first: bool) -> bool {
        let deadline = self.worker.wheel.now() + wait;
        poll_fn(|cx| {
            if self.conn.poll_readable(cx).is_ready() {
                return Poll::Ready(true);
            }
            // A fresh connection may have been accepted on the promise to be served.
            if (self.is_ending() && !first) || self.is_cut() {
                return Poll::Ready(false);
            }
            self.timer.poll(cx, deadline).map(|()| false)
        })
        .await
    }

    async fn exchange(
        &self,
        snapshot: &Rc<WorkerSnapshot>,
        id: ListenerId,
        exchange: &mut Exchange,
    ) -> Next {
        let worker = &self.worker;
        let listener = &snapshot.shared.plan.listeners[id.index()];
        let from = Origin {
            door: &self.door,
            id,
            listener,
            peer: self.peer,
            tls: self.tls.as_ref(),
        };
        arrival::begin(worker, exchange, from);
        let head = match self.read_head(exchange, listener).await {
            Ok(Some(head)) if listener.versions.h1 => head,
            Ok(Some(_)) => {
                let error = ProxyError::new(Code::UnsupportedVersion, "only HTTP/2 is spoken here");
                return self.refuse(snapshot, listener, exchange, error).await;
            }
            Ok(None) => return Next::Close,
            Err(_) if listener.versions.h2 && self.conn.begins_http2() => return Next::Http2,
            Err(error) => return self.refuse(snapshot, listener, exchange, error).await,
        };
        let _active = worker.shard.request_started();
        self.accept_head(exchange, listener, &head);
        arrival::announce(&snapshot.shared, listener, exchange);
        let handled = handle(worker, snapshot, &self.timer, exchange).await;
        self.answer(snapshot, listener, exchange, handled, head.persistent)
            .await
    }

    async fn read_head(
        &self,
        exchange: &mut Exchange,
        listener: &ListenerPlan,
    ) -> Result<Option<RequestHead>, ProxyError> {
        let deadline = (exchange.started + listener.timeouts.header).min(exchange.read_deadline);
        let trusted = exchange.client.trusted;
        let request = &mut exchange.request;
        poll_fn(|cx| {
            if let Poll::Ready(head) =
                self.conn
                    .poll_request_head(cx, &listener.head, trusted, request)
            {
                return Poll::Ready(head);
            }
            self.timer.poll(cx, deadline).map(|()| {
                request.set_unread();
                Err(ProxyError::new(
                    Code::RequestTimeout,
                    "the request head did not arrive in time",
                ))
            })
        })
        .await
    }

    fn accept_head(&self, exchange: &mut Exchange, listener: &ListenerPlan, head: &RequestHead) {
        self.status.set(Code::ClientGone.status());
        exchange.protocol = protocol(exchange.request.version);
        if head.upgrade.is_some() {
            exchange.upgrade = Upgrade::of(head, &exchange.request);
        }
        arrival::accept_head(exchange, listener);
        self.conn.remember_told(exchange);
        exchange.downstream = Downstream::H1(self.conn.clone());
        exchange.body = match head.framing {
            Framing::None | Framing::Length(0) | Framing::Close => Body::Empty,
            Framing::Length(_) | Framing::Chunked => Body::H1(Incoming::new(self.conn.clone())),
        };
    }
}

fn protocol(version: Version) -> Protocol {
    match version {
        Version::HTTP_10 => Protocol::Http10,
        _ => Protocol::Http11,
    }
}
