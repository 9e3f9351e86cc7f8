//! `${NAME}`, `${NAME:-default}` and `${file:PATH}` in values.
//!
//! Must hold: keys are never touched; what a substitution yields is not searched again, so that a
//! variable's value cannot reach for another; a touched node is marked, since it may be a secret.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;

use portway_core::Severity;
use portway_core::diagnostic::Diagnostics;

use crate::env::Env;
use crate::node::{Kind, Node, Origin, Scalar};
use crate::value::Secret;

/// What all substitutions of a file may add up to, bytes. Guards against a file of a megabyte that is
/// named a thousand times.
const SUBSTITUTED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A shorter value could be a part of any word, and is no secret worth the name.
const HIDDEN_BYTES_MIN: usize = 8;

/// What substitutions brought in, to keep it out of messages.
#[derive(Clone, Default, PartialEq)]
pub struct Hidden(HashMap<Box<str>, Secret>);

impl Hidden {
    fn add(&mut self, inside: &str, value: &str) {
        if value.len() >= HIDDEN_BYTES_MIN && !self.0.contains_key(inside) {
            self.0.insert(inside.into(), Secret::new(value));
        }
    }

    /// The same problems, with each value that came out of a substitution shown as the substitution.
    #[must_use]
    pub fn scrub(&self, problems: Diagnostics) -> Diagnostics {
        if self.0.is_empty() {
            return problems;
        }
        let mut clean = Diagnostics::new();
        for problem in problems.sorted() {
            let (what, hint) = (self.clean(problem.what), self.clean(problem.hint));
            match problem.severity {
                Severity::Error => clean.error(&problem.span, what, hint),
                Severity::Warning => clean.warn(&problem.span, what, hint),
            }
        }
        clean
    }

    fn clean(&self, text: String) -> String {
        let found = self
            .0
            .iter()
            .filter(|(_, value)| text.contains(value.expose()));
        let mut found: Vec<_> = found.collect();
        // A value may be a part of another: the longest goes first.
        found.sort_by_key(|(name, value)| (Reverse(value.expose().len()), *name));
        found.iter().fold(text.clone(), |text, (name, value)| {
            text.replace(value.expose(), &format!("${{{name}}}"))
        })
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Replaces the substitutions in all values below `node`, noting what cannot be replaced.
pub fn substitute(node: &mut Node, env: &dyn Env, problems: &mut Diagnostics) -> Hidden {
    let mut substitution = Substitution {
        env,
        problems,
        budget: SUBSTITUTED_BYTES_MAX,
        hidden: Hidden::default(),
    };
    substitution.visit(node);
    substitution.hidden
}

struct Substitution<'a> {
    env: &'a dyn Env,
    problems: &'a mut Diagnostics,
    budget: usize,
    hidden: Hidden,
}

impl Substitution<'_> {
    fn visit(&mut self, node: &mut Node) {
        let replaced = match &mut node.kind {
            Kind::List(items) => return items.iter_mut().for_each(|item| self.visit(item)),
            Kind::Map(entries) => {
                return entries.iter_mut().for_each(|e| self.visit(&mut e.value));
            }
            // Nearly no value has a dollar: look for one octet before looking for two.
            Kind::Plain(text) | Kind::Quoted(text)
                if !text.as_bytes().contains(&b'$') || !text.contains("${") =>
            {
                return;
            }
            Kind::Plain(text) | Kind::Quoted(text) => std::mem::take(text),
        };
        let (text, origin) = self.replace(node, &replaced);
        match &mut node.kind {
            // Half a value is none: what reads it finds nothing and asks no more.
            kind if origin == Origin::Failed => *kind = Kind::Plain("".into()),
            Kind::Plain(place) | Kind::Quoted(place) => *place = text.into(),
            Kind::List(_) | Kind::Map(_) => {}
        }
        node.origin = origin;
        // Quotes are often there only because of the braces: `{ port: "${PORT}" }` is a number.
        let plain = match &node.kind {
            Kind::Quoted(text) if origin == Origin::Substituted => Kind::Plain(text.clone()),
            _ => return,
        };
        let quoted = std::mem::replace(&mut node.kind, plain);
        if matches!(node.scalar(), Some(Scalar::String(_) | Scalar::Null)) {
            node.kind = quoted;
        }
    }

    /// The text with its substitutions replaced. Escapes alone leave it as written.
    fn replace(&mut self, node: &Node, text: &str) -> (String, Origin) {
        let mut out = String::with_capacity(text.len());
        let mut origin = Origin::Written;
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if let Some(before) = rest[..at].strip_suffix('$') {
                out.push_str(before);
                out.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            out.push_str(&rest[..at]);
            let Some(length) = rest[at..].find('}') else {
                let hint = "end it with `}`, or write `$${` for a plain `${`";
                self.problems
                    .error(&node.span, "a `${` without its `}`", hint);
                out.push_str(&rest[at..]);
                return (out, Origin::Failed);
            };
            let inside = &rest[at + 2..at + length];
            rest = &rest[at + length + 1..];
            if origin == Origin::Written {
                origin = Origin::Substituted;
            }
            let Some(value) = self.value(node, inside) else {
                origin = Origin::Failed;
                continue;
            };
            if value.len() > self.budget {
                let what = format!(
                    "the substitutions of this file add up to more than {SUBSTITUTED_BYTES_MAX} bytes"
                );
                self.problems.error(&node.span, what, "");
                return (out, Origin::Failed);
            }
            self.budget -= value.len();
            self.hidden.add(inside, &value);
            out.push_str(&value);
        }
        out.push_str(rest);
        (out, origin)
    }

