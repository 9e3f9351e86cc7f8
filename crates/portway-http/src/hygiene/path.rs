//! One canonical path per request (RFC 3986, section 6.2.2), used to match, authorize, rewrite,
//! forward, key and log.
//!
//! Must hold: the result starts with `/`, holds only path characters and upper-case escapes, no `.` or
//! `..` segment, and is its own canonical form. What a target could read in another way than the
//! gateway (an encoded slash, a backslash, `..;`, an overlong dot) is refused: path confusion is how
//! policies get bypassed (CVE-2021-29492, CVE-2021-43557, CVE-2025-66490, CVE-2026-48020).

use portway_core::{Code, ProxyError};

/// What becomes of `.` and `..` segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DotSegments {
    /// They are resolved (RFC 3986, section 5.2.4).
    #[default]
    Resolve,
    /// A path that has one is refused.
    Reject,
}

/// What becomes of `%2F`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EncodedSlashes {
    /// A path that has one is refused.
    #[default]
    Reject,
    /// It stays `%2F`: a part of its segment, never a separator.
    Keep,
}

/// How a listener normalizes paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathRules {
    /// `.` and `..` segments.
    pub dot_segments: DotSegments,
    /// Whether `//` becomes `/`.
    pub merge_slashes: bool,
    /// `%2F`.
    pub encoded_slashes: EncodedSlashes,
}

impl Default for PathRules {
    fn default() -> PathRules {
        PathRules {
            dot_segments: DotSegments::Resolve,
            merge_slashes: true,
            encoded_slashes: EncodedSlashes::Reject,
        }
    }
}

/// Writes the canonical form of `raw` (a path without its query) to `out`, whose old content goes.
///
/// # Errors
///
/// [`Code::BadRequest`] for what no path may hold (RFC 3986, section 3.3), [`Code::AmbiguousPath`] for
/// what two readers could understand differently. `out` then holds nothing of use.
pub fn canonicalize(raw: &[u8], rules: PathRules, out: &mut String) -> Result<(), ProxyError> {
    out.clear();
    if raw.first() != Some(&b'/') {
        return Err(malformed("the path does not start with a slash", 0));
    }
    if is_canonical(raw, rules)
        && let Ok(path) = std::str::from_utf8(raw)
    {
        out.push_str(path);
        return Ok(());
    }
    Writer::new(raw, rules, out).run()
}

/// Whether nothing in `raw` needs a closer look. May say no to a path that is canonical.
fn is_canonical(raw: &[u8], rules: PathRules) -> bool {
    let mut after_slash = false;
    for &byte in raw {
        match CLASS[usize::from(byte)] {
            PLAIN => after_slash = false,
            SLASH if after_slash && rules.merge_slashes => return false,
            SLASH => after_slash = true,
            DOT if after_slash => return false,
            DOT => {}
            _ => return false,
        }
    }
    true
}

/// The slow way: one pass over `raw` that finishes each segment as it ends.
struct Writer<'a> {
    raw: &'a [u8],
    rules: PathRules,
    out: &'a mut String,
    /// Where the current segment starts in `out`: just after a slash.
    segment: usize,
    /// Where the current piece starts: as `segment`, but an encoded slash starts a new one too.
    piece: usize,
    /// The octet of the escape just before, else 0: finds overlong UTF-8.
    escaped: u8,
}

