//! Reply fields that the gateway itself writes, kept as the lines they become.
//!
//! Must hold: every line is `name: value` CRLF with a checked value, so the buffer can be copied into a
//! head as it is; its memory is reused by the next exchange.
//!
//! These fields are on nearly every reply and nobody looks them up again: a header map would hash the
//! name and allocate the value only to write both out.

use http::HeaderName;
use smallvec::SmallVec;

/// Fields of one reply, in the order they were added.
#[derive(Clone, Debug, Default)]
pub struct OwnFields {
    lines: Vec<u8>,
    /// Where in `lines` the names stand that replace a field of the target's.
    replacing: SmallVec<[(u32, u32); 4]>,
}

impl OwnFields {
    /// No fields; the memory stays.
    pub fn clear(&mut self) {
        self.lines.clear();
        self.replacing.clear();
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds a field in place of whatever stands under this name, here or among the target's fields. A
    /// value that cannot stand in a field is left out.
    pub fn set(&mut self, name: &HeaderName, value: &[&[u8]]) {
        if self.replaces(name) {
            self.remove(name);
        }
        let start = self.lines.len();
        if self.append(name, value) {
            let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
            let end = start + name.as_str().len();
            self.replacing.push((place(start), place(end)));
        }
    }

    /// Adds a field next to others of this name. Says whether the value can stand in a field (RFC 9110,
    /// section 5.5).
    pub fn append(&mut self, name: &HeaderName, value: &[&[u8]]) -> bool {
        let start = self.lines.len();
        self.lines.extend_from_slice(name.as_str().as_bytes());
        self.lines.extend_from_slice(b": ");
        let value_at = self.lines.len();
        for part in value {
            self.lines.extend_from_slice(part);
        }
        // A fold rather than a search, so that it is done many octets at a time.
        let harmless = self.lines[value_at..]
            .iter()
            .fold(true, |fine, b| fine & (*b >= b' ') & (*b != 0x7f));
        if harmless {
            self.lines.extend_from_slice(b"\r\n");
        } else {
            self.lines.truncate(start);
        }
        harmless
    }

    #[cold]
    fn remove(&mut self, name: &HeaderName) {
        let old = std::mem::take(self);
        for (at, value) in old.iter() {
            let Ok(kept) = HeaderName::from_bytes(at) else {
                continue;
            };
            if kept == *name {
                continue;
            }
            if old.replaces(&kept) {
                self.set(&kept, &[value]);
            } else {
                self.append(&kept, &[value]);
            }
        }
    }

    /// Whether a field of the target's gives way to one of these.
    #[must_use]
    pub fn replaces(&self, name: &HeaderName) -> bool {
        let name = name.as_str().as_bytes();
        self.replacing
            .iter()
            .any(|&(start, end)| &self.lines[start as usize..end as usize] == name)
    }

    /// All fields as lines of a head.
    #[must_use]
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// All fields, name by name.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = &self.lines[..];
        std::iter::from_fn(move || {
            let end = memchr::memchr(b'\r', rest)?;
            let line = &rest[..end];
            rest = &rest[end + 2..];
            let colon = memchr::memchr(b':', line)?;
            Some((&line[..colon], &line[colon + 2..]))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: HeaderName = HeaderName::from_static("x-request-id");
    const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

    #[test]
    fn keeps_lines_and_gives_them_back_name_by_name() {
        let mut own = OwnFields::default();
        assert!(own.append(&LIMIT, &[b"\"a\";r=", b"1"]));
        own.set(&ID, &[b"a:b"]);
        assert_eq!(
            own.lines(),
            b"ratelimit: \"a\";r=1\r\nx-request-id: a:b\r\n"
        );
        let all: Vec<_> = own.iter().collect();
        assert_eq!(
            all,
            [
                (&b"ratelimit"[..], &b"\"a\";r=1"[..]),
                (b"x-request-id", b"a:b")
            ]
        );
        assert!(own.replaces(&ID) && !own.replaces(&LIMIT));
        own.clear();
        assert!(own.is_empty() && !own.replaces(&ID) && own.iter().next().is_none());
    }

    #[test]
    fn of_two_that_are_set_the_later_one_stays() {
        let mut own = OwnFields::default();
        own.set(&ID, &[b"first"]);
        own.append(&LIMIT, &[b"1"]);
        own.append(&LIMIT, &[b"2"]);
        own.set(&ID, &[b"second"]);
        assert_eq!(
            own.lines(),
            b"ratelimit: 1\r\nratelimit: 2\r\nx-request-id: second\r\n"
        );
        assert!(own.replaces(&ID));
    }

    #[test]
    fn leaves_out_what_would_end_the_line() {
        let mut own = OwnFields::default();
        own.set(&ID, &[b"kept"]);
        for value in [&b"a\r\nset-cookie: x"[..], b"a\nb", b"a\0", b"\x7f"] {
            assert!(!own.append(&LIMIT, &[value]));
            own.set(&LIMIT, &[value]);
        }
        assert_eq!(own.lines(), b"x-request-id: kept\r\n");
        assert!(!own.replaces(&LIMIT));
    }
}
