//! Finds the binding of a path among many: a tree of segments.
//!
//! Must hold: at each segment a literal goes before `*`, and `*` before `**`; a branch that leads to
//! nothing is left for the next one. No node is looked at twice in a look-up, so that the work is bounded by
//! what the descriptors bind, whatever the path. A verb is one only where a template has it; elsewhere a
//! colon belongs to its segment.

use std::collections::HashMap;

use super::template::{Segment, Template};

/// A tree of templates; what is found is a value of `T`.
#[derive(Debug)]
pub struct Tree<T> {
    root: Node<T>,
}

#[derive(Debug)]
struct Node<T> {
    literals: HashMap<Box<str>, Node<T>>,
    any: Option<Box<Node<T>>>,
    /// What ends here.
    here: Vec<Leaf<T>>,
    /// What ends here with `**`.
    rest: Vec<Leaf<T>>,
}

/// One binding at the end of its template.
#[derive(Debug)]
struct Leaf<T> {
    verb: Option<Box<str>>,
    method: Box<str>,
    value: T,
}

/// What a look-up finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'t, T> {
    /// The value of the best template.
    Value(&'t T),
    /// Templates match, but none for the method; these methods there are, in order and once each.
    OtherMethods(Vec<&'t str>),
    /// No template matches.
    Nothing,
}

/// Stands for every method.
pub const EVERY_METHOD: &str = "*";

impl<T> Default for Tree<T> {
    fn default() -> Tree<T> {
        Tree {
            root: Node::default(),
        }
    }
}

impl<T> Default for Node<T> {
    fn default() -> Node<T> {
        Node {
            literals: HashMap::new(),
            any: None,
            here: Vec::new(),
            rest: Vec::new(),
        }
    }
}

impl<T> Tree<T> {
    /// Adds a template for a method. Where one that matches the same paths is there already, it stays
    /// and is given back.
    ///
    /// # Errors
    /// The value that is there already.
    pub fn insert(&mut self, method: &str, template: &Template, value: T) -> Result<(), &T> {
        let mut node = &mut self.root;
        let mut rest = false;
        for segment in &template.segments {
            match segment {
                Segment::Literal(text) => node = node.literals.entry(text.clone()).or_default(),
                Segment::Any => node = node.any.get_or_insert_default(),
                Segment::Rest => rest = true, // always last
            }
        }
        let leaves = if rest { &mut node.rest } else { &mut node.here };
        let same = |leaf: &Leaf<T>| leaf.verb == template.verb && *leaf.method == *method;
        if let Some(at) = leaves.iter().position(same) {
            return Err(&leaves[at].value);
        }
        leaves.push(Leaf {
            verb: template.verb.clone(),
            method: method.into(),
            value,
        });
        Ok(())
    }

    /// Finds what a method and a canonical path are bound to. `segments` gets the path's segments, without
    /// the verb, for [`capture`].
    pub fn find<'t, 'p>(
        &'t self,
        method: &str,
        path: &'p str,
        segments: &mut Vec<&'p str>,
    ) -> Found<'t, T> {
        segments.clear();
        let inner = path.strip_prefix('/').unwrap_or(path);
        if !inner.is_empty() {
            segments.extend(inner.split('/'));
        }
        let mut others = Vec::new();
        // With a verb first: a template that names it says more than one that does not.
        if let Some((last, verb)) = segments.last().and_then(|last| last.rsplit_once(':')) {
            let whole = segments.pop().unwrap_or_default();
            if !last.is_empty() {
                segments.push(last);
            }
            let mut search = Search::new(method, Some(verb), &mut others);
            if let Some(value) = search.run(&self.root, segments) {
                return Found::Value(value);
            }
            if !last.is_empty() {
                segments.pop();
            }
            segments.push(whole);
        }
        let mut search = Search::new(method, None, &mut others);
        if let Some(value) = search.run(&self.root, segments) {
            return Found::Value(value);
        }
        others.sort_unstable();
        others.dedup();
        match others.is_empty() {
            true => Found::Nothing,
            false => Found::OtherMethods(others),
        }
    }
}

struct Search<'t, 's> {
    method: &'s str,
    verb: Option<&'s str>,
    /// Methods of templates that match.
    others: &'s mut Vec<&'t str>,
}

impl<'t, 's> Search<'t, 's> {
    fn new(method: &'s str, verb: Option<&'s str>, others: &'s mut Vec<&'t str>) -> Self {
        Search {
            method,
            verb,
            others,
        }
    }

    /// Depth is bounded by the templates' own.
    fn run<T>(&mut self, node: &'t Node<T>, segments: &[&str]) -> Option<&'t T> {
        let found = match segments.split_first() {
            None => self.pick(&node.here),
            Some((first, behind)) => {
                let literal = node.literals.get(*first);
                let found = literal.and_then(|node| self.run(node, behind));
                found.or_else(|| {
                    let any = node.any.as_ref().filter(|_| !first.is_empty())?;
                    self.run(any, behind)
                })
            }
        };
        found.or_else(|| self.pick(&node.rest))
    }

    fn pick<T>(&mut self, leaves: &'t [Leaf<T>]) -> Option<&'t T> {
        let mut every = None;
        for leaf in leaves.iter().filter(|l| l.verb.as_deref() == self.verb) {
            match &*leaf.method {
                EVERY_METHOD => every = Some(&leaf.value),
                method if method == self.method => return Some(&leaf.value),
                method => self.others.push(method),
            }
        }
        every
    }
}

/// What a variable stands for in a path: its segments, decoded. `single` is whether it stands for one
/// segment; in several an escaped slash stays as it is (http.proto, "HttpRule").
///
/// # Errors
/// If what comes of decoding is no UTF-8, which every string of a message is.
pub fn capture(segments: &[&str], single: bool) -> Result<String, std::string::FromUtf8Error> {
    let mut out = Vec::with_capacity(segments.iter().map(|s| s.len() + 1).sum());
    for (at, segment) in segments.iter().enumerate() {
        if at > 0 {
            out.push(b'/');
        }
        decode(segment, single, &mut out);
    }
    String::from_utf8(out)
}

/// Percent-decodes; an escape that is none stays as it is.
fn decode(text: &str, slashes: bool, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let value = match byte {
            b'%' => hex(behind),
            _ => None,
        };
        match value {
            Some(value) if value != b'/' || slashes => {
                out.push(value);
                rest = &behind[2..];
            }
            _ => {
                out.push(byte);
                rest = behind;
            }
        }
    }
}

/// The octet that two hexadecimal digits stand for.
pub(super) fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    Some((digit(0)? << 4 | digit(1)?) as u8)
}

#[cfg(test)]
mod tests;
