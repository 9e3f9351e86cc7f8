//! Whether a failed try is worth another.
//!
//! Must hold: a request that may have been acted on is repeated only if its method allows it
//! (RFC 9110, section 9.2.2) or the config says so; retries never exceed their budget, so that a failing
//! upstream is not buried under them. Pure.

use std::cell::Cell;
use std::time::Duration;

use http::Method;
use portway_core::{Code, Mono, ProxyError, Retry};
use portway_filter::RetryPolicy;
use portway_http::{Reply, grpc};

use crate::attempt::is_idempotent;

/// Whether the policy wants another try after this outcome.
#[must_use]
pub fn wants_retry(
    policy: &RetryPolicy,
    method: &Method,
    outcome: &Result<Reply, ProxyError>,
) -> bool {
    let repeatable = policy.non_idempotent || is_idempotent(method);
    match outcome {
        // Calls are all POST; whoever names their statuses has judged that they may be repeated.
        Ok(reply) if !policy.on.grpc.is_empty() && has_grpc_status(policy, reply) => true,
        Ok(reply) => repeatable && policy.on.statuses.contains(&reply.status.as_u16()),
        Err(error) if error.retry == Retry::Never => false,
        Err(error) if error.retry == Retry::IfIdempotent && !repeatable => false,
        Err(error) => {
            let named = match error.kind {
                Code::ConnectFailure
                | Code::ConnectTimeout
                | Code::UpstreamTls
                | Code::UpstreamCertificate => policy.on.connect_failure,
                Code::UpstreamReset | Code::UpstreamBadReply => policy.on.reset,
                Code::UpstreamTimeout => policy.on.timeout,
                _ => false,
            };
            named || policy.on.statuses.contains(&error.kind.status())
        }
    }
}

fn has_grpc_status(policy: &RetryPolicy, reply: &Reply) -> bool {
    grpc::status(&reply.headers).is_some_and(|status| policy.on.grpc.contains(status))
}

/// The pause before the next try: doubles each time, with full jitter
/// ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
#[must_use]
pub fn pause(policy: &RetryPolicy, retries_done: u8, random: f64) -> Duration {
    let doubled = policy
        .backoff_base
        .saturating_mul(1 << u32::from(retries_done).min(16));
    doubled
        .min(policy.backoff_max)
        .mul_f64(random.clamp(0.0, 1.0))
}

/// How many retries a worker may still spend on a route: each request earns a share of one, each retry
/// costs one; a few a second are always there, so that a quiet route can retry at all.
#[derive(Debug)]
pub struct Budget {
    /// Thousandths of a retry.
    left: Cell<i64>,
    refilled: Cell<Mono>,
}

impl Budget {
    const ONE: i64 = 1000;
    /// Always there: ten a second.
    const FLOOR_PER_SECOND: i64 = 10 * Budget::ONE;
    /// No more than this is saved up.
    const SAVED_MAX: i64 = 100 * Budget::ONE;

    /// A budget with its first second's worth.
    #[must_use]
    pub fn new(now: Mono) -> Budget {
        Budget {
            left: Cell::new(Budget::FLOOR_PER_SECOND),
            refilled: Cell::new(now),
        }
    }

    /// A request came.
    pub fn earn(&self, policy: &RetryPolicy) {
        if let Some(share) = policy.budget {
            let earned = (share * Budget::ONE as f64) as i64;
            self.left
                .set((self.left.get() + earned).min(Budget::SAVED_MAX));
        }
    }

    /// Whether one more retry may be made; it is then paid for.
    #[must_use]
    pub fn spend(&self, policy: &RetryPolicy, now: Mono) -> bool {
        if policy.budget.is_none() {
            return true;
        }
        let waited = i64::try_from(now.since(self.refilled.get()).as_millis()).unwrap_or(i64::MAX);
        let floor = waited
            .saturating_mul(Budget::FLOOR_PER_SECOND / 1000)
            .min(Budget::FLOOR_PER_SECOND);
        if floor >= Budget::ONE {
            self.refilled.set(now);
            self.left.set(
                self.left
                    .get()
                    .max(0)
                    .saturating_add(floor)
                    .min(Budget::SAVED_MAX),
            );
        }
        let may = self.left.get() >= Budget::ONE;
        if may {
            self.left.set(self.left.get() - Budget::ONE);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;
    use portway_core::GrpcStatuses;
    use portway_filter::RetryOn;
    use portway_http::Body;

    fn policy() -> RetryPolicy {
        RetryPolicy {
            retries_max: 2,
            on: RetryOn {
                statuses: vec![502, 503],
                connect_failure: true,
                reset: true,
                timeout: false,
                grpc: GrpcStatuses::default(),
            },
            budget: Some(0.2),
            per_try_timeout: None,
            backoff_base: Duration::from_millis(10),
            backoff_max: Duration::from_millis(25),
            non_idempotent: false,
        }
    }

    fn reply(status: u16) -> Result<Reply, ProxyError> {
        Ok(Reply::new(
            StatusCode::from_u16(status).unwrap(),
            Body::Empty,
        ))
    }

    fn error(kind: Code) -> Result<Reply, ProxyError> {
        Err(ProxyError::new(kind, ""))
    }

    #[test]
    fn repeats_only_what_may_be_repeated() {
        let p = policy();
        assert!(wants_retry(&p, &Method::GET, &reply(503)));
        assert!(!wants_retry(&p, &Method::GET, &reply(500)));
        assert!(!wants_retry(&p, &Method::POST, &reply(503)));
        assert!(wants_retry(&p, &Method::POST, &error(Code::ConnectFailure)));
        assert!(!wants_retry(&p, &Method::POST, &error(Code::UpstreamReset)));
        assert!(wants_retry(&p, &Method::GET, &error(Code::UpstreamReset)));
        assert!(!wants_retry(
            &p,
            &Method::GET,
            &error(Code::UpstreamTimeout)
        ));
        assert!(!wants_retry(&p, &Method::GET, &error(Code::ClientGone)));
        assert!(wants_retry(
            &RetryPolicy {
                non_idempotent: true,
                ..p
            },
            &Method::POST,
            &reply(503)
        ));
    }

    #[test]
    fn pauses_double_up_to_their_limit() {
        let p = policy();
        assert_eq!(pause(&p, 0, 1.0), Duration::from_millis(10));
        assert_eq!(pause(&p, 1, 1.0), Duration::from_millis(20));
        assert_eq!(pause(&p, 5, 1.0), Duration::from_millis(25));
        assert_eq!(pause(&p, 5, 0.0), Duration::ZERO);
    }

    #[test]
    fn a_storm_of_failures_gets_a_fifth_of_its_requests_again() {
        let p = policy();
        let now = Mono(1_000_000_000);
        let budget = Budget::new(now);
        let mut retried = 0;
        for _ in 0..1000 {
            budget.earn(&p);
            retried += u32::from(budget.spend(&p, now));
        }
        assert!((200..=211).contains(&retried), "{retried}");
    }

    #[test]
    fn a_quiet_route_can_always_retry_a_little() {
        let p = policy();
        let budget = Budget::new(Mono(0));
        while budget.spend(&p, Mono(0)) {}
        assert!(budget.spend(&p, Mono(1_000_000_000)));
    }
}
