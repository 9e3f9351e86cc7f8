//! A [`Node`] to a typed value, and the value's JSON schema: two readings of one definition.
//!
//! Must hold: decoding notes every problem and goes on; whatever accepts a value also describes it,
//! so that the schema and the decoder cannot part. Never: decides about more than the value itself;
//! what two values mean together is the compiler's business.

mod collections;
mod given;
mod scalars;

pub use collections::{Each, OneOrMany, Table};
pub use given::Given;

use portway_core::Span;
use portway_core::diagnostic::{Diagnostics, nearest};
use serde_json::{Value, json};

use crate::Schema;
use crate::node::{Entry, Node, Origin};
use crate::spanned::Spanned;

/// A type that a config value can have.
pub trait Decode: Sized {
    /// What a default is written as: the type itself, without the wrappers that know its place.
    type Plain;

    /// Reads the value. `None` after a problem was noted, if there is nothing to go on with.
    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<Self>;

    /// The JSON schema of what `decode` accepts (draft 2020-12).
    fn schema() -> Schema;

    /// The value a default stands for; `span` is the map the key is missing from.
    fn from_plain(plain: Self::Plain, span: &Span) -> Self;

    /// The value for a key that is missing and has no default: `None` if that is a problem.
    fn absent() -> Option<Self> {
        None
    }

    /// The value as JSON, for the defaults in the schema. Secrets stay hidden.
    fn to_json(&self) -> Value;
}

/// Notes that the value is not what was wanted: "expected a duration like 30s, found a list".
pub fn wrong(node: &Node, expected: &str, problems: &mut Diagnostics) {
    wrong_with_hint(node, expected, "", problems);
}

/// The same, with what to do about it.
pub fn wrong_with_hint(node: &Node, expected: &str, hint: &str, problems: &mut Diagnostics) {
    if node.origin == Origin::Failed {
        return; // that it has no value was noted when it was looked up
    }
    let what = format!("expected {expected}, found {}", node.describe());
    problems.error(&node.span, what, hint);
}

/// The value of a struct of which nothing was written.
///
/// # Panics
/// If the struct has a key without a default; a test of each struct shows that it has none.
#[must_use]
pub fn defaults<T: Decode>() -> T {
    let mut problems = Diagnostics::new();
    T::decode(&Node::empty_map(&Span::file("")), &mut problems)
        .expect("only used for structs whose keys all have defaults")
}

/// The entries of a map that stands for a struct. Nothing at all is an empty map: a key whose
/// settings are all commented out should not be a puzzle.
pub fn struct_entries<'a>(node: &'a Node, problems: &mut Diagnostics) -> Option<&'a [Entry]> {
    if node.is_null() {
        return Some(&[]);
    }
    let entries = node.entries();
    if entries.is_none() {
        wrong(node, "a map", problems);
    }
    entries
}

/// Notes a key that the struct does not have.
pub fn unknown_key(entry: &Entry, known: &[&str], later: &[&str], problems: &mut Diagnostics) {
    let key = &*entry.key;
    if later.contains(&key) {
        let what = format!("`{key}` is not supported yet by this version");
        problems.error(&entry.key_span, what, "remove the key");
        return;
    }
    let hint = suggest(key, known);
    problems.error(&entry.key_span, format!("unknown key `{key}`"), hint);
}

/// Whether an optional key was written with a value that was refused, so that it is not missing as
/// well. A key that is `null`, or whose substitution gave nothing, counts as missing.
#[must_use]
pub fn was_refused<T>(node: &Node, key: &str, value: &Option<T>) -> bool {
    let refused = |n: &Node| n.origin == Origin::Failed || !n.is_null();
    value.is_none() && node.find(key).is_some_and(refused)
}

/// Notes a key that must be there and is not.
pub fn missing_key(span: &Span, key: &str, docs: &str, problems: &mut Diagnostics) {
    let docs = docs.trim();
    let hint = docs.split_once(". ").map_or(docs, |(first, _)| first);
    let hint = hint.trim_end_matches('.');
    problems.error(
        span,
        format!("the key `{key}` is missing"),
        if hint.is_empty() {
            String::new()
        } else {
            format!("`{key}`: {hint}")
        },
    );
}

/// "did you mean `prefix`?", or the list to choose from.
#[must_use]
pub fn suggest(unknown: &str, known: &[&str]) -> String {
    match nearest(unknown, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => one_of(known),
    }
}

