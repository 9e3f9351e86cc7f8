//! Cuts a body of many JSON values into the values, as it comes.
//!
//! Must hold: at most one value and what came with its end is held, and a value is no longer than the limit;
//! what is between values is checked, what is in them is for whoever reads them. Both a JSON array and
//! values one behind the other (newline-delimited or not) are taken: the first character tells.

use bytes::{Buf, Bytes, BytesMut};

/// A body that is being cut.
#[derive(Debug)]
pub struct Pieces {
    held: BytesMut,
    bytes_max: usize,
    /// Octets of `held` that were looked at.
    seen: usize,
    form: Form,
    inside: Inside,
    depth: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Nothing has come yet.
    Unknown,
    /// `[a, b]`, and whether a value may, or must, come next.
    Array(Next),
    /// `a b`
    Lines,
    /// The array is closed.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    ValueOrEnd,
    Value,
    CommaOrEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    /// Between values.
    Nothing,
    /// An object or a list.
    Container,
    /// A string in one, or by itself.
    String { escaped: bool },
    /// A number, true, false, null.
    Word,
}

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// A value is longer than the limit.
    TooLarge,
    /// The body is not what it should be.
    Malformed(&'static str),
}

impl Pieces {
    /// Values of at most so many octets.
    #[must_use]
    pub fn new(bytes_max: usize) -> Pieces {
        Pieces {
            held: BytesMut::new(),
            bytes_max,
            seen: 0,
            form: Form::Unknown,
            inside: Inside::Nothing,
            depth: 0,
        }
    }

    /// More octets of the body.
    pub fn push(&mut self, data: &[u8]) {
        self.held.extend_from_slice(data);
    }

    /// The next value; `None` if it is not whole yet. `last`: no more octets come.
    ///
    /// # Errors
    /// What is wrong with the body so far.
    pub fn take(&mut self, last: bool) -> Result<Option<Bytes>, Wrong> {
        while let Some(&byte) = self.held.get(self.seen) {
            if self.inside == Inside::Nothing {
                self.between(byte)?;
                continue;
            }
            if self.seen == self.bytes_max {
                return Err(Wrong::TooLarge);
            }
            if self.step(byte) {
                return Ok(Some(self.cut()));
            }
        }
        if !last {
            return Ok(None);
        }
        match (self.inside, self.form) {
            (Inside::Word, Form::Lines) => Ok(Some(self.cut())),
            (Inside::Nothing, Form::Unknown | Form::Lines | Form::Over) => Ok(None),
            _ => Err(Wrong::Malformed("the body ends in the middle")),
        }
    }

    fn cut(&mut self) -> Bytes {
        self.inside = Inside::Nothing;
        if let Form::Array(next) = &mut self.form {
            *next = Next::CommaOrEnd;
        }
        let value = self.held.split_to(self.seen).freeze();
        self.seen = 0;
        value
    }

    /// An octet between values: it is taken away, or begins a value.
    fn between(&mut self, byte: u8) -> Result<(), Wrong> {
        let begins = !matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.form = match (self.form, byte) {
            (form, _) if !begins => form,
            (Form::Unknown, b'[') => Form::Array(Next::ValueOrEnd),
            (Form::Array(Next::ValueOrEnd | Next::CommaOrEnd), b']') => Form::Over,
            (Form::Array(Next::CommaOrEnd), b',') => Form::Array(Next::Value),
            (Form::Array(Next::CommaOrEnd), _) => {
                return Err(Wrong::Malformed("expected `,` or `]` between messages"));
            }
            (Form::Over, _) => {
                return Err(Wrong::Malformed("something follows the array of messages"));
            }
            (Form::Array(_), b']' | b',') => {
                return Err(Wrong::Malformed("expected a message"));
            }
            (form, _) => {
                self.inside = match byte {
                    b'{' | b'[' => Inside::Container,
                    b'"' => Inside::String { escaped: false },
                    _ => Inside::Word,
                };
                self.depth = usize::from(self.inside == Inside::Container);
                self.seen = 1;
                self.form = match form {
                    Form::Unknown => Form::Lines,
                    other => other,
                };
                return Ok(());
            }
        };
        self.held.advance(1);
        Ok(())
    }

