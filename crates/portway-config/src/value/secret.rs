//! Text that must not be seen.
//!
//! Must hold: no way of printing, serializing or comparing it gives it away; who needs the text says
//! so by calling [`Secret::expose`].

use std::fmt;

use portway_core::Span;
use portway_core::diagnostic::Diagnostics;
use serde_json::{Value, json};

use crate::Schema;
use crate::decode::{Decode, wrong};
use crate::node::{Node, Origin};

/// The key in a schema that marks a value as one to hide.
pub const SECRET_MARK: &str = "x-portway-secret";

/// A password, token or key.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// A secret with this text.
    #[must_use]
    pub fn new(text: impl Into<Box<str>>) -> Secret {
        Secret(text.into())
    }

    /// The text, for the one place that uses it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the secret is empty: as good as none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `guess` is the secret, in a time that does not depend on how much of it is right.
    #[must_use]
    pub fn matches(&self, guess: &[u8]) -> bool {
        let secret = self.0.as_bytes();
        let mut different = secret.len() ^ guess.len();
        for (at, byte) in guess.iter().enumerate() {
            // Past the secret's end compare with something, so that the work depends on the guess only.
            let other = secret.get(at).copied().unwrap_or(0);
            different |= usize::from(other ^ byte);
        }
        std::hint::black_box(different) == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.matches(other.0.as_bytes())
    }
}

impl Eq for Secret {}

impl Decode for Secret {
    type Plain = Secret;

    fn from_plain(plain: Secret, _: &Span) -> Secret {
        plain
    }

    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<Secret> {
        // `token: ${TOKEN:-}` leaves nothing when TOKEN is not set: an empty secret, not a mistake.
        if node.is_null() && node.origin == Origin::Substituted {
            return Some(Secret::new(""));
        }
        let Some(text) = node.text() else {
            wrong(node, "a string", problems);
            return None;
        };
        Some(Secret::new(text))
    }

    fn schema() -> Schema {
        json!({ "type": ["string", "number", "boolean"], "writeOnly": true, SECRET_MARK: true })
    }

    fn to_json(&self) -> Value {
        "***".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_prints_its_text() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(secret.to_json(), "***");
    }

    #[test]
    fn matches_only_the_whole_text() {
        let secret = Secret::new("hunter2");
        assert!(secret.matches(b"hunter2"));
        for guess in ["", "hunter", "hunter22", "hunter3", "hunter2\0"] {
            assert!(!secret.matches(guess.as_bytes()), "{guess:?}");
        }
    }
}
