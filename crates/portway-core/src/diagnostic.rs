//! What is wrong with a config document, where, and what to do about it.
//!
//! Must hold: a diagnostic names the file, line and column its reader must go to. Problems are
//! collected, never thrown: the reader sees all of them at once.

use std::fmt;
use std::sync::Arc;

/// A place in a config file. Lines and columns count from 1; columns count characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The file as the user named it.
    pub file: Arc<str>,
    /// Line, from 1; 0 if the problem has no line (a file that cannot be read).
    pub line: u32,
    /// Column, from 1; 0 if the problem has no column.
    pub column: u32,
}

impl Span {
    /// A place that is a whole file.
    #[must_use]
    pub fn file(file: &str) -> Span {
        Span {
            file: Arc::from(file),
            line: 0,
            column: 0,
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}", self.file)
        } else {
            write!(f, "{}:{}:{}", self.file, self.line, self.column)
        }
    }
}

/// Whether a problem stops the config from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The config cannot be used.
    Error,
    /// The config can be used but probably does not do what was meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

/// One problem: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Where.
    pub span: Span,
    /// What is wrong, in lower case, without a full stop.
    pub what: String,
    /// What to do about it; empty if there is nothing better to say than `what`.
    pub hint: String,
}

impl fmt::Display for Diagnostic {
    /// `file:line:col: error: what (hint)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.span, self.severity, self.what)?;
        if self.hint.is_empty() {
            Ok(())
        } else {
            write!(f, "\n  hint: {}", self.hint)
        }
    }
}

/// The problems found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Nothing found yet.
    #[must_use]
    pub fn new() -> Diagnostics {
        Diagnostics::default()
    }

    /// Notes a problem that makes the config unusable.
    pub fn error(&mut self, span: &Span, what: impl Into<String>, hint: impl Into<String>) {
        self.push(Severity::Error, span, what.into(), hint.into());
    }

    /// Notes something the config can live with.
    pub fn warn(&mut self, span: &Span, what: impl Into<String>, hint: impl Into<String>) {
        self.push(Severity::Warning, span, what.into(), hint.into());
    }

    fn push(&mut self, severity: Severity, span: &Span, what: String, hint: String) {
        let (what, hint) = (printable(what), printable(hint));
        self.list.push(Diagnostic {
            severity,
            span: span.clone(),
            what,
            hint,
        });
    }

    /// Takes over all problems of `other`.
    pub fn extend(&mut self, other: Diagnostics) {
        self.list.extend(other.list);
    }

    /// Whether at least one problem is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All problems, in the order of the file.
    #[must_use]
    pub fn sorted(mut self) -> Vec<Diagnostic> {
        self.list.sort_by(|a, b| {
            (&a.span.file, a.span.line, a.span.column, a.severity).cmp(&(
                &b.span.file,
                b.span.line,
                b.span.column,
                b.severity,
            ))
        });
        self.list
    }
}

/// Messages quote config files, and a control character of one must not steer a terminal or start a
/// line of a log.
fn printable(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let mut clean = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if c.is_control() {
            clean.extend(c.escape_default());
        } else {
            clean.push(c);
        }
    }
    clean
}

/// The candidate that `unknown` was most likely meant to be, if one is near enough to name.
#[must_use]
pub fn nearest<'a>(
    unknown: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let unknown = unknown.to_ascii_lowercase();
    candidates
        .into_iter()
        .map(|c| {
            (
                strsim::damerau_levenshtein(&unknown, &c.to_ascii_lowercase()),
                c,
            )
        })
        .filter(|(distance, c)| *distance <= (c.len().max(unknown.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_nearest_key_only_when_it_is_near() {
        assert_eq!(nearest("prefx", ["prefix", "path"]), Some("prefix"));
        assert_eq!(nearest("banana", ["prefix", "path"]), None);
        assert_eq!(nearest("Prefix", ["prefix", "path"]), Some("prefix"));
    }

    #[test]
    fn escapes_control_characters() {
        let mut found = Diagnostics::new();
        found.error(&Span::file("a"), "x\r\ny\u{1b}[2J\u{e9}", "");
        assert_eq!(found.sorted()[0].what, "x\\r\\ny\\u{1b}[2J\u{e9}");
    }

    #[test]
    fn sorts_by_place_in_the_file() {
        let at = |line| Span {
            file: "a.yaml".into(),
            line,
            column: 1,
        };
        let mut found = Diagnostics::new();
        found.warn(&at(9), "late", "");
        found.error(&at(2), "early", "fix it");
        let sorted = found.sorted();
        assert_eq!(
            sorted[0].to_string(),
            "a.yaml:2:1: error: early\n  hint: fix it"
        );
        assert_eq!(sorted[1].to_string(), "a.yaml:9:1: warning: late");
    }
}
