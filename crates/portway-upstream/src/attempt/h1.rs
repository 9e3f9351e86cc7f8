//! A try over HTTP/1: a connection of its own, from the pool or new.
//!
//! Must hold: a connection goes back to its pool only when both messages are whole; whatever ends a try
//! early closes its connection.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::UPGRADE;
use http::{HeaderMap, Method};
use portway_core::{Code, ProxyError};
use portway_http::h1::serialize::{request_framing, request_head};
use portway_http::h1::{Conn, Home, Incoming, Pump, ReplyHead};
use portway_http::hygiene::framing::Framing;
use portway_http::upgrade::{Line, WEBSOCKET_ACCEPT, is_agreed, key};
use portway_http::{Body, Exchange, Protocol, Reply, Unsent};
use portway_tls::Alpn;

use super::{Attempt, Sending, Tried, is_idempotent, websocket_key};
use crate::connect::connect;
use crate::pool::Pool;

/// Sends the exchange; ready with the reply's head.
pub(super) async fn run(
    attempt: &Attempt<'_>,
    pool: &Rc<Pool>,
    exchange: &mut Exchange,
    mut unsent: Unsent,
) -> Tried {
    if let Some(conn) = pool.take() {
        let mut tried = run_on(attempt, pool, exchange, conn.clone(), unsent).await;
        let stale = was_stale(&tried, &conn, exchange);
        match tried.unsent.take() {
            Some(again) if stale => unsent = again,
            other => {
                return Tried {
                    outcome: tried.outcome,
                    unsent: other,
                };
            }
        }
    }
    match connect(attempt, None).await {
        Ok(conn) => run_on(attempt, pool, exchange, conn, unsent).await,
        Err(error) => Tried::not_sent(error, unsent),
    }
}

/// Sends the exchange over a connection that no other exchange will use, to a target that is spoken
/// HTTP/2 with otherwise.
pub(super) async fn run_apart(
    attempt: &Attempt<'_>,
    exchange: &mut Exchange,
    unsent: Unsent,
) -> Tried {
    let wheel = attempt.timer.wheel().clone();
    let pool = Rc::new(Pool::new(Arc::clone(attempt.upstream), wheel));
    pool.close(); // nothing is given back to it
    match connect(attempt, Some(Alpn::H1)).await {
        Ok(conn) => run_on(attempt, &pool, exchange, conn, unsent).await,
        Err(error) => Tried::not_sent(error, unsent),
    }
}

/// The target closed its idle connection while our request was on its way: no failure of the target. A
/// request that must not run twice is not repeated, though.
pub(super) fn was_stale(tried: &Tried, conn: &Conn, exchange: &Exchange) -> bool {
    matches!(&tried.outcome, Err(e) if e.kind == Code::UpstreamReset)
        && !conn.has_begun_reply()
        && is_idempotent(&exchange.request.method)
}

/// The same over one connection, whose target may turn out to have closed it.
pub(super) async fn run_on(
    attempt: &Attempt<'_>,
    pool: &Rc<Pool>,
    exchange: &mut Exchange,
    conn: Conn,
    unsent: Unsent,
) -> Tried {
    let framing = request_framing(unsent.length());
    let host = attempt.host_field(exchange);
    conn.queue(|out| request_head(out, exchange, host, framing));
    let mut going = Going {
        pump: Pump::new(conn.clone(), unsent, framing, attempt.keep_bytes_max),
        sending: Sending::new(exchange),
        spare: std::mem::take(&mut exchange.spare_headers),
    };
    let head = poll_fn(|cx| poll_reply(attempt, cx, exchange, &conn, &mut going)).await;
    exchange.read_deadline = going.sending.client_deadline();
    if going.sending.is_cut_off() {
        conn.set_unusable();
    }
    match head {
        Ok(head) if head.switches => {
            exchange.upgrade.switch(Line::H1(conn));
            switched(head)
        }
        Ok(head) => reply(head, pool, conn, going),
        Err(error) => {
            conn.set_unusable();
            Tried {
                outcome: Err(error),
                unsent: going.pump.take_back(),
            }
        }
    }
}

