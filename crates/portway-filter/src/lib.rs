//! The filter contract: one step of policy on an exchange, in a phase.
//!
//! Must hold: a filter that does not wait allocates nothing; phases fix the order in which filters
//! run, whatever the order in which they were written. Never: a registry; the list of filter kinds is
//! a value built in `main` (`portway_filters::all`) and passed down.

mod breaker;
mod chain;
mod files;
mod forward;
mod kind;

pub use breaker::BreakerSettings;
pub use chain::{Chain, Entry};
pub use files::{Files, NoFiles, Service};
pub use forward::{BreakerPolicy, RetryOn, RetryPolicy};
pub use kind::{Built, Compile, FilterKind, LogSpec, MetricsPolicy, Scope};

use std::future::Future;
use std::pin::Pin;

use portway_http::{Exchange, Reply};

/// The answer of a hook: now, or later.
pub enum Step<'a, T = Flow> {
    /// Decided without waiting.
    Now(T),
    /// Decided when the future is done.
    Later(Pin<Box<dyn Future<Output = T> + 'a>>),
}

impl<T> Step<'_, T> {
    /// The answer, waiting for it if it must.
    pub async fn get(self) -> T {
        match self {
            Step::Now(answer) => answer,
            Step::Later(future) => future.await,
        }
    }
}

/// What a request filter decides.
#[derive(Debug)]
pub enum Flow {
    /// On to the next filter.
    Continue,
    /// No further: this is the reply. Response filters still see it.
    Stop(Box<Reply>),
}

impl Flow {
    /// Stops with this reply.
    #[must_use]
    pub fn stop(reply: Reply) -> Flow {
        Flow::Stop(Box::new(reply))
    }
}

/// Which hooks of a filter do something; the others are not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hooks {
    /// Only `on_request`.
    Request,
    /// Only `on_response`.
    Response,
    /// Both.
    Both,
}

/// One step of policy, shared by all workers: state is in atomics, and there is little of it.
pub trait Filter: Send + Sync {
    /// Which hooks do something.
    fn hooks(&self) -> Hooks;

    /// Sees the request before it is forwarded; may change it or answer it.
    fn on_request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let _ = exchange;
        Step::Now(Flow::Continue)
    }

    /// Sees every reply before it is sent, a target's or the gateway's; may change it.
    fn on_response<'a>(&'a self, exchange: &'a mut Exchange, reply: &'a mut Reply) -> Step<'a, ()> {
        let _ = (exchange, reply);
        Step::Now(())
    }
}

/// When a filter runs. The order of the variants is the order of the run on a request; replies pass
/// the response phases in their own order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// First, so that every later refusal carries the id.
    RequestId,
    /// Cheapest refusals before any work: addresses and sizes; and what the request is to all behind.
    Admission,
    /// Before authentication: a preflight carries no credentials (Fetch standard, 3.2.2).
    Cors,
    /// Who calls.
    Authentication,
    /// May they.
    Authorization,
    /// After authentication, so that a limit can be per caller.
    RateLimit,
    /// Changes to the request that only accepted requests are worth.
    Transform,
    /// Answers without a target.
    Cache,
    /// Not a hook: policy for the forward step (breaker, retry).
    Forward,
    /// After all that shapes a reply, before it is recorded.
    SecurityHeaders,
    /// Not a hook: policy for the end of the exchange (log, metrics, trace).
    Record,
}

impl Phase {
    /// Whether a second filter of the same kind would contradict the first rather than add to it: there
    /// is one request id, one answer to a preflight, one value of a security header. A route's filter
    /// then takes the place of the global one; elsewhere both run.
    #[must_use]
    pub fn has_one_answer(self) -> bool {
        matches!(
            self,
            Phase::RequestId | Phase::Cors | Phase::SecurityHeaders
        )
    }
}
