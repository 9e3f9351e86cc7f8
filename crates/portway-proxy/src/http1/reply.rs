//! What a client gets for its request: the reply, or a switch to a tunnel.
//!
//! Must hold: whatever is written, the exchange is finished once, last; a reply that cannot be completed
//! aborts the connection, and one behind which the request is unread ends it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::StatusCode;
use portway_core::{Code, Mono, ProxyError, limits};
use portway_http::h1::serialize::{reply_framing, reply_head, switching_head};
use portway_http::h1::{Persistence, ReplyWriter};
use portway_http::hygiene::framing::Framing;
use portway_http::upgrade::Line;
use portway_http::{Body, Exchange, Protocol};
use portway_plan::ListenerPlan;

use super::rest::Rest;
use super::{Next, Session, protocol};
use crate::arrival;
use crate::finish::note;
use crate::forward::Lease;
use crate::http::Handled;
use crate::patience::Patience;
use crate::snapshot::WorkerSnapshot;
use crate::tunnel::Tunnel;

impl Session {
    /// Answers a request whose head could not be read, and ends the connection.
    pub(super) async fn refuse(
        &self,
        snapshot: &Rc<WorkerSnapshot>,
        listener: &ListenerPlan,
        exchange: &mut Exchange,
        error: ProxyError,
    ) -> Next {
        self.conn.set_unusable();
        exchange.protocol = protocol(exchange.request.version);
        arrival::announce(&snapshot.shared, listener, exchange);
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

    pub(super) async fn answer(
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
            && let Some(switched) = exchange.upgrade.take()
        {
            let kept = lease.map(|lease| lease.keep(self.worker.wheel.now()));
            let status = reply.status.as_u16();
            self.conn
                .queue(|out| switching_head(out, &reply, &exchange.own_fields, &switched.to));
            let active = self.worker.shard.request_started();
            let tunnel = Tunnel::new(snapshot, exchange, switched, status, kept, active);
            let switching = self.switch(snapshot, listener, exchange, status, tunnel);
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
            .write(
                &mut writer,
                &mut reply.body,
                listener,
                lease.as_ref(),
                exchange,
            )
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
        status: u16,
        tunnel: Tunnel,
    ) -> Next {
        self.status.set(status);
        let deadline = self.worker.wheel.now() + listener.timeouts.write;
        let flushing = poll_fn(|cx| self.conn.poll_flush(cx));
        let flushed = portway_net::with_deadline(&self.timer, deadline, flushing).await;
        if matches!(flushed, Ok(Ok(()))) {
            self.tunnel.set(Some(Box::new(tunnel)));
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
    pub(super) fn pass<'a>(
        &'a self,
        tunnel: Tunnel,
        exchange: &'a mut Exchange,
    ) -> Pin<Box<dyn Future<Output = ()> + 'a>> {
        let client = Line::H1(self.conn.clone());
        Box::pin(tunnel.run(&self.worker, &self.door, &self.timer, client, exchange))
    }

    async fn write(
        &self,
        writer: &mut ReplyWriter,
        body: &mut Body,
        listener: &ListenerPlan,
        lease: Option<&Lease<'_>>,
        exchange: &mut Exchange,
    ) -> Result<(), ProxyError> {
        let mut patience = Patience::new(&self.timer, listener, lease, self.conn.written());
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(done) = writer.poll(cx, &self.conn, body) {
                    return Poll::Ready(done);
                }
                let waits_for_client = writer.waits_for_client();
                let progress = patience.note(self.conn.written(), waits_for_client);
                let mut gone_at = Mono::NEVER;
                if !waits_for_client && self.conn.body_is_done() {
                    gone_at = self.gone_at(cx, progress);
                }
                let error = ready!(patience.poll(cx, gone_at));
                if let Poll::Ready(error) = patience.end(error, body, exchange) {
                    return Poll::Ready(Err(error));
                }
            }
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
}
