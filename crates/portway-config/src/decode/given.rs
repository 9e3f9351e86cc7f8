//! A key that may be missing, where "written but wrong" must not look like "not written".

use portway_core::Span;
use portway_core::diagnostic::Diagnostics;
use serde_json::Value;

use super::Decode;
use crate::Schema;
use crate::node::Node;
use crate::spanned::Spanned;

/// An optional key of which others depend: "one of these, not two".
#[derive(Clone, Debug, PartialEq)]
pub enum Given<T> {
    /// The key is not there.
    No,
    /// The key is there, its value is not usable; the problem was noted.
    Broken,
    /// The key is there.
    Yes(Spanned<T>),
}

impl<T> Given<T> {
    /// The usable value.
    #[must_use]
    pub fn value(&self) -> Option<&Spanned<T>> {
        match self {
            Given::Yes(value) => Some(value),
            Given::No | Given::Broken => None,
        }
    }

    /// Whether the key was written, usable or not.
    #[must_use]
    pub fn is_written(&self) -> bool {
        !matches!(self, Given::No)
    }
}

impl<T: Decode> Decode for Given<T> {
    type Plain = Given<T>;

    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<Given<T>> {
        Some(match Spanned::decode(node, problems) {
            Some(value) => Given::Yes(value),
            None => Given::Broken,
        })
    }

    fn schema() -> Schema {
        T::schema()
    }

    fn from_plain(plain: Given<T>, _: &Span) -> Given<T> {
        plain
    }

    fn absent() -> Option<Given<T>> {
        Some(Given::No)
    }

    fn to_json(&self) -> Value {
        self.value().map_or(Value::Null, |v| v.to_json())
    }
}
