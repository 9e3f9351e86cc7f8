//! A tree back to text: as YAML for people, and as JSON for the operators' API.
//!
//! Must hold: YAML that is written reads back as the same tree; the JSON shows no secret and no value
//! that a substitution brought in, only the substitution as the file has it.

use std::fmt::Write as _;
use std::sync::Arc;

use portway_core::diagnostic::Diagnostics;
use serde_json::Value;

use crate::Schema;
use crate::document::Source;
use crate::node::{Kind, Node, Scalar};
use crate::value::SECRET_MARK;
use crate::yaml;

/// The document of any accepted format as native YAML, substitutions left as they are. `None` if the
/// text is no document; why is in `problems`.
pub fn convert(file: &str, text: &str, problems: &mut Diagnostics) -> Option<String> {
    yaml::read(&Arc::from(file), text, problems).map(|node| to_yaml(&node))
}

/// The tree as YAML.
#[must_use]
pub fn to_yaml(node: &Node) -> String {
    let mut out = String::new();
    match &node.kind {
        Kind::Map(entries) if !entries.is_empty() => block(&mut out, node, 0),
        Kind::List(items) if !items.is_empty() => block(&mut out, node, 0),
        _ => {
            inline(&mut out, node);
            out.push('\n');
        }
    }
    out
}

/// Writes the lines of a list or map that is not empty; the first one without its indentation.
fn block(out: &mut String, node: &Node, indent: usize) {
    let mut first = true;
    let mut next_line = |out: &mut String| {
        if !std::mem::take(&mut first) {
            out.extend(std::iter::repeat_n(' ', indent));
        }
    };
    match &node.kind {
        Kind::Map(entries) => {
            for entry in entries {
                next_line(out);
                if is_simple(&entry.key) {
                    out.push_str(&entry.key);
                } else {
                    quoted(out, &entry.key);
                }
                out.push(':');
                value(out, &entry.value, indent);
            }
        }
        Kind::List(items) => {
            for item in items {
                next_line(out);
                out.push('-');
                if is_block(item) {
                    out.push(' ');
                    block(out, item, indent + 2);
                } else {
                    value(out, item, indent);
                }
            }
        }
        Kind::Plain(_) | Kind::Quoted(_) => {}
    }
}

/// Writes what comes after a key or dash, up to the end of the line or further.
fn value(out: &mut String, node: &Node, indent: usize) {
    if is_block(node) {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', indent + 2));
        block(out, node, indent + 2);
        return;
    }
    if !matches!(&node.kind, Kind::Plain(text) if text.is_empty()) {
        out.push(' ');
        inline(out, node);
    }
    out.push('\n');
}

/// Whether the node takes lines of its own. A list of simple words does not.
fn is_block(node: &Node) -> bool {
    match &node.kind {
        Kind::Map(entries) => !entries.is_empty(),
        Kind::List(items) => {
            let word =
                |n: &Node| matches!(&n.kind, Kind::Plain(t) | Kind::Quoted(t) if is_simple(t));
            !items.iter().all(word)
        }
        Kind::Plain(_) | Kind::Quoted(_) => false,
    }
}

fn inline(out: &mut String, node: &Node) {
    match &node.kind {
        Kind::Map(_) => out.push_str("{}"),
        Kind::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                inline(out, item);
            }
            out.push(']');
        }
        Kind::Plain(text) if is_plain(text) => out.push_str(text),
        Kind::Plain(text) | Kind::Quoted(text) => quoted(out, text),
    }
}

/// Letters, digits and what needs no quotes anywhere.
fn is_simple(text: &str) -> bool {
    let safe = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'/' | b'.' | b'-');
    text.bytes().all(safe) && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
}

/// Whether text that was read without quotes can be written without. It nearly always can; a text
/// over several lines could not.
fn is_plain(text: &str) -> bool {
    !text.contains(|c: char| c.is_control() || c == '\u{feff}')
}

/// Writes text in double quotes. JSON's escapes are YAML's (YAML 1.2.2, section 5.7); control
/// characters that JSON lets through are escaped too.
fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{feff}' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The config as it was written, as JSON, without its secrets. `schema` says which values are secrets.
#[must_use]
pub fn redacted(source: &Source, schema: &Schema) -> Value {
    let mut problems = Diagnostics::new();
    match yaml::read(&source.file, &source.text, &mut problems) {
        Some(node) => shown(&node, schema, &[schema]),
        None => Value::Null,
    }
}

/// `rules` are the schemas of which one describes the node.
fn shown<'s>(node: &Node, root: &'s Schema, rules: &[&'s Schema]) -> Value {
    let rules = branches(root, rules);
    if rules.iter().any(|rule| rule.get(SECRET_MARK).is_some()) {
        return if node.is_null() {
            Value::Null
        } else {
            "***".into()
        };
    }
    match &node.kind {
        Kind::List(items) => {
            let rules: Vec<&Schema> = rules.iter().filter_map(|r| r.get("items")).collect();
            items.iter().map(|item| shown(item, root, &rules)).collect()
        }
        Kind::Map(entries) => {
            let shown_entry = |key: &str, value: &Node| {
                let of_key = |rule: &&'s Schema| -> Option<&'s Schema> {
                    let named = rule.get("properties").and_then(|p| p.get(key));
                    named.or_else(|| rule.get("additionalProperties"))
                };
                let is_known = |rule: &&Schema| rule["properties"].get(key).is_some();
                if !value.is_null() && !rules.iter().any(is_known) && names_credential(key) {
                    return "***".into();
                }
                let rules: Vec<&Schema> = rules.iter().filter_map(of_key).collect();
                shown(value, root, &rules)
            };
            let entries = entries.iter();
            Value::Object(
                entries
                    .map(|e| (e.key.to_string(), shown_entry(&e.key, &e.value)))
                    .collect(),
            )
        }
        Kind::Plain(_) | Kind::Quoted(_) => match node.scalar() {
            Some(Scalar::Bool(value)) => value.into(),
            Some(Scalar::Int(value)) => value.into(),
            Some(Scalar::Float(value)) => value.into(),
            Some(Scalar::String(text)) => text.into(),
            Some(Scalar::Null) | None => Value::Null,
        },
    }
}

/// Whether a name that the config's writer chose (a header's, say) is one that credentials go by. Too much
/// hidden is better than too little.
fn names_credential(name: &str) -> bool {
    const ENDINGS: [&str; 15] = [
        "auth",
        "authorization",
        "bearer",
        "cookie",
        "credential",
        "credentials",
        "jwt",
        "key",
        "passwd",
        "password",
        "pwd",
        "secret",
        "session",
        "signature",
        "token",
    ];
    let name = name.to_ascii_lowercase();
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| ENDINGS.iter().any(|ending| word.ends_with(ending)))
}

/// The schemas with what they refer to and choose between.
fn branches<'s>(root: &'s Schema, rules: &[&'s Schema]) -> Vec<&'s Schema> {
    let mut all: Vec<&Schema> = rules.to_vec();
    let mut at = 0;
    while let Some(rule) = all.get(at).copied() {
        at += 1;
        for key in ["anyOf", "oneOf", "allOf"] {
            if let Some(Value::Array(choices)) = rule.get(key) {
                all.extend(choices);
            }
        }
        let target = rule.get("$ref").and_then(Value::as_str);
        let pointer = target.and_then(|t| t.strip_prefix('#'));
        if let Some(target) = pointer.and_then(|p| root.pointer(p)) {
            // A schema that leads to itself describes no value here, so each is visited once.
            if !all.iter().any(|seen| std::ptr::eq(*seen, target)) {
                all.push(target);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests;
