//! An exchange's share of its target, from the reply's head to its end.
//!
//! Must hold: what is counted as under way is uncounted when the lease ends, whatever happened; breakers
//! and health learn of a reply once its body has come, or will not come any more.

use std::time::Duration;

use portway_balance::Outcome;
use portway_core::{Code, GrpcStatus, Mono, limits};
use portway_upstream::connect::Held;
use portway_upstream::{Permit, Picked, Target, WorkerUpstream};

/// An exchange's share of its target, held until the reply has been sent.
pub struct Lease<'s> {
    pub(super) loaded: Loaded,
    pub(super) upstream: &'s WorkerUpstream,
    pub(super) breakers: Breakers<'s>,
    pub(super) requests: Option<Held>,
    /// The reply itself said that the target failed.
    pub(super) failed: bool,
    /// The exchange with the upstream must be over by then; [`Mono::NEVER`] if it may take as long as it
    /// makes progress.
    pub(super) over_by: Mono,
}

/// The route's breaker and the upstream's, where there are any.
pub(super) type Breakers<'s> = [Option<Permit<'s>>; 2];

/// What of a lease a tunnel holds on to: it counts as under way, with its target and in the upstream's
/// limits.
pub struct Kept {
    _loaded: Loaded,
    _requests: Option<Held>,
}

impl Lease<'_> {
    /// The exchange has become a tunnel: the target did what it should.
    #[must_use]
    pub fn keep(self, now: Mono) -> Kept {
        self.upstream
            .shared
            .observe(self.loaded.target(), true, now);
        record(self.breakers, true, now);
        Kept {
            _loaded: self.loaded,
            _requests: self.requests,
        }
    }

    /// When to give the reply up, if the last octet of it moved at `progress`.
    #[must_use]
    pub fn deadline(&self, progress: Mono) -> Mono {
        match self.over_by {
            Mono::NEVER => progress + limits::REPLY_SILENCE_MAX,
            over_by => over_by,
        }
    }

    /// The reply has been sent, or never will be for the reason in `code`: who passed the exchange and
    /// who served it learn how it ended. What the client or a limit of ours ended says nothing of them.
    pub fn end(self, code: Option<Code>, grpc: Option<GrpcStatus>, now: Mono) {
        let broke = match code {
            None => false,
            Some(code) if is_failure(code) => true,
            Some(_) => return,
        };
        let ok = !broke && !self.failed && !grpc.is_some_and(GrpcStatus::is_failure);
        if broke {
            let outcome = Outcome {
                latency: Duration::ZERO,
                ok,
            };
            self.upstream.done(self.loaded.picked(), outcome, now);
        }
        let target = self.loaded.target();
        self.upstream.shared.observe(target, ok, now);
        record(self.breakers, ok, now);
    }
}

pub(super) fn record(breakers: Breakers<'_>, ok: bool, now: Mono) {
    let permits = breakers.into_iter().flatten();
    permits.for_each(|permit| permit.record(ok, now));
}

/// Whether it is the upstream that failed, and not a limit of what may be sent to it.
pub(super) fn is_failure(code: Code) -> bool {
    matches!(
        code,
        Code::ConnectFailure
            | Code::ConnectTimeout
            | Code::UpstreamTls
            | Code::UpstreamCertificate
            | Code::UpstreamTimeout
            | Code::UpstreamReset
            | Code::UpstreamBadReply
            | Code::NoHealthyTarget
    )
}

/// A picked target, which has one exchange or connection more under way while this is held.
pub(crate) struct Loaded(Picked);

impl Loaded {
    /// Counts one more.
    pub(crate) fn begin(picked: Picked) -> Loaded {
        picked.target().load.begin();
        Loaded(picked)
    }

    pub(crate) fn picked(&self) -> &Picked {
        &self.0
    }

    pub(crate) fn target(&self) -> &Target {
        self.0.target()
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.0.target().load.end();
    }
}
