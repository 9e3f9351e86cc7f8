//! The document as a tree of values that know their place in the file.
//!
//! Must hold: every node and key has the place its reader wrote it at; a scalar keeps its text, so
//! that `2` can serve where a string is wanted; a value that came out of a substitution never shows
//! up in a message.
//! Never: interprets what a key means.

use std::hash::{Hash, Hasher};

use portway_core::Span;

/// One value of the document, with its place. Equal and equally hashed are nodes that say the same,
/// wherever they stand.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where the value starts.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
    /// Whether it says what the file says.
    pub origin: Origin,
}

/// Where a node's text comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The file.
    Written,
    /// Some of it from the environment or another file. Such a value may be a secret.
    Substituted,
    /// A substitution that failed and was noted: no more problems with this value, please.
    Failed,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Text without quotes, whose type is read from its form (YAML 1.2, core schema).
    Plain(Box<str>),
    /// Text in quotes or a block: always a string.
    Quoted(Box<str>),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping with its keys in the order of the file, each at most once.
    Map(Vec<Entry>),
}

/// One key of a mapping and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key's text.
    pub key: Box<str>,
    /// Where the key starts.
    pub key_span: Span,
    /// What it is set to.
    pub value: Node,
}

/// A scalar, typed by its form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar<'a> {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    String(&'a str),
}

impl Node {
    /// A mapping without keys.
    #[must_use]
    pub fn empty_map(span: &Span) -> Node {
        Node {
            span: span.clone(),
            kind: Kind::Map(Vec::new()),
            origin: Origin::Written,
        }
    }

    /// Nothing.
    #[must_use]
    pub fn null(span: &Span) -> Node {
        Node {
            span: span.clone(),
            kind: Kind::Plain("".into()),
            origin: Origin::Written,
        }
    }

    /// A quoted string.
    #[must_use]
    pub fn string(span: &Span, text: &str) -> Node {
        Node {
            span: span.clone(),
            kind: Kind::Quoted(text.into()),
            origin: Origin::Written,
        }
    }

    /// The scalar this is, typed; `None` for a list or a map.
    #[must_use]
    pub fn scalar(&self) -> Option<Scalar<'_>> {
        match &self.kind {
            Kind::Plain(text) => Some(type_of_plain(text)),
            Kind::Quoted(text) => Some(Scalar::String(text)),
            Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// The text of a scalar as written, whatever its type; `None` for a list, a map or nothing.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Plain(text) if is_null(text) => None,
            Kind::Plain(text) | Kind::Quoted(text) => Some(text),
            Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// Whether some of the value does not stand in the file.
    #[must_use]
    pub fn is_substituted(&self) -> bool {
        self.origin != Origin::Written
    }

    /// Whether nothing was written, or `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Plain(text) if is_null(text))
    }

    /// Whether the value says `off` or `false`.
    #[must_use]
    pub fn is_off(&self) -> bool {
        matches!(&self.kind, Kind::Plain(text) | Kind::Quoted(text) if &**text == "off" || &**text == "false")
    }

    /// The entries of a map; `None` for anything else.
    #[must_use]
    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.kind {
            Kind::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The items of a list; `None` for anything else.
    #[must_use]
    pub fn items(&self) -> Option<&[Node]> {
        match &self.kind {
            Kind::List(items) => Some(items),
            _ => None,
        }
    }

    /// The value of a key, if this is a map that has it.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&Node> {
        self.entries()?
            .iter()
            .find(|e| &*e.key == key)
            .map(|e| &e.value)
    }

    /// What a message calls this value: "the list", "the string `abc`", "nothing". Hides a value
    /// that came out of a substitution, and shortens a long one.
    #[must_use]
    pub fn describe(&self) -> String {
        if self.is_substituted() {
            return "the value of a substitution".into();
        }
        match &self.kind {
            Kind::List(_) => "a list".into(),
            Kind::Map(_) => "a map".into(),
            Kind::Quoted(text) => format!("the string `{}`", shortened(text)),
            Kind::Plain(text) => match type_of_plain(text) {
                Scalar::Null => "nothing".into(),
                Scalar::Bool(value) => format!("`{value}`"),
                Scalar::Int(_) | Scalar::Float(_) => format!("the number {}", shortened(text)),
                Scalar::String(_) => format!("`{}`", shortened(text)),
            },
        }
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        self.kind == other.kind
    }
}

impl Eq for Node {}

impl Hash for Node {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.key == other.key && self.value == other.value
    }
}

impl Eq for Entry {}

impl Hash for Entry {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
        self.value.hash(state);
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn shortened(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    match text.char_indices().nth(CHARS_MAX) {
        None => text.chars().map(clean).collect(),
        Some((cut, _)) => text[..cut].chars().map(clean).chain(['…']).collect(),
    }
}

/// The type of unquoted text: YAML 1.2.2, section 10.3.2 (core schema), with decimal numbers only.
/// Hexadecimal and octal forms stay strings: nobody writes a port as `0x1f90`, and a leading zero
/// is more often a mistake than a base.
fn type_of_plain(text: &str) -> Scalar<'_> {
    if is_null(text) {
        return Scalar::Null;
    }
    match text {
        "true" | "True" | "TRUE" => return Scalar::Bool(true),
        "false" | "False" | "FALSE" => return Scalar::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Scalar::String(text);
    }
    let leading_zero = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    if leading_zero {
        return Scalar::String(text);
    }
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().map_or(Scalar::String(text), Scalar::Int);
    }
    let float_form = digits
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if float_form && let Ok(value) = text.parse::<f64>() {
        return Scalar::Float(value);
    }
    Scalar::String(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Node {
        Node {
            span: Span::file("t"),
            kind: Kind::Plain(text.into()),
            origin: Origin::Written,
        }
    }

    #[test]
    fn types_unquoted_text_by_its_form() {
        let typed = [
            ("", Scalar::Null),
            ("null", Scalar::Null),
            ("true", Scalar::Bool(true)),
            ("yes", Scalar::String("yes")),
            ("off", Scalar::String("off")),
            ("8080", Scalar::Int(8080)),
            ("-3", Scalar::Int(-3)),
            ("007", Scalar::String("007")),
            ("0.5", Scalar::Float(0.5)),
            ("1e3", Scalar::Float(1000.0)),
            ("10.0.0.1", Scalar::String("10.0.0.1")),
            ("30s", Scalar::String("30s")),
            (
                "99999999999999999999",
                Scalar::String("99999999999999999999"),
            ),
        ];
        for (text, expected) in typed {
            assert_eq!(plain(text).scalar(), Some(expected), "{text}");
        }
    }

    #[test]
    fn never_shows_a_substituted_value() {
        let mut node = plain("hunter2");
        node.origin = Origin::Substituted;
        assert!(!node.describe().contains("hunter2"));
    }

    #[test]
    fn shortens_long_text_in_messages() {
        assert!(plain(&"x".repeat(5000)).describe().chars().count() < 80);
    }
}
