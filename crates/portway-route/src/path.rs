//! Path patterns of a route: what their authors write, and the key the radix tree stores.
//!
//! Must hold: a pattern is brought into the same canonical form as a request's path (unreserved
//! octets decoded, hex digits upper case), so that comparing octets is enough; a pattern that no
//! canonical path can match is a problem, not a dead route.
//! A parameter stands for one whole segment that is not empty; `{*rest}` for all that follows.
//! Never: normalizes a request's path.

use std::fmt;

use crate::pattern::Pattern;
use crate::query::hex;

/// Longest pattern, bytes. The walk recurses at most once per octet of a pattern.
pub const PATTERN_BYTES_MAX: usize = 1024;
/// Parameters in one pattern. Eight fit without allocation; more than 32 is no path of a person.
pub const PARAMS_MAX: usize = 32;

/// Stands for a parameter in a key. No canonical path holds a NUL.
pub(crate) const PARAM: u8 = 0;

/// Which paths a route takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    /// Every path, even the `*` of `OPTIONS *`.
    Any,
    /// This path and those below it: `/api` takes `/api` and `/api/x`, never `/apix`; `/api/` takes
    /// only paths that begin with it.
    Prefix(String),
    /// This path only. One that ends in `{*rest}` takes everything below and ranks as a prefix.
    Exact(String),
    /// Paths that match as a whole, in linear time.
    Regex(String),
}

impl PathPattern {
    /// A checked prefix.
    ///
    /// # Errors
    /// What is wrong and what to do.
    pub fn prefix(text: &str) -> Result<Self, String> {
        Self::Prefix(text.to_owned()).checked()
    }

    /// A checked exact path.
    ///
    /// # Errors
    /// What is wrong and what to do.
    pub fn exact(text: &str) -> Result<Self, String> {
        Self::Exact(text.to_owned()).checked()
    }

    /// A checked regex.
    ///
    /// # Errors
    /// What is wrong and what to do.
    pub fn regex(source: &str) -> Result<Self, String> {
        Self::Regex(source.to_owned()).checked()
    }

    fn checked(self) -> Result<Self, String> {
        match Path::compile(&self) {
            Ok(_) => Ok(self),
            Err(PathProblem { what, hint }) => Err(format!("{what}; {hint}")),
        }
    }

    /// The config key this pattern is written under.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::Any | Self::Prefix(_) => "prefix",
            Self::Exact(_) => "path",
            Self::Regex(_) => "regex",
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any path"),
            Self::Prefix(text) => write!(f, "prefix {text}"),
            Self::Exact(text) => write!(f, "exact path {text}"),
            Self::Regex(text) => write!(f, "regex {text}"),
        }
    }
}

/// What is wrong with a pattern.
#[derive(Debug)]
pub(crate) struct PathProblem {
    pub(crate) what: String,
    pub(crate) hint: String,
}

/// How the end of a key is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Exact,
    /// On a segment boundary. The empty key is [`PathPattern::Any`].
    Prefix,
    /// Followed by at least one octet.
    Rest,
    /// Followed by whatever the regex says.
    Regex,
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) kind: Kind,
    /// Canonical octets with [`PARAM`] for each parameter; of a regex, its literal beginning.
    pub(crate) key: Box<[u8]>,
    pub(crate) params: Box<[Param]>,
    pub(crate) regex: Option<Pattern>,
    /// For people.
    pub(crate) text: Box<str>,
}

/// A named segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Param {
    pub(crate) name: Box<str>,
    /// How many slashes stand before it; at least one.
    pub(crate) segment: u16,
}