fn one_of(known: &[&str]) -> String {
    match known {
        [] => String::new(),
        [only] => format!("use `{only}`"),
        several => format!("use one of {}", several.join(", ")),
    }
}

/// Reads a string that must be one of `known`; `later` are words that a coming version knows.
pub fn word<'a>(
    node: &'a Node,
    known: &[&str],
    later: &[&str],
    problems: &mut Diagnostics,
) -> Option<&'a str> {
    let Some(text) = node.text() else {
        wrong(node, &format!("one of {}", known.join(", ")), problems);
        return None;
    };
    if known.contains(&text) {
        return Some(text);
    }
    if node.is_substituted() {
        wrong(node, &format!("one of {}", known.join(", ")), problems);
    } else if later.contains(&text) {
        let what = format!("`{text}` is not supported yet by this version");
        problems.error(&node.span, what, one_of(known));
    } else {
        let what = format!("{} is not a choice here", node.describe());
        problems.error(&node.span, what, suggest(text, known));
    }
    None
}

/// The schema of a string, with a description.
#[must_use]
pub fn string_schema(description: &str, examples: &[&str]) -> Schema {
    let mut schema = json!({ "type": "string" });
    if !description.is_empty() {
        schema["description"] = description.into();
    }
    if !examples.is_empty() {
        schema["examples"] = examples.into();
    }
    schema
}

/// One key of a struct, for its schema.
#[derive(Debug)]
pub struct Field {
    /// The key.
    pub key: &'static str,
    /// Its doc comment.
    pub docs: String,
    /// Whether it must be there.
    pub required: bool,
    /// What it is set to if it is not there.
    pub default: Option<Value>,
    /// What it can be set to.
    pub schema: Schema,
}

/// The schema of a struct: closed, so that an editor marks a misspelt key.
#[must_use]
pub fn struct_schema(docs: &str, fields: Vec<Field>) -> Schema {
    let mut properties = serde_json::Map::new();
    let mut required = Vec::new();
    for field in fields {
        let mut schema = field.schema;
        if let Some(map) = schema.as_object_mut() {
            if !field.docs.is_empty() {
                map.insert("description".into(), field.docs.into());
            }
            if let Some(default) = field.default.filter(worth_showing) {
                map.insert("default".into(), default);
            }
        }
        if field.required {
            required.push(Value::from(field.key));
        }
        properties.insert(field.key.into(), schema);
    }
    let mut schema = json!({
        "type": ["object", "null"],
        "properties": properties,
        "additionalProperties": false,
    });
    if !docs.is_empty() {
        schema["description"] = docs.into();
    }
    if !required.is_empty() {
        schema["required"] = required.into();
        schema["type"] = "object".into();
    }
    schema
}

fn worth_showing(default: &Value) -> bool {
    match default {
        Value::Null => false,
        Value::Object(map) => !map.is_empty(),
        _ => true,
    }
}

/// Joins the lines of a doc comment.
#[must_use]
pub fn join_docs(lines: &[&str]) -> String {
    let lines: Vec<&str> = lines.iter().map(|l| l.trim()).collect();
    lines.join(" ").trim().to_owned()
}

impl<T: Decode> Decode for Spanned<T> {
    type Plain = T::Plain;

    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<Spanned<T>> {
        T::decode(node, problems).map(|value| Spanned::new(value, &node.span))
    }

    fn schema() -> Schema {
        T::schema()
    }

    fn from_plain(plain: T::Plain, span: &Span) -> Spanned<T> {
        Spanned::new(T::from_plain(plain, span), span)
    }

    fn to_json(&self) -> Value {
        T::to_json(self)
    }
}

impl<T: Decode> Decode for Option<T> {
    type Plain = Option<T>;

    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<Option<T>> {
        if node.is_null() {
            return Some(None);
        }
        T::decode(node, problems).map(Some)
    }

    fn schema() -> Schema {
        T::schema()
    }

    fn from_plain(plain: Option<T>, _: &Span) -> Option<T> {
        plain
    }

    fn absent() -> Option<Option<T>> {
        Some(None)
    }

    fn to_json(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::to_json)
    }
}

impl Decode for Node {
    type Plain = Node;

    fn decode(node: &Node, _: &mut Diagnostics) -> Option<Node> {
        Some(node.clone())
    }

    fn schema() -> Schema {
        json!({})
    }

    fn from_plain(plain: Node, _: &Span) -> Node {
        plain
    }

    fn to_json(&self) -> Value {
        Value::Null
    }
}

#[cfg(test)]
mod tests;
