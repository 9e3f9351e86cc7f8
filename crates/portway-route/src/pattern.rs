//! Regular expressions that run in time linear in their input and always look at the whole value.
//!
//! Must hold: a small pattern becomes a table that any thread reads without a lock or a cache; one
//! whose table would be too large falls back to a lazily built automaton, still linear.
//! Bytes are matched, not characters: `\d` is `0-9` and `.` is one octet, because header values
//! need not be UTF-8 and canonical paths are ASCII. `(?u)` asks for Unicode.
//! Never: backtracks; look-around and back-references do not compile (CVE-2026-48042's class).

use std::fmt;
use std::sync::Arc;

use regex_automata::dfa::{StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind, meta};
use regex_syntax::hir::{Class, Hir, HirKind, Look};

use crate::pattern::table::Table;

mod table;

/// Text of a pattern, bytes: longer ones are generated and belong in several routes.
const SOURCE_BYTES_MAX: usize = 4 * 1024;
/// Groups inside groups: what the parser may recurse.
const NEST_MAX: u32 = 64;
/// Compiled states before determinization, bytes; stops `(a{999}){999}`.
const NFA_BYTES_MAX: usize = 1024 * 1024;
/// Table of one pattern, bytes: most are below 4 KiB, and a table that leaves L2 is no faster than
/// the lazy automaton.
const TABLE_BYTES_MAX: usize = 64 * 1024;
/// Scratch while building the table, bytes.
const DETERMINIZE_BYTES_MAX: usize = 512 * 1024;
/// Cache of the lazy automaton, bytes per thread that uses it.
const LAZY_BYTES_MAX: usize = 256 * 1024;

/// A compiled regular expression; cloning shares it.
#[derive(Clone)]
pub struct Pattern(Arc<Compiled>);

struct Compiled {
    source: Box<str>,
    /// Octets with which every match begins.
    literal: Box<[u8]>,
    /// The pattern is exactly `literal` and then anything.
    open: bool,
    matcher: Matcher,
}

enum Matcher {
    Table(Table),
    Lazy(Box<meta::Regex>),
}

impl Pattern {
    /// Compiles `source`; it will have to match a value from its first to its last octet.
    ///
    /// # Errors
    /// Why it does not compile, in one sentence.
    pub fn parse(source: &str) -> Result<Self, String> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(format!("the regex is longer than {SOURCE_BYTES_MAX} bytes"));
        }
        let hir = parse_hir(source)?;
        let (literal, open) = literal_prefix(&hir);
        let whole = Hir::concat(vec![hir, Hir::look(Look::End)]);
        Ok(Self(Arc::new(Compiled {
            source: source.into(),
            literal: literal.into(),
            open,
            matcher: compile(&whole)?,
        })))
    }

    /// As it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// Does the whole of `value` match?
    #[must_use]
    pub fn is_match(&self, value: &[u8]) -> bool {
        match &self.0.matcher {
            Matcher::Table(table) => table.is_match(value),
            Matcher::Lazy(regex) => regex.is_match(Input::new(value).anchored(Anchored::Yes)),
        }
    }

    /// Octets with which every match begins; may be empty.
    pub(crate) fn literal(&self) -> &[u8] {
        &self.0.literal
    }

    /// Is the pattern its literal and then anything, such as `/api/.*`?
    pub(crate) fn is_open(&self) -> bool {
        self.0.open
    }

    /// Bytes on the heap, without caches that grow in use.
    pub(crate) fn memory_bytes(&self) -> usize {
        let matcher = match &self.0.matcher {
            Matcher::Table(table) => table.memory_bytes(),
            Matcher::Lazy(regex) => regex.memory_usage() + size_of::<meta::Regex>(),
        };
        size_of::<Compiled>() + self.0.source.len() + self.0.literal.len() + matcher
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.source()).finish()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.source())
    }
}

fn parse_hir(source: &str) -> Result<Hir, String> {
    regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .nest_limit(NEST_MAX)
        .build()
        .parse(source)
        .map_err(|error| match error {
            regex_syntax::Error::Parse(e) => {
                format!("{} at character {}", e.kind(), e.span().start.column)
            }
            regex_syntax::Error::Translate(e) => {
                format!("{} at character {}", e.kind(), e.span().start.column)
            }
            other => other.to_string(),
        })
}

fn compile(hir: &Hir) -> Result<Matcher, String> {
    let nfa = thompson::Compiler::new()
        .syntax(syntax::Config::new().utf8(false))
        .configure(
            thompson::Config::new()
                .utf8(false)
                .which_captures(thompson::WhichCaptures::None)
                .nfa_size_limit(Some(NFA_BYTES_MAX)),
        )
        .build_from_hir(hir)
        .map_err(|e| format!("the regex is too large: {e}"))?;
    let table = dense::Builder::new()
        .configure(
            dense::Config::new()
                .start_kind(StartKind::Anchored)
                .match_kind(MatchKind::All)
                .dfa_size_limit(Some(TABLE_BYTES_MAX))
                .determinize_size_limit(Some(DETERMINIZE_BYTES_MAX)),
        )
        .build_from_nfa(&nfa);
    if let Some(table) = table.ok().and_then(|dfa| Table::of(&dfa)) {
        return Ok(Matcher::Table(table));
    }
    meta::Builder::new()
        .configure(
            meta::Config::new()
                .utf8_empty(false)
                .nfa_size_limit(Some(NFA_BYTES_MAX))
                .hybrid_cache_capacity(LAZY_BYTES_MAX),
        )
        .build_from_hir(hir)
        .map(|regex| Matcher::Lazy(Box::new(regex)))
        .map_err(|e| format!("the regex is too large: {e}"))
}

