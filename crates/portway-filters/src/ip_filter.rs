//! `ip_filter`: which client addresses may come in.
//!
//! Must hold: `deny` wins; with anything in `allow`, whoever is not in it stays out. The address is the
//! one after trusted proxies, so a client cannot choose it by sending a header.

mod set;

pub use set::{IpSet, caller};

use std::sync::Arc;

use ipnet::IpNet;
use portway_config::{Decode, Node, config};
use portway_core::Code;
use portway_filter::{Built, Compile, Filter, FilterKind, Flow, Hooks, Phase, Scope, Step};
use portway_http::Exchange;

config! {
    /// Lets in clients by their address.
    pub struct IpFilterConfig {
        /// Only these networks and addresses come in; empty for all.
        pub allow: Vec<IpNet> = Vec::new(),
        /// These stay out, also where `allow` names them.
        pub deny: Vec<IpNet> = Vec::new(),
    }
}

/// How the config names it and makes it.
#[must_use]
pub fn kind() -> FilterKind {
    FilterKind {
        name: "ip_filter",
        summary: "Lets in or keeps out clients by their address.",
        phase: Phase::Admission,
        scopes: &[Scope::Global, Scope::Route, Scope::Listener],
        schema: IpFilterConfig::schema,
        compile,
    }
}

fn compile(node: &Node, cx: &mut Compile<'_>) -> Option<Built> {
    let config = IpFilterConfig::decode(node, cx.diagnostics)?;
    let lists = |key| {
        node.find(key)
            .and_then(Node::items)
            .is_some_and(|i| !i.is_empty())
    };
    if !lists("allow") && !lists("deny") {
        let hint = "list networks in `allow` or `deny`, or remove the filter";
        cx.warn(&node.span, "this ip_filter lets everyone in", hint);
    }
    Some(Built::Filter(Arc::new(IpFilter::new(config))))
}

/// Which addresses may come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpFilter {
    allow: IpSet,
    deny: IpSet,
}

impl IpFilter {
    /// What the config says.
    #[must_use]
    pub fn new(config: IpFilterConfig) -> IpFilter {
        IpFilter {
            allow: IpSet::new(config.allow),
            deny: IpSet::new(config.deny),
        }
    }

    /// Whether this address may come in.
    #[must_use]
    pub fn lets_in(&self, ip: std::net::IpAddr) -> bool {
        !self.deny.contains(ip) && (self.allow.is_empty() || self.allow.contains(ip))
    }
}

impl Filter for IpFilter {
    fn hooks(&self) -> Hooks {
        Hooks::Request
    }

    fn on_request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if self.lets_in(exchange.client.ip) {
            return Step::Now(Flow::Continue);
        }
        Step::Now(Flow::stop(exchange.refuse(Code::IpDenied, "")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chain, exchange, problems, request};

    fn passes(yaml: &str, ip: &str) -> bool {
        let mut exchange = exchange(&[]);
        exchange.client.ip = ip.parse().unwrap();
        match request(&chain(kind(), yaml), &mut exchange) {
            None => true,
            Some(reply) => {
                assert_eq!(reply.status, 403);
                assert_eq!(exchange.notes.code, Some(Code::IpDenied));
                false
            }
        }
    }

    #[test]
    fn keeps_out_the_denied() {
        let yaml = "{deny: [203.0.113.0/24, 192.0.2.1]}";
        assert!(!passes(yaml, "203.0.113.9"));
        assert!(!passes(yaml, "::ffff:192.0.2.1"));
        assert!(passes(yaml, "192.0.2.2"));
    }

    #[test]
    fn keeps_out_whoever_is_not_allowed() {
        let yaml = "{allow: [10.0.0.0/8, 'fd00::/8']}";
        assert!(passes(yaml, "10.1.2.3"));
        assert!(passes(yaml, "fd12::1"));
        assert!(!passes(yaml, "192.0.2.2"));
        assert!(!passes(yaml, "2001:db8::1"));
    }

    #[test]
    fn lets_deny_win() {
        let yaml = "{allow: [10.0.0.0/8], deny: [10.9.0.0/16]}";
        assert!(passes(yaml, "10.1.0.1"));
        assert!(!passes(yaml, "10.9.0.1"));
    }

    #[test]
    fn says_what_is_wrong_with_a_config() {
        assert_eq!(
            problems(kind(), "allow: [10.0.0.0/33]\ndenny: []"),
            "t.yaml:1:9: error: expected an address range like 10.0.0.0/8 or fd00::/8, found \
             `10.0.0.0/33`\nt.yaml:2:1: error: unknown key `denny`\n  hint: did you mean `deny`?"
        );
        assert!(problems(kind(), "{}").contains("warning: this ip_filter lets everyone in"));
    }
}
