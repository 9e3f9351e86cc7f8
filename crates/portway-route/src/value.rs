//! What the value of a header, query key or cookie must be.
//!
//! Must hold: values are compared as octets; a regex looks at the whole value.

use std::fmt;

use crate::pattern::Pattern;

/// A wanted value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueMatch {
    /// The same octets.
    Exact(String),
    /// Begins with these octets.
    Prefix(String),
    /// The whole value matches.
    Regex(Pattern),
    /// There is a value, even an empty one.
    Present,
    /// There is none.
    Absent,
}

impl ValueMatch {
    /// A regex over the whole value, linear in its length.
    ///
    /// # Errors
    /// Why it does not compile.
    pub fn regex(source: &str) -> Result<Self, String> {
        Pattern::parse(source).map(Self::Regex)
    }

    /// Is this single value as wanted? `Absent` never is: a value is there.
    #[must_use]
    pub fn accepts(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(wanted) => value == wanted.as_bytes(),
            Self::Prefix(wanted) => value.starts_with(wanted.as_bytes()),
            Self::Regex(pattern) => pattern.is_match(value),
            Self::Present => true,
            Self::Absent => false,
        }
    }

    /// Does this hold whenever `other` holds of the same subject? May miss cases, never invents one.
    pub(crate) fn follows_from(&self, other: &ValueMatch) -> bool {
        match (self, other) {
            (Self::Absent, _) | (_, Self::Absent) => self == other,
            (Self::Present, _) => true,
            (_, Self::Exact(value)) => self.accepts(value.as_bytes()),
            (Self::Prefix(short), Self::Prefix(long)) => long.starts_with(short.as_str()),
            (Self::Prefix(short), Self::Regex(long)) => {
                long.literal().starts_with(short.as_bytes())
            }
            _ => self == other,
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        match self {
            Self::Exact(text) | Self::Prefix(text) => text.capacity(),
            Self::Regex(pattern) => pattern.memory_bytes(),
            Self::Present | Self::Absent => 0,
        }
    }
}

impl fmt::Display for ValueMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => write!(f, "`{text}`"),
            Self::Prefix(text) => write!(f, "a value that begins with `{text}`"),
            Self::Regex(pattern) => write!(f, "a value that matches `{pattern}`"),
            Self::Present => f.write_str("any value"),
            Self::Absent => f.write_str("none"),
        }
    }
}
