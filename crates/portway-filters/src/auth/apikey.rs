//! The `apikey` type of the auth filter: a word in a header or a query parameter that says who calls.
//!
//! Must hold: keys are compared by their HMAC under a random key of the process, so how long a look
//! takes tells nothing about a key; a key never travels on to the target, not even one that was not
//! needed; two keys in one request are refused, for the target might have read the other.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::hmac;
use http::{HeaderName, HeaderValue};
use portway_config::Node;
use portway_core::Code;
use portway_filter::{Built, Compile, Filter, Flow, Hooks, Step};
use portway_http::{Exchange, Request};

use super::{AuthConfig, Excluded};
use crate::names::{header_name, remove_twins};

/// Makes the filter; `None` after a problem was noted.
pub fn compile(
    node: &Node,
    config: &AuthConfig,
    excluded: Option<Excluded>,
    cx: &mut Compile<'_>,
) -> Option<Built> {
    let header = match &config.header {
        Some(name) => header_name(name, cx.diagnostics),
        None => Some(HeaderName::from_static("x-api-key")),
    };
    let keys = keys(node, config, cx);
    if let Some(query) = config.query.as_ref().filter(|q| q.is_empty()) {
        cx.error(
            query.span(),
            "a parameter without a name",
            "name it, or remove the key",
        );
        return None;
    }
    Some(Built::Filter(Arc::new(ApiKey {
        keys: keys?,
        header: header?,
        query: config.query.as_ref().map(|q| q.as_str().into()),
        excluded: excluded?,
    })))
}

fn keys(node: &Node, config: &AuthConfig, cx: &mut Compile<'_>) -> Option<Keys> {
    let Some(list) = config
        .keys
        .as_ref()
        .filter(|k| !k.is_empty() || !k.complete)
    else {
        let hint = "add at least one, as in `keys: [{ key: ${KEY}, consumer: mobile }]`";
        cx.error(&node.span, "without keys nobody could come in", hint);
        return None;
    };
    let Some(mut keys) = Keys::new() else {
        cx.error(&node.span, "the system gives no random numbers", "");
        return None;
    };
    for item in list.iter() {
        let span = item.key.span();
        if item.key.is_empty() {
            let hint = "check that the variable it comes from is set";
            cx.error(span, "an empty key would let anyone in", hint);
        } else if !keys.add(item.key.expose(), &item.consumer) {
            cx.error(
                span,
                "this key is in the list already",
                "give each consumer its own",
            );
        }
        if item.consumer.is_empty() {
            cx.error(
                item.consumer.span(),
                "a consumer without a name",
                "name who holds the key",
            );
        }
    }
    Some(keys)
}

/// Who holds which key.
pub struct Keys {
    salt: hmac::Key,
    consumers: HashMap<Box<[u8]>, Arc<str>>,
}

impl Keys {
    /// No keys yet, under a new random salt; `None` if the system has no randomness to give.
    #[must_use]
    pub fn new() -> Option<Keys> {
        let random = aws_lc_rs::rand::SystemRandom::new();
        let salt = hmac::Key::generate(hmac::HMAC_SHA256, &random).ok()?;
        Some(Keys {
            salt,
            consumers: HashMap::new(),
        })
    }

    /// Adds a key; `false` if it is there already.
    pub fn add(&mut self, key: &str, consumer: &str) -> bool {
        let tag = self.tag(key.as_bytes());
        self.consumers.insert(tag, consumer.into()).is_none()
    }

    /// Who holds this key.
    #[must_use]
    pub fn find(&self, key: &[u8]) -> Option<&Arc<str>> {
        self.consumers.get(hmac::sign(&self.salt, key).as_ref())
    }

    fn tag(&self, key: &[u8]) -> Box<[u8]> {
        hmac::sign(&self.salt, key).as_ref().into()
    }
}

/// The `apikey` type of the auth filter.
pub struct ApiKey {
    /// Who holds which key.
    pub keys: Keys,
    /// The header that carries a key.
    pub header: HeaderName,
    /// The query parameter that carries a key.
    pub query: Option<Box<str>>,
    /// Paths that need none.
    pub excluded: Excluded,
}