impl Path {
    pub(crate) fn compile(pattern: &PathPattern) -> Result<Self, PathProblem> {
        let text = pattern.to_string().into_boxed_str();
        match pattern {
            PathPattern::Any => Ok(Self::plain(Kind::Prefix, text)),
            PathPattern::Prefix(path) => Reader::read(path, Kind::Prefix, text),
            PathPattern::Exact(path) => Reader::read(path, Kind::Exact, text),
            PathPattern::Regex(source) => {
                let regex = Pattern::parse(source).map_err(|what| PathProblem {
                    what,
                    hint: "write a regular expression without look-around or back-references"
                        .into(),
                })?;
                // A NUL would be taken for a parameter, and no canonical path has one.
                let literal = regex
                    .literal()
                    .split(|b| *b == PARAM)
                    .next()
                    .unwrap_or_default();
                let mut path = Self::plain(Kind::Regex, text);
                // Each octet may become a level of the walk.
                path.key = literal[..literal.len().min(PATTERN_BYTES_MAX)].into();
                path.regex = Some(regex);
                Ok(path)
            }
        }
    }

    fn plain(kind: Kind, text: Box<str>) -> Self {
        Self {
            kind,
            key: Box::default(),
            params: Box::default(),
            regex: None,
            text,
        }
    }

    /// Does the canonical `path` match? The slow, obvious way: for explanations.
    pub(crate) fn matches(&self, path: &[u8]) -> bool {
        if let Some(regex) = &self.regex {
            return regex.is_match(path);
        }
        let Some(end) = match_key(&self.key, path) else {
            return false;
        };
        match self.kind {
            Kind::Exact => end == path.len(),
            Kind::Rest => end < path.len(),
            Kind::Prefix | Kind::Regex => {
                end == path.len()
                    || path[end] == b'/'
                    || matches!(self.key.last(), None | Some(b'/'))
            }
        }
    }

    /// Exact paths, then regexes, then prefixes; larger is better.
    pub(crate) fn class(&self) -> u8 {
        match self.kind {
            Kind::Exact => 2,
            Kind::Regex => 1,
            Kind::Prefix | Kind::Rest => 0,
        }
    }

    /// The pattern with its octets reduced to what ranking looks at, one octet per literal run,
    /// slash or parameter. Of two patterns that match one path, the larger shape is the better one.
    pub(crate) fn shape(&self) -> Vec<u8> {
        const LITERAL: u8 = 4;
        const SLASH: u8 = 3;
        const ONE: u8 = 2;
        const REST: u8 = 1;
        let mut shape = Vec::new();
        if self.kind == Kind::Regex {
            return shape;
        }
        for octet in &self.key {
            match *octet {
                b'/' => shape.push(SLASH),
                PARAM => shape.push(ONE),
                _ if shape.last() == Some(&LITERAL) => {}
                _ => shape.push(LITERAL),
            }
        }
        if self.kind == Kind::Rest {
            shape.push(REST);
        }
        shape
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let names: usize = self
            .params
            .iter()
            .map(|p| p.name.len() + size_of::<Param>())
            .sum();
        let regex = self.regex.as_ref().map_or(0, Pattern::memory_bytes);
        self.key.len() + self.text.len() + names + regex
    }
}

/// Where in `path` the key ends, if it matches. A parameter matches one segment.
pub(crate) fn match_key(key: &[u8], path: &[u8]) -> Option<usize> {
    let mut at = 0;
    for octet in key {
        if *octet == PARAM {
            let rest = &path[at..];
            let length = memchr::memchr(b'/', rest).unwrap_or(rest.len());
            if length == 0 {
                return None;
            }
            at += length;
        } else if path.get(at) == Some(octet) {
            at += 1;
        } else {
            return None;
        }
    }
    Some(at)
}

/// Reads a literal pattern segment by segment.
struct Reader {
    key: Vec<u8>,
    params: Vec<Param>,
    rest: bool,
}

impl Reader {
    fn read(path: &str, kind: Kind, text: Box<str>) -> Result<Path, PathProblem> {
        let Some(inside) = path.strip_prefix('/') else {
            return problem(
                format!("`{path}` does not begin with `/`"),
                format!("write `/{path}`"),
            );
        };
        if path.len() > PATTERN_BYTES_MAX {
            let what = format!("the path is longer than {PATTERN_BYTES_MAX} bytes");
            return problem(what, "shorten it, or use a regex");
        }
        let mut reader = Self {
            key: Vec::with_capacity(path.len()),
            params: Vec::new(),
            rest: false,
        };
        for (before, segment) in (1..).zip(inside.split('/')) {
            reader.key.push(b'/');
            reader.segment(segment, before)?;
        }
        Ok(Path {
            kind: if reader.rest { Kind::Rest } else { kind },
            key: reader.key.into(),
            params: reader.params.into(),
            regex: None,
            text,
        })
    }