/// A request on its way over a connection of its own.
struct Going {
    pump: Pump,
    sending: Sending,
    spare: HeaderMap,
}

/// Sends, reads, watches the client and the clock, all at once.
fn poll_reply(
    attempt: &Attempt<'_>,
    cx: &mut Context<'_>,
    exchange: &Exchange,
    conn: &Conn,
    going: &mut Going,
) -> Poll<Result<ReplyHead, ProxyError>> {
    let Going {
        pump,
        sending,
        spare,
    } = going;
    if sending.goes_on() {
        sending.note(attempt, pump.poll(cx))?;
    }
    let is_head = exchange.request.method == Method::HEAD;
    while let Poll::Ready(head) = conn.poll_reply_head(cx, is_head, spare) {
        match head {
            Ok(head) if head.switches && switches(exchange, sending, &head) => {
                return Poll::Ready(proven(exchange, head));
            }
            Ok(head) if head.status.is_informational() => {
                sending.inform(exchange, head.status, &head.headers)?;
            }
            head => return Poll::Ready(head),
        }
    }
    let stuck_at = pump.waits_for_target().then(|| conn.written());
    let waiting = sending.waits_for(stuck_at);
    attempt
        .poll_given_up(cx, exchange, waiting, sending)
        .map(Err)
}

/// Whether a tunnel may open: this one was asked for, and the whole request is out.
fn switches(exchange: &Exchange, sending: &Sending, head: &ReplyHead) -> bool {
    let asked = exchange.upgrade.asked();
    sending.is_whole() && asked.is_some_and(|asked| is_agreed(&head.headers, asked))
}

/// The proof that a target gives is checked by the client, who asked for it; a client of HTTP/2 did not.
fn proven(exchange: &Exchange, head: ReplyHead) -> Result<ReplyHead, ProxyError> {
    if exchange.protocol != Protocol::Http2 {
        return Ok(head);
    }
    let given = head.headers.get(WEBSOCKET_ACCEPT);
    match websocket_key(exchange) {
        Some(asked) if given == Some(&key::accept(asked)) => Ok(head),
        _ => {
            let detail = "the target has switched without Sec-WebSocket-Accept for the key";
            Err(ProxyError::new(Code::UpstreamBadReply, detail))
        }
    }
}

/// The reply that opens a tunnel. Its connection is none for another exchange.
fn switched(head: ReplyHead) -> Tried {
    let mut reply = Reply::new(head.status, Body::Empty);
    reply.headers = head.headers;
    reply.headers.remove(UPGRADE);
    Tried {
        outcome: Ok(reply),
        unsent: None,
    }
}

fn reply(head: ReplyHead, pool: &Rc<Pool>, conn: Conn, going: Going) -> Tried {
    let Going { pump, sending, .. } = going;
    let bodiless = matches!(head.framing, Framing::None | Framing::Length(0));
    let mut unsent = None;
    let body = if sending.is_whole() {
        unsent = pump.take_back();
        if bodiless {
            go_home(pool, conn)
        } else {
            incoming(pool, conn, None)
        }
    } else if bodiless {
        // What is left of the request has no reader: both ends stop here.
        Body::Empty
    } else {
        let rest = sending.goes_on().then(|| Box::new(pump));
        incoming(pool, conn, rest)
    };
    let reply = Reply {
        status: head.status,
        headers: head.headers,
        body,
        declared_length: head.declared_length,
        close: false,
    };
    Tried {
        outcome: Ok(reply),
        unsent,
    }
}

fn incoming(pool: &Rc<Pool>, conn: Conn, rest: Option<Box<Pump>>) -> Body {
    let home: Rc<dyn Home> = Rc::clone(pool) as Rc<dyn Home>;
    Body::H1(Incoming::of_reply(conn, rest, home))
}

fn go_home(pool: &Rc<Pool>, conn: Conn) -> Body {
    if conn.is_reusable() {
        pool.give_back(conn);
    }
    Body::Empty
}
