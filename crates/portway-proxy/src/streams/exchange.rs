//! One stream's exchange: read, handled, answered, finished.
//!
//! Must hold: what cannot be completed is reset, never ended as if it were whole; when the reply is
//! complete before the request is, the rest of the request is waved off without an error (RFC 9113,
//! section 8.1; RFC 9114, section 4.1).

use std::cell::{Cell, OnceCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, ready};

use http::{Method, StatusCode};
use portway_core::{Code, Mono, ProxyError};
use portway_http::h1::serialize::is_bodiless;
use portway_http::h2::Waiting;
use portway_http::streams::{HasBody, Outgoing, Request, Stream};
use portway_http::upgrade::{Line, WEBSOCKET_KEY, key};
use portway_http::{Body, Exchange, Reply, grpc};
use portway_net::Timer;
use portway_plan::ListenerPlan;

use super::{Running, Session};
use crate::arrival::{self, Origin};
use crate::finish::{finish, note};
use crate::forward::Lease;
use crate::http::{Handled, handle};
use crate::patience::Patience;
use crate::snapshot::WorkerSnapshot;
use crate::tunnel::Tunnel;

/// What one exchange needs to get on.
struct Turn<'a, S> {
    session: &'a Session,
    snapshot: &'a Rc<WorkerSnapshot>,
    listener: &'a ListenerPlan,
    timer: &'a Timer,
    stream: &'a S,
    /// The status to log if the exchange ends here and now; 0 once it was finished.
    status: Cell<u16>,
    /// Octets of the request's body that were read.
    bytes_in: OnceCell<Rc<Cell<u64>>>,
}

/// Runs the exchange of a request that arrived. It counts as running until what is given back is dropped.
pub(crate) async fn exchange(running: Running, arrived: impl Request) -> Running {
    let session = &*running.0;
    let worker = &session.worker;
    let Some((snapshot, id)) = worker.snapshot_of(&session.door) else {
        arrived.stream().refuse();
        return running;
    };
    let listener = &snapshot.shared.plan.listeners[id.index()];
    let stream = Rc::clone(arrived.stream());
    let timer = worker.wheel.timer();
    let turn = Turn {
        session,
        snapshot: &snapshot,
        listener,
        timer: &timer,
        stream: &*stream,
        status: Cell::new(Code::ClientGone.status()),
        bytes_in: OnceCell::new(),
    };
    let mut exchange = worker.take_exchange();
    let from = Origin {
        door: &session.door,
        id,
        listener,
        peer: session.peer,
        tls: session.tls.as_ref(),
    };
    arrival::begin(worker, &mut exchange, from);
    let ran = {
        let mut running = pin!(turn.run(arrived, &mut exchange));
        poll_fn(|cx| match session.is_cut() {
            true => Poll::Ready(None),
            false => running.as_mut().poll(cx).map(Some),
        })
        .await
    };
    if ran.is_none() {
        let error = ProxyError::new(Code::Drained, "cut at the end of the drain");
        note(&mut exchange, &error);
        turn.finish(&mut exchange, None);
    }
    drop((stream, snapshot)); // a long tunnel must not keep an old snapshot alive
    if let Some(Some((tunnel, client))) = ran {
        // Apart, so that a stream that never becomes a tunnel has no room for one.
        Box::pin(tunnel.run(worker, &session.door, &timer, client, &mut exchange)).await;
    }
    worker.give_exchange(exchange); // lets go of the stream, which ends or resets it
    running
}

