//! A body on its way out on one stream: frame by frame, as fast as the peer makes room.
//!
//! Must hold: at most one frame is held here, and the next one is pulled only when the peer has made
//! room for the last: a slow reader slows the source of its own body and nobody else. Octets are counted
//! against the length that the head announced; a body that broke, or that is not as long as announced,
//! resets its stream (RFC 9113, section 8.1.1), as does one that is dropped half-way. Only a gRPC reply
//! that broke ends in order: its trailers say that it failed.

use std::task::{Context, Poll, ready};

use ::h2::{Reason, SendStream};
use bytes::Bytes;
use http::HeaderMap;
use portway_core::{Code, ProxyError};

use crate::body::{Body, BodyLength, Frame, PollFrame};
use crate::grpc;
use crate::h1::Role;
use crate::streams::{self, Announced};

/// What frames are pulled from.
pub trait Frames {
    /// The next frame; `None` at the end.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> PollFrame;
    /// Whether it is certain that nothing more comes, not even trailers.
    fn is_over(&self) -> bool;
    /// Goes on with what goes along with it, while there is no room for a frame.
    fn poll_companion(&mut self, _: &mut Context<'_>) {}
}

impl Frames for Body {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> PollFrame {
        Body::poll_frame(self, cx)
    }

    fn is_over(&self) -> bool {
        self.is_empty()
    }

    fn poll_companion(&mut self, cx: &mut Context<'_>) {
        Body::poll_companion(self, cx);
    }
}

/// A body's way out; the head was sent before, without END_STREAM.
pub struct Outgoing {
    stream: SendStream<Bytes>,
    /// Who reads it: decides whose fault a reset is.
    role: Role,
    announced: Announced,
    held: Bytes,
    /// Nothing comes after `held`.
    held_is_last: bool,
    /// Octets handed to the peer so far.
    pub bytes: u64,
    ended: bool,
    waits_for_peer: bool,
    /// A gRPC reply to a client that reads its trailers.
    is_call: bool,
}

impl Outgoing {
    /// A body to the peer at the other end of `stream`, as long as its head announced.
    #[must_use]
    pub fn new(stream: SendStream<Bytes>, role: Role, announced: BodyLength) -> Outgoing {
        Outgoing {
            stream,
            role,
            announced: Announced(announced),
            held: Bytes::new(),
            held_is_last: false,
            bytes: 0,
            ended: false,
            waits_for_peer: false,
            is_call: false,
        }
    }

    /// Ready when all of it, with its end, is on its way, or never will be: the stream is then reset. An
    /// error of the source is passed on as it is.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Frames,
    ) -> Poll<Result<(), ProxyError>> {
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        let sent = ready!(self.poll_send(cx, source));
        if let Err(error) = &sent {
            self.break_off(error);
        }
        self.ended = true;
        self.waits_for_peer = false;
        Poll::Ready(sent)
    }

    /// Ends what cannot be completed: a gRPC reply with its status, if the peer has read so far and will
    /// read on, anything else by a reset.
    pub fn break_off(&mut self, error: &ProxyError) {
        if self.ended {
            return;
        }
        self.ended = true;
        let takes_trailers = self.is_call
            && error.kind != Code::ClientGone
            && self.held.is_empty()
            && self.announced.is_met();
        let told = takes_trailers && {
            let fields = grpc::ending_fields(error);
            self.stream.send_trailers(fields).is_ok()
        };
        if !told {
            self.reset();
        }
    }

