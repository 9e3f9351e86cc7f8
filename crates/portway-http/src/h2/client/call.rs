//! One request and its reply on a stream to a target.
//!
//! Must hold: a request that the target says it has not touched (refused, or past the last stream of a
//! GOAWAY; RFC 9113, section 8.7) is safe to send again, whatever its method; nothing else is. A call
//! that is dropped before its end resets its stream.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::h2::client::ResponseFuture;
use ::h2::{Reason, RecvStream, SendStream};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use portway_core::{Code, ProxyError, Retry};

use super::head::{self, ReplyHead};
use super::{Client, Slot};
use crate::body::{Body, PollFrame};
use crate::exchange::Exchange;
use crate::h1::Role;
use crate::h1::serialize::is_bodiless;
use crate::h2::Tunnel;
use crate::h2::incoming::{Incoming, stream_error};
use crate::h2::outgoing::{Frames, Outgoing};
use crate::replay::{Replay, Unsent};
use crate::reply::Reply;
use crate::to_target::HostField;
use crate::upgrade::Line;

/// A request on its way, whose reply is awaited.
pub struct Call {
    slot: Slot,
    reply: ResponseFuture,
    stream: Option<RecvStream>,
    /// `None` once the request is out.
    outgoing: Option<Outgoing>,
    body: Replay,
    head_request: bool,
    /// The way to the target, if it is to become a tunnel.
    tunnel: Option<SendStream<Bytes>>,
}

/// What came from the target.
#[derive(Debug)]
pub enum Heard {
    /// An informational reply (1xx).
    Informational(StatusCode, HeaderMap),
    /// The reply's head.
    Final(ReplyHead),
}

/// A request that could not be sent.
pub struct NotSent {
    /// Why.
    pub error: ProxyError,
    /// The body, untouched.
    pub unsent: Unsent,
}

impl Slot {
    /// Sends the exchange's head, as a CONNECT if it asks for a WebSocket; keeps up to so many octets of its body for another try.
    ///
    /// # Errors
    ///
    /// When the connection is closing: nothing of the request has left.
    pub fn send(
        self,
        exchange: &Exchange,
        host: HostField<'_>,
        unsent: Unsent,
        keep_bytes_max: usize,
    ) -> Result<Call, Box<NotSent>> {
        let length = unsent.length();
        let websocket = exchange.upgrade.asks_for_websocket();
        let ends = unsent.is_empty() && !websocket;
        let scheme = self.client.0.scheme.clone();
        let head = match websocket {
            true => head::websocket(exchange, host, scheme),
            false => head::request(exchange, host, scheme, length),
        };
        let head = match head {
            Ok(head) => head,
            Err(error) => return Err(Box::new(NotSent { error, unsent })),
        };
        let head_request = *head.method() == Method::HEAD;
        let sent = self.client.0.send.borrow_mut().send_request(head, ends);
        let (reply, stream) = match sent {
            Ok(sent) => sent,
            Err(error) => {
                let error = not_sent(error);
                return Err(Box::new(NotSent { error, unsent }));
            }
        };
        let (outgoing, tunnel) = match (ends, websocket) {
            (true, _) => (None, None),
            (false, true) => (None, Some(stream)),
            (false, false) => (Some(Outgoing::new(stream, Role::Target, length)), None),
        };
        Ok(Call {
            slot: self,
            reply,
            stream: None,
            outgoing,
            body: Replay::new(unsent, keep_bytes_max),
            head_request,
            tunnel,
        })
    }
}

