//! One try: an exchange sent to one target over one connection, up to the head of its reply.
//!
//! Must hold: a request whose octets may have been acted on is never silently sent again; whatever the
//! protocol, the same deadlines end a try, and so does the client's going away; what is left of a try
//! that ended early has no reader. The reply's body is not read here.

mod either;
mod h1;
mod h2;
mod sending;

use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderValue, Method};
use portway_core::{Code, Mono, ProxyError};
use portway_http::h1::BufferPool;
use portway_http::upgrade::WEBSOCKET_KEY;
use portway_http::{Exchange, HostField, Reply, Unsent};
use portway_net::timer::Timer;

use crate::upstream::Upstream;
use crate::worker::{Picked, Way, WorkerUpstream};
use sending::{Sending, WaitsFor};

/// One try.
pub struct Attempt<'a> {
    /// The upstream.
    pub upstream: &'a Arc<Upstream>,
    /// This worker's part of it.
    pub part: &'a WorkerUpstream,
    /// Its target for this try.
    pub picked: &'a Picked,
    /// The worker's buffers.
    pub buffers: &'a BufferPool,
    /// The task's timer.
    pub timer: &'a Timer,
    /// The reply's head must be here by then.
    pub deadline: Mono,
    /// So many octets of the request's body are kept for another try.
    pub keep_bytes_max: usize,
}

/// A try's end.
pub struct Tried {
    /// The reply, or why there is none.
    pub outcome: Result<Reply, ProxyError>,
    /// The request's body for another try; `None` if it cannot be sent again.
    pub unsent: Option<Unsent>,
}

impl Tried {
    /// Nothing of the request has left.
    fn not_sent(error: ProxyError, unsent: Unsent) -> Tried {
        Tried {
            outcome: Err(error),
            unsent: Some(unsent),
        }
    }
}

/// Methods that may be repeated (RFC 9110, section 9.2.2).
#[must_use]
pub fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

impl Attempt<'_> {
    /// Sends the exchange; ready with the reply's head.
    pub async fn run(&self, exchange: &mut Exchange, unsent: Unsent) -> Tried {
        match self.picked.way() {
            Way::H1(pool) => h1::run(self, pool, exchange, unsent).await,
            // Apart, so that an exchange over HTTP/1 does not carry the room that this needs.
            Way::H2(streams) => Box::pin(h2::run(self, streams, exchange, unsent)).await,
            Way::Either(either) => Box::pin(either::run(self, either, exchange, unsent)).await,
        }
    }

    fn host_field<'e>(&'e self, exchange: &'e Exchange) -> HostField<'e> {
        HostField::of(exchange, &self.picked.target().host)
    }

    /// Ready when the reply is no longer waited for.
    fn poll_given_up(
        &self,
        cx: &mut Context<'_>,
        exchange: &Exchange,
        waiting: WaitsFor,
        sending: &mut Sending,
    ) -> Poll<ProxyError> {
        if waiting == WaitsFor::Reply && exchange.downstream.poll_gone(cx).is_ready() {
            return Poll::Ready(ProxyError::new(
                Code::ClientGone,
                "the client did not wait for the reply",
            ));
        }
        let gone_at = match waiting {
            WaitsFor::Reply => exchange.downstream.gone_at(self.timer.wheel().now()),
            WaitsFor::Client | WaitsFor::Target(_) => Mono::NEVER,
        };
        let (client, target) = sending.watch(self, waiting);
        let deadline = self.deadline.min(target).min(client);
        self.timer.poll(cx, deadline.min(gone_at)).map(|()| {
            if gone_at < deadline {
                let what = "the client closed the connection";
                return ProxyError::new(Code::ClientGone, what);
            }
            if deadline == client {
                return ProxyError::new(
                    Code::RequestTimeout,
                    "the request body did not arrive in time",
                );
            }
            let label = &self.picked.target().label;
            let what = match waiting {
                WaitsFor::Target(_) => "did not read the request in time",
                WaitsFor::Client | WaitsFor::Reply => "sent no reply in time",
            };
            ProxyError::new(Code::UpstreamTimeout, format!("{label} {what}"))
        })
    }
}

/// The key of a WebSocket's handshake, if it has exactly one.
fn websocket_key(exchange: &Exchange) -> Option<&HeaderValue> {
    let mut keys = exchange.request.headers.get_all(WEBSOCKET_KEY).iter();
    keys.next().filter(|_| keys.next().is_none())
}
