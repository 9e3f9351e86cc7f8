//! The YAML that nearly all config files consist of, read several times faster than all of YAML can
//! be: blocks by indentation, words, quotes and brackets that end on their line.
//!
//! Must hold: what this reads, it reads as the full parser does, to the column; a test and a fuzz
//! target compare the two. Whatever else it meets (an anchor, a tag, a text over several lines, and
//! every mistake), it gives up and the full parser takes the file, so it reports nothing.
//! Why it is here: a reload of 10,000 routes has 100 ms, and the full parser alone takes all of them.

mod inline;

use std::collections::HashSet;
use std::sync::Arc;

use portway_core::Span;

use crate::node::{Entry, Kind, Node, Origin};
use crate::yaml::DEPTH_MAX;

/// A key of a map may be this long before the full parser has a word to say.
const KEY_BYTES_MAX: usize = 256;

/// Reads the document; `None` if there is anything in it that this cannot read.
pub fn read(file: &Arc<str>, text: &str) -> Option<Node> {
    // Without an early end this runs over many octets at once.
    let control = |b: u8| ((b < b' ') & (b != b'\n')) | (b == 0x7f);
    let controls = text.bytes().fold(false, |found, b| found | control(b));
    if controls || u32::try_from(text.len()).is_err() {
        return None;
    }
    let mut reader = Reader {
        file,
        text,
        at: 0,
        line: 1,
        line_start: 0,
        indent: 0,
        entries: Vec::new(),
        items: Vec::new(),
    };
    reader.find_content()?;
    if reader.indent != 0 || reader.is_at_end() {
        return None;
    }
    let root = reader.block(0)?;
    reader.is_at_end().then_some(root)
}

/// A place in the text. Between two nodes it stands at the first octet of a line's content.
struct Reader<'a> {
    file: &'a Arc<str>,
    text: &'a str,
    at: usize,
    line: u32,
    line_start: usize,
    /// Spaces before the content of the line.
    indent: usize,
    /// Entries of the maps that are not complete, the innermost last: a complete map takes its own in
    /// one piece of the right size.
    entries: Vec<Entry>,
    /// The same for lists.
    items: Vec<Node>,
}

impl<'a> Reader<'a> {
    fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    /// The octet `ahead` of here; a line break stands for the end.
    fn peek(&self, ahead: usize) -> u8 {
        let found = self.text.as_bytes().get(self.at + ahead);
        found.copied().unwrap_or(b'\n')
    }

    /// Where a value begins. Everything before it on its line is ASCII, so octets are columns.
    fn span(&self, at: usize) -> Span {
        Span {
            file: Arc::clone(self.file),
            line: self.line,
            column: u32::try_from(at - self.line_start).unwrap_or(u32::MAX) + 1,
        }
    }

    fn node(&self, at: usize, kind: Kind) -> Node {
        Node {
            span: self.span(at),
            kind,
            origin: Origin::Written,
        }
    }

    /// From the start of a line to the content of it or of a later one.
    fn find_content(&mut self) -> Option<()> {
        loop {
            self.line_start = self.at;
            while self.peek(0) == b' ' {
                self.at += 1;
            }
            self.indent = self.at - self.line_start;
            if self.is_at_end() {
                self.indent = 0;
                return Some(());
            }
            match self.peek(0) {
                b'\n' => {}
                b'#' => self.skip_comment(),
                // Directives and document marks.
                b'%' | b'.' if self.indent == 0 => return None,
                b'-' if self.indent == 0 && self.peek(1) == b'-' => return None,
                _ => return Some(()),
            }
            if !self.is_at_end() {
                self.at += 1;
                self.line += 1;
            }
        }
    }

    fn skip_comment(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        let length = rest.iter().position(|b| *b == b'\n');
        self.at += length.unwrap_or(rest.len());
    }

    /// Past spaces and a comment to the line break. `None` if there is anything else.
    fn end_line(&mut self) -> Option<()> {
        let before = self.at;
        while self.peek(0) == b' ' {
            self.at += 1;
        }
        if self.peek(0) == b'#' && self.at > before {
            self.skip_comment();
        }
        (self.peek(0) == b'\n').then_some(())
    }

    /// Past the line break to the next content.
    fn next_line(&mut self) -> Option<()> {
        if self.is_at_end() {
            self.indent = 0;
            return Some(());
        }
        self.at += 1;
        self.line += 1;
        self.find_content()
    }

    fn is_dash(&self) -> bool {
        self.peek(0) == b'-' && matches!(self.peek(1), b' ' | b'\n')
    }