/// The octets every match begins with, and whether nothing but "anything" follows them.
fn literal_prefix(hir: &Hir) -> (Vec<u8>, bool) {
    let mut literal = Vec::new();
    let parts = match hir.kind() {
        HirKind::Concat(parts) => parts.as_slice(),
        _ => std::slice::from_ref(hir),
    };
    for (at, part) in parts.iter().enumerate() {
        match part.kind() {
            HirKind::Look(Look::Start) if at == 0 => {}
            HirKind::Literal(octets) => literal.extend_from_slice(&octets.0),
            _ => {
                let tail = &parts[at + 1..];
                let ends = tail
                    .iter()
                    .all(|p| matches!(p.kind(), HirKind::Look(Look::End)));
                return (literal, ends && is_anything(part));
            }
        }
    }
    (literal, false)
}

fn is_anything(hir: &Hir) -> bool {
    let HirKind::Repetition(repeat) = hir.kind() else {
        return false;
    };
    let HirKind::Class(Class::Bytes(class)) = repeat.sub.kind() else {
        return false;
    };
    // A canonical path or a header value never holds the line feed that `.` leaves out.
    let lines: usize = class
        .iter()
        .map(|r| usize::from(r.end() - r.start()) + 1)
        .sum();
    let no_line_feed = class.iter().all(|r| r.start() > b'\n' || r.end() < b'\n');
    repeat.min == 0 && repeat.max.is_none() && (lines == 256 || (lines == 255 && no_line_feed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(source: &str) -> Pattern {
        Pattern::parse(source).unwrap()
    }

    #[test]
    fn matches_the_whole_value_only() {
        let users = pattern("/users/[0-9]+");
        assert!(users.is_match(b"/users/42"));
        assert!(!users.is_match(b"/users/42/x"));
        assert!(!users.is_match(b"x/users/42"));
        assert!(!users.is_match(b""));
    }

    #[test]
    fn takes_the_longer_alternative_when_only_it_reaches_the_end() {
        assert!(pattern("a|ab").is_match(b"ab"));
        assert!(pattern("(a|ab)(c|bcd)").is_match(b"abcd"));
    }

    #[test]
    fn anchors_and_comments_of_the_author_change_nothing() {
        assert!(pattern("^/x$").is_match(b"/x"));
        assert!(pattern("(?x) /x # the only path").is_match(b"/x"));
        assert!(!pattern("(?x) /x # the only path").is_match(b"/xy"));
        assert!(pattern("a|b").is_match(b"b"));
        assert!(!pattern("a|b").is_match(b"bb"));
    }

    #[test]
    fn falls_back_when_the_table_would_be_too_large() {
        let wide = pattern(".*a.{14}");
        assert!(matches!(wide.0.matcher, Matcher::Lazy(_)));
        assert!(wide.is_match(b"xxa12345678901234"));
        assert!(!wide.is_match(b"xxa1234567890123"));
        assert!(!wide.is_match(b"xxa123456789012345"));
    }

    #[test]
    fn matches_octets_that_are_not_utf8() {
        assert!(pattern(".*Mobile.*").is_match(b"\xff Mobile \xfe"));
    }

    #[test]
    fn refuses_what_is_not_regular_or_too_large() {
        for bad in ["(", "(?=a)", r"(a)\1", "[z-a]", "((a{900}){900}){900}"] {
            let error = Pattern::parse(bad).unwrap_err();
            assert!(!error.contains('\n'), "{error}");
        }
        assert!(Pattern::parse(&"(".repeat(200)).is_err());
        assert!(Pattern::parse(&"a".repeat(SOURCE_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn knows_how_every_match_begins() {
        let known = |source: &str| {
            let found = pattern(source);
            (
                String::from_utf8(found.literal().to_vec()).unwrap(),
                found.is_open(),
            )
        };
        assert_eq!(known("/api/.*"), ("/api/".into(), true));
        assert_eq!(known("^/api/.*$"), ("/api/".into(), true));
        assert_eq!(known("/api/v[12]"), ("/api/v".into(), false));
        assert_eq!(known("/api/.+"), ("/api/".into(), false));
        assert_eq!(known(".*"), (String::new(), true));
        assert_eq!(known("/a|/bc"), (String::new(), false));
        assert_eq!(known("(?i)/api"), ("/".into(), false));
        assert_eq!(known("/ping"), ("/ping".into(), false));
    }
}