impl<'a> Writer<'a> {
    fn new(raw: &'a [u8], rules: PathRules, out: &'a mut String) -> Writer<'a> {
        out.reserve(raw.len());
        out.push('/');
        Writer {
            raw,
            rules,
            out,
            segment: 1,
            piece: 1,
            escaped: 0,
        }
    }

    fn run(mut self) -> Result<(), ProxyError> {
        let mut at = 1;
        while let Some(&byte) = self.raw.get(at) {
            match CLASS[usize::from(byte)] {
                PLAIN | DOT => self.push_raw(byte),
                SLASH => self.slash(at)?,
                ENCODE => self.push_escape(byte),
                ESCAPE => {
                    self.escape(at)?;
                    at += 2;
                }
                _ => return Err(refuse_raw(byte, at)),
            }
            at += 1;
        }
        self.end_segment(at).map(drop)
    }

    fn push_raw(&mut self, byte: u8) {
        self.escaped = 0;
        self.out.push(char::from(byte));
    }

    fn push_escape(&mut self, byte: u8) {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        self.out.push('%');
        self.out.push(char::from(HEX[usize::from(byte >> 4)]));
        self.out.push(char::from(HEX[usize::from(byte & 15)]));
        self.escaped = byte;
    }

    fn slash(&mut self, at: usize) -> Result<(), ProxyError> {
        let dots = self.end_segment(at)?;
        let empty = self.out.len() == self.segment;
        if dots || (empty && self.rules.merge_slashes) {
            // The slash before the segment stands for the one after it.
            self.escaped = 0;
        } else {
            self.push_raw(b'/');
        }
        self.segment = self.out.len();
        self.piece = self.segment;
        Ok(())
    }

    /// Resolves the current segment if it is a dot segment, and says whether it was one.
    fn end_segment(&mut self, at: usize) -> Result<bool, ProxyError> {
        self.end_piece(at)?;
        let up = match &self.out[self.segment..] {
            "." => false,
            ".." => true,
            _ => return Ok(false),
        };
        if self.rules.dot_segments == DotSegments::Reject {
            return Err(ambiguous("a dot segment", at));
        }
        self.out.truncate(self.segment);
        if up {
            let parent = self.out[..self.segment - 1].rfind('/');
            let Some(parent) = parent else {
                return Err(ambiguous("a dot segment that leaves the root", at));
            };
            self.out.truncate(parent + 1);
            self.segment = parent + 1;
        }
        Ok(true)
    }

    /// Refuses the dot segments that only some readers see: those with a path parameter (`..;x`), and
    /// those that appear once somebody decodes an encoded slash.
    fn end_piece(&mut self, at: usize) -> Result<(), ProxyError> {
        let piece = &self.out[self.piece..];
        let Some(rest) = piece.strip_prefix('.') else {
            return Ok(());
        };
        let rest = rest.strip_prefix('.').unwrap_or(rest);
        if rest.starts_with(';') || rest.starts_with("%3B") {
            return Err(ambiguous("a path parameter on a dot segment", at));
        }
        let beside_encoded_slash =
            rest.starts_with("%2F") || (rest.is_empty() && self.piece != self.segment);
        if beside_encoded_slash {
            return Err(ambiguous("a dot segment beside an encoded slash", at));
        }
        Ok(())
    }

    /// The escape that starts at `at`.
    fn escape(&mut self, at: usize) -> Result<(), ProxyError> {
        let digits = self.raw.get(at + 1).zip(self.raw.get(at + 2));
        let Some(byte) = digits.and_then(|(&high, &low)| Some(hex(high)? << 4 | hex(low)?)) else {
            return Err(malformed("a percent sign without two hex digits", at));
        };
        match byte {
            0 => return Err(ambiguous("an encoded NUL", at)),
            1..=0x1f | 0x7f => return Err(ambiguous("an encoded control character", at)),
            b'\\' => return Err(ambiguous("an encoded backslash", at)),
            b'/' => return self.encoded_slash(at),
            _ if is_unreserved(byte) => self.push_raw(byte),
            _ if is_overlong(self.escaped, byte) => {
                return Err(ambiguous("an overlong UTF-8 sequence", at));
            }
            _ => self.push_escape(byte),
        }
        Ok(())
    }

    fn encoded_slash(&mut self, at: usize) -> Result<(), ProxyError> {
        if self.rules.encoded_slashes == EncodedSlashes::Reject {
            return Err(ambiguous("an encoded slash", at));
        }
        self.push_escape(b'/');
        // Seen with its slash, so that a dot before it counts as beside one.
        self.end_piece(at)?;
        self.piece = self.out.len();
        Ok(())
    }
}

const REFUSE: u8 = 0;
const PLAIN: u8 = 1;
const SLASH: u8 = 2;
const DOT: u8 = 3;
const ESCAPE: u8 = 4;
/// Printable, but not allowed in a path (RFC 3986, appendix A). Clients send them as they are, so
/// they are written as escapes: `{` and `%7B` must not be two paths.
const ENCODE: u8 = 5;

/// What each octet of a raw path is.
const CLASS: [u8; 256] = {
    let mut table = [REFUSE; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        table[byte] = PLAIN;
        byte += 1;
    }
    let encode = b"\"<>[]^`{|}";
    let mut i = 0;
    while i < encode.len() {
        table[encode[i] as usize] = ENCODE;
        i += 1;
    }
    table[b'/' as usize] = SLASH;
    table[b'.' as usize] = DOT;
    table[b'%' as usize] = ESCAPE;
    table[b'\\' as usize] = REFUSE;
    table[b'#' as usize] = REFUSE;
    table[b'?' as usize] = REFUSE;
    table
};

/// RFC 3986, section 2.3: the octets that mean the same encoded or not.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Whether two octets start a UTF-8 sequence longer than needed (RFC 3629, section 3): `%C0%AE` was
/// read as a dot, `%C0%AF` as a slash.
fn is_overlong(first: u8, second: u8) -> bool {
    matches!(
        (first, second),
        (0xc0 | 0xc1, 0x80..=0xbf) | (0xe0, 0x80..=0x9f) | (0xf0, 0x80..=0x8f)
    )
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|d| d as u8)
}

fn refuse_raw(byte: u8, at: usize) -> ProxyError {
    match byte {
        b'\\' => ambiguous("a backslash", at),
        b'#' => malformed("a fragment", at),
        b'?' => malformed("a query", at),
        b' ' => malformed("a space", at),
        0x80.. => malformed("an octet that is not ASCII", at),
        _ => malformed("a control character", at),
    }
}

#[cold]
fn malformed(what: &str, at: usize) -> ProxyError {
    ProxyError::new(
        Code::BadRequest,
        format!("{what}, at octet {at} of the path"),
    )
}

#[cold]
fn ambiguous(what: &str, at: usize) -> ProxyError {
    ProxyError::new(
        Code::AmbiguousPath,
        format!("{what}, at octet {at} of the path"),
    )
}

#[cfg(test)]
mod tests;
