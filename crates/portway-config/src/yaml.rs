//! YAML text to a [`Node`] tree.
//!
//! Must hold: the tree is bounded in depth and in the nodes that aliases may copy, so that a small
//! file cannot become a huge tree; a key occurs once per map; one document per file; whatever the
//! text is, the worst outcome is a diagnostic.
//! Never: replaces variables or looks at what keys mean.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use portway_core::Span;
use portway_core::diagnostic::Diagnostics;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use crate::node::{Entry, Kind, Node, Origin};
use crate::plain;

/// Nesting of lists and maps. The deepest key of the reference is at 7.
pub const DEPTH_MAX: usize = 32;
/// Nodes that aliases may copy in all. Guards against a tree that doubles on every line.
pub const ALIAS_NODES_MAX: usize = 100_000;
/// Longest text, bytes: 100,000 routes and more, yet bounded.
pub const TEXT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Reads one document; a text without any content is `null`. `None` if the text is not a document; the
/// reason is then in `problems`.
pub fn read(file: &Arc<str>, text: &str, problems: &mut Diagnostics) -> Option<Node> {
    if text.len() > TEXT_BYTES_MAX {
        let what = format!("the file is larger than {TEXT_BYTES_MAX} bytes");
        problems.error(&Span::file(file), what, "");
        return None;
    }
    plain::read(file, text).or_else(|| read_full(file, text, problems))
}

/// The same with the full parser only.
pub(crate) fn read_full(file: &Arc<str>, text: &str, problems: &mut Diagnostics) -> Option<Node> {
    let mut reader = Reader {
        file,
        problems,
        anchors: HashMap::new(),
        alias_nodes: 0,
        open: Vec::new(),
        root: None,
    };
    // A byte order mark is not content (YAML 1.2.2, section 5.2).
    let mut parser = Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, span)) => {
                let at = reader.span(span.start);
                reader.take(event, at)?;
            }
            Err(error) => {
                let at = reader.span(*error.marker());
                let what = format!("this is not valid YAML: {}", error.info());
                problems.error(&at, what, syntax_hint(text, &at));
                return None;
            }
        }
    }
    Some(reader.root.unwrap_or_else(|| {
        Node::null(&Span {
            file: Arc::clone(file),
            line: 1,
            column: 1,
        })
    }))
}

fn syntax_hint(text: &str, at: &Span) -> &'static str {
    let line = text.lines().nth(at.line.saturating_sub(1) as usize);
    match line {
        Some(line) if line.starts_with('\t') => "indent with spaces, not with tabs",
        Some(line)
            if line.contains(": ${") && line.contains('{') && line.trim().starts_with('{') =>
        {
            "inside { } put the substitution in quotes"
        }
        _ => "check the indentation, quotes and brackets here and just above",
    }
}

struct Reader<'a> {
    file: &'a Arc<str>,
    problems: &'a mut Diagnostics,
    anchors: HashMap<usize, Node>,
    alias_nodes: usize,
    open: Vec<Open>,
    root: Option<Node>,
}

/// A list or map whose end has not come yet.
struct Open {
    span: Span,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        key: Option<(Box<str>, Span)>,
        /// Only for maps with many keys; a scan is faster for the usual ones.
        seen: HashSet<Box<str>>,
    },
}

