//! Queries of transcoded requests: whatever a query names, it is refused in short words or becomes a message that can
//! be read again, no deeper than the limit; what is left out changes nothing of the rest.
//!
//! The first line of the input is a path's last part, the rest a query.

use std::sync::LazyLock;

use portway_filters::grpc_json::ask::Reading;
use portway_filters::grpc_json::overlay::{Overlay, QueryRules, Unknown};
use portway_filters::grpc_json::rules::{self, Rules, Selection};
use portway_filters::grpc_json::tree::Found;
use portway_http::Body;
use prost_reflect::{DynamicMessage, Value};

const NODES: &[u8] = include_bytes!("../../tests/e2e/tests/grpc_json/nodes.binpb");
/// A refusal names what it refuses, shortened.
const WORDS_MAX: usize = 1000;
/// `field::NAMES_MAX`, with the message around all.
const DEPTH_MAX: usize = 33;

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let pool = rules::read(NODES).expect("the committed set is whole");
    let mut problems = Vec::new();
    let rules = rules::compile(&pool, &Selection::default(), &mut problems);
    assert_eq!(problems, []);
    rules
});

/// Checks one query, of a method that takes all from it and of one that takes some from path and body.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (last, query) = text.split_once('\n').unwrap_or(("1", text));
    message("GET", "/n", query);
    if !last.contains('/') {
        message("POST", &format!("/b/x/y/{last}"), query);
    }
}

fn message(method: &str, path: &str, query: &str) {
    let strict = made(method, path, query, Unknown::Reject);
    let lenient = made(method, path, query, Unknown::Ignore);
    if let Some(strict) = strict {
        assert_eq!(Some(strict), lenient, "{method} {path} {query:?}");
    }
}

/// The message that a request without a body becomes.
fn made(method: &str, path: &str, query: &str, unknown: Unknown) -> Option<DynamicMessage> {
    let mut segments = Vec::new();
    let Found::Value(rule) = RULES.find(method, path, &mut segments) else {
        return None;
    };
    let rules = QueryRules {
        unknown,
        ignored: vec!["key".to_owned()],
    };
    let overlay = match Overlay::read(rule, &segments, Some(query), &rules) {
        Ok(overlay) => overlay,
        Err(why) => {
            assert!(why.len() < WORDS_MAX, "{why}");
            return None;
        }
    };
    let reading = Reading {
        rule: rule.clone(),
        unknown,
        message_bytes_max: 1 << 20,
        content_type: "".into(),
    };
    let body = reading.body(Body::Empty, overlay).ok()?;
    let Body::Full(framed) = body else {
        panic!("a message that needs no body is there at once");
    };
    let message = DynamicMessage::decode(rule.method.input.clone(), &framed[5..]);
    let message = message.expect("what was made can be read");
    assert!(depth(&message) <= DEPTH_MAX);
    Some(message)
}

fn depth(message: &DynamicMessage) -> usize {
    let inner = message.fields().map(|(_, value)| match value {
        Value::Message(inner) => depth(inner),
        _ => 0,
    });
    1 + inner.max().unwrap_or(0)
}
