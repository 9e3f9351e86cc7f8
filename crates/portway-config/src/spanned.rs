//! A decoded value together with the place it was written at.
//!
//! Must hold: comparing, hashing and printing look at the value only, so that moving a key in the
//! file is not a change of the config.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use portway_core::Span;

/// A value and its place in the file.
#[derive(Clone)]
pub struct Spanned<T> {
    value: T,
    span: Span,
}

impl<T> Spanned<T> {
    /// A value written at `span`.
    #[must_use]
    pub fn new(value: T, span: &Span) -> Spanned<T> {
        Spanned {
            value,
            span: span.clone(),
        }
    }

    /// Where it was written; for a default, where it could have been.
    #[must_use]
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// The value alone.
    #[must_use]
    pub fn into_value(self) -> T {
        self.value
    }
}

impl<T: Copy> Spanned<T> {
    /// A copy of the value.
    #[must_use]
    pub fn value(&self) -> T {
        self.value
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Spanned<T>) -> bool {
        self.value == other.value
    }
}

impl<T: PartialEq> PartialEq<T> for Spanned<T> {
    fn eq(&self, other: &T) -> bool {
        self.value == *other
    }
}

impl<T: Eq> Eq for Spanned<T> {}

impl<T: Hash> Hash for Spanned<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value.hash(state);
    }
}
