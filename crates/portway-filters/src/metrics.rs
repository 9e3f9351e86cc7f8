//! `metrics`: whether exchanges are counted, and the prefix of the metrics' names. What it says is
//! policy; the end of the exchange acts on it.

use portway_config::{Decode, Node, Spanned, config};
use portway_filter::{Built, Compile, FilterKind, MetricsPolicy, Phase, Scope};

config! {
    /// Counts exchanges for Prometheus.
    pub struct MetricsConfig {
        /// Whether exchanges are counted.
        pub enabled: bool = true,
        /// The prefix of every metric's name.
        pub namespace: Spanned<String> = "portway".to_owned(),
    }
}

/// How the config names it and makes it.
#[must_use]
pub fn kind() -> FilterKind {
    FilterKind {
        name: "metrics",
        summary: "Counts exchanges for Prometheus.",
        phase: Phase::Record,
        scopes: &[Scope::Global],
        schema: MetricsConfig::schema,
        compile,
    }
}

fn compile(node: &Node, cx: &mut Compile<'_>) -> Option<Built> {
    let config = MetricsConfig::decode(node, cx.diagnostics)?;
    if !is_metric_name(&config.namespace) {
        let what = "the namespace cannot begin a metric's name";
        cx.error(
            config.namespace.span(),
            what,
            "use letters, digits and `_`, not a digit first",
        );
        return None;
    }
    Some(Built::Metrics(MetricsPolicy {
        enabled: config.enabled,
        namespace: config.namespace.as_str().into(),
    }))
}

/// <https://prometheus.io/docs/concepts/data_model/>, without the colon, which is for recording rules.
fn is_metric_name(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.bytes().all(word) && text.starts_with(|c: char| !c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{built, problems};

    fn policy(yaml: &str) -> (bool, String) {
        match built(kind(), yaml) {
            Built::Metrics(policy) => (policy.enabled, policy.namespace.to_string()),
            _ => panic!("not metrics"),
        }
    }

    #[test]
    fn counts_under_the_name_it_is_told() {
        assert_eq!(policy("{}"), (true, "portway".into()));
        assert_eq!(
            policy("{enabled: false, namespace: edge_1}"),
            (false, "edge_1".into())
        );
    }

    #[test]
    fn says_what_is_wrong_with_a_config() {
        assert_eq!(
            problems(kind(), "namespace: my-gateway\nenable: true"),
            "t.yaml:1:12: error: the namespace cannot begin a metric's name\n  \
             hint: use letters, digits and `_`, not a digit first\n\
             t.yaml:2:1: error: unknown key `enable`\n  hint: did you mean `enabled`?"
        );
        assert!(problems(kind(), "namespace: 9a").contains("cannot begin"));
        assert!(problems(kind(), "namespace: ''").contains("cannot begin"));
    }
}