impl Reader<'_> {
    fn span(&self, at: Marker) -> Span {
        Span {
            file: Arc::clone(self.file),
            line: u32::try_from(at.line()).unwrap_or(u32::MAX),
            column: u32::try_from(at.col())
                .unwrap_or(u32::MAX)
                .saturating_add(1),
        }
    }

    fn take(&mut self, event: Event<'_>, at: Span) -> Option<()> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && !is_string_tag(tag.as_deref());
                let kind = if plain {
                    Kind::Plain(text.into())
                } else {
                    Kind::Quoted(text.into())
                };
                self.close(kind, at, anchor)
            }
            Event::SequenceStart(anchor, _) => self.open(at, anchor, Content::List(Vec::new())),
            Event::MappingStart(anchor, _) => self.open(
                at,
                anchor,
                Content::Map {
                    entries: Vec::new(),
                    key: None,
                    seen: HashSet::new(),
                },
            ),
            Event::SequenceEnd | Event::MappingEnd => {
                let done = self.open.pop()?;
                let kind = match done.content {
                    Content::List(items) => Kind::List(items),
                    Content::Map { entries, .. } => Kind::Map(entries),
                };
                self.close(kind, done.span, done.anchor)
            }
            Event::Alias(anchor) => self.alias(anchor, at),
            Event::DocumentStart(_) if self.root.is_some() => {
                let hint = "keep one document per file; remove the `---`";
                self.problems
                    .error(&at, "a second document in the file", hint);
                None
            }
            _ => Some(()),
        }
    }

    fn open(&mut self, at: Span, anchor: usize, content: Content) -> Option<()> {
        if self.open.len() >= DEPTH_MAX {
            let what = format!("nested deeper than {DEPTH_MAX} levels");
            self.problems.error(&at, what, "");
            return None;
        }
        self.open.push(Open {
            span: at,
            anchor,
            content,
        });
        Some(())
    }

    fn close(&mut self, kind: Kind, span: Span, anchor: usize) -> Option<()> {
        let node = Node {
            span,
            kind,
            origin: Origin::Written,
        };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.place(node)
    }

    fn alias(&mut self, anchor: usize, at: Span) -> Option<()> {
        let Some(target) = self.anchors.get(&anchor) else {
            let what = "an alias to the value it is part of";
            self.problems.error(&at, what, "");
            return None;
        };
        self.alias_nodes += count(target, ALIAS_NODES_MAX);
        if self.alias_nodes > ALIAS_NODES_MAX {
            let what = format!("the aliases of this file copy more than {ALIAS_NODES_MAX} values");
            self.problems.error(&at, what, "write the values out");
            return None;
        }
        let node = target.clone();
        if depth(&node) + self.open.len() > DEPTH_MAX {
            let what = format!("nested deeper than {DEPTH_MAX} levels");
            self.problems.error(&at, what, "");
            return None;
        }
        self.place(node)
    }

    /// Puts a finished node where it belongs. `None` ends the reading.
    fn place(&mut self, node: Node) -> Option<()> {
        match self.open.last_mut().map(|o| &mut o.content) {
            None => self.root = Some(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map { entries, key, seen }) => match key.take() {
                Some((name, key_span)) => {
                    if is_repeated(entries, seen, &name) {
                        let what = format!("`{name}` is written twice in this map");
                        let hint = "keep one of the two";
                        self.problems.error(&key_span, what, hint);
                    } else {
                        entries.push(Entry {
                            key: name,
                            key_span,
                            value: node,
                        });
                    }
                }
                None => match node.kind {
                    Kind::Plain(text) | Kind::Quoted(text) => *key = Some((text, node.span)),
                    Kind::List(_) | Kind::Map(_) => {
                        let hint =
                            "write `key: value`; a value that starts with { or [ may need quotes";
                        let what = "a list or map cannot be a key";
                        self.problems.error(&node.span, what, hint);
                        return None;
                    }
                },
            },
        }
        Some(())
    }
}

/// Whether the map has the key already. Linear in the size of the map over all its keys.
fn is_repeated(entries: &[Entry], seen: &mut HashSet<Box<str>>, name: &str) -> bool {
    const SCAN_MAX: usize = 32;
    if entries.len() < SCAN_MAX {
        return entries.iter().any(|e| &*e.key == name);
    }
    if seen.is_empty() {
        seen.extend(entries.iter().map(|e| e.key.clone()));
    }
    !seen.insert(name.into())
}

fn is_string_tag(tag: Option<&Tag>) -> bool {
    tag.is_some_and(|t| t.is_yaml_core_schema() && t.suffix == "str")
}

fn count(node: &Node, stop_at: usize) -> usize {
    let mut sum = 1;
    let mut add = |child: &Node| {
        if sum <= stop_at {
            sum += count(child, stop_at);
        }
    };
    match &node.kind {
        Kind::List(items) => items.iter().for_each(&mut add),
        Kind::Map(entries) => entries.iter().for_each(|e| add(&e.value)),
        Kind::Plain(_) | Kind::Quoted(_) => {}
    }
    sum
}

fn depth(node: &Node) -> usize {
    match &node.kind {
        Kind::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Kind::Map(entries) => 1 + entries.iter().map(|e| depth(&e.value)).max().unwrap_or(0),
        Kind::Plain(_) | Kind::Quoted(_) => 0,
    }
}

#[cfg(test)]
mod tests;
