//! `rate_limit`: at most so many requests in a time, for a route, an address or a caller.
//!
//! Must hold: one count for all workers, exact; a decision takes no lock for a whole route and one
//! short lock for a key; memory is bounded whatever clients send; a refusal says when to come back.
//! A caller who could be counted by a header or an identity but shows none is counted by address.

mod gcra;
mod key;
mod table;
mod tell;

use std::sync::Arc;
use std::time::Duration;

use portway_config::decode::was_refused;
use portway_config::{Decode, Node, Spanned, choice, config};
use portway_core::{Clock, Code, Mono};
use portway_filter::{Built, Compile, Filter, FilterKind, Flow, Hooks, Phase, Scope, Step};
use portway_http::{Exchange, Reply};

pub use gcra::{Bucket, Quota, RATE_MAX, Rest, Verdict};
pub use key::Key;
pub use table::Table;
use tell::Tell;

config! {
    /// Lets at most so many requests through in a time.
    pub struct RateLimitConfig {
        /// How requests are counted.
        pub algorithm: Algorithm = Algorithm::TokenBucket,
        /// Requests per second; may be a fraction.
        pub qps: Option<Spanned<f64>>,
        /// Requests per `window`, in place of `qps`.
        pub limit: Option<Spanned<u64>>,
        /// The time that `limit` is for.
        pub window: Option<Spanned<Duration>>,
        /// Requests that may come at once. Default `qps` (at least 1), or `limit`.
        pub burst: Option<Spanned<u64>>,
        /// What is counted apart: `route` (all requests of the route, or under `global_filters` of the
        /// gateway), `client_ip` (an IPv6 /64 is one client), `header:NAME`, `consumer` or `path`.
        pub key: Key = Key::Route,
        /// Where the count is kept.
        pub scope: Store = Store::Local,
        /// What to do when a shared count cannot be reached; of no effect while `scope` is local.
        pub on_store_failure: OnStoreFailure = OnStoreFailure::Allow,
        /// How replies tell what is left.
        pub headers: Form = Form::Draft,
    }
}

choice! {
    /// How requests are counted.
    #[later("leaky_bucket", "sliding_window", "fixed_window")]
    pub enum Algorithm {
        /// A bucket that holds `burst` tokens and gains `qps` a second; each request takes one.
        TokenBucket = "token_bucket",
    }
}

choice! {
    /// Where the count is kept.
    #[later("cluster")]
    pub enum Store {
        /// In this process.
        Local = "local",
    }
}

choice! {
    /// What to do when a shared count cannot be reached.
    pub enum OnStoreFailure {
        /// Let requests pass.
        Allow = "allow",
        /// Refuse them.
        Deny = "deny",
        /// Count in this process.
        Local = "local",
    }
}

choice! {
    /// How replies tell what is left.
    pub enum Form {
        /// `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10).
        Draft = "draft",
        /// `X-RateLimit-Limit`, `X-RateLimit-Remaining`, `X-RateLimit-Reset` (seconds).
        X = "x",
        /// Not at all; a refusal still says `Retry-After`.
        Off = "off",
    }
}

/// How the config names it and makes it.
#[must_use]
pub fn kind() -> FilterKind {
    FilterKind {
        name: "rate_limit",
        summary: "Lets at most so many requests through in a time.",
        phase: Phase::RateLimit,
        scopes: &[Scope::Global, Scope::Route, Scope::Listener],
        schema: RateLimitConfig::schema,
        compile,
    }
}

fn compile(node: &Node, cx: &mut Compile<'_>) -> Option<Built> {
    let config = RateLimitConfig::decode(node, cx.diagnostics)?;
    let quota = quota(&config, node, cx)?;
    if cx.scope == Scope::Listener && !matches!(config.key, Key::Route | Key::ClientIp) {
        let at = node.find("key").map_or(&node.span, |key| &key.span);
        let what = format!("connections have no {} to count by", config.key.as_str());
        let hint = "use `key: client_ip`, or leave it out to count the listener's connections";
        cx.error(at, what, hint);
        return None;
    }
    let name = match (cx.scope, &config.key) {
        (Scope::Route | Scope::Listener, key) => key.as_str().to_owned(),
        (Scope::Global, Key::Route) => "global".to_owned(),
        (Scope::Global, key) => format!("global-{}", key.as_str()),
    };
    let buckets = match config.key {
        Key::Route => Buckets::One(Bucket::default()),
        _ => Buckets::PerKey(Box::default()),
    };
    Some(Built::Filter(Arc::new(RateLimit {
        quota,
        key: config.key,
        buckets,
        tell: Tell::new(config.headers, &name, &quota),
        clock: cx.clock.clone(),
    })))
}

