//! `retry`: when a failed try is made again. What it says is policy; the forward step acts on it,
//! under the rules of idempotency that no config switches off by accident.
//!
//! Must hold: retries are bounded by count and, unless switched off, by a budget, so that a failing
//! upstream is not buried under them.

use std::time::Duration;

use portway_config::decode::{suggest, wrong};
use portway_config::{Decode, Node, Percent, Scalar, Schema, Spanned, config};
use portway_core::{Diagnostics, GrpcStatus, Span};
use portway_filter::{Built, Compile, FilterKind, Phase, RetryOn, RetryPolicy};
use serde_json::{Value, json};

use crate::OrOff;

/// More tries than this only multiply the load on what already fails.
const RETRIES_MAX: u8 = 10;

config! {
    /// Makes a failed try again, on another target if there is one.
    pub struct RetryConfig {
        /// Tries after the first.
        pub max_retries: Spanned<u8> = 2,
        /// What is worth another try: statuses (502), `5xx`, `gateway_error` (502, 503, 504),
        /// `connect_failure`, `reset` (the connection broke before the reply), `timeout`, and for gRPC
        /// calls their status (`cancelled`, `deadline-exceeded`, `internal`, `resource-exhausted`,
        /// `unavailable`). Default connect_failure, reset, 502, 503, 504.
        pub retry_on: Option<Vec<Reason>>,
        /// Retries may be at most this share of the requests; `off` for no such bound.
        pub budget: OrOff<Percent> = Some(Percent::new(20.0)),
        /// How long one try may take until the reply's head; without it only the whole time counts.
        pub per_try_timeout: Option<Spanned<Duration>>,
        /// The pause before a retry.
        pub backoff: Option<Backoff>,
        /// Also retries methods that are not idempotent (POST, PATCH) when the target may have seen
        /// the request. Such a target may then do the work twice.
        pub non_idempotent: bool = false,
    }
}

config! {
    /// The pause before a retry: random between nothing and a bound that doubles with each retry.
    pub struct Backoff {
        /// The first bound.
        pub base: Spanned<Duration> = Duration::from_millis(25),
        /// The last bound.
        pub max: Spanned<Duration> = Duration::from_millis(250),
    }
}

/// One item of `retry_on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The target answered with this status.
    Status(u16),
    /// Any status from 500 on.
    ServerError,
    /// 502, 503 or 504.
    GatewayError,
    /// The connection could not be made.
    ConnectFailure,
    /// The connection broke before the reply's head was complete.
    Reset,
    /// No reply head in time.
    Timeout,
    /// A gRPC call ended so.
    Grpc(GrpcStatus),
}

const WORDS: [(&str, Reason); 5] = [
    ("connect_failure", Reason::ConnectFailure),
    ("reset", Reason::Reset),
    ("timeout", Reason::Timeout),
    ("5xx", Reason::ServerError),
    ("gateway_error", Reason::GatewayError),
];

/// Statuses of gRPC calls that another target may well answer otherwise.
const GRPC_WORDS: [&str; 5] = [
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

/// Worth another try unless the config says otherwise.
const DEFAULT: [Reason; 3] = [Reason::ConnectFailure, Reason::Reset, Reason::GatewayError];

impl Decode for Reason {
    type Plain = Reason;

    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<Reason> {
        if let Some(Scalar::Int(status)) = node.scalar() {
            let status = u16::try_from(status)
                .ok()
                .filter(|s| (400..600).contains(s));
            if status.is_none() {
                wrong(node, "an error status from 400 to 599", problems);
            }
            return status.map(Reason::Status);
        }
        let Some(text) = node.text() else {
            wrong(node, "a status or a word", problems);
            return None;
        };
        let known = WORDS.iter().find(|(word, _)| *word == text);
        let grpc = || {
            let known = GRPC_WORDS.contains(&text);
            GrpcStatus::find(text).filter(|_| known).map(Reason::Grpc)
        };
        let found = known.map(|(_, reason)| *reason).or_else(grpc);
        if found.is_none() {
            let what = format!("{} is not a reason to retry", node.describe());
            problems.error(&node.span, what, suggest(text, &words()));
        }
        found
    }

    fn schema() -> Schema {
        json!({ "anyOf": [{ "type": "integer", "minimum": 400, "maximum": 599 }, { "enum": words() }] })
    }

    fn from_plain(plain: Reason, _: &Span) -> Reason {
        plain
    }

    fn to_json(&self) -> Value {
        match self {
            Reason::Status(status) => (*status).into(),
            Reason::Grpc(status) => status.name().into(),
            word => WORDS
                .iter()
                .find(|(_, r)| r == word)
                .map(|(w, _)| *w)
                .into(),
        }
    }
}

fn words() -> Vec<&'static str> {
    let words = WORDS.iter().map(|(word, _)| *word);
    words.chain(GRPC_WORDS).collect()
}

/// How the config names it and makes it.
#[must_use]
pub fn kind() -> FilterKind {
    FilterKind {
        name: "retry",
        summary: "Makes a failed try again, on another target if there is one.",
        phase: Phase::Forward,
        scopes: &[],
        schema: RetryConfig::schema,
        compile,
    }
}

