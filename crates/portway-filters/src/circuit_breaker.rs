//! `circuit_breaker`: stops sending to targets that fail, for a while. What it says is policy; the
//! forward step acts on it.
//!
//! Must hold: the short form (`threshold`, `timeout`) and the full one mean the same thing and are not
//! mixed; a breaker that nothing opens is an error, not a surprise.

use std::time::Duration;

use portway_config::{Decode, Node, Percent, Spanned, config};
use portway_filter::{BreakerPolicy, BreakerSettings, Built, Compile, FilterKind, Phase};

config! {
    /// Stops sending to targets that fail, for a while.
    pub struct CircuitBreakerConfig {
        /// Short for `failure_threshold`.
        pub threshold: Option<Spanned<u32>>,
        /// Short for `open_for`.
        pub timeout: Option<Spanned<Duration>>,
        /// So many failures in a row open the circuit. Default 5, unless `failure_rate` is set.
        pub failure_threshold: Option<Spanned<u32>>,
        /// This share of failures in the window opens the circuit.
        pub failure_rate: Option<Spanned<Percent>>,
        /// With fewer requests in the window the rate says nothing.
        pub minimum_requests: Spanned<u32> = 20,
        /// The window of the rate.
        pub window: Spanned<Duration> = Duration::from_secs(10),
        /// How long the circuit stays open before it lets probes through. Default 30s.
        pub open_for: Option<Spanned<Duration>>,
        /// So many probes are let through at once when half open; that many successes close the
        /// circuit, one failure opens it again.
        pub half_open_requests: Spanned<u32> = 3,
    }
}

/// How the config names it and makes it.
#[must_use]
pub fn kind() -> FilterKind {
    FilterKind {
        name: "circuit_breaker",
        summary: "Stops sending to targets that fail, for a while.",
        phase: Phase::Forward,
        scopes: &[],
        schema: CircuitBreakerConfig::schema,
        compile,
    }
}

fn compile(node: &Node, cx: &mut Compile<'_>) -> Option<Built> {
    let config = CircuitBreakerConfig::decode(node, cx.diagnostics)?;
    policy(&config, cx.diagnostics).map(Built::Breaker)
}

/// The policy that a config means; `None` after a problem was noted.
pub fn policy(
    config: &CircuitBreakerConfig,
    problems: &mut portway_core::Diagnostics,
) -> Option<BreakerPolicy> {
    let mut good = true;
    let mut wrong = |span: &portway_core::Span, what: &str, hint: &str| {
        problems.error(span, what, hint);
        good = false;
    };
    if let (Some(short), Some(_)) = (&config.threshold, &config.failure_threshold) {
        wrong(
            short.span(),
            "`threshold` is short for `failure_threshold`",
            "keep one of the two",
        );
    }
    if let (Some(short), Some(_)) = (&config.timeout, &config.open_for) {
        wrong(
            short.span(),
            "`timeout` is short for `open_for`",
            "keep one of the two",
        );
    }
    let threshold = config
        .failure_threshold
        .as_ref()
        .or(config.threshold.as_ref());
    if let Some(zero) = threshold.filter(|t| t.value() == 0) {
        wrong(
            zero.span(),
            "0 failures in a row are always there",
            "set at least 1",
        );
    }
    let settings = BreakerSettings {
        failure_threshold: threshold.map(Spanned::value),
        failure_rate: config.failure_rate.as_ref(),
        minimum_requests: Some(config.minimum_requests.value()),
        window: Some(&config.window),
        open_for: config.open_for.as_ref().or(config.timeout.as_ref()),
        half_open_requests: Some(&config.half_open_requests),
    };
    settings.policy(problems).filter(|_| good)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{built, problems};

    fn policy_of(yaml: &str) -> BreakerPolicy {
        match built(kind(), yaml) {
            Built::Breaker(policy) => policy,
            _ => panic!("not a breaker"),
        }
    }

    #[test]
    fn reads_the_short_form_as_the_full_one() {
        let short = policy_of("{threshold: 7, timeout: 5s}");
        assert_eq!(short, policy_of("{failure_threshold: 7, open_for: 5s}"));
        assert_eq!(
            (short.failure_threshold, short.open_for),
            (7, Duration::from_secs(5))
        );
    }

    #[test]
    fn opens_after_five_failures_unless_told_otherwise() {
        let policy = policy_of("{}");
        assert_eq!((policy.failure_threshold, policy.failure_rate), (5, None));
        assert_eq!(policy.open_for, Duration::from_secs(30));
    }

    #[test]
    fn goes_by_the_rate_alone_if_only_a_rate_is_set() {
        let policy = policy_of("{failure_rate: 50%, minimum_requests: 10, window: 30s}");
        assert_eq!(
            (policy.failure_threshold, policy.failure_rate),
            (0, Some(0.5))
        );
        assert_eq!(
            (policy.minimum_requests, policy.window),
            (10, Duration::from_secs(30))
        );
        let both = policy_of("{failure_rate: 50%, failure_threshold: 3}");
        assert_eq!((both.failure_threshold, both.failure_rate), (3, Some(0.5)));
    }

    #[test]
    fn says_what_is_wrong_with_a_config() {
        assert_eq!(
            problems(kind(), "threshold: 0\nfailure_threshold: 5\ntimeout: 0s"),
            "t.yaml:1:12: error: `threshold` is short for `failure_threshold`\n  \
             hint: keep one of the two\n\
             t.yaml:3:10: error: a circuit open for no time is never open\n  \
             hint: set a time, as in 30s"
        );
        assert!(problems(kind(), "treshold: 5").contains("did you mean `threshold`?"));
        assert!(problems(kind(), "timeout: 30").contains("add the unit, such as s for seconds"));
        assert!(problems(kind(), "half_open_requests: 0").contains("never close again"));
        assert!(problems(kind(), "failure_rate: 0%").contains("always reached"));
    }
}
