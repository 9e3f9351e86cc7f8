//! Reads a literal path pattern segment by segment into its canonical key.
//!
//! Must hold: every octet of the key is one that a canonical path can hold, or stands for a parameter.
//! Never: accepts a pattern that no canonical path matches.

use super::{Kind, PARAM, PARAMS_MAX, PATTERN_BYTES_MAX, Param, Path, PathProblem};
use crate::query::hex;

/// Reads a literal pattern segment by segment.
pub(super) struct Reader {
    key: Vec<u8>,
    params: Vec<Param>,
    rest: bool,
}

impl Reader {
    pub(super) fn read(path: &str, kind: Kind, text: Box<str>) -> Result<Path, PathProblem> {
        let Some(inside) = path.strip_prefix('/') else {
            return problem(
                format!("`{path}` does not begin with `/`"),
                format!("write `/{path}`"),
            );
        };
        if path.len() > PATTERN_BYTES_MAX {
            let what = format!("the path is longer than {PATTERN_BYTES_MAX} bytes");
            return problem(what, "shorten it, or use a regex");
        }
        let mut reader = Self {
            key: Vec::with_capacity(path.len()),
            params: Vec::new(),
            rest: false,
        };
        for (before, segment) in (1..).zip(inside.split('/')) {
            reader.key.push(b'/');
            reader.segment(segment, before)?;
        }
        Ok(Path {
            kind: if reader.rest { Kind::Rest } else { kind },
            key: reader.key.into(),
            params: reader.params.into(),
            regex: None,
            text,
        })
    }

    fn segment(&mut self, segment: &str, before: u16) -> Result<(), PathProblem> {
        if self.rest {
            return problem(
                "nothing can follow a `{*name}` segment",
                "move it to the end of the path",
            );
        }
        if segment.contains(['{', '}']) {
            return self.param(segment, before);
        }
        let start = self.key.len();
        self.literal(segment)?;
        if matches!(&self.key[start..], b"." | b"..") {
            let what =
                format!("the segment `{segment}` is resolved before routing and never matches");
            return problem(what, "write the path without dot segments");
        }
        Ok(())
    }

    fn param(&mut self, segment: &str, before: u16) -> Result<(), PathProblem> {
        let name = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}'));
        let Some(name) = name else {
            let what = format!("`{segment}`: a parameter must be a whole segment");
            return problem(
                what,
                "write `/{name}/`, or use a regex; a literal brace is `%7B` or `%7D`",
            );
        };
        let (name, rest) = match name.strip_prefix('*') {
            Some(name) => (name, true),
            None => (name, false),
        };
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if name.is_empty() || !name.bytes().all(word) {
            let what = format!("`{segment}` has no usable parameter name");
            return problem(what, "use letters, digits, `_` and `-`, as in `{user_id}`");
        }
        if self.params.iter().any(|param| &*param.name == name) {
            return problem(
                format!("the parameter `{name}` comes twice"),
                "give each its own name",
            );
        }
        if self.params.len() == PARAMS_MAX {
            let what = format!("the path has more than {PARAMS_MAX} parameters");
            return problem(what, "use `{*rest}` for the tail");
        }
        self.params.push(Param {
            name: name.into(),
            segment: before,
        });
        self.rest = rest;
        if !rest {
            self.key.push(PARAM);
        }
        Ok(())
    }

    /// Canonical octets of a literal segment (RFC 3986, section 6.2.2).
    fn literal(&mut self, segment: &str) -> Result<(), PathProblem> {
        let mut rest = segment.as_bytes();
        while let Some((&octet, tail)) = rest.split_first() {
            rest = tail;
            let octet = match octet {
                b'%' => {
                    let (high, low) = match tail {
                        [high, low, ..] => (hex(*high), hex(*low)),
                        _ => (None, None),
                    };
                    let (Some(high), Some(low)) = (high, low) else {
                        let what = format!("`{segment}`: `%` must be followed by two hex digits");
                        return problem(what, "write a literal percent sign as `%25`");
                    };
                    rest = &tail[2..];
                    high << 4 | low
                }
                b'?' | b'#' => {
                    let what = format!("`{segment}`: a path ends before `{}`", char::from(octet));
                    return problem(what, "match query keys with `query`");
                }
                b'!'..=b'~' if octet != b'\\' => {
                    self.key.push(octet);
                    continue;
                }
                _ => {
                    let what = format!(
                        "`{}` has a character no path can hold",
                        segment.escape_debug()
                    );
                    return problem(what, "write it percent-encoded, `é` as `%C3%A9`");
                }
            };
            self.encoded(octet, segment)?;
        }
        Ok(())
    }

    fn encoded(&mut self, octet: u8, segment: &str) -> Result<(), PathProblem> {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        if matches!(octet, 0 | b'\\') {
            let what =
                format!("`{segment}`: requests with an encoded NUL or backslash are refused");
            return problem(what, "remove it");
        }
        if octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~') {
            self.key.push(octet);
        } else {
            let digits = [octet >> 4, octet & 15].map(|digit| DIGITS[usize::from(digit)]);
            self.key.extend_from_slice(&[b'%', digits[0], digits[1]]);
        }
        Ok(())
    }
}

fn problem<T>(what: impl Into<String>, hint: impl Into<String>) -> Result<T, PathProblem> {
    Err(PathProblem {
        what: what.into(),
        hint: hint.into(),
    })
}
