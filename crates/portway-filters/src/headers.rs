//! `headers`: sets, adds and removes fields of requests and replies.
//!
//! Must hold: the fields that carry a message (Host, Content-Length, hop-by-hop ones) are not to be
//! had: they are decided by the protocol, and a wrong one splits messages; nor are those that the gateway
//! writes to targets itself. Removing comes first, then setting, then adding, whatever the order in the
//! file. A request's field that is set or removed has no twin left that a target would read for it.

mod template;

pub use template::{Template, Variable};

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderName, HeaderValue};
use portway_config::{Decode, Node, OneOrMany, Spanned, Table, config};
use portway_filter::{Built, Compile, Filter, FilterKind, Flow, Hooks, Phase, Step};
use portway_http::hygiene::forwarded::is_forwarded_header;
use portway_http::{Exchange, Reply};

use crate::names::{header_name, is_hop_by_hop, remove_twins};

config! {
    /// Sets, adds and removes fields of requests and replies.
    pub struct HeadersConfig {
        /// Changes to the request before it goes to the target.
        pub request: Option<Changes>,
        /// Changes to the reply before it goes to the client, also to the gateway's own replies.
        pub response: Option<Changes>,
    }
}

config! {
    /// What to change. Values may hold `{client_ip}`, `{request_id}`, `{host}`, `{method}`, `{path}`,
    /// `{scheme}`, `{consumer}`, and of a verified client certificate `{client_cert_subject}`,
    /// `{client_cert_uri}` and `{client_cert_fingerprint}`.
    pub struct Changes {
        /// Fields that get this value, whatever they had.
        pub set: Table<Spanned<String>> = Table::default(),
        /// Values that are added to what a field has.
        pub add: Table<OneOrMany<Spanned<String>>> = Table::default(),
        /// Fields that go.
        pub remove: Vec<Spanned<String>> = Vec::new(),
    }
}

/// How the config names it and makes it.
#[must_use]
pub fn kind() -> FilterKind {
    FilterKind {
        name: "headers",
        summary: "Sets, adds and removes fields of requests and replies.",
        phase: Phase::Transform,
        scopes: &[],
        schema: HeadersConfig::schema,
        compile,
    }
}

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Request,
    Response,
}

fn compile(node: &Node, cx: &mut Compile<'_>) -> Option<Built> {
    let config = HeadersConfig::decode(node, cx.diagnostics)?;
    let request = compile_changes(config.request.as_ref(), Way::Request, cx);
    let response = compile_changes(config.response.as_ref(), Way::Response, cx);
    Some(Built::Filter(Arc::new(Headers {
        request: request?,
        response: response?,
    })))
}

fn compile_changes(
    config: Option<&Changes>,
    way: Way,
    cx: &mut Compile<'_>,
) -> Option<Box<[Change]>> {
    let Some(config) = config else {
        return Some(Box::default());
    };
    let mut good = true;
    let mut changes = Vec::new();
    for name in &config.remove {
        let name = field(name, way, cx);
        good &= name.is_some();
        changes.extend(name.map(Change::Remove));
    }
    let set = config.set.iter().map(|(name, value)| (name, value, false));
    let many = config.add.iter();
    let add = many.flat_map(|(name, values)| values.iter().map(move |v| (name, v, true)));
    for (name, text, adds) in set.chain(add) {
        let name = field(name, way, cx);
        let value = template(text, cx);
        let change = name.zip(value).map(|(name, value)| match adds {
            false => Change::Set(name, value),
            true => Change::Add(name, value),
        });
        good &= change.is_some();
        changes.extend(change);
    }
    good.then(|| changes.into())
}

/// A field that may be changed, or `None` after a problem was noted.
fn field(text: &Spanned<String>, way: Way, cx: &mut Compile<'_>) -> Option<HeaderName> {
    let name = header_name(text, cx.diagnostics)?;
    let refused = if way == Way::Request && is_forwarded_header(&name) {
        "the gateway writes it; what a proxy in front says counts if it is in the listener's `trusted_proxies`"
    } else if way == Way::Request && name == REQUEST_ID {
        "the gateway writes the exchange's id there; see the `request_id` filter"
    } else if is_hop_by_hop(&name) {
        "it belongs to one connection; the gateway decides it anew on each side"
    } else if name == CONTENT_LENGTH {
        "the gateway writes the length that the body has"
    } else if name == HOST && way == Way::Request {
        "use the route's `rewrite: { host: … }`"
    } else {
        return Some(name);
    };
    cx.error(
        text.span(),
        format!("`{}` cannot be changed here", **text),
        refused,
    );
    None
}

fn template(text: &Spanned<String>, cx: &mut Compile<'_>) -> Option<Template> {
    match Template::parse(text) {
        Ok(template) => Some(template),
        Err((what, hint)) => {
            cx.error(text.span(), what, hint);
            None
        }
    }
}

enum Change {
    Remove(HeaderName),
    Set(HeaderName, Template),
    Add(HeaderName, Template),
}

struct Headers {
    request: Box<[Change]>,
    response: Box<[Change]>,
}

impl Filter for Headers {
    fn hooks(&self) -> Hooks {
        match (self.request.is_empty(), self.response.is_empty()) {
            (false, true) => Hooks::Request,
            (true, false) => Hooks::Response,
            _ => Hooks::Both,
        }
    }

    fn on_request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        for change in &self.request {
            let value = change.value(exchange);
            let headers = &mut exchange.request.headers;
            // What a target reads as the same field would stand beside our value, or outlive its removal.
            if let Change::Set(name, _) | Change::Remove(name) = change {
                remove_twins(headers, name);
            }
            change.apply(value, headers);
        }
        Step::Now(Flow::Continue)
    }

    fn on_response<'a>(&'a self, exchange: &'a mut Exchange, reply: &'a mut Reply) -> Step<'a, ()> {
        for change in &self.response {
            change.apply(change.value(exchange), &mut reply.headers);
        }
        Step::Now(())
    }
}

impl Change {
    fn value(&self, exchange: &Exchange) -> Option<HeaderValue> {
        match self {
            Change::Remove(_) => None,
            Change::Set(_, template) | Change::Add(_, template) => template.fill(exchange),
        }
    }

    /// A field that is set to nothing goes: what the client sent must not pass for our value.
    fn apply(&self, value: Option<HeaderValue>, headers: &mut HeaderMap) {
        match (self, value) {
            (Change::Set(name, _), Some(value)) => {
                headers.insert(name, value);
            }
            (Change::Add(name, _), Some(value)) => {
                headers.append(name, value);
            }
            (Change::Remove(name) | Change::Set(name, _), None) => {
                headers.remove(name);
            }
            (Change::Add(..), None) | (Change::Remove(_), Some(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests;
