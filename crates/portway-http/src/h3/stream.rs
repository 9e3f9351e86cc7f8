//! One stream, for whoever answers on it.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ::h3::server::RequestStream;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use portway_core::{Code, ProxyError};

use super::code;
use super::outgoing::Outgoing;
use super::transport::{Handle, Sending};
use crate::h1::DateCache;
use crate::h2::Waiting;
use crate::own_fields::OwnFields;
use crate::reply::Reply;
use crate::streams::{self, HasBody};
use crate::upgrade::Line;

/// The half of a stream that carries the reply.
pub(super) type SendHalf = RequestStream<Sending, Bytes>;

/// One stream. Dropping all of it before the reply is whole resets it.
pub struct Stream {
    /// `None` once the reply has begun.
    send: RefCell<Option<SendHalf>>,
    handle: Rc<Handle>,
}

impl Stream {
    pub(super) fn new(send: SendHalf, handle: Rc<Handle>) -> Stream {
        Stream {
            send: RefCell::new(Some(send)),
            handle,
        }
    }

    /// Ready when the client has given the request up. To be polled only before the reply is sent.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.handle.poll_gone(cx)
    }

    /// Sends an informational reply (1xx).
    pub fn inform(&self, status: StatusCode, headers: &HeaderMap) {
        if let Some(send) = &mut *self.send.borrow_mut() {
            let telling = pin!(send.send_response(streams::informational(status, headers)));
            // What has no room now goes out before the final reply; a client that is gone needs no
            // information.
            let _ = telling.poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}

impl streams::Stream for Stream {
    type Outgoing = Outgoing;

    fn refuse(&self) {
        self.handle.reset_with.set(Some(code::REQUEST_REJECTED));
        self.handle.stop_with.set(code::REQUEST_REJECTED);
        self.send.take();
    }

    fn send_head(
        &self,
        reply: &mut Reply,
        has_body: HasBody,
        own: &OwnFields,
        date: &DateCache,
    ) -> Result<Option<Outgoing>, ProxyError> {
        let Some(send) = self.send.take() else {
            return Err(ProxyError::new(Code::Internal, "a reply was sent before"));
        };
        let length = reply.body.length();
        let head = streams::reply_head(reply, has_body, own, date);
        let has_body = match reply.body.is_empty() {
            true => HasBody::No,
            false => has_body,
        };
        let handle = Rc::clone(&self.handle);
        Ok(Some(Outgoing::new(send, handle, head, has_body, length)))
    }

    /// No tunnel is offered (RFC 9220), so that none is asked for.
    fn switch(
        &self,
        _: Waiting,
        _: &mut Reply,
        _: &OwnFields,
        _: &DateCache,
    ) -> Result<Line, ProxyError> {
        let detail = "there is no tunnel over HTTP/3";
        Err(ProxyError::new(Code::NotImplemented, detail))
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}