    /// An octet of a value. True if the value is whole; an octet that is not of it any more stays.
    fn step(&mut self, byte: u8) -> bool {
        match (self.inside, byte) {
            (Inside::Word, b' ' | b'\t' | b'\n' | b'\r' | b',' | b']') => return true,
            (Inside::Word | Inside::Nothing, _) => {}
            (Inside::String { escaped: true }, _) => {
                self.inside = Inside::String { escaped: false };
            }
            (Inside::String { .. }, b'\\') => self.inside = Inside::String { escaped: true },
            (Inside::String { .. }, b'"') if self.depth == 0 => {
                self.seen += 1;
                return true;
            }
            (Inside::String { .. }, b'"') => self.inside = Inside::Container,
            (Inside::String { .. }, _) => {}
            (Inside::Container, b'"') => self.inside = Inside::String { escaped: false },
            (Inside::Container, b'{' | b'[') => self.depth += 1,
            (Inside::Container, b'}' | b']') => {
                self.depth -= 1;
                self.seen += 1;
                return self.depth == 0;
            }
            (Inside::Container, _) => {}
        }
        self.seen += 1;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(body: &str, size: usize) -> Result<Vec<String>, Wrong> {
        let mut pieces = Pieces::new(32);
        let mut found = Vec::new();
        let mut take = |pieces: &mut Pieces, last| {
            while let Some(value) = pieces.take(last)? {
                found.push(String::from_utf8(value.to_vec()).unwrap());
            }
            Ok(())
        };
        for piece in body.as_bytes().chunks(size) {
            pieces.push(piece);
            take(&mut pieces, false)?;
        }
        take(&mut pieces, true)?;
        Ok(found)
    }

    #[track_caller]
    fn gives(body: &str, values: &[&str]) {
        for size in 1..=body.len().max(1) {
            assert_eq!(cut(body, size).unwrap(), values, "{body}");
        }
    }

    #[track_caller]
    fn refuses(body: &str, what: &str) {
        for size in 1..=body.len().max(1) {
            match cut(body, size) {
                Err(Wrong::Malformed(why)) => assert!(why.contains(what), "{body}: {why}"),
                other => panic!("{body}: {other:?}"),
            }
        }
    }

    #[test]
    fn cuts_arrays_and_lines() {
        gives("", &[]);
        gives(" [ ] ", &[]);
        gives(
            r#"[{"a":"]}\"["},{"b":[1,{}]} , 7,"x\\"]"#,
            &[r#"{"a":"]}\"["}"#, r#"{"b":[1,{}]}"#, "7", r#""x\\""#],
        );
        gives(
            "{\"a\":1}\n{\"b\":2}\r\n\n{\n}",
            &["{\"a\":1}", "{\"b\":2}", "{\n}"],
        );
        gives("{}{}", &["{}", "{}"]);
        gives("1\n2", &["1", "2"]);
    }

    #[test]
    fn refuses_what_is_neither() {
        refuses("[{}", "ends in the middle");
        refuses("{\"a\":", "ends in the middle");
        refuses("[{},]", "expected a message");
        refuses("[,{}]", "expected a message");
        refuses("[{}{}]", "expected `,`");
        refuses("[{}]{}", "follows the array");
    }

    #[test]
    fn refuses_a_value_past_the_limit_and_none_before() {
        let value = format!("\"{}\"", "x".repeat(30));
        gives(&format!("[{value},{value}]"), &[&value, &value]);
        let longer = format!("\"{}\"", "x".repeat(31));
        assert_eq!(cut(&format!("[{longer}]"), 7), Err(Wrong::TooLarge));
        assert_eq!(cut(&"[".repeat(40), 40), Err(Wrong::TooLarge));
    }
}