    /// The length of the key here, if there is one.
    fn key_length(&self) -> Option<usize> {
        let rest = &self.text.as_bytes()[self.at..];
        let key = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/');
        let length = rest
            .iter()
            .take(KEY_BYTES_MAX)
            .take_while(|b| key(b))
            .count();
        let starts = rest
            .first()
            .is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'/');
        let ends = self.peek(length) == b':' && matches!(self.peek(length + 1), b' ' | b'\n');
        (starts && ends).then_some(length)
    }

    /// A list or map whose lines begin where this one does.
    fn block(&mut self, depth: usize) -> Option<Node> {
        let indent = self.at - self.line_start;
        if depth >= DEPTH_MAX {
            return None;
        }
        if self.is_dash() {
            self.list(indent, depth)
        } else {
            self.map(indent, depth)
        }
    }

    fn map(&mut self, indent: usize, depth: usize) -> Option<Node> {
        let mut node = self.node(self.at, Kind::Map(Vec::new()));
        let first = self.entries.len();
        loop {
            let length = self.key_length()?;
            let key_span = self.span(self.at);
            let key: Box<str> = self.text[self.at..self.at + length].into();
            self.at += length + 1;
            let value = self.value_of_key(indent, depth)?;
            self.entries.push(Entry {
                key,
                key_span,
                value,
            });
            if self.is_at_end() || self.indent != indent || self.is_dash() {
                break;
            }
        }
        // A deeper line than this map's would have been an error or a longer text.
        let ends = self.is_at_end() || self.indent < indent || self.is_dash();
        if !ends || is_repetitive(&self.entries[first..]) {
            return None;
        }
        node.kind = Kind::Map(self.entries.drain(first..).collect());
        Some(node)
    }

    fn value_of_key(&mut self, indent: usize, depth: usize) -> Option<Node> {
        if self.is_line_over() {
            self.end_line()?;
            self.next_line()?;
            if self.is_at_end() || self.indent < indent {
                return None; // nothing at all: where that stands is for the full parser to say
            }
            if self.indent > indent {
                return self.block(depth + 1);
            }
            if !self.is_dash() {
                return None;
            }
            let mut list = self.block(depth + 1)?;
            // The full parser sees a list that is not indented begin with its first item.
            if let Some(first) = list.items().and_then(<[Node]>::first) {
                list.span = first.span.clone();
            }
            return Some(list);
        }
        self.skip_spaces();
        let value = self.inline_value(depth)?;
        self.end_scalar_line(indent)?;
        Some(value)
    }

    fn list(&mut self, indent: usize, depth: usize) -> Option<Node> {
        let mut node = self.node(self.at, Kind::List(Vec::new()));
        let first = self.items.len();
        while !self.is_at_end() && self.at - self.line_start == indent && self.is_dash() {
            self.at += 1;
            let item = self.item(indent, depth)?;
            self.items.push(item);
        }
        node.kind = Kind::List(self.items.drain(first..).collect());
        (self.is_at_end() || self.indent <= indent).then_some(node)
    }

    fn item(&mut self, indent: usize, depth: usize) -> Option<Node> {
        if self.is_line_over() {
            self.end_line()?;
            self.next_line()?;
            let nested = !self.is_at_end() && self.indent > indent;
            return if nested { self.block(depth + 1) } else { None };
        }
        self.skip_spaces();
        if self.is_dash() || self.key_length().is_some() {
            return self.block(depth + 1);
        }
        let value = self.inline_value(depth)?;
        self.end_scalar_line(indent)?;
        Some(value)
    }

    fn skip_spaces(&mut self) {
        while self.peek(0) == b' ' {
            self.at += 1;
        }
    }

    /// Whether only spaces and a comment are left of the line.
    fn is_line_over(&self) -> bool {
        let rest = &self.text.as_bytes()[self.at..];
        let spaces = rest.iter().take_while(|b| **b == b' ').count();
        match rest.get(spaces) {
            None | Some(b'\n') => true,
            Some(b'#') => spaces > 0,
            Some(_) => false,
        }
    }

    /// The end of a value and its line. A deeper next line could be the rest of the value.
    fn end_scalar_line(&mut self, indent: usize) -> Option<()> {
        self.end_line()?;
        self.next_line()?;
        (self.is_at_end() || self.indent <= indent).then_some(())
    }
}

fn is_repetitive(entries: &[Entry]) -> bool {
    const SCAN_MAX: usize = 24;
    if entries.len() <= SCAN_MAX {
        let before = |at: usize| entries[..at].iter().any(|e| e.key == entries[at].key);
        return (1..entries.len()).any(before);
    }
    let mut seen = HashSet::with_capacity(entries.len());
    !entries.iter().all(|e| seen.insert(&*e.key))
}

#[cfg(test)]
mod tests;