impl<S: Stream> Turn<'_, S> {
    async fn run<R: Request<Stream = S>>(
        &self,
        arrived: R,
        exchange: &mut Exchange,
    ) -> Option<(Tunnel, Line)> {
        let worker = &self.session.worker;
        exchange.protocol = R::PROTOCOL;
        let peer = arrival::peer(exchange);
        let _active = worker.shard.request_started();
        let mut waiting = None;
        let handled = match arrived.take(&self.listener.head, peer, exchange) {
            Ok(taken) => {
                arrival::accept_head(exchange, self.listener);
                arrival::announce(&self.snapshot.shared, self.listener, exchange);
                waiting = taken.tunnel;
                if waiting.is_some() {
                    let key = key::key(worker.random.borrow_mut().u128(..));
                    exchange.request.headers.insert(WEBSOCKET_KEY, key);
                }
                let _ = self.bytes_in.set(taken.bytes); // there is one head only
                handle(worker, self.snapshot, self.timer, exchange).await
            }
            Err(error) => self.refuse(exchange, error).await.into(),
        };
        if let Some(waiting) = waiting
            && handled.reply.status == StatusCode::SWITCHING_PROTOCOLS
        {
            return self.switch(exchange, handled, waiting);
        }
        self.answer(exchange, handled).await;
        None
    }

    /// Tells the client that its target has switched.
    #[cold]
    fn switch(
        &self,
        exchange: &mut Exchange,
        handled: Handled<'_>,
        waiting: Waiting,
    ) -> Option<(Tunnel, Line)> {
        let Handled { mut reply, lease } = handled;
        let worker = &self.session.worker;
        let own = &exchange.own_fields;
        let date = worker.date.borrow().clone();
        let line = self.stream.switch(waiting, &mut reply, own, &date);
        match (line, exchange.upgrade.take()) {
            (Ok(line), Some(switched)) => {
                self.status.set(0);
                let kept = lease.map(|lease| lease.keep(worker.wheel.now()));
                let status = StatusCode::OK.as_u16();
                let active = worker.shard.request_started();
                let tunnel = Tunnel::new(self.snapshot, exchange, switched, status, kept, active);
                Some((tunnel, line))
            }
            (line, _) => {
                if let Err(error) = &line {
                    note(exchange, error);
                }
                self.finish(exchange, lease);
                None
            }
        }
    }

    /// The reply to a request whose head is wrong.
    async fn refuse(&self, exchange: &mut Exchange, error: ProxyError) -> Reply {
        arrival::announce(&self.snapshot.shared, self.listener, exchange);
        let filters = &self.snapshot.shared.no_route;
        filters.identify(exchange).await;
        let mut reply = exchange.problem(error);
        filters.on_response(exchange, &mut reply).await;
        reply
    }

    async fn answer(&self, exchange: &mut Exchange, handled: Handled<'_>) {
        let Handled { mut reply, lease } = handled;
        if exchange.notes.code != Some(Code::ClientGone) {
            let has_body = has_body(&exchange.request.method, &reply);
            let is_call = exchange.notes.grpc.is_some() && grpc::is_grpc(&reply.headers);
            let own = &exchange.own_fields;
            let date = self.session.worker.date.borrow().clone();
            let sent = self.stream.send_head(&mut reply, has_body, own, &date);
            if sent.is_ok() {
                self.status.set(reply.status.as_u16());
            }
            let written = match sent {
                Ok(None) => Ok(()),
                Ok(Some(mut out)) => {
                    if is_call {
                        out.set_call();
                    }
                    let written = self.write(&mut out, &mut reply.body, lease.as_ref(), exchange);
                    let written = written.await;
                    exchange.notes.bytes_out = out.bytes();
                    written
                }
                Err(error) => Err(error),
            };
            if let Err(error) = &written {
                note(exchange, error);
            }
        }
        self.finish(exchange, lease);
    }

    fn finish(&self, exchange: &mut Exchange, lease: Option<Lease<'_>>) {
        let status = self.status.replace(0);
        if status != 0 {
            exchange.notes.bytes_in = self.bytes_in.get().map_or(0, |bytes| bytes.get());
            finish(&self.session.worker, self.snapshot, exchange, status, lease);
        }
    }

    async fn write(
        &self,
        out: &mut S::Outgoing,
        body: &mut Body,
        lease: Option<&Lease<'_>>,
        exchange: &mut Exchange,
    ) -> Result<(), ProxyError> {
        let mut patience = Patience::new(self.timer, self.listener, lease, out.bytes());
        let written = poll_fn(|cx| {
            loop {
                if let Poll::Ready(done) = out.poll(cx, body) {
                    return Poll::Ready(done);
                }
                patience.note(out.bytes(), out.waits_for_peer());
                let error = ready!(patience.poll(cx, Mono::NEVER));
                if let Poll::Ready(error) = patience.end(error, body, exchange) {
                    return Poll::Ready(Err(error));
                }
            }
        })
        .await;
        if let Err(error) = &written {
            out.break_off(error);
        }
        written
    }
}

fn has_body(method: &Method, reply: &Reply) -> HasBody {
    if *method == Method::HEAD || is_bodiless(reply.status) {
        HasBody::No
    } else {
        HasBody::Yes
    }
}
