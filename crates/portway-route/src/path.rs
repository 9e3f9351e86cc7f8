//! Path patterns of a route: what their authors write, and the key the radix tree stores.
//!
//! Must hold: a pattern is brought into the same canonical form as a request's path (unreserved
//! octets decoded, hex digits upper case), so that comparing octets is enough; a pattern that no
//! canonical path can match is a problem, not a dead route.
//! A parameter stands for one whole segment that is not empty; `{*rest}` for all that follows.
//! Never: normalizes a request's path.

use std::fmt;

use crate::pattern::Pattern;

mod reader;

use reader::Reader;

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

#[cfg(test)]
mod tests;