impl Call {
    /// Ready when all of the request is on its way, or never will be. An error of the client's side is
    /// passed on as it is; one of the target's side may still be followed by its reply.
    pub fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        let Some(outgoing) = &mut self.outgoing else {
            return Poll::Ready(Ok(()));
        };
        let sent = ready!(outgoing.poll(cx, &mut self.body));
        self.outgoing = None;
        Poll::Ready(sent)
    }

    /// What the target has taken of the request's body, if it has to make room for more.
    #[must_use]
    pub fn waits_for_target(&self) -> Option<u64> {
        let outgoing = self.outgoing.as_ref()?;
        outgoing.waits_for_peer().then_some(outgoing.bytes)
    }

    /// The next head from the target.
    pub fn poll_heard(&mut self, cx: &mut Context<'_>) -> Poll<Result<Heard, ProxyError>> {
        match self.reply.poll_informational(cx) {
            Poll::Ready(Some(Ok(reply))) => {
                let (mut parts, ()) = reply.into_parts();
                head::clean(&mut parts.headers)?;
                return Poll::Ready(Ok(Heard::Informational(parts.status, parts.headers)));
            }
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(target_error(error))),
            Poll::Ready(None) | Poll::Pending => {}
        }
        let reply = ready!(Pin::new(&mut self.reply).poll(cx)).map_err(target_error)?;
        let (parts, stream) = reply.into_parts();
        self.stream = Some(stream);
        Poll::Ready(head::reply(parts, self.head_request).map(Heard::Final))
    }

    /// Its connection.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.slot.client
    }

    /// Takes the body back for another try; `None` if octets that were sent are no longer there.
    #[must_use]
    pub fn take_back(self) -> Option<Unsent> {
        self.body.take_back()
    }

    /// The way to a target that has agreed to a tunnel; `None` if none was asked for, or it has not.
    #[must_use]
    pub fn into_tunnel(self) -> Option<Line> {
        let tunnel = Tunnel::new(self.tunnel?, self.stream?, Some(self.slot));
        Some(Line::H2(Box::new(tunnel)))
    }

    /// The reply, whose body goes on sending the rest of the request while it is read; the request's body
    /// for another try if all of it was sent.
    #[must_use]
    pub fn into_reply(mut self, head: ReplyHead) -> (Reply, Option<Unsent>) {
        if let Some(mut refused) = self.tunnel.take() {
            // Who has reset the stream needs no end of it.
            let _ = refused.send_data(Bytes::new(), true);
        }
        let bodiless = self.head_request || is_bodiless(head.status);
        let stream = self
            .stream
            .take()
            .filter(|stream| !bodiless && !stream.is_end_stream());
        let mut unsent = None;
        let body = match (stream, self.outgoing) {
            (stream, None) => {
                unsent = self.body.take_back();
                stream.map_or(Body::Empty, |stream| {
                    let incoming = Incoming::new(stream, Role::Target, head.length);
                    Body::H2(Box::new(incoming.holding(self.slot)))
                })
            }
            (Some(stream), Some(outgoing)) => {
                let incoming = Incoming::new(stream, Role::Target, head.length);
                let rest = Box::pin(send_rest(outgoing, self.body));
                Body::H2(Box::new(incoming.holding(self.slot).with_companion(rest)))
            }
            // What is left of the request has no reader: both ends stop here.
            (None, Some(_)) => Body::Empty,
        };
        let reply = Reply {
            status: head.status,
            headers: head.headers,
            body,
            declared_length: head.declared_length,
            close: false,
        };
        (reply, unsent)
    }
}

/// What breaks here resets the stream, and so is heard of by whoever reads the reply.
async fn send_rest(mut outgoing: Outgoing, mut body: Replay) {
    let _ = poll_fn(|cx| outgoing.poll(cx, &mut body)).await;
}

impl Frames for Replay {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> PollFrame {
        Replay::poll_frame(self, cx)
    }

    fn is_over(&self) -> bool {
        Replay::is_over(self)
    }
}

/// The library took nothing of the request.
fn not_sent(error: ::h2::Error) -> ProxyError {
    if error.is_go_away() || error.is_io() || error.is_reset() {
        ProxyError::new(Code::UpstreamReset, "the target closed the connection")
            .with_retry(Retry::Safe)
            .with_source(error)
    } else {
        ProxyError::new(Code::Internal, "the request cannot be sent as HTTP/2").with_source(error)
    }
}

fn target_error(error: ::h2::Error) -> ProxyError {
    let untouched =
        error.is_remote() && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM));
    let error = stream_error(Role::Target, error);
    if untouched {
        error.with_retry(Retry::Safe)
    } else {
        error
    }
}
