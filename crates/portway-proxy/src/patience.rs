//! How long a reply on its way may go without getting on, whatever the protocol.
//!
//! Must hold: a client that does not read and a target that does not send are told apart, since only
//! one of them is to blame.

use std::task::{Context, Poll};

use portway_core::{Code, Mono, ProxyError};
use portway_http::{Body, Exchange};
use portway_net::Timer;
use portway_plan::ListenerPlan;

use crate::finish::note;
use crate::forward::Lease;

/// Watches one reply.
pub(crate) struct Patience<'a> {
    timer: &'a Timer,
    listener: &'a ListenerPlan,
    /// None if the target is not waited for.
    lease: Option<&'a Lease<'a>>,
    /// Octets written, and whether the client was waited for, when it last got on.
    last: (u64, bool),
    progress: Mono,
}

impl<'a> Patience<'a> {
    /// From now, when so many octets have been written.
    pub(crate) fn new(
        timer: &'a Timer,
        listener: &'a ListenerPlan,
        lease: Option<&'a Lease<'a>>,
        written: u64,
    ) -> Patience<'a> {
        Patience {
            timer,
            listener,
            lease,
            last: (written, false),
            progress: timer.wheel().now(),
        }
    }

    /// Says how far it is now, and when it last got on. `waits_for_client`: the client is to read, rather
    /// than the target to send.
    pub(crate) fn note(&mut self, written: u64, waits_for_client: bool) -> Mono {
        if (written, waits_for_client) != self.last {
            self.last = (written, waits_for_client);
            self.progress = self.timer.wheel().now();
        }
        self.progress
    }

    /// Ready when it is at an end, or at `gone_at`, when the client counts as gone.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, gone_at: Mono) -> Poll<ProxyError> {
        let waits_for_client = self.last.1;
        let client = if waits_for_client {
            self.progress + self.listener.timeouts.write
        } else {
            Mono::NEVER
        };
        let upstream = self
            .lease
            .map_or(Mono::NEVER, |lease| lease.deadline(self.progress));
        let deadline = client.min(upstream);
        self.timer.poll(cx, deadline.min(gone_at)).map(|()| {
            let (code, detail) = match (client <= upstream, waits_for_client) {
                _ if gone_at < deadline => (
                    Code::ClientGone,
                    "the client did not wait for the whole reply",
                ),
                (true, _) => (
                    Code::ClientGone,
                    "the client did not read the reply in time",
                ),
                (false, true) => (
                    Code::ClientGone,
                    "the client was still reading when the time of the exchange was over",
                ),
                (false, false) => (
                    Code::UpstreamTimeout,
                    "the target did not complete its reply in time",
                ),
            };
            ProxyError::new(code, detail)
        })
    }

    /// It is at an end for this reason. Ready if the client must be cut off; else what the body ends with now
    /// is to be sent, and its reader has time for it.
    #[cold]
    pub(crate) fn end(
        &mut self,
        error: ProxyError,
        body: &mut Body,
        exchange: &mut Exchange,
    ) -> Poll<ProxyError> {
        if error.kind != Code::UpstreamTimeout || !body.give_up(&error) {
            return Poll::Ready(error);
        }
        note(exchange, &error);
        self.lease = None;
        Poll::Pending
    }
}
