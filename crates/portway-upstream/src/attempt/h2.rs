//! A try over HTTP/2: a stream of a connection that others use too.
//!
//! Must hold: what ends a try early resets its stream and leaves the connection to the others; a request
//! that the target has not touched, or that met a connection which was closing, is sent again, but not
//! without end. A WebSocket is asked for over HTTP/2 only where the target has said that it takes them.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::{HeaderMap, StatusCode};
use portway_core::{Code, ProxyError, Retry, limits};
use portway_http::h2::client::{Call, Heard, ReplyHead, Slot};
use portway_http::upgrade::{WEBSOCKET_ACCEPT, key};
use portway_http::{Body, Exchange, Protocol, Reply, Unsent};

use super::{Attempt, Sending, Tried, h1, is_idempotent, websocket_key};
use crate::multiplex::{Checkout, Multiplex};
use crate::spec;

/// A request that its connection would not take is offered to so many others: each time it was the
/// connection that was at fault, not the target.
const RESENDS_MAX: u32 = 2;

/// Sends the exchange; ready with the reply's head.
pub(super) async fn run(
    attempt: &Attempt<'_>,
    streams: &Rc<Multiplex>,
    exchange: &mut Exchange,
    mut unsent: Unsent,
) -> Tried {
    let websocket = exchange.upgrade.asks_for_websocket();
    if websocket && websocket_key(exchange).is_none() {
        let error = ProxyError::new(Code::BadRequest, "there is not one Sec-WebSocket-Key");
        return Tried::not_sent(error, unsent);
    }
    let mut refused_by = None;
    let mut resends = 0;
    loop {
        let slot = match streams.checkout(attempt, refused_by.as_ref()).await {
            Ok(Checkout::Stream(slot)) => slot,
            Ok(Checkout::Conn(conn, pool)) => {
                return h1::run_on(attempt, &pool, exchange, conn, unsent).await;
            }
            Err(error) => return Tried::not_sent(error, unsent),
        };
        if websocket {
            if let Err(error) = streams.settle(attempt, slot.client()).await {
                return Tried::not_sent(error, unsent);
            }
            if !slot.client().takes_websockets() {
                drop(slot);
                return otherwise(attempt, exchange, unsent).await;
            }
        }
        let client = slot.client().clone();
        let fresh = client.opened() == 1;
        let tried = run_on(attempt, exchange, slot, unsent).await;
        let again = match &tried.outcome {
            Err(error) if error.retry == Retry::Safe => true,
            // The target closed its idle connection while our request was on its way.
            Err(error) if error.kind == Code::UpstreamReset && !fresh => {
                client.is_closing() && is_idempotent(&exchange.request.method)
            }
            _ => false,
        };
        match tried.unsent {
            Some(rest) if again && resends < RESENDS_MAX => unsent = rest,
            rest => {
                return Tried {
                    outcome: tried.outcome,
                    unsent: rest,
                };
            }
        }
        resends += 1;
        refused_by = Some(client);
    }
}

/// A WebSocket to a target that takes none over HTTP/2.
async fn otherwise(attempt: &Attempt<'_>, exchange: &mut Exchange, unsent: Unsent) -> Tried {
    if attempt.upstream.spec.protocol != spec::Protocol::H2Only {
        return h1::run_apart(attempt, exchange, unsent).await;
    }
    let label = &attempt.picked.target().label;
    let detail = format!("{label} does not announce SETTINGS_ENABLE_CONNECT_PROTOCOL");
    Tried::not_sent(ProxyError::new(Code::NotImplemented, detail), unsent)
}

async fn run_on(
    attempt: &Attempt<'_>,
    exchange: &mut Exchange,
    slot: Slot,
    unsent: Unsent,
) -> Tried {
    let host = attempt.host_field(exchange);
    // Targets that are restarted refuse streams as a matter of course, with or without a retry policy.
    let keep_bytes_max = attempt.keep_bytes_max.max(limits::RETRY_BUFFER_BYTES_MAX);
    let mut call = match slot.send(exchange, host, unsent, keep_bytes_max) {
        Ok(call) => call,
        Err(not_sent) => return Tried::not_sent(not_sent.error, not_sent.unsent),
    };
    let mut sending = Sending::new(exchange);
    let head = poll_fn(|cx| poll_reply(attempt, cx, exchange, &mut call, &mut sending)).await;
    exchange.read_deadline = sending.client_deadline();
    match head {
        Ok(head) if head.status.is_success() && exchange.upgrade.asks_for_websocket() => {
            switched(exchange, call, head)
        }
        Ok(head) => {
            let (reply, unsent) = call.into_reply(head);
            Tried {
                outcome: Ok(reply),
                unsent,
            }
        }
        Err(error) => Tried {
            outcome: Err(error),
            unsent: call.take_back(),
        },
    }
}

/// The reply that opens a tunnel, as HTTP/1 says it.
fn switched(exchange: &mut Exchange, call: Call, head: ReplyHead) -> Tried {
    let mut reply = Reply::new(StatusCode::SWITCHING_PROTOCOLS, Body::Empty);
    reply.headers = head.headers;
    prove(exchange, &mut reply.headers);
    let agreed = call.into_tunnel().map(|line| exchange.upgrade.switch(line));
    let outcome = agreed.map(|()| reply).ok_or_else(|| {
        ProxyError::new(
            Code::UpstreamBadReply,
            "there is no tunnel behind the target's reply",
        )
    });
    Tried {
        outcome,
        unsent: None,
    }
}

/// A client of HTTP/1 asked for a proof, which HTTP/2 has not.
fn prove(exchange: &Exchange, headers: &mut HeaderMap) {
    headers.remove(WEBSOCKET_ACCEPT);
    if let (Some(asked), Protocol::Http11) = (websocket_key(exchange), exchange.protocol) {
        headers.insert(WEBSOCKET_ACCEPT, key::accept(asked));
    }
}

/// Sends, reads, watches the client and the clock, all at once.
fn poll_reply(
    attempt: &Attempt<'_>,
    cx: &mut Context<'_>,
    exchange: &Exchange,
    call: &mut Call,
    sending: &mut Sending,
) -> Poll<Result<ReplyHead, ProxyError>> {
    if sending.goes_on() {
        sending.note(attempt, call.poll_send(cx))?;
    }
    while let Poll::Ready(heard) = call.poll_heard(cx) {
        match heard {
            Ok(Heard::Informational(status, headers)) => {
                sending.inform(exchange, status, &headers)?;
            }
            Ok(Heard::Final(head)) => return Poll::Ready(Ok(head)),
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
    let waiting = sending.waits_for(call.waits_for_target());
    attempt
        .poll_given_up(cx, exchange, waiting, sending)
        .map(Err)
}
