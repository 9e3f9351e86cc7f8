//! An HTTP/1 client connection: exchanges one after the other, each read, handled, answered, finished.
//!
//! Must hold: replies go out in the order of their requests; a connection with unread octets of a
//! request is not used for another (CVE-2025-4366); every wait has a deadline; what cannot be completed
//! is cut, never ended as if it were whole.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{StatusCode, Version};
use portway_core::{Code, ListenerId, Mono, ProxyError, limits};
use portway_http::h1::serialize::{reply_framing, reply_head, switching_head};
use portway_http::h1::{Conn, Incoming, Io, Persistence, ReplyWriter, RequestHead, Role};
use portway_http::hygiene::framing::Framing;
use portway_http::upgrade::Upgrade;
use portway_http::{Body, BodyLength, Downstream, Exchange, Protocol, Reply};
use portway_net::Timer;
use portway_plan::ListenerPlan;

use crate::arrival::{self, Origin};
use crate::finish::{finish, note};
use crate::forward::Lease;
use crate::http::{Handled, handle};
use crate::http2;
use crate::patience::Patience;
use crate::snapshot::{Door, WorkerSnapshot};
use crate::tunnel::Switched;
use crate::worker::Worker;

/// After the last reply, what the client still sends is read for so long at most, so that our closing
/// does not destroy the reply on its way (RFC 9112, section 9.6).
const LINGER: Duration = Duration::from_secs(2);
/// And so many octets at most.
const LINGER_BYTES_MAX: u64 = 1024 * 1024;

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
    switched: Cell<Option<Box<Switched>>>,
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
        switched: Cell::new(None),
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
        if let Some(switched) = session.switched.take() {
            session.pass(*switched, &mut exchange).await;
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
            let error = ProxyError::new(Code::Overloaded, "cut at the end of the drain");
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

    /// Answers a request whose head could not be read, and ends the connection.
    async fn refuse(
        &self,
        snapshot: &Rc<WorkerSnapshot>,
        listener: &ListenerPlan,
        exchange: &mut Exchange,
        error: ProxyError,
    ) -> Next {
        self.conn.set_unusable();
        exchange.protocol = protocol(exchange.request.version);
        snapshot.shared.no_route.identify(exchange).await;
        let silent = error.kind == Code::ClientGone;
        let mut reply = exchange.problem(error);
        if silent {
            let status = Code::ClientGone.status();
            self.finish(snapshot, exchange, status, None);
            return Next::Close;
        }
        snapshot
            .shared
            .no_route
            .on_response(exchange, &mut reply)
            .await;
        self.answer(snapshot, listener, exchange, reply.into(), false)
            .await
    }

    async fn answer(
        &self,
        snapshot: &Rc<WorkerSnapshot>,
        listener: &ListenerPlan,
        exchange: &mut Exchange,
        handled: Handled<'_>,
        persistent: bool,
    ) -> Next {
        let Handled { mut reply, lease } = handled;
        if exchange.notes.code == Some(Code::ClientGone) {
            let status = Code::ClientGone.status();
            self.finish(snapshot, exchange, status, lease);
            return Next::Close;
        }
        if reply.status == StatusCode::SWITCHING_PROTOCOLS
            && let Some(target) = exchange.upgrade.take()
        {
            let kept = lease.map(|lease| lease.keep(self.worker.wheel.now()));
            let switched = Switched::new(snapshot, exchange, target, kept);
            let switching = self.switch(snapshot, listener, exchange, &reply, switched);
            return Box::pin(switching).await; // apart, for it is rare
        }
        let framing = reply_framing(&reply, &exchange.request.method, exchange.protocol);
        let rest = self.rest_of_request(exchange);
        let goes_on = persistent
            && !reply.close
            && framing != Framing::Close
            && rest != Rest::Endless
            && !self.is_ending();
        let persistence = match exchange.protocol {
            _ if !goes_on => Persistence::Close,
            Protocol::Http10 => Persistence::SayKeepAlive,
            _ => Persistence::KeepAlive,
        };
        self.conn.queue(|out| {
            reply_head(
                out,
                &reply,
                &exchange.own_fields,
                framing,
                persistence,
                &self.worker.date.borrow(),
            )
        });
        let status = reply.status.as_u16();
        self.status.set(status);
        let mut writer = ReplyWriter::new(framing);
        let written = self
            .write(&mut writer, &mut reply.body, listener, lease.as_ref())
            .await;
        exchange.notes.bytes_out = writer.bytes;
        exchange.notes.bytes_in = self.conn.body_bytes();
        if let Err(error) = &written {
            note(exchange, error);
        }
        self.finish(snapshot, exchange, status, lease);
        reply.headers.clear();
        exchange.spare_headers = std::mem::take(&mut reply.headers);
        drop(reply);
        match written {
            Err(_) => {
                self.conn.abort();
                Next::Close
            }
            // The rest of the request may have broken while the reply was on its way.
            Ok(()) if !goes_on || !self.conn.is_sound() => Next::Linger,
            Ok(()) if rest == Rest::Small => self.drain(exchange).await,
            Ok(()) => Next::Go,
        }
    }

    /// Tells the client that its target has switched. What it sent early waits in its connection.
    #[cold]
    async fn switch(
        &self,
        snapshot: &Rc<WorkerSnapshot>,
        listener: &ListenerPlan,
        exchange: &mut Exchange,
        reply: &Reply,
        switched: Switched,
    ) -> Next {
        let status = reply.status.as_u16();
        self.status.set(status);
        self.conn
            .queue(|out| switching_head(out, reply, &exchange.own_fields));
        let deadline = self.worker.wheel.now() + listener.timeouts.write;
        let flushing = poll_fn(|cx| self.conn.poll_flush(cx));
        let flushed = portway_net::with_deadline(&self.timer, deadline, flushing).await;
        if matches!(flushed, Ok(Ok(()))) {
            self.switched.set(Some(Box::new(switched)));
            self.status.set(0);
            return Next::Tunnel;
        }
        let error = ProxyError::new(Code::ClientGone, "the client did not wait for the switch");
        note(exchange, &error);
        self.finish(snapshot, exchange, status, None);
        self.conn.abort();
        Next::Close
    }

    /// Boxed, so that a connection that never becomes a tunnel has no room for one.
    fn pass<'a>(
        &'a self,
        switched: Switched,
        exchange: &'a mut Exchange,
    ) -> std::pin::Pin<Box<dyn Future<Output = ()> + 'a>> {
        let passing = switched.run(&self.worker, &self.door, &self.timer, &self.conn, exchange);
        Box::pin(passing)
    }

    async fn write(
        &self,
        writer: &mut ReplyWriter,
        body: &mut Body,
        listener: &ListenerPlan,
        lease: Option<&Lease<'_>>,
    ) -> Result<(), ProxyError> {
        let mut patience = Patience::new(&self.timer, listener, lease, self.conn.written());
        poll_fn(|cx| {
            if let Poll::Ready(done) = writer.poll(cx, &self.conn, body) {
                return Poll::Ready(done);
            }
            let waits_for_client = writer.waits_for_client();
            let progress = patience.note(self.conn.written(), waits_for_client);
            let mut gone_at = Mono::NEVER;
            if !waits_for_client && self.conn.body_is_done() {
                gone_at = self.gone_at(cx, progress);
            }
            patience.poll(cx, gone_at).map(Err)
        })
        .await
    }

    /// When the client counts as gone, if the rest of its reply does not come by then.
    fn gone_at(&self, cx: &mut Context<'_>, progress: Mono) -> Mono {
        let now = self.worker.wheel.now();
        if self.conn.poll_gone(cx).is_ready() {
            return now;
        }
        match self.conn.gone_at(now) {
            Mono::NEVER => Mono::NEVER,
            // As long as octets go out, somebody takes them.
            at => at.max(progress + limits::HALF_CLOSED_PATIENCE),
        }
    }

    /// What of the request nobody has read.
    fn rest_of_request(&self, exchange: &Exchange) -> Rest {
        // Behind a body that broke, nothing says where the next request begins: taken for one, the
        // rest of the body would be smuggled.
        if !self.conn.is_sound() {
            return Rest::Endless;
        }
        if self.conn.body_is_done() {
            return Rest::None;
        }
        if self.worker.wheel.now() >= exchange.read_deadline {
            return Rest::Endless;
        }
        // A client that waits for `100 Continue` may send its body or not: no telling where the next
        // request begins.
        if self.conn.expects_continue() {
            return Rest::Endless;
        }
        match Incoming::new(self.conn.clone()).length() {
            BodyLength::Exact(left) if left <= limits::DRAIN_BYTES_MAX => Rest::Small,
            _ => Rest::Endless,
        }
    }

    /// Reads a small rest of the request, so that the connection can go on.
    async fn drain(&self, exchange: &Exchange) -> Next {
        let mut left = Body::H1(Incoming::new(self.conn.clone()));
        let reading = async {
            while let Some(frame) = left.frame().await {
                if frame.is_err() {
                    return false;
                }
            }
            true
        };
        match portway_net::with_deadline(&self.timer, exchange.read_deadline, reading).await {
            Ok(true) => Next::Go,
            _ => Next::Close,
        }
    }

    async fn linger(&self) {
        let _lingering = self.door.connections.linger();
        let deadline = self.worker.wheel.now() + LINGER;
        let mut left = LINGER_BYTES_MAX;
        let mut closed = false;
        poll_fn(|cx| {
            if self.worker.shared.drain.is_stopped() {
                return Poll::Ready(()); // the process ends, and nothing waits for this
            }
            if !closed {
                match self.conn.poll_shutdown(cx) {
                    Poll::Ready(Ok(())) => closed = true,
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => return self.timer.poll(cx, deadline),
                }
            }
            if self.conn.poll_discard(cx, &mut left).is_ready() {
                return Poll::Ready(());
            }
            self.timer.poll(cx, deadline)
        })
        .await;
    }
}

/// What of a request's body is still on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    None,
    /// Cheaper to read than a new connection.
    Small,
    /// Too much, or without a known end.
    Endless,
}

fn protocol(version: Version) -> Protocol {
    match version {
        Version::HTTP_10 => Protocol::Http10,
        _ => Protocol::Http11,
    }
}
