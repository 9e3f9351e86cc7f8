//! `body_limit`: the most octets a request body may have.
//!
//! Must hold: a declared length past the limit is refused before anything is read; a body without one
//! is counted while it streams (the forward step does, by `Exchange::body_bytes_max`). Never: raises
//! the limit of the listener.

use std::sync::Arc;

use portway_config::{Decode, Node, Size, Spanned, config};
use portway_core::Code;
use portway_filter::{Built, Compile, Filter, FilterKind, Flow, Hooks, Phase, Step};
use portway_http::{BodyLength, Exchange};

config! {
    /// Refuses request bodies that are too large.
    pub struct BodyLimitConfig {
        /// The most octets a request body may have. Where the listener allows less, that counts.
        pub max: Spanned<Size>,
    }
}

/// How the config names it and makes it.
#[must_use]
pub fn kind() -> FilterKind {
    FilterKind {
        name: "body_limit",
        summary: "Refuses request bodies that are too large.",
        phase: Phase::Admission,
        scopes: &[],
        schema: BodyLimitConfig::schema,
        compile,
    }
}

fn compile(node: &Node, cx: &mut Compile<'_>) -> Option<Built> {
    let config = BodyLimitConfig::decode(node, cx.diagnostics)?;
    if config.max.is_empty() {
        let hint = "set at least 1B, or remove the filter";
        cx.error(config.max.span(), "0 would refuse every request body", hint);
        return None;
    }
    Some(Built::Filter(Arc::new(BodyLimit {
        body_bytes_max: config.max.bytes(),
    })))
}

struct BodyLimit {
    body_bytes_max: u64,
}

impl Filter for BodyLimit {
    fn hooks(&self) -> Hooks {
        Hooks::Request
    }

    fn on_request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let max = match exchange.body_bytes_max {
            0 => self.body_bytes_max,
            listener => listener.min(self.body_bytes_max),
        };
        exchange.body_bytes_max = max;
        match exchange.body.length() {
            BodyLength::Exact(bytes) if bytes > max => {
                let detail = format!("the body may have at most {max} bytes");
                Step::Now(Flow::stop(exchange.refuse(Code::PayloadTooLarge, &detail)))
            }
            _ => Step::Now(Flow::Continue),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chain, exchange, problems, request};
    use portway_http::Body;

    fn status_of(bytes: usize) -> Option<u16> {
        let mut exchange = exchange(&[]);
        exchange.body = Body::from(vec![0; bytes]);
        request(&chain(kind(), "{max: 1KiB}"), &mut exchange).map(|r| r.status.as_u16())
    }

    #[test]
    fn refuses_a_declared_length_past_the_limit() {
        assert_eq!(status_of(1024), None);
        assert_eq!(status_of(1025), Some(413));
    }

    #[test]
    fn lowers_the_limit_for_bodies_without_a_length_and_never_raises_it() {
        let chain = chain(kind(), "{max: 1KiB}");
        for (before, after) in [(0, 1024), (5000, 1024), (100, 100)] {
            let mut exchange = exchange(&[]);
            exchange.body_bytes_max = before;
            assert!(request(&chain, &mut exchange).is_none());
            assert_eq!(exchange.body_bytes_max, after);
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_config() {
        assert_eq!(
            problems(kind(), "max: 0"),
            "t.yaml:1:6: error: 0 would refuse every request body\n  \
             hint: set at least 1B, or remove the filter"
        );
        assert!(problems(kind(), "{}").contains("the key `max` is missing"));
        assert!(problems(kind(), "max: 10 bananas").contains("expected a size like 64KiB"));
    }
}
