//! Path templates of `google.api.http` (the grammar in google/api/http.proto), from text to parts.
//!
//! Must hold: whatever the text, parsing ends with a template or with what is wrong and where; a literal
//! is kept in the canonical form that paths of requests have, so that comparing octets is enough.
//! Never: looks at a descriptor, or matches (see `tree.rs`).

use std::fmt;

/// So many segments a template may have: a path of a request has at most some thousand octets.
const SEGMENTS_MAX: usize = 64;

/// A template: `/v1/{name=shelves/*}:move`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Its segments, those of variables included.
    pub segments: Vec<Segment>,
    /// What follows the colon behind the last segment.
    pub verb: Option<Box<str>>,
    /// Its variables, in order.
    pub variables: Vec<Variable>,
}

/// One segment of a template.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Exactly this.
    Literal(Box<str>),
    /// One segment, whatever it is.
    Any,
    /// None or more segments; always last.
    Rest,
}

/// What of a path goes into a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The field, by its names in the proto file, from the request message on.
    pub field: Vec<Box<str>>,
    /// The first of its segments.
    pub start: usize,
    /// One past the last of its segments.
    pub end: usize,
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Octets into the template.
    pub at: usize,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at octet {})", self.what, self.at + 1)
    }
}

impl std::error::Error for Wrong {}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Template, Wrong> {
        let mut parser = Parser {
            text: text.as_bytes(),
            at: 0,
            template: Template {
                segments: Vec::new(),
                verb: None,
                variables: Vec::new(),
            },
        };
        parser.template()?;
        Ok(parser.template)
    }

    /// Whether a variable stands for exactly one segment: then an escaped slash in it is decoded.
    #[must_use]
    pub fn is_single(&self, variable: &Variable) -> bool {
        variable.end - variable.start == 1 && self.segments[variable.start] != Segment::Rest
    }
}

/// As http.proto writes it, with variables in full.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.segments.is_empty() {
            f.write_str("/")?;
        }
        for (at, segment) in self.segments.iter().enumerate() {
            f.write_str("/")?;
            if let Some(variable) = self.variables.iter().find(|v| v.start == at) {
                write!(f, "{{{}=", variable.field.join("."))?;
            }
            match segment {
                Segment::Literal(text) => f.write_str(text)?,
                Segment::Any => f.write_str("*")?,
                Segment::Rest => f.write_str("**")?,
            }
            if self.variables.iter().any(|v| v.end == at + 1) {
                f.write_str("}")?;
            }
        }
        match &self.verb {
            Some(verb) => write!(f, ":{verb}"),
            None => Ok(()),
        }
    }
}

struct Parser<'t> {
    text: &'t [u8],
    at: usize,
    template: Template,
}

impl Parser<'_> {
    fn template(&mut self) -> Result<(), Wrong> {
        self.expect(b'/', "a path template begins with `/`")?;
        if self.at < self.text.len() {
            self.segments(None)?;
            if self.take(b':') {
                self.template.verb = Some(self.literal("a verb behind the colon")?);
            }
        }
        match self.peek() {
            None => Ok(()),
            Some(b':') => Err(self.wrong("there is a verb already")),
            Some(byte) => {
                let what = format!("`{}` cannot stand here", char::from(byte).escape_default());
                Err(self.wrong(what))
            }
        }
    }

    /// Segments, of a variable where `inside` says where it began.
    fn segments(&mut self, inside: Option<usize>) -> Result<(), Wrong> {
        loop {
            let begins = self.at;
            if self.template.segments.last() == Some(&Segment::Rest) {
                return Err(self.wrong("`**` must be the last segment"));
            }
            if self.template.segments.len() == SEGMENTS_MAX {
                return Err(self.wrong(format!("a template has at most {SEGMENTS_MAX} segments")));
            }
            match self.peek() {
                Some(b'*') => {
                    self.at += 1;
                    let rest = self.take(b'*');
                    let segment = if rest { Segment::Rest } else { Segment::Any };
                    self.template.segments.push(segment);
                }
                Some(b'{') if inside.is_some() => {
                    return Err(self.wrong("a variable cannot hold another one"));
                }
                Some(b'{') => {
                    self.at += 1;
                    self.variable(begins)?;
                }
                _ => {
                    let text = self.literal("a segment: a name, `*`, `**` or `{field}`")?;
                    self.template.segments.push(Segment::Literal(text));
                }
            }
            if !self.take(b'/') {
                return Ok(());
            }
        }
    }

    fn variable(&mut self, begins: usize) -> Result<(), Wrong> {
        let start = self.template.segments.len();
        let mut field = vec![self.name()?];
        while self.take(b'.') {
            field.push(self.name()?);
        }
        if self.take(b'=') {
            self.segments(Some(begins))?;
        } else {
            self.template.segments.push(Segment::Any);
        }
        self.expect(b'}', "a variable ends with `}`")?;
        if self.template.variables.iter().any(|v| v.field == field) {
            let what = format!("the field `{}` is bound twice", field.join("."));
            return Err(Wrong { at: begins, what });
        }
        let end = self.template.segments.len();
        let variable = Variable { field, start, end };
        self.template.variables.push(variable);
        Ok(())
    }

    /// A field's name (`IDENT`).
    fn name(&mut self) -> Result<Box<str>, Wrong> {
        let rest = &self.text[self.at..];
        let is_name = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
        let length = rest.iter().take_while(is_name).count();
        let name = std::str::from_utf8(&rest[..length]).unwrap_or_default();
        if name.is_empty() || name.as_bytes()[0].is_ascii_digit() {
            return Err(self.wrong("expected the name of a field"));
        }
        self.at += length;
        Ok(name.into())
    }

    /// A literal, in the canonical form of paths: unreserved characters plain, others as they are, escapes
    /// in upper case.
    fn literal(&mut self, expected: &str) -> Result<Box<str>, Wrong> {
        let mut out = String::new();
        while let Some(byte) = self.peek() {
            match byte {
                b'/' | b':' | b'{' | b'}' | b'*' | b'=' => break,
                b'%' => {
                    let digits = self.text.get(self.at + 1..self.at + 3);
                    let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
                    let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                    let Some(value) = value.filter(|_| digits != Some("+0")) else {
                        return Err(self.wrong("`%` is followed by two hexadecimal digits"));
                    };
                    push(value, &mut out);
                    self.at += 3;
                }
                b'!'..=b'~' if !b"\"#<>?[\\]^`|".contains(&byte) => {
                    out.push(char::from(byte));
                    self.at += 1;
                }
                _ => return Err(self.wrong("a character that no path has; percent-encode it")),
            }
        }
        if out.is_empty() {
            return Err(self.wrong(format!("expected {expected}")));
        }
        if out == "." || out == ".." {
            return Err(self.wrong("no path of a request has a dot segment"));
        }
        Ok(out.into())
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.at += usize::from(is);
        is
    }

    fn expect(&mut self, byte: u8, otherwise: &str) -> Result<(), Wrong> {
        if self.take(byte) {
            return Ok(());
        }
        Err(self.wrong(otherwise))
    }

    fn wrong(&self, what: impl Into<String>) -> Wrong {
        Wrong {
            at: self.at,
            what: what.into(),
        }
    }
}

/// An escaped octet, plain if it is unreserved (RFC 3986, section 2.3).
fn push(byte: u8, out: &mut String) {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        out.push(char::from(byte));
    } else {
        out.push_str(&format!("%{byte:02X}"));
    }
}

#[cfg(test)]
mod tests;
