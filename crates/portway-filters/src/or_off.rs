//! A setting that can be switched off by the word `off`.

use portway_config::{Decode, Node, Schema};
use portway_core::{Diagnostics, Span};
use serde_json::{Value, json};

/// A value, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrOff<T>(pub Option<T>);

impl<T> OrOff<T> {
    /// The value, unless it is off.
    #[must_use]
    pub fn value(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

impl<T: Decode> Decode for OrOff<T> {
    type Plain = Option<T::Plain>;

    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<OrOff<T>> {
        if node.is_off() {
            return Some(OrOff(None));
        }
        T::decode(node, problems).map(|value| OrOff(Some(value)))
    }

    fn schema() -> Schema {
        json!({ "anyOf": [{ "enum": ["off", false] }, T::schema()] })
    }

    fn from_plain(plain: Option<T::Plain>, span: &Span) -> OrOff<T> {
        OrOff(plain.map(|plain| T::from_plain(plain, span)))
    }

    fn to_json(&self) -> Value {
        self.0.as_ref().map_or_else(|| "off".into(), T::to_json)
    }
}
