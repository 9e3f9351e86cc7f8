//! `request_id`: gives every exchange an id that its log line, its reply and the target share.
//!
//! Must hold: an id from outside is taken over only when the config says so and the peer is a trusted
//! proxy (CVE-2026-31908); it is short and cannot break a log line. The forward step writes the id to
//! the target's request; this filter writes it to the reply.

use std::sync::Arc;

use http::HeaderName;
use portway_config::{Decode, Node, Spanned, config};
use portway_filter::{Built, Compile, Filter, FilterKind, Hooks, Phase, Step};
use portway_http::{Exchange, Reply, RequestId};

use crate::names::{header_name, remove_twins};

/// The header that everyone uses.
static USUAL: HeaderName = HeaderName::from_static("x-request-id");

config! {
    /// Gives every request an id.
    pub struct RequestIdConfig {
        /// The header that carries the id to the target and back to the client.
        pub header: Spanned<String> = "X-Request-ID".to_owned(),
        /// Takes over the id that a trusted proxy (the listener's `trusted_proxies`) sent.
        pub trust_incoming: bool = false,
    }
}

/// How the config names it and makes it.
#[must_use]
pub fn kind() -> FilterKind {
    FilterKind {
        name: "request_id",
        summary: "Gives every request an id, for the log, the reply and the target.",
        phase: Phase::RequestId,
        scopes: &[],
        schema: RequestIdConfig::schema,
        compile,
    }
}

fn compile(node: &Node, cx: &mut Compile<'_>) -> Option<Built> {
    let config = RequestIdConfig::decode(node, cx.diagnostics)?;
    let header = header_name(&config.header, cx.diagnostics)?;
    Some(Built::Filter(Arc::new(RequestIdFilter {
        unusual: (header != USUAL).then(|| header.clone()),
        header,
        trust_incoming: config.trust_incoming,
    })))
}

struct RequestIdFilter {
    header: HeaderName,
    /// The header again, if it is not the usual one.
    unusual: Option<HeaderName>,
    trust_incoming: bool,
}

impl RequestIdFilter {
    fn incoming(&self, exchange: &Exchange) -> Option<RequestId> {
        if !self.trust_incoming || !exchange.client.trusted {
            return None;
        }
        let mut values = exchange.request.headers.get_all(&self.header).iter();
        let only = values.next().filter(|_| values.next().is_none())?;
        RequestId::parse(only.as_bytes())
    }
}

impl Filter for RequestIdFilter {
    fn hooks(&self) -> Hooks {
        Hooks::Both
    }

    fn on_request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        exchange.request_id = self.incoming(exchange).unwrap_or_else(|| {
            let unix_ms = exchange.started_wall_ns / 1_000_000;
            // Unique is enough: an id is no secret. The generator is the thread's own, seeded from
            // the system's randomness.
            RequestId::v7(unix_ms, fastrand::u128(..))
        });
        if let Some(unusual) = &self.unusual {
            // Twins of the usual one never get this far.
            remove_twins(&mut exchange.request.headers, unusual);
        }
        exchange.request_id_header.clone_from(&self.unusual);
        Step::Now(portway_filter::Flow::Continue)
    }

    fn on_response<'a>(&'a self, exchange: &'a mut Exchange, _: &'a mut Reply) -> Step<'a, ()> {
        let id = exchange.request_id;
        if id.is_none() {
            return Step::Now(()); // another filter's id, or a reply to nothing that could be read
        }
        exchange.own_fields.set(&self.header, &[id.as_bytes()]);
        Step::Now(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chain, exchange, header, problems, request, response};

    fn id_after(yaml: &str, trusted: bool, sent: &[(&'static str, &str)]) -> String {
        let mut exchange = exchange(sent);
        exchange.client.trusted = trusted;
        assert!(request(&chain(kind(), yaml), &mut exchange).is_none());
        exchange.request_id.as_str().to_owned()
    }

    #[test]
    fn makes_a_new_id_for_each_exchange_and_tells_the_client() {
        let chain = chain(kind(), "{}");
        let mut exchange = exchange(&[]);
        exchange.started_wall_ns = 0x0123_4567_89ab * 1_000_000;
        request(&chain, &mut exchange);
        let first = exchange.request_id.as_str().to_owned();
        assert!(first.starts_with("01234567-89ab-7"), "{first}");
        assert!(exchange.request_id_header.is_none());
        let mut reply = Reply::new(http::StatusCode::OK, "");
        response(&chain, &mut exchange, &mut reply);
        assert_eq!(header(&reply, "x-request-id"), first);
        request(&chain, &mut exchange);
        assert_ne!(exchange.request_id.as_str(), first);
    }

    #[test]
    fn takes_over_an_id_only_from_a_trusted_proxy_and_only_if_told_to() {
        let sent: &[(&str, &str)] = &[("x-request-id", "abc-1")];
        assert_eq!(id_after("{trust_incoming: true}", true, sent), "abc-1");
        assert_ne!(id_after("{trust_incoming: true}", false, sent), "abc-1");
        assert_ne!(id_after("{}", true, sent), "abc-1");
    }

    #[test]
    fn replaces_ids_that_are_odd_or_several() {
        let trusting = "{trust_incoming: true}";
        for sent in ["a b", "a\"b", ""] {
            assert_ne!(id_after(trusting, true, &[("x-request-id", sent)]), sent);
        }
        let two: &[(&str, &str)] = &[("x-request-id", "a"), ("x-request-id", "b")];
        assert_eq!(id_after(trusting, true, two).len(), 36);
    }

    #[test]
    fn uses_the_header_it_is_told() {
        let chain = chain(kind(), "{header: X-Trace}");
        let mut exchange = exchange(&[]);
        request(&chain, &mut exchange);
        assert_eq!(exchange.request_id_header.as_ref().unwrap(), "x-trace");
        let mut reply = Reply::new(http::StatusCode::OK, "");
        response(&chain, &mut exchange, &mut reply);
        assert_eq!(header(&reply, "x-trace"), exchange.request_id.as_str());
    }

    #[test]
    fn a_clients_twin_of_that_header_goes() {
        let mut exchange = exchange(&[("x_trace", "forged"), ("x-tracer", "kept")]);
        request(&chain(kind(), "{header: X-Trace}"), &mut exchange);
        assert_eq!(exchange.request.headers.len(), 1);
        assert_eq!(exchange.request.header("x-tracer"), Some("kept"));
    }

    #[test]
    fn writes_no_field_without_an_id() {
        let mut exchange = exchange(&[]);
        let mut reply = Reply::new(http::StatusCode::BAD_REQUEST, "");
        response(&chain(kind(), "{}"), &mut exchange, &mut reply);
        assert!(exchange.own_fields.is_empty());
    }

    #[test]
    fn says_what_is_wrong_with_a_config() {
        assert_eq!(
            problems(kind(), "header: X Request\ntrust: true"),
            "t.yaml:1:9: error: `X Request` is not a header name\n  \
             hint: use letters, digits and `-`, as in X-Request-ID\n\
             t.yaml:2:1: error: unknown key `trust`\n  hint: use one of header, trust_incoming"
        );
    }
}
