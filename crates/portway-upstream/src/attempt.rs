//! One try: an exchange sent to one target over one connection, up to the head of its reply.
//!
//! Must hold: a request whose octets may have been acted on is never silently sent again; whatever the
//! protocol, the same deadlines end a try, and so does the client's going away; what is left of a try
//! that ended early has no reader. The reply's body is not read here.

mod either;
mod h1;
mod h2;

use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use portway_core::{Code, Mono, ProxyError, limits};
use portway_http::h1::BufferPool;
use portway_http::upgrade::WEBSOCKET_KEY;
use portway_http::{Exchange, HostField, Reply, Unsent};
use portway_net::timer::Timer;

use crate::upstream::Upstream;
use crate::worker::{Picked, Way, WorkerUpstream};

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

    fn deadlines(&self, exchange: &Exchange) -> Deadlines {
        Deadlines {
            target: Mono::NEVER,
            client: exchange.read_deadline,
            stuck: None,
        }
    }

    /// The reply's head must be here, or some more of the request be read, by then.
    fn target_deadline(&self) -> Mono {
        self.timer.wheel().now() + self.upstream.spec.timeouts.response_header
    }

    /// Ready when the reply is no longer waited for.
    fn poll_given_up(
        &self,
        cx: &mut Context<'_>,
        exchange: &Exchange,
        waiting: WaitsFor,
        deadlines: &mut Deadlines,
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
        let client = self.watch(waiting, deadlines);
        let deadline = self.deadline.min(deadlines.target).min(client);
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

    /// Keeps the deadlines up with whom the request waits for; gives the one that the client has now.
    fn watch(&self, waiting: WaitsFor, deadlines: &mut Deadlines) -> Mono {
        let now = self.timer.wheel().now();
        if let Some(stuck) = deadlines.stuck
            && waiting != WaitsFor::Target(stuck.octets)
        {
            // What the target took its time for is not the client's delay.
            deadlines.client = deadlines.client + now.since(stuck.since);
            deadlines.stuck = None;
        }
        match waiting {
            WaitsFor::Reply => Mono::NEVER,
            WaitsFor::Client => {
                deadlines.target = Mono::NEVER;
                deadlines.client
            }
            WaitsFor::Target(octets) => {
                if deadlines.stuck.is_none() {
                    deadlines.stuck = Some(Stuck { octets, since: now });
                    deadlines.target = self.target_deadline();
                }
                Mono::NEVER
            }
        }
    }
}

/// Whom a try waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WaitsFor {
    /// The client, to send more of its request.
    Client,
    /// The target, to read more of the request than the octets it has taken.
    Target(u64),
    /// The target, to reply to what it has.
    Reply,
}

/// Who must have done something by when.
struct Deadlines {
    /// The target: read on, or send the reply's head.
    target: Mono,
    /// The client: send the whole request.
    client: Mono,
    stuck: Option<Stuck>,
}

/// A target that does not read.
#[derive(Clone, Copy)]
struct Stuck {
    /// It has taken so many octets.
    octets: u64,
    since: Mono,
}

/// How much of the request is out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    Partly,
    Whole,
    /// The target stopped reading.
    CutOff,
}

/// The key of a WebSocket's handshake, if it has exactly one.
fn websocket_key(exchange: &Exchange) -> Option<&HeaderValue> {
    let mut keys = exchange.request.headers.get_all(WEBSOCKET_KEY).iter();
    keys.next().filter(|_| keys.next().is_none())
}

/// Passes an informational reply on. `100` is answered by the gateway itself; `101` was not asked for.
/// `count` is how many there were.
fn inform(
    exchange: &Exchange,
    status: StatusCode,
    headers: &HeaderMap,
    count: &mut u32,
) -> Result<(), ProxyError> {
    *count += 1;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(ProxyError::new(
            Code::UpstreamBadReply,
            "101 without an upgrade being asked for",
        ));
    }
    if *count > limits::INFORMATIONAL_MAX {
        return Err(ProxyError::new(
            Code::UpstreamBadReply,
            "too many informational replies",
        ));
    }
    if status != StatusCode::CONTINUE {
        exchange
            .downstream
            .inform(exchange.protocol, status, headers);
    }
    Ok(())
}
