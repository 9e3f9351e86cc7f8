//! One try: an exchange sent to one target over one connection, up to the head of its reply.
//!
//! Must hold: a request whose octets may have been acted on is never silently sent again; a connection
//! goes back to its pool only when both messages are whole; whatever ends a try early closes its
//! connection. The reply's body is not read here.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, Method, StatusCode};
use portway_core::{Code, Mono, ProxyError, limits};
use portway_http::h1::pump::Unsent;
use portway_http::h1::serialize::{HostField, request_framing, request_head};
use portway_http::h1::{BufferPool, Conn, Home, Incoming, Pump, ReplyHead};
use portway_http::hygiene::framing::Framing;
use portway_http::{Body, BodyLength, Exchange, Reply};
use portway_net::timer::Timer;

use crate::connect::connect;
use crate::upstream::Upstream;
use crate::worker::{Picked, WorkerUpstream};

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
    pub async fn run(&self, exchange: &mut Exchange, mut unsent: Unsent) -> Tried {
        if let Some(conn) = self.picked.pool().take() {
            let mut tried = self.run_on(exchange, conn.clone(), unsent).await;
            // The target closed its idle connection while our request was on its way: no failure of
            // the target. A request that must not run twice is not repeated, though.
            let stale = matches!(&tried.outcome, Err(e) if e.kind == Code::UpstreamReset)
                && !conn.has_begun_reply()
                && is_idempotent(&exchange.request.method);
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
        match connect(self).await {
            Ok(conn) => self.run_on(exchange, conn, unsent).await,
            Err(error) => Tried {
                outcome: Err(error),
                unsent: Some(unsent),
            },
        }
    }

    async fn run_on(&self, exchange: &mut Exchange, conn: Conn, unsent: Unsent) -> Tried {
        let framing = framing_of(&unsent);
        conn.queue(|out| self.write_head(out, exchange, framing));
        let mut sending = Sending {
            pump: Pump::new(conn.clone(), unsent, framing, self.keep_bytes_max),
            state: Sent::Partly,
            reply_deadline: Mono::NEVER,
            informational: 0,
            spare: std::mem::take(&mut exchange.spare_headers),
        };
        let head = poll_fn(|cx| self.poll_reply(cx, exchange, &conn, &mut sending)).await;
        let whole = sending.state == Sent::Whole;
        if !whole && sending.state != Sent::Partly {
            conn.set_unusable();
        }
        match head {
            Ok(head) => self.reply(head, conn, sending, whole),
            Err(error) => {
                conn.set_unusable();
                Tried {
                    outcome: Err(error),
                    unsent: sending.pump.take_back(),
                }
            }
        }
    }

    fn write_head(&self, out: &mut Vec<u8>, exchange: &Exchange, framing: Framing) {
        let request = &exchange.request;
        let host = match (&exchange.target_host, request.host.as_str()) {
            (Some(host), _) => HostField {
                name: host,
                port: None,
            },
            (None, "") => HostField {
                name: &self.picked.target().host,
                port: None,
            },
            (None, name) => HostField {
                name,
                port: request.port,
            },
        };
        request_head(out, exchange, host, framing);
    }

    /// Sends, reads, watches the client and the clock, all at once.
    fn poll_reply(
        &self,
        cx: &mut Context<'_>,
        exchange: &Exchange,
        conn: &Conn,
        sending: &mut Sending,
    ) -> Poll<Result<ReplyHead, ProxyError>> {
        if let Err(error) = self.poll_send(cx, sending) {
            return Poll::Ready(Err(error));
        }
        let is_head = exchange.request.method == Method::HEAD;
        while let Poll::Ready(head) = conn.poll_reply_head(cx, is_head, &mut sending.spare) {
            match head {
                Ok(head) if head.status.is_informational() => inform(exchange, &head, sending)?,
                head => return Poll::Ready(head),
            }
        }
        let sent = sending.state != Sent::Partly;
        if sent && exchange.downstream.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(ProxyError::new(
                Code::ClientGone,
                "the client did not wait for the reply",
            )));
        }
        let read_deadline = if sent {
            Mono::NEVER
        } else {
            exchange.read_deadline
        };
        let deadline = self.deadline.min(sending.reply_deadline).min(read_deadline);
        if self.timer.poll(cx, deadline).is_ready() {
            return Poll::Ready(Err(if deadline == read_deadline {
                ProxyError::new(
                    Code::RequestTimeout,
                    "the request body did not arrive in time",
                )
            } else {
                let label = &self.picked.target().label;
                ProxyError::new(
                    Code::UpstreamTimeout,
                    format!("{label} sent no reply in time"),
                )
            }));
        }
        Poll::Pending
    }

    fn poll_send(&self, cx: &mut Context<'_>, sending: &mut Sending) -> Result<(), ProxyError> {
        if sending.state != Sent::Partly {
            return Ok(());
        }
        match sending.pump.poll(cx) {
            Poll::Pending => return Ok(()),
            Poll::Ready(Ok(())) => sending.state = Sent::Whole,
            // It may have answered before it stopped reading: that answer counts.
            Poll::Ready(Err(error)) if error.kind == Code::UpstreamReset => {
                sending.state = Sent::CutOff
            }
            Poll::Ready(Err(error)) => return Err(error),
        }
        sending.reply_deadline =
            self.timer.wheel().now() + self.upstream.spec.timeouts.response_header;
        Ok(())
    }

    fn reply(&self, head: ReplyHead, conn: Conn, sending: Sending, whole: bool) -> Tried {
        let bodiless = matches!(head.framing, Framing::None | Framing::Length(0));
        let mut unsent = None;
        let body = if whole {
            unsent = sending.pump.take_back();
            if bodiless {
                self.go_home(conn)
            } else {
                self.incoming(conn, None)
            }
        } else if bodiless {
            // What is left of the request has no reader: both ends stop here.
            Body::Empty
        } else {
            let rest = (sending.state == Sent::Partly).then(|| Box::new(sending.pump));
            self.incoming(conn, rest)
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

    fn incoming(&self, conn: Conn, rest: Option<Box<Pump>>) -> Body {
        let home: Rc<dyn Home> = Rc::clone(self.picked.pool()) as Rc<dyn Home>;
        Body::H1(Incoming::of_reply(conn, rest, home))
    }

    fn go_home(&self, conn: Conn) -> Body {
        if conn.is_reusable() {
            self.picked.pool().give_back(conn);
        }
        Body::Empty
    }
}

struct Sending {
    pump: Pump,
    state: Sent,
    reply_deadline: Mono,
    informational: u32,
    spare: HeaderMap,
}

/// How much of the request is out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    Partly,
    Whole,
    /// The target stopped reading.
    CutOff,
}

/// The framing of a body of which some octets may wait to be sent again.
fn framing_of(unsent: &Unsent) -> Framing {
    let again: usize = unsent.replay.iter().map(bytes::Bytes::len).sum();
    request_framing(match unsent.rest.length() {
        BodyLength::Exact(rest) => BodyLength::Exact(rest + again as u64),
        BodyLength::Unknown => BodyLength::Unknown,
    })
}

/// Passes an informational reply on. `100` is answered by the gateway itself; `101` was not asked for.
fn inform(exchange: &Exchange, head: &ReplyHead, sending: &mut Sending) -> Result<(), ProxyError> {
    sending.informational += 1;
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(ProxyError::new(
            Code::UpstreamBadReply,
            "101 without an upgrade being asked for",
        ));
    }
    if sending.informational > limits::INFORMATIONAL_MAX {
        return Err(ProxyError::new(
            Code::UpstreamBadReply,
            "too many informational replies",
        ));
    }
    if head.status != StatusCode::CONTINUE {
        exchange
            .downstream
            .inform(exchange.protocol, head.status, &head.headers);
    }
    Ok(())
}
