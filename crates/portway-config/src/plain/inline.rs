//! Values that begin and end on one line: words, quoted text, and lists and maps in brackets.

use super::{KEY_BYTES_MAX, Reader, is_repetitive};
use crate::node::{Entry, Kind, Node};
use crate::yaml::DEPTH_MAX;

impl Reader<'_> {
    /// The value here. Stands behind it afterwards.
    pub(super) fn inline_value(&mut self, depth: usize) -> Option<Node> {
        match self.peek(0) {
            b'"' => self.double_quoted(),
            b'\'' => self.single_quoted(),
            b'[' => self.flow_list(depth + 1),
            b'{' => self.flow_map(depth + 1),
            _ => self.word(),
        }
    }

    /// Text without quotes, up to the end of the line or a comment.
    fn word(&mut self) -> Option<Node> {
        self.is_word_start()?;
        let rest = &self.text.as_bytes()[self.at..];
        let mut length = 0;
        while let Some(byte) = rest.get(length) {
            match byte {
                b'\n' => break,
                b'#' if rest[length - 1] == b' ' => break,
                // `a: b: c` is an error, and a colon at the end a key.
                b':' if matches!(rest.get(length + 1), None | Some(b' ' | b'\n')) => return None,
                byte if !byte.is_ascii() => return None,
                _ => length += 1,
            }
        }
        Some(self.take_word(length))
    }

    fn take_word(&mut self, length: usize) -> Node {
        let text = self.text[self.at..self.at + length].trim_end_matches(' ');
        let node = self.node(self.at, Kind::Plain(text.into()));
        self.at += text.len();
        node
    }

    /// Whether text without quotes may begin here (YAML 1.2.2, rule 126, without its exceptions).
    fn is_word_start(&self) -> Option<()> {
        let good = match self.peek(0) {
            b'-' => !matches!(
                self.peek(1),
                b' ' | b'\n' | b',' | b'[' | b']' | b'{' | b'}'
            ),
            b'?' | b':' | b',' | b'[' | b']' | b'{' | b'}' | b'#' | b'&' | b'*' | b'!' | b'|'
            | b'>' | b'\'' | b'"' | b'%' | b'@' | b'`' | b'\n' | b' ' => false,
            byte => byte.is_ascii(),
        };
        good.then_some(())
    }

    fn double_quoted(&mut self) -> Option<Node> {
        let start = self.at;
        let mut text = String::new();
        self.at += 1;
        loop {
            match self.peek(0) {
                b'"' => break,
                b'\\' => {
                    text.push(match self.peek(1) {
                        b'\\' => '\\',
                        b'"' => '"',
                        b'/' => '/',
                        b'n' => '\n',
                        b't' => '\t',
                        _ => return None,
                    });
                    self.at += 2;
                }
                _ => text.push_str(self.run(|b| b != b'"' && b != b'\\')?),
            }
        }
        self.at += 1;
        Some(self.node(start, Kind::Quoted(text.into())))
    }

    fn single_quoted(&mut self) -> Option<Node> {
        let start = self.at;
        let mut text = String::new();
        self.at += 1;
        loop {
            match (self.peek(0), self.peek(1)) {
                (b'\'', b'\'') => {
                    text.push('\'');
                    self.at += 2;
                }
                (b'\'', _) => break,
                _ => text.push_str(self.run(|b| b != b'\'')?),
            }
        }
        self.at += 1;
        Some(self.node(start, Kind::Quoted(text.into())))
    }

    /// ASCII text of the line from here on; `None` if there is none, as at the end of the line.
    fn run(&mut self, belongs: impl Fn(u8) -> bool) -> Option<&str> {
        let rest = &self.text[self.at..];
        let good = |b: u8| b.is_ascii() && b != b'\n' && belongs(b);
        let length = rest.bytes().take_while(|b| good(*b)).count();
        self.at += length;
        (length > 0).then(|| &rest[..length])
    }

    fn flow_list(&mut self, depth: usize) -> Option<Node> {
        let start = self.at;
        let first = self.items.len();
        if self.opens_something(b']', depth)? {
            loop {
                let item = self.flow_value(depth)?;
                self.items.push(item);
                if !self.goes_on(b']')? {
                    break;
                }
            }
        }
        let items = self.items.drain(first..).collect();
        Some(self.node(start, Kind::List(items)))
    }

    fn flow_map(&mut self, depth: usize) -> Option<Node> {
        let start = self.at;
        let first = self.entries.len();
        if self.opens_something(b'}', depth)? {
            loop {
                let length = self.key_length().filter(|l| *l < KEY_BYTES_MAX)?;
                let key_span = self.span(self.at);
                let key: Box<str> = self.text[self.at..self.at + length].into();
                self.at += length + 1;
                self.skip_spaces();
                let value = self.flow_value(depth)?;
                self.entries.push(Entry {
                    key,
                    key_span,
                    value,
                });
                if !self.goes_on(b'}')? {
                    break;
                }
            }
        }
        if is_repetitive(&self.entries[first..]) {
            return None;
        }
        let entries = self.entries.drain(first..).collect();
        Some(self.node(start, Kind::Map(entries)))
    }

    /// Past the opening bracket. Whether anything comes before the closing one, which is passed too.
    fn opens_something(&mut self, close: u8, depth: usize) -> Option<bool> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.at += 1;
        self.skip_spaces();
        if self.peek(0) == close {
            self.at += 1;
            return Some(false);
        }
        Some(true)
    }

    /// Past a comma or the closing bracket. Whether another item comes.
    fn goes_on(&mut self, close: u8) -> Option<bool> {
        self.skip_spaces();
        match self.peek(0) {
            b',' => {
                self.at += 1;
                self.skip_spaces();
                Some(true)
            }
            byte if byte == close => {
                self.at += 1;
                Some(false)
            }
            _ => None,
        }
    }

    fn flow_value(&mut self, depth: usize) -> Option<Node> {
        match self.peek(0) {
            b'"' | b'\'' | b'[' | b'{' => return self.inline_value(depth),
            _ => self.is_word_start()?,
        }
        let rest = &self.text.as_bytes()[self.at..];
        let mut length = 0;
        while let Some(byte) = rest.get(length) {
            match byte {
                b',' | b']' | b'}' => break,
                b'\n' | b'[' | b'{' => return None,
                b'#' if rest[length - 1] == b' ' => return None,
                b':' if is_flow_end(rest.get(length + 1).copied()) => return None,
                byte if !byte.is_ascii() => return None,
                _ => length += 1,
            }
        }
        Some(self.take_word(length))
    }
}

/// Whether a colon before this octet would end a key.
fn is_flow_end(byte: Option<u8>) -> bool {
    matches!(
        byte,
        None | Some(b' ' | b'\n' | b',' | b'[' | b']' | b'{' | b'}')
    )
}
