//! Keys and values of a query string, percent-decoded, and of `Cookie` headers.
//!
//! Must hold: `+` is a space and `%XX` an octet in queries (application/x-www-form-urlencoded, WHATWG
//! URL, section 5.1); a `%` without two hex digits stands for itself. Cookies are taken as sent (RFC
//! 6265, section 5.4), without decoding. A key that comes several times has several values.
//! Never: allocates while decoding, but into the caller's buffer.

use http::HeaderMap;
use http::header::COOKIE;

/// Key and value pairs of a query, still encoded.
pub(crate) fn query_pairs(query: &str) -> impl Iterator<Item = (&[u8], &[u8])> {
    query
        .as_bytes()
        .split(|b| *b == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| match memchr::memchr(b'=', pair) {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &pair[..0]),
        })
}

/// Name and value pairs of every `Cookie` header.
pub(crate) fn cookie_pairs(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    let values = headers.get_all(COOKIE).into_iter();
    values
        .flat_map(|value| value.as_bytes().split(|b| *b == b';'))
        .filter_map(|pair| {
            let at = memchr::memchr(b'=', pair)?;
            Some((pair[..at].trim_ascii(), pair[at + 1..].trim_ascii()))
        })
}

/// Does `raw` decode to `wanted`?
pub(crate) fn decodes_to(raw: &[u8], wanted: &[u8]) -> bool {
    if is_plain(raw) {
        return raw == wanted;
    }
    Decoded(raw).eq(wanted.iter().copied())
}

/// The decoded value: `raw` itself if there is nothing to decode, else `scratch` refilled.
pub(crate) fn decode<'a>(raw: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if is_plain(raw) {
        return raw;
    }
    scratch.clear();
    scratch.extend(Decoded(raw));
    scratch
}

fn is_plain(raw: &[u8]) -> bool {
    memchr::memchr2(b'%', b'+', raw).is_none()
}

struct Decoded<'a>(&'a [u8]);

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        match (first, rest) {
            (b'+', _) => Some(b' '),
            (b'%', [high, low, tail @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    self.0 = tail;
                    Some(high << 4 | low)
                }
                _ => Some(b'%'),
            },
            _ => Some(first),
        }
    }
}

/// The value of one hex digit.
pub(crate) fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(raw: &str) -> Vec<u8> {
        let mut scratch = Vec::new();
        let out = decode(raw.as_bytes(), &mut scratch).to_vec();
        assert!(decodes_to(raw.as_bytes(), &out));
        out
    }

    #[test]
    fn decodes_plus_and_percent_and_keeps_a_lone_percent() {
        assert_eq!(decoded("a+b%20c"), b"a b c");
        assert_eq!(decoded("%C3%a9"), "é".as_bytes());
        assert_eq!(decoded("100%"), b"100%");
        assert_eq!(decoded("%zz%4"), b"%zz%4");
        assert_eq!(decoded("%%41"), b"%A");
        assert_eq!(decoded(""), b"");
    }

    #[test]
    fn splits_pairs_at_the_first_equals() {
        let pairs: Vec<_> = query_pairs("a=1&&b&c=d=e&=x").collect();
        let wanted: [(&[u8], &[u8]); 4] = [(b"a", b"1"), (b"b", b""), (b"c", b"d=e"), (b"", b"x")];
        assert_eq!(pairs, wanted);
        assert_eq!(query_pairs("").count(), 0);
    }

    #[test]
    fn reads_cookies_of_every_header() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, "a=1; group=b;c".parse().unwrap());
        headers.append(COOKIE, " d = 4=4 ".parse().unwrap());
        let pairs: Vec<_> = cookie_pairs(&headers).collect();
        let wanted: [(&[u8], &[u8]); 3] = [(b"a", b"1"), (b"group", b"b"), (b"d", b"4=4")];
        assert_eq!(pairs, wanted);
    }
}
