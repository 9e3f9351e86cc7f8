//! How far a try has come until its reply's head is there: what of the request is out, by when who must have
//! done something, how many informational replies went by.
//!
//! Must hold: time in which the target does not read is not held against the client, nor the other way
//! round.

use std::task::Poll;

use http::{HeaderMap, StatusCode};
use portway_core::{Code, Mono, ProxyError, limits};
use portway_http::Exchange;

use super::Attempt;

/// A request on its way, in whatever protocol.
pub(super) struct Sending {
    sent: Sent,
    /// The target must read on, or send the reply's head, by then.
    target: Mono,
    /// The client must have sent the whole request by then.
    client: Mono,
    stuck: Option<Stuck>,
    informational: u32,
}

/// How much of the request is out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    Partly,
    Whole,
    /// The target stopped reading.
    CutOff,
}

/// A target that does not read.
#[derive(Clone, Copy)]
struct Stuck {
    /// It has taken so many octets.
    octets: u64,
    since: Mono,
}

/// Whom a try waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// The client, to send more of its request.
    Client,
    /// The target, to read more of the request than the octets it has taken.
    Target(u64),
    /// The target, to reply to what it has.
    Reply,
}

impl Sending {
    /// Nothing is out yet.
    pub(super) fn new(exchange: &Exchange) -> Sending {
        Sending {
            sent: Sent::Partly,
            target: Mono::NEVER,
            client: exchange.read_deadline,
            stuck: None,
            informational: 0,
        }
    }

    /// Whether there is more to send, or may be.
    pub(super) fn goes_on(&self) -> bool {
        self.sent == Sent::Partly
    }

    /// Whether all of the request is out.
    pub(super) fn is_whole(&self) -> bool {
        self.sent == Sent::Whole
    }

    /// Whether the target stopped reading.
    pub(super) fn is_cut_off(&self) -> bool {
        self.sent == Sent::CutOff
    }

    /// By when the client must have sent the whole request.
    pub(super) fn client_deadline(&self) -> Mono {
        self.client
    }

    /// Notes what came of sending on.
    pub(super) fn note(
        &mut self,
        attempt: &Attempt<'_>,
        sent: Poll<Result<(), ProxyError>>,
    ) -> Result<(), ProxyError> {
        self.sent = match sent {
            Poll::Pending => return Ok(()),
            Poll::Ready(Ok(())) => Sent::Whole,
            // It may have answered before it stopped reading: that answer counts.
            Poll::Ready(Err(error)) if error.kind == Code::UpstreamReset => Sent::CutOff,
            Poll::Ready(Err(error)) => return Err(error),
        };
        self.target = target_deadline(attempt);
        Ok(())
    }

    /// Whom the try waits for, if the octets that a target which does not read has taken are `stuck_at`.
    pub(super) fn waits_for(&self, stuck_at: Option<u64>) -> WaitsFor {
        match (self.sent, stuck_at) {
            (Sent::Partly, Some(octets)) => WaitsFor::Target(octets),
            (Sent::Partly, None) => WaitsFor::Client,
            (Sent::Whole | Sent::CutOff, _) => WaitsFor::Reply,
        }
    }

    /// Keeps up with whom the request waits for; gives the deadlines that client and target have now.
    pub(super) fn watch(&mut self, attempt: &Attempt<'_>, waiting: WaitsFor) -> (Mono, Mono) {
        let now = attempt.timer.wheel().now();
        if let Some(stuck) = self.stuck
            && waiting != WaitsFor::Target(stuck.octets)
        {
            // What the target took its time for is not the client's delay.
            self.client = self.client + now.since(stuck.since);
            self.stuck = None;
        }
        let client = match waiting {
            WaitsFor::Reply => Mono::NEVER,
            WaitsFor::Client => {
                self.target = Mono::NEVER;
                self.client
            }
            WaitsFor::Target(octets) => {
                if self.stuck.is_none() {
                    self.stuck = Some(Stuck { octets, since: now });
                    self.target = target_deadline(attempt);
                }
                Mono::NEVER
            }
        };
        (client, self.target)
    }

    /// Passes an informational reply on. `100` is answered by the gateway itself; `101` was not asked for.
    pub(super) fn inform(
        &mut self,
        exchange: &Exchange,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Result<(), ProxyError> {
        self.informational += 1;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(ProxyError::new(
                Code::UpstreamBadReply,
                "101 without an upgrade being asked for",
            ));
        }
        if self.informational > limits::INFORMATIONAL_MAX {
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
}

/// The reply's head must be here, or some more of the request be read, by then.
fn target_deadline(attempt: &Attempt<'_>) -> Mono {
    attempt.timer.wheel().now() + attempt.upstream.spec.timeouts.response_header
}