    fn value(&mut self, node: &Node, inside: &str) -> Option<String> {
        if let Some(path) = inside.strip_prefix("file:") {
            return match self.env.file(path) {
                Ok(text) => {
                    let text = text.strip_suffix('\n').unwrap_or(&text);
                    Some(text.strip_suffix('\r').unwrap_or(text).to_owned())
                }
                Err(why) => {
                    let what = format!("the file `{path}` cannot be read: {why}");
                    self.problems.error(&node.span, what, "");
                    None
                }
            };
        }
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if !is_variable_name(name) {
            let what = format!("`${{{inside}}}` does not name a variable");
            let hint = "use ${NAME}, ${NAME:-default} or ${file:/path}; `$${` is a plain `${`";
            self.problems.error(&node.span, what, hint);
            return None;
        }
        // As in a shell, `:-` also replaces a variable that is set to nothing.
        let value = self
            .env
            .variable(name)
            .filter(|v| !(v.is_empty() && default.is_some()));
        let value = value.or_else(|| default.map(str::to_owned));
        if value.is_none() {
            let what = format!("the environment variable `{name}` is not set");
            let hint = format!("set it, or give a default: ${{{name}:-default}}");
            self.problems.error(&node.span, what, hint);
        }
        value
    }
}

fn is_variable_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::env::FixedEnv;
    use crate::yaml;

    fn run(text: &str) -> (Node, Vec<String>) {
        let env = FixedEnv::new()
            .with("PORT", "8080")
            .with("NESTED", "${PORT}")
            .with("EMPTY", "")
            .with_file("/s", "hush\n");
        let mut problems = Diagnostics::new();
        let mut node = yaml::read(&Arc::from("t"), text, &mut problems).expect("valid YAML");
        substitute(&mut node, &env, &mut problems);
        let shown = problems
            .sorted()
            .into_iter()
            .map(|p| format!("{}: {}", p.span, p.what));
        (node, shown.collect())
    }

    fn text(yaml: &str) -> String {
        let (node, problems) = run(yaml);
        assert!(problems.is_empty(), "{problems:?}");
        node.find("a")
            .and_then(Node::text)
            .unwrap_or_default()
            .to_owned()
    }

    #[test]
    fn replaces_variables_defaults_and_files() {
        assert_eq!(text("a: ${PORT}"), "8080");
        assert_eq!(text("a: x-${PORT}-${NOT_SET:-y}"), "x-8080-y");
        assert_eq!(text("a: \"${EMPTY:-z}\""), "z");
        assert_eq!(text("a: ${NOT_SET:-}"), "");
        assert_eq!(text("a: ${file:/s}"), "hush");
    }

    #[test]
    fn leaves_escapes_dollars_and_keys_alone() {
        assert_eq!(text("a: $${PORT}"), "${PORT}");
        assert_eq!(text("a: \"^/(.*)$ => /$1\""), "^/(.*)$ => /$1");
        assert!(run("${PORT}: 1").0.find("${PORT}").is_some());
    }

    #[test]
    fn does_not_search_what_it_put_in() {
        assert_eq!(text("a: ${NESTED}"), "${PORT}");
    }

    #[test]
    fn types_and_marks_what_it_replaced() {
        let (node, _) = run("a: ${PORT}\nb: \"${PORT}\"\nc: 1\n");
        let node = |key| node.find(key).expect("there");
        assert_eq!(node("a").scalar(), Some(Scalar::Int(8080)));
        assert_eq!(node("b").scalar(), Some(Scalar::Int(8080)));
        assert_eq!(node("b").text(), Some("8080"));
        assert!(node("a").is_substituted() && !node("c").is_substituted());
    }

    #[test]
    fn shows_a_substitution_in_place_of_its_value() {
        let env = FixedEnv::new()
            .with("A", "hunter2-long")
            .with("B", "hunter2-long-er");
        let mut problems = Diagnostics::new();
        let mut node =
            yaml::read(&Arc::from("t"), "a: ${A}\nb: x${B}\n", &mut problems).expect("valid YAML");
        let hidden = substitute(&mut node, &env, &mut problems);
        problems.error(
            &node.span,
            "`xhunter2-long-er` is odd",
            "not `hunter2-long`",
        );
        let shown = hidden.scrub(problems).sorted();
        assert_eq!(
            (&*shown[0].what, &*shown[0].hint),
            ("`x${B}` is odd", "not `${A}`")
        );
        assert!(!format!("{hidden:?}").contains("hunter2"));
    }

    #[test]
    fn says_what_cannot_be_replaced_and_where() {
        let (_, problems) = run("a: ${NOT_SET}\nb: ${file:/none}\nc: ${1x}\nd: \"${open\"\n");
        assert_eq!(
            problems,
            [
                "t:1:4: the environment variable `NOT_SET` is not set",
                "t:2:4: the file `/none` cannot be read: there is no such file",
                "t:3:4: `${1x}` does not name a variable",
                "t:4:4: a `${` without its `}`",
            ]
        );
    }
}
