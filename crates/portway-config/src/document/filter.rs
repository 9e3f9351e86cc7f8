//! A filter as it is named in the file. Its settings stay a node, which the filter itself decodes.

use portway_core::Span;
use portway_core::diagnostic::Diagnostics;
use serde_json::{Value, json};

use super::FilterSchema;
use crate::Schema;
use crate::decode::{Decode, wrong_with_hint};
use crate::node::{Kind, Node};
use crate::spanned::Spanned;

/// `- name: settings`, `- name: off`, or `- name` alone.
#[derive(Clone, Debug, PartialEq)]
pub struct FilterEntry {
    /// Which filter.
    pub name: Spanned<String>,
    /// Its settings; an empty map if there are none.
    pub body: Node,
}

impl FilterEntry {
    /// Whether it switches the filter off.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.body.is_off()
    }
}

/// Where `compose` puts the list of filters.
const PLACEHOLDER: &str = "x-portway-filter";

impl Decode for FilterEntry {
    type Plain = FilterEntry;

    fn from_plain(plain: FilterEntry, _: &Span) -> FilterEntry {
        plain
    }

    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<FilterEntry> {
        const EXPECTED: &str = "a filter's name and settings";
        match &node.kind {
            Kind::Map(entries) => match entries.as_slice() {
                [entry] => Some(FilterEntry {
                    name: Spanned::new(entry.key.to_string(), &entry.key_span),
                    body: entry.value.clone(),
                }),
                [] => {
                    wrong_with_hint(node, EXPECTED, "write `- name: {}`", problems);
                    None
                }
                [_, second, ..] => {
                    let what = format!("`{}` is a second filter in one list item", second.key);
                    let hint = "start each filter with its own `- `, and indent its settings below its name";
                    problems.error(&second.key_span, what, hint);
                    None
                }
            },
            Kind::Plain(_) | Kind::Quoted(_) => match node.text() {
                Some(name) => Some(FilterEntry {
                    name: Spanned::new(name.to_owned(), &node.span),
                    body: Node::empty_map(&node.span),
                }),
                None => {
                    wrong_with_hint(node, EXPECTED, "write `- name: {}`", problems);
                    None
                }
            },
            Kind::List(_) => {
                wrong_with_hint(node, EXPECTED, "write `- name: {}`", problems);
                None
            }
        }
    }

    fn schema() -> Schema {
        json!({ PLACEHOLDER: true })
    }

    fn to_json(&self) -> Value {
        json!({ self.name.as_str(): Value::Null })
    }
}

/// Puts the filters' schemas where the document's schema names a filter, and names the draft.
pub(super) fn compose(mut root: Schema, filters: &[FilterSchema]) -> Schema {
    replace_placeholders(&mut root);
    let names: Vec<&str> = filters.iter().map(|f| f.name).collect();
    let properties: serde_json::Map<String, Value> = filters
        .iter()
        .map(|f| {
            let settings = json!({
                "description": f.summary,
                "anyOf": [f.schema, { "enum": ["off", false, null] }],
            });
            (f.name.to_owned(), settings)
        })
        .collect();
    root["$defs"] = json!({
        "filter": {
            "anyOf": [
                { "enum": names },
                {
                    "type": "object",
                    "properties": properties,
                    "additionalProperties": false,
                    "minProperties": 1,
                    "maxProperties": 1,
                },
            ],
        },
    });
    root["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    root["title"] = "Portway configuration".into();
    root
}

fn replace_placeholders(schema: &mut Value) {
    match schema {
        Value::Object(map) if map.contains_key(PLACEHOLDER) => {
            *schema = json!({ "$ref": "#/$defs/filter" });
        }
        Value::Object(map) => map.values_mut().for_each(replace_placeholders),
        Value::Array(list) => list.iter_mut().for_each(replace_placeholders),
        _ => {}
    }
}
