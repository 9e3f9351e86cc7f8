//! What HTTP/2 and HTTP/3 have in common: a connection from a client carries streams, each stream one
//! exchange, and heads come as decoded fields.
//!
//! Must hold: one set of rules for both, so that the same request comes out whichever version carried it.
//! Never: names the types of the crates that speak either, or waits.

mod account;
mod budget;
pub(crate) mod fields;
pub mod head;

pub(crate) use account::{Announced, Arriving, At};
pub(crate) use budget::Budget;

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Response, StatusCode};
use portway_core::{Flood, ProxyError};

use crate::body::{Body, BodyLength};
use crate::exchange::{Exchange, Protocol};
use crate::h1::{DateCache, HeadLimits};
use crate::h2::Waiting;
use crate::hygiene::intake::Peer;
use crate::own_fields::OwnFields;
use crate::reply::Reply;
use crate::upgrade::Line;

/// How a connection ended.
#[derive(Debug)]
pub enum Ended {
    /// In order.
    Closed,
    /// By a flood.
    Flood(Flood),
    /// Because it broke, or what came was not the protocol.
    Broken(ProxyError),
}

/// A request that arrived on a stream, not yet looked at.
pub trait Request {
    /// Its stream.
    type Stream: Stream;

    /// The version that carried it.
    const PROTOCOL: Protocol;

    /// Its stream.
    fn stream(&self) -> &Rc<Self::Stream>;

    /// Puts the request into an exchange.
    ///
    /// # Errors
    /// What is wrong with the head; the request can be answered all the same.
    fn take(
        self,
        limits: &HeadLimits,
        peer: Peer,
        exchange: &mut Exchange,
    ) -> Result<Taken, ProxyError>;
}

/// What is to be known of a request that was put into an exchange.
#[derive(Debug, Default)]
pub struct Taken {
    /// How long the body is said to be.
    pub declared: BodyLength,
    /// Octets of it that were read.
    pub bytes: Rc<Cell<u64>>,
    /// What becomes the client's side of a tunnel, if the target switches.
    pub tunnel: Option<Waiting>,
}

/// One stream, for whoever answers on it. Dropping all of it before the reply is whole resets it.
pub trait Stream {
    /// The way out of a reply.
    type Outgoing: Outgoing;

    /// Tells the client that nothing was done and that it may ask again.
    fn refuse(&self);

    /// Sends a reply's head, or gets it ready to be sent. Gives the way out of what is left to be sent, if
    /// anything is: `has_body` says whether the reply may have a body at all.
    ///
    /// # Errors
    /// If the client has given the request up.
    fn send_head(
        &self,
        reply: &mut Reply,
        has_body: HasBody,
        own: &OwnFields,
        date: &DateCache,
    ) -> Result<Option<Self::Outgoing>, ProxyError>;

    /// Tells the client that its target has switched: from here on the stream is a tunnel.
    ///
    /// # Errors
    /// If the client has given the request up.
    fn switch(
        &self,
        waiting: Waiting,
        reply: &mut Reply,
        own: &OwnFields,
        date: &DateCache,
    ) -> Result<Line, ProxyError>;
}

/// A reply on its way out.
pub trait Outgoing {
    /// Ready when all of it, with its end, is on its way, or never will be: the stream is then reset. An
    /// error of the source is passed on as it is.
    fn poll(&mut self, cx: &mut Context<'_>, source: &mut Body) -> Poll<Result<(), ProxyError>>;

    /// Octets of the body handed to the client so far.
    fn bytes(&self) -> u64;

    /// Whether the last poll waited for the client to make room (rather than for the body to come).
    fn waits_for_peer(&self) -> bool;

    /// The reply is a gRPC call's: if it breaks off, its trailers say so.
    fn set_call(&mut self);

    /// Ends what cannot be completed: a gRPC reply with its status, if the client has read so far and will
    /// read on, anything else by a reset.
    fn break_off(&mut self, error: &ProxyError);
}

/// Whether a reply may have a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HasBody {
    /// It has the one it carries.
    Yes,
    /// Not to HEAD, and not with statuses that have none.
    No,
}

/// A reply's head as it goes out. The reply's fields are taken.
pub(crate) fn reply_head(
    reply: &mut Reply,
    has_body: HasBody,
    own: &OwnFields,
    date: &DateCache,
) -> Response<()> {
    let mut headers = fields::of(reply, own, date);
    let declared = match (has_body, reply.body.length()) {
        (HasBody::Yes, BodyLength::Exact(length)) => Some(length),
        (HasBody::Yes, BodyLength::Unknown) => None,
        (HasBody::No, _) if reply.status == StatusCode::NO_CONTENT => None,
        (HasBody::No, _) => reply.declared_length,
    };
    if let Some(length) = declared {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let mut head = Response::new(());
    *head.status_mut() = reply.status;
    *head.headers_mut() = headers;
    head
}

/// An informational reply's head (1xx).
pub(crate) fn informational(status: StatusCode, headers: &http::HeaderMap) -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = status;
    *head.headers_mut() = headers.clone();
    fields::remove_connection(head.headers_mut());
    head
}
