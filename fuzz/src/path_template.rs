//! Path templates of `google.api.http`: what is read reads the same again, and the tree finds exactly what
//! the templates match, one by one.
//!
//! The lines of the input are templates; the last one is a path.

use portway_filters::grpc_json::template::{Segment, Template};
use portway_filters::grpc_json::tree::{Found, Tree, capture};

/// More templates say no more.
const TEMPLATES_MAX: usize = 16;

/// Checks some templates and one path.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (templates, path) = text.rsplit_once('\n').unwrap_or((text, "/v1/a/b:c"));
    let mut tree = Tree::default();
    let mut known = Vec::new();
    for line in templates.split('\n').take(TEMPLATES_MAX) {
        let Ok(template) = Template::parse(line) else {
            continue;
        };
        let again = Template::parse(&template.to_string());
        assert_eq!(again.as_ref(), Ok(&template), "{line:?}");
        if tree.insert("GET", &template, known.len()).is_ok() {
            known.push(template);
        }
    }
    if !path.starts_with('/') {
        return;
    }
    let mut segments = Vec::new();
    match tree.find("GET", path, &mut segments) {
        Found::Value(at) => {
            let template = &known[*at];
            assert!(
                matches(template, path),
                "{template} does not match {path:?}"
            );
            for variable in &template.variables {
                let end = if variable.end == template.segments.len() {
                    segments.len()
                } else {
                    variable.end
                };
                let covered = &segments[variable.start..end];
                let _ = capture(covered, template.is_single(variable));
            }
        }
        _ => {
            let missed = known.iter().find(|template| matches(template, path));
            assert!(missed.is_none(), "{path:?} is missed: {missed:?}");
        }
    }
    let other = tree.find("PUT", path, &mut segments);
    assert!(!matches!(other, Found::Value(_)));
}

/// Whether a template matches a path, by its definition.
fn matches(template: &Template, path: &str) -> bool {
    let mut inner = &path[1..];
    if let Some(verb) = &template.verb {
        let last = inner.rsplit('/').next().unwrap_or_default();
        match last.rsplit_once(':') {
            Some((before, found)) if found == &**verb => {
                inner = &inner[..inner.len() - found.len() - 1];
                if before.is_empty() {
                    inner = inner.strip_suffix('/').unwrap_or(inner);
                }
            }
            _ => return false,
        }
    }
    let mut segments = inner.split('/').filter(|_| !inner.is_empty());
    for segment in &template.segments {
        let fits = match segment {
            Segment::Rest => return true,
            Segment::Any => segments.next().is_some_and(|next| !next.is_empty()),
            Segment::Literal(text) => segments.next() == Some(&**text),
        };
        if !fits {
            return false;
        }
    }
    segments.next().is_none()
}