    fn segment(&mut self, segment: &str, before: u16) -> Result<(), PathProblem> {
        if self.rest {
            return problem(
                "nothing can follow a `{*name}` segment",
                "move it to the end of the path",
            );
        }
        if segment.contains(['{', '}']) {
            return self.param(segment, before);
        }
        let start = self.key.len();
        self.literal(segment)?;
        if matches!(&self.key[start..], b"." | b"..") {
            let what =
                format!("the segment `{segment}` is resolved before routing and never matches");
            return problem(what, "write the path without dot segments");
        }
        Ok(())
    }

    fn param(&mut self, segment: &str, before: u16) -> Result<(), PathProblem> {
        let name = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}'));
        let Some(name) = name else {
            let what = format!("`{segment}`: a parameter must be a whole segment");
            return problem(
                what,
                "write `/{name}/`, or use a regex; a literal brace is `%7B` or `%7D`",
            );
        };
        let (name, rest) = match name.strip_prefix('*') {
            Some(name) => (name, true),
            None => (name, false),
        };
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if name.is_empty() || !name.bytes().all(word) {
            let what = format!("`{segment}` has no usable parameter name");
            return problem(what, "use letters, digits, `_` and `-`, as in `{user_id}`");
        }
        if self.params.iter().any(|param| &*param.name == name) {
            return problem(
                format!("the parameter `{name}` comes twice"),
                "give each its own name",
            );
        }
        if self.params.len() == PARAMS_MAX {
            let what = format!("the path has more than {PARAMS_MAX} parameters");
            return problem(what, "use `{*rest}` for the tail");
        }
        self.params.push(Param {
            name: name.into(),
            segment: before,
        });
        self.rest = rest;
        if !rest {
            self.key.push(PARAM);
        }
        Ok(())
    }

    /// Canonical octets of a literal segment (RFC 3986, section 6.2.2).
    fn literal(&mut self, segment: &str) -> Result<(), PathProblem> {
        let mut rest = segment.as_bytes();
        while let Some((&octet, tail)) = rest.split_first() {
            rest = tail;
            let octet = match octet {
                b'%' => {
                    let (high, low) = match tail {
                        [high, low, ..] => (hex(*high), hex(*low)),
                        _ => (None, None),
                    };
                    let (Some(high), Some(low)) = (high, low) else {
                        let what = format!("`{segment}`: `%` must be followed by two hex digits");
                        return problem(what, "write a literal percent sign as `%25`");
                    };
                    rest = &tail[2..];
                    high << 4 | low
                }
                b'?' | b'#' => {
                    let what = format!("`{segment}`: a path ends before `{}`", char::from(octet));
                    return problem(what, "match query keys with `query`");
                }
                b'!'..=b'~' if octet != b'\\' => {
                    self.key.push(octet);
                    continue;
                }
                _ => {
                    let what = format!(
                        "`{}` has a character no path can hold",
                        segment.escape_debug()
                    );
                    return problem(what, "write it percent-encoded, `é` as `%C3%A9`");
                }
            };
            self.encoded(octet, segment)?;
        }
        Ok(())
    }

    fn encoded(&mut self, octet: u8, segment: &str) -> Result<(), PathProblem> {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        if matches!(octet, 0 | b'\\') {
            let what =
                format!("`{segment}`: requests with an encoded NUL or backslash are refused");
            return problem(what, "remove it");
        }
        if octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~') {
            self.key.push(octet);
        } else {
            let digits = [octet >> 4, octet & 15].map(|digit| DIGITS[usize::from(digit)]);
            self.key.extend_from_slice(&[b'%', digits[0], digits[1]]);
        }
        Ok(())
    }
}

fn problem<T>(what: impl Into<String>, hint: impl Into<String>) -> Result<T, PathProblem> {
    Err(PathProblem {
        what: what.into(),
        hint: hint.into(),
    })
}

#[cfg(test)]
mod tests;
