//! Lists and maps of decodable values.
//!
//! `Vec` and [`Each`] differ in what a bad item does. A `Vec` with a bad item is no value at all; an
//! `Each` keeps the good ones and remembers that it is not complete, so that one bad route does not
//! hide the problems of the others.

use std::ops::Deref;

use portway_core::Span;
use portway_core::diagnostic::Diagnostics;
use serde_json::{Value, json};

use super::scalars::plain_is_self;
use super::{Decode, wrong, wrong_with_hint};
use crate::Schema;
use crate::node::Node;
use crate::spanned::Spanned;

fn items<'a>(node: &'a Node, problems: &mut Diagnostics) -> Option<&'a [Node]> {
    if node.is_null() {
        return Some(&[]); // the key is there, its items are commented out
    }
    let items = node.items();
    if items.is_none() {
        wrong_with_hint(node, "a list", "put it in [ ]", problems);
    }
    items
}

impl<T: Decode> Decode for Vec<T> {
    plain_is_self!();

    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<Vec<T>> {
        let items = items(node, problems)?;
        let mut good = Vec::with_capacity(items.len());
        for item in items {
            good.extend(T::decode(item, problems));
        }
        (good.len() == items.len()).then_some(good)
    }

    fn schema() -> Schema {
        json!({ "type": "array", "items": T::schema() })
    }

    fn to_json(&self) -> Value {
        self.iter().map(T::to_json).collect()
    }
}

/// A list that survives bad items.
#[derive(Clone, Debug, PartialEq)]
pub struct Each<T> {
    /// The items without a problem, in the order of the file.
    pub items: Vec<T>,
    /// Whether all items of the file are here. If not, nothing can be concluded from what is absent.
    pub complete: bool,
}

impl<T> Each<T> {
    /// No items, and none lost.
    #[must_use]
    pub fn empty() -> Each<T> {
        Each::from(Vec::new())
    }
}

impl<T> From<Vec<T>> for Each<T> {
    fn from(items: Vec<T>) -> Each<T> {
        Each {
            items,
            complete: true,
        }
    }
}

impl<T> Deref for Each<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<T: Decode> Decode for Each<T> {
    type Plain = Vec<T>;

    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<Each<T>> {
        let Some(items) = items(node, problems) else {
            return Some(Each {
                items: Vec::new(),
                complete: false,
            });
        };
        let mut good = Vec::with_capacity(items.len());
        for item in items {
            good.extend(T::decode(item, problems));
        }
        let complete = good.len() == items.len();
        Some(Each {
            items: good,
            complete,
        })
    }

    fn schema() -> Schema {
        Vec::<T>::schema()
    }

    fn from_plain(plain: Vec<T>, _: &Span) -> Each<T> {
        Each::from(plain)
    }

    fn to_json(&self) -> Value {
        self.items.iter().map(T::to_json).collect()
    }
}

/// A list that may be written as its only item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T> Deref for OneOrMany<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Decode> Decode for OneOrMany<T> {
    type Plain = Vec<T>;

    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<OneOrMany<T>> {
        if node.items().is_some() || node.is_null() {
            return Vec::decode(node, problems).map(OneOrMany);
        }
        T::decode(node, problems).map(|only| OneOrMany(vec![only]))
    }

    fn schema() -> Schema {
        json!({ "anyOf": [T::schema(), Vec::<T>::schema()] })
    }

    fn from_plain(plain: Vec<T>, _: &Span) -> OneOrMany<T> {
        OneOrMany(plain)
    }

    fn to_json(&self) -> Value {
        self.0.iter().map(T::to_json).collect()
    }
}

/// A map whose keys are the user's, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Table<T>(pub Vec<(Spanned<String>, T)>);

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table(Vec::new())
    }
}

impl<T> Deref for Table<T> {
    type Target = [(Spanned<String>, T)];

    fn deref(&self) -> &[(Spanned<String>, T)] {
        &self.0
    }
}

impl<T: Decode> Decode for Table<T> {
    plain_is_self!();

    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<Table<T>> {
        if node.is_null() {
            return Some(Table::default());
        }
        let Some(entries) = node.entries() else {
            wrong(node, "a map", problems);
            return None;
        };
        let mut good = Vec::with_capacity(entries.len());
        for entry in entries {
            if let Some(value) = T::decode(&entry.value, problems) {
                good.push((Spanned::new(entry.key.to_string(), &entry.key_span), value));
            }
        }
        Some(Table(good)) // the other entries can still be checked
    }

    fn schema() -> Schema {
        json!({ "type": ["object", "null"], "additionalProperties": T::schema() })
    }

    fn to_json(&self) -> Value {
        let entries = self.0.iter();
        Value::Object(entries.map(|(k, v)| (k.to_string(), v.to_json())).collect())
    }
}