impl ApiKey {
    /// Takes all keys out of the request.
    fn take(&self, request: &mut Request) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        if let http::header::Entry::Occupied(fields) = request.headers.entry(&self.header) {
            let (_, values) = fields.remove_entry_mult();
            keys.extend(values.map(|v| v.as_bytes().to_vec()));
        }
        remove_twins(&mut request.headers, &self.header);
        if let Some(name) = &self.query
            && let Some(query) = &mut request.query
        {
            take_parameter(query, name, &mut keys);
            if query.is_empty() {
                request.query = None;
            }
        }
        keys
    }
}

impl Filter for ApiKey {
    fn hooks(&self) -> Hooks {
        Hooks::Request
    }

    fn on_request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let keys = self.take(&mut exchange.request);
        if self.excluded.matches(&exchange.request.path) {
            return Step::Now(Flow::Continue);
        }
        let detail = match &keys[..] {
            [] => "no API key was sent",
            [key] => match self.keys.find(key) {
                Some(consumer) => {
                    exchange.consumer = Some(Arc::clone(consumer));
                    return Step::Now(Flow::Continue);
                }
                None => "the API key is not known",
            },
            _ => "more than one API key was sent",
        };
        let reply = exchange.refuse(Code::Unauthorized, detail);
        // RFC 9110, section 11.6.1: a 401 names a scheme; none is registered for keys.
        let challenge = HeaderValue::from_static("ApiKey");
        let reply = reply.with_header(http::header::WWW_AUTHENTICATE, challenge);
        Step::Now(Flow::stop(reply))
    }
}

/// Moves the values of a parameter out of a query, leaving the others exactly as they came.
fn take_parameter(query: &mut String, name: &str, values: &mut Vec<Vec<u8>>) {
    let named = |pair: &str| decoded(pair.split('=').next().unwrap_or_default()) == name.as_bytes();
    if !query.split('&').any(named) {
        return;
    }
    let mut rest = String::with_capacity(query.len());
    for pair in query.split('&') {
        if named(pair) {
            values.push(decoded(pair.split_once('=').map_or("", |(_, v)| v)));
        } else {
            if !rest.is_empty() {
                rest.push('&');
            }
            rest.push_str(pair);
        }
    }
    *query = rest;
}

/// A name or value of a query as `application/x-www-form-urlencoded` readers see it (URL standard,
/// section 5.1), so that no spelling of the parameter gets past.
fn decoded(text: &str) -> Vec<u8> {
    let hex = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = match bytes[at..] {
            [b'%', high, low, ..] => hex(high).zip(hex(low)),
            _ => None,
        };
        if let Some((high, low)) = escape {
            out.push(high << 4 | low);
            at += 3;
        } else {
            out.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
            at += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(query: &str) -> (String, Vec<String>) {
        let (mut query, mut values) = (query.to_owned(), Vec::new());
        take_parameter(&mut query, "api_key", &mut values);
        let values = values.into_iter().map(|v| String::from_utf8(v).unwrap());
        (query, values.collect())
    }

    #[test]
    fn takes_a_parameter_out_of_a_query_and_leaves_the_rest() {
        assert_eq!(
            taken("a=1&api_key=k&b=%20"),
            ("a=1&b=%20".into(), vec!["k".into()])
        );
        assert_eq!(taken("api_key=a%2Bb"), (String::new(), vec!["a+b".into()]));
        assert_eq!(taken("a=1&&b"), ("a=1&&b".into(), vec![]));
    }

    #[test]
    fn sees_through_other_spellings_of_the_parameter() {
        assert_eq!(taken("api%5Fkey=k&a"), ("a".into(), vec!["k".into()]));
        assert_eq!(taken("api_key&a").1, [""]);
    }

    #[test]
    fn knows_whose_key_it_is() {
        let mut keys = Keys::new().unwrap();
        assert!(keys.add("one", "mobile"));
        assert!(keys.add("two", "web"));
        assert!(!keys.add("one", "other"));
        assert_eq!(keys.find(b"two").map(|c| &**c), Some("web"));
        assert!(keys.find(b"three").is_none());
        assert!(keys.find(b"").is_none());
    }
}