fn compile(node: &Node, cx: &mut Compile<'_>) -> Option<Built> {
    let config = RetryConfig::decode(node, cx.diagnostics)?;
    let mut good = true;
    let mut wrong = |span: &Span, what: &str, hint: &str| {
        cx.error(span, what, hint);
        good = false;
    };
    if config.max_retries.value() > RETRIES_MAX {
        let what = "more than 10 retries bury a target that already fails";
        wrong(config.max_retries.span(), what, "set at most 10");
    }
    if let Some(zero) = config.per_try_timeout.as_ref().filter(|d| d.is_zero()) {
        wrong(
            zero.span(),
            "a try without time always fails",
            "set a time, as in 2s",
        );
    }
    let backoff = config.backoff.unwrap_or_else(portway_config::defaults);
    if backoff.base.value() > backoff.max.value() {
        let hint = "make `max` at least as long as `base`";
        wrong(
            backoff.base.span(),
            "the first pause is longer than the longest",
            hint,
        );
    }
    if config.budget.value().is_some_and(|b| b.percent() == 0.0) {
        let hint = "raise it, or write `off` for no budget";
        wrong(&node.span, "a budget of 0% allows no retry", hint);
    }
    good.then(|| {
        Built::Retry(RetryPolicy {
            retries_max: config.max_retries.value(),
            on: retry_on(config.retry_on.as_deref().unwrap_or(&DEFAULT)),
            budget: config.budget.value().map(|b| b.fraction()),
            per_try_timeout: config.per_try_timeout.map(|d| d.value()),
            backoff_base: backoff.base.value(),
            backoff_max: backoff.max.value(),
            non_idempotent: config.non_idempotent,
        })
    })
}

fn retry_on(reasons: &[Reason]) -> RetryOn {
    let mut on = RetryOn::default();
    for reason in reasons {
        match reason {
            Reason::Status(status) => on.statuses.push(*status),
            Reason::ServerError => on.statuses.extend(500..600),
            Reason::GatewayError => on.statuses.extend(502..=504),
            Reason::ConnectFailure => on.connect_failure = true,
            Reason::Reset => on.reset = true,
            Reason::Timeout => on.timeout = true,
            Reason::Grpc(status) => on.grpc.insert(*status),
        }
    }
    on.statuses.sort_unstable();
    on.statuses.dedup();
    on
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{built, problems};
    use portway_core::GrpcStatuses;

    fn policy(yaml: &str) -> RetryPolicy {
        match built(kind(), yaml) {
            Built::Retry(policy) => policy,
            _ => panic!("not a retry policy"),
        }
    }

    #[test]
    fn retries_what_is_usually_worth_it() {
        let policy = policy("{}");
        let on = RetryOn {
            statuses: vec![502, 503, 504],
            connect_failure: true,
            reset: true,
            timeout: false,
            grpc: GrpcStatuses::default(),
        };
        assert_eq!((policy.retries_max, policy.on), (2, on));
        assert_eq!(policy.budget, Some(0.2));
        assert!(!policy.non_idempotent);
    }

    #[test]
    fn retries_only_what_is_listed() {
        let on = policy("{retry_on: [503, 502, 503, timeout]}").on;
        assert_eq!(on.statuses, [502, 503]);
        assert!(on.timeout && !on.reset && !on.connect_failure);
        assert_eq!(
            policy("{retry_on: [5xx, gateway_error]}").on.statuses.len(),
            100
        );
        assert_eq!(policy("{retry_on: []}").on, RetryOn::default());
        let grpc = policy("{retry_on: [unavailable, cancelled]}").on.grpc;
        let named = GrpcStatus::all().filter(|status| grpc.contains(*status));
        assert_eq!(named.map(GrpcStatus::code).collect::<Vec<_>>(), [1, 14]);
    }

    #[test]
    fn reads_all_keys() {
        let policy = policy(
            "{max_retries: 3, budget: off, per_try_timeout: 2s, non_idempotent: true,\n\
             backoff: {base: 10ms, max: 1s}}",
        );
        assert_eq!((policy.retries_max, policy.budget), (3, None));
        assert_eq!(policy.per_try_timeout, Some(Duration::from_secs(2)));
        assert_eq!(policy.backoff_base, Duration::from_millis(10));
        assert_eq!(policy.backoff_max, Duration::from_secs(1));
        assert!(policy.non_idempotent);
    }

    #[test]
    fn says_what_is_wrong_with_a_config() {
        assert_eq!(
            problems(
                kind(),
                "max_retries: 11\nretry_on: [502, 200, conect_failure]"
            ),
            "t.yaml:1:14: error: more than 10 retries bury a target that already fails\n  \
             hint: set at most 10\n\
             t.yaml:2:17: error: expected an error status from 400 to 599, found the number 200\n\
             t.yaml:2:22: error: `conect_failure` is not a reason to retry\n  \
             hint: did you mean `connect_failure`?"
        );
        assert!(problems(kind(), "budget: 0%").contains("allows no retry"));
        assert!(problems(kind(), "backoff: {base: 1s}").contains("longer than the longest"));
        assert!(problems(kind(), "per_try_timeout: 0s").contains("always fails"));
    }
}