    /// Whether the last poll waited for the peer to make room (rather than for the body to come).
    #[must_use]
    pub fn waits_for_peer(&self) -> bool {
        self.waits_for_peer
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Frames,
    ) -> Poll<Result<(), ProxyError>> {
        loop {
            if !self.held.is_empty() {
                let sent = self.poll_send_held(cx);
                if sent.is_pending() {
                    source.poll_companion(cx); // a client may read only what answers the rest
                }
                ready!(sent)?;
                if self.held_is_last {
                    return Poll::Ready(Ok(()));
                }
            }
            self.waits_for_peer = false;
            match source.poll_frame(cx) {
                Poll::Ready(Some(Ok(Frame::Data(data)))) => {
                    self.hold(data)?;
                    self.held_is_last = source.is_over();
                    if self.held_is_last {
                        self.announced.check_whole()?;
                    }
                }
                Poll::Ready(Some(Ok(Frame::Trailers(trailers)))) => {
                    return Poll::Ready(self.end(Some(trailers)));
                }
                Poll::Ready(None) => return Poll::Ready(self.end(None)),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    // The peer may lose interest while the body is waited for.
                    return match self.stream.poll_reset(cx) {
                        Poll::Ready(reason) => Poll::Ready(Err(self.stopped(reason))),
                        Poll::Pending => Poll::Pending,
                    };
                }
            }
        }
    }

    /// Sends what is held, in as many pieces as the peer's window asks for.
    fn poll_send_held(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        while !self.held.is_empty() {
            let polled = poll_room(&mut self.stream, cx, self.held.len());
            self.waits_for_peer |= polled.is_pending();
            let room = match ready!(polled) {
                Ok(room) => room,
                Err(Some(error)) => return Poll::Ready(Err(self.stopped(Err(error)))),
                Err(None) => return Poll::Ready(Err(self.closed(cx))),
            };
            let piece = self.held.split_to(room.min(self.held.len()));
            let bytes = piece.len() as u64;
            let last = self.held.is_empty() && self.held_is_last;
            if let Err(error) = self.stream.send_data(piece, last) {
                return Poll::Ready(Err(self.refused(cx, error)));
            }
            self.bytes += bytes;
        }
        Poll::Ready(Ok(()))
    }

    fn hold(&mut self, data: Bytes) -> Result<(), ProxyError> {
        self.announced.take(data.len())?;
        self.held = data;
        Ok(())
    }

    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), ProxyError> {
        self.announced.check_whole()?;
        let sent = match trailers {
            Some(trailers) => self.stream.send_trailers(trailers),
            None => self.stream.send_data(Bytes::new(), true),
        };
        sent.map_err(|error| self.stopped(Err(error)))
    }

    /// Why a stream that took data a moment ago no longer does.
    fn closed(&mut self, cx: &mut Context<'_>) -> ProxyError {
        match self.stream.poll_reset(cx) {
            Poll::Ready(reason) => self.stopped(reason),
            Poll::Pending => self.stopped(Ok(Reason::CANCEL)),
        }
    }

    fn refused(&mut self, cx: &mut Context<'_>, error: ::h2::Error) -> ProxyError {
        match self.stream.poll_reset(cx) {
            Poll::Ready(reason) => self.stopped(reason),
            Poll::Pending => self.stopped(Err(error)),
        }
    }

    fn stopped(&self, reason: Result<Reason, ::h2::Error>) -> ProxyError {
        let error = match self.role {
            Role::Client => ProxyError::new(Code::ClientGone, "the client stopped reading"),
            Role::Target => ProxyError::new(
                Code::UpstreamReset,
                "the target stopped reading the request",
            ),
        };
        error.with_source(reason.map_or_else(|error| error, ::h2::Error::from))
    }

    /// Tells the peer that what it has is not all. A request that is given up is cancelled; a reply
    /// that broke is nobody's wish (RFC 9113, section 7).
    fn reset(&mut self) {
        self.stream.send_reset(match self.role {
            Role::Target => Reason::CANCEL,
            Role::Client => Reason::INTERNAL_ERROR,
        });
    }
}

impl streams::Outgoing for Outgoing {
    fn poll(&mut self, cx: &mut Context<'_>, source: &mut Body) -> Poll<Result<(), ProxyError>> {
        Outgoing::poll(self, cx, source)
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn waits_for_peer(&self) -> bool {
        self.waits_for_peer
    }

    fn set_call(&mut self) {
        self.is_call = true;
    }

    fn break_off(&mut self, error: &ProxyError) {
        Outgoing::break_off(self, error);
    }
}

/// Ready with how many octets of so many the peer has room for now. The error says why it takes no more,
/// if it said so.
pub(super) fn poll_room(
    stream: &mut SendStream<Bytes>,
    cx: &mut Context<'_>,
    octets: usize,
) -> Poll<Result<usize, Option<::h2::Error>>> {
    stream.reserve_capacity(octets);
    let mut room = stream.capacity();
    while room == 0 {
        room = match ready!(stream.poll_capacity(cx)) {
            Some(room) => room.map_err(Some)?,
            None => return Poll::Ready(Err(None)),
        };
    }
    Poll::Ready(Ok(room))
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if !self.ended {
            self.reset();
        }
    }
}

#[cfg(test)]
mod tests;