fn quota(config: &RateLimitConfig, node: &Node, cx: &mut Compile<'_>) -> Option<Quota> {
    let (rate, burst, span) = match (&config.qps, &config.limit, &config.window) {
        (Some(qps), None, None) => (qps.value(), qps.ceil().max(1.0) as u64, qps.span()),
        (None, Some(limit), Some(window)) => {
            let rate = limit.value() as f64 / window.as_secs_f64();
            (rate, limit.value(), limit.span())
        }
        _ => {
            let refused = was_refused(node, "qps", &config.qps)
                || was_refused(node, "limit", &config.limit)
                || was_refused(node, "window", &config.window);
            if !refused {
                let hint = "set either `qps`, or `limit` and `window`";
                cx.error(&node.span, "it is not clear how much may pass", hint);
            }
            return None;
        }
    };
    let burst = config.burst.as_ref().map_or(burst, Spanned::value);
    if burst == 0 {
        let at = config.burst.as_ref().map_or(span, Spanned::span);
        cx.error(at, "0 would refuse every request", "set at least 1");
        return None;
    }
    let quota = Quota::new(rate, burst);
    if quota.is_none() {
        let hint = format!("use a rate above 0 and at most {RATE_MAX} a second");
        cx.error(span, "this rate cannot be kept", hint);
    }
    quota
}

enum Buckets {
    One(Bucket),
    PerKey(Box<Table>),
}

struct RateLimit {
    quota: Quota,
    key: Key,
    buckets: Buckets,
    tell: Option<Tell>,
    clock: Clock,
}

impl RateLimit {
    fn decide(&self, exchange: &Exchange, now: Mono) -> Verdict {
        match &self.buckets {
            Buckets::One(bucket) => bucket.take(&self.quota, now),
            Buckets::PerKey(table) => self.key.take(table, &self.quota, exchange, now),
        }
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn rest(&self, exchange: &Exchange) -> Option<Rest> {
        match &self.buckets {
            Buckets::One(bucket) => Some(bucket.rest(&self.quota, exchange.seen_at)),
            Buckets::PerKey(_) => {
                let mut marks = exchange.marks.iter();
                let mine = marks.find(|(filter, _)| *filter == self.address());
                mine.map(|(_, full_in_ns)| self.quota.rest(*full_in_ns))
            }
        }
    }

    /// Leaves what a keyed limit decided for the response hook. Looking the key up again could find
    /// another: filters change headers in between.
    fn remember(&self, exchange: &mut Exchange, verdict: Verdict) {
        if self.tell.is_some() && matches!(self.buckets, Buckets::PerKey(_)) {
            let full_in_ns = match verdict {
                Verdict::Pass { full_in_ns } => full_in_ns,
                Verdict::Refuse { after_ns } => self.quota.full_in(after_ns),
            };
            exchange.marks.push((self.address(), full_in_ns));
        }
    }
}

impl Filter for RateLimit {
    fn hooks(&self) -> Hooks {
        if self.tell.is_some() {
            Hooks::Both
        } else {
            Hooks::Request
        }
    }

    fn on_request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        // Whoever may pass when the first byte came may pass now: the clock is read only to refuse.
        let mut verdict = self.decide(exchange, exchange.started);
        if let Verdict::Refuse { .. } = verdict {
            verdict = self.decide(exchange, self.clock.now().max(exchange.started));
        }
        self.remember(exchange, verdict);
        let Verdict::Refuse { after_ns } = verdict else {
            return Step::Now(Flow::Continue);
        };
        let after_s = after_ns.div_ceil(1_000_000_000).max(1);
        let detail = format!("try again in {after_s} s");
        let reply = exchange.refuse(Code::RateLimited, &detail);
        let retry_after = http::HeaderValue::from(after_s);
        Step::Now(Flow::stop(
            reply.with_header(http::header::RETRY_AFTER, retry_after),
        ))
    }

    fn on_response<'a>(&'a self, exchange: &'a mut Exchange, _: &'a mut Reply) -> Step<'a, ()> {
        if let Some(tell) = &self.tell
            && let Some(rest) = self.rest(exchange)
        {
            tell.write(rest, &mut exchange.own_fields);
        }
        Step::Now(())
    }
}

#[cfg(test)]
mod tests;
