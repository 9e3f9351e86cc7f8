//! What a path and a query say of a request message.
//!
//! Must hold: what the path says is final: neither query nor body can change it; a query names only fields
//! that neither the path nor the body has; what it names too much is refused, or left out where the config
//! says so.

use std::collections::HashSet;

use prost_reflect::{DynamicMessage, FieldDescriptor, Value};

use super::field::{self, Path, shortened};
use super::rules::{BodyIs, Rule};
use super::tree::{capture, hex};

/// So many query parameters are read: each is a field, and some fields are lists.
const PARAMETERS_MAX: usize = 1000;

/// What becomes of what a message has no field for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unknown {
    /// The request is refused.
    #[default]
    Reject,
    /// It is left out.
    Ignore,
}

/// Values of fields, to be put into a message after its body was read.
#[derive(Debug, Default)]
pub struct Overlay {
    values: Vec<(Path, Value)>,
}

/// How a query is read.
#[derive(Clone, Debug, Default)]
pub struct QueryRules {
    /// Parameters that no field has.
    pub unknown: Unknown,
    /// Parameters that are for somebody else.
    pub ignored: Vec<String>,
}

impl Overlay {
    /// Reads path and query of a request that was matched by a rule.
    ///
    /// # Errors
    /// What is wrong with them, in words for the client.
    pub fn read(
        rule: &Rule,
        segments: &[&str],
        query: Option<&str>,
        rules: &QueryRules,
    ) -> Result<Overlay, String> {
        let mut overlay = Overlay::default();
        for (variable, path) in &rule.variables {
            let end = if variable.end == rule.template.segments.len() {
                segments.len() // `**` stands for as many as there are
            } else {
                variable.end
            };
            let name = variable.field.join(".");
            let covered = segments.get(variable.start..end).unwrap_or_default();
            let text = capture(covered, rule.template.is_single(variable))
                .map_err(|_| format!("`{name}` in the path is no UTF-8"))?;
            let Some(last) = path.last() else { continue };
            let value = field::parse(&last.kind(), &text)
                .map_err(|why| format!("`{name}` in the path: {why}"))?;
            overlay.values.push((path.clone(), value));
        }
        if let Some(query) = query {
            overlay.query(rule, query, rules)?;
        }
        Ok(overlay)
    }

    fn query(&mut self, rule: &Rule, query: &str, rules: &QueryRules) -> Result<(), String> {
        let bound = self.values.len();
        // Looked up, not compared one by one: a thousand parameters are no million comparisons.
        let mut single: HashSet<Vec<u32>> = HashSet::new();
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        for (at, pair) in pairs.enumerate() {
            if at == PARAMETERS_MAX {
                return Err(format!("a query has at most {PARAMETERS_MAX} parameters"));
            }
            let (name, text) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name)?;
            if rules.ignored.contains(&name) {
                continue;
            }
            let shown = shortened(&name);
            let place = |why: String| format!("query parameter `{shown}`: {why}");
            // Also where unknown parameters are left out: whether it is one is not looked at.
            field::check_depth(name.split('.')).map_err(place)?;
            let path = match self.place(rule, &name, bound) {
                Ok(path) => path,
                Err(_) if rules.unknown == Unknown::Ignore => continue,
                Err(why) => return Err(place(why)),
            };
            let Some(last) = path.last() else { continue };
            let text = decoded(text)?;
            let value = field::parse(&last.kind(), &text).map_err(place)?;
            let numbers = || path.iter().map(FieldDescriptor::number).collect();
            if !last.is_list() && !single.insert(numbers()) {
                return Err(place("it stands there twice".to_owned()));
            }
            self.values.push((path, value));
        }
        Ok(())
    }

    /// The field that a parameter names.
    fn place(&self, rule: &Rule, name: &str, bound: usize) -> Result<Path, String> {
        if rule.body == BodyIs::Message {
            return Err("the body has all fields of this method".to_owned());
        }
        let path = field::find(&rule.method.input, name.split('.'))?;
        let last = path.last().ok_or("it names no field")?;
        field::takes_text(last)?;
        if matches!(&rule.body, BodyIs::Field(field) if path.first() == Some(field)) {
            return Err("the body has this field".to_owned());
        }
        let same = |(other, _): &(Path, Value)| path.starts_with(other) || other.starts_with(&path);
        if self.values[..bound].iter().any(same) {
            return Err("the path has this field".to_owned());
        }
        Ok(path)
    }

    /// Puts the values into a message.
    pub fn apply(self, message: &mut DynamicMessage) {
        for (path, value) in self.values {
            field::put(message, &path, value);
        }
    }
}

/// A name or value of a query, as forms write it: `+` is a space.
fn decoded(text: &str) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        out.push(match (byte, hex(behind)) {
            (b'+', _) => b' ',
            (b'%', Some(value)) => {
                rest = &behind[2..];
                value
            }
            _ => byte,
        });
    }
    String::from_utf8(out).map_err(|_| format!("the query holds no UTF-8: `{}`", shortened(text)))
}
