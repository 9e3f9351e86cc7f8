//! Reads the chain of hops that proxies wrote, from the nearest to the farthest.
//!
//! Must hold: what a far hop wrote cannot change how a nearer one is read. So fields and elements are
//! taken from the right, also within a field: an open quote on the left must not swallow what a
//! trusted proxy appended on the right.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};

/// `X-Forwarded-For`
pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The hops, nearest first; `None` for one that is not an address. From X-Forwarded-For if there is
/// any, else from `Forwarded`.
pub(super) fn hops(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    let plain = headers.contains_key(X_FORWARDED_FOR);
    let x_forwarded_for = headers
        .get_all(X_FORWARDED_FOR)
        .into_iter()
        .rev()
        .flat_map(|value| value.as_bytes().rsplit(|&b| b == b','))
        .map(|entry| node(entry.trim_ascii()));
    let forwarded = headers
        .get_all(FORWARDED)
        .into_iter()
        .rev()
        .filter(move |_| !plain)
        .flat_map(|value| Elements(Some(value.as_bytes())))
        .map(|element| parameter(element, b"for").and_then(node));
    x_forwarded_for.chain(forwarded)
}

/// The element that the nearest proxy wrote (RFC 7239, section 4).
pub(super) fn nearest_element(headers: &HeaderMap) -> Option<&[u8]> {
    let last = headers.get_all(FORWARDED).into_iter().next_back()?;
    Elements(Some(last.as_bytes())).next()
}

/// The last entry of the last field with this name.
pub(super) fn nearest_entry(headers: &HeaderMap, name: HeaderName) -> Option<&[u8]> {
    let last = headers.get_all(name).into_iter().next_back()?;
    last.as_bytes()
        .rsplit(|&b| b == b',')
        .next()
        .map(<[u8]>::trim_ascii)
}

/// The elements of one `Forwarded` field, last first.
struct Elements<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0?;
        let (before, element) = split_last(rest, b',');
        self.0 = before;
        Some(element.trim_ascii())
    }
}

/// Splits at the last separator that is not within quotes, quotes being counted from the right.
fn split_last(text: &[u8], separator: u8) -> (Option<&[u8]>, &[u8]) {
    let mut quoted = false;
    for (at, &byte) in text.iter().enumerate().rev() {
        if byte == b'"' {
            quoted = !quoted;
        } else if byte == separator && !quoted {
            return (Some(&text[..at]), &text[at + 1..]);
        }
    }
    (None, text)
}

/// The value of an element's only parameter with this name, without quotes.
pub(super) fn parameter<'a>(element: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut found = None;
    let mut rest = Some(element);
    while let Some(text) = rest {
        let (before, pair) = split_last(text, b';');
        rest = before;
        let pair = pair.trim_ascii();
        let Some(equals) = pair.iter().position(|&b| b == b'=') else {
            continue;
        };
        if pair[..equals].eq_ignore_ascii_case(name) && found.replace(&pair[equals + 1..]).is_some()
        {
            return None;
        }
    }
    unquote(found?)
}

/// A token as it is, a quoted string without its quotes. None with an escape: no address needs one.
fn unquote(value: &[u8]) -> Option<&[u8]> {
    let inner = match value {
        [b'"', inner @ .., b'"'] => inner,
        other => other,
    };
    (!inner.is_empty() && !inner.iter().any(|b| matches!(b, b'"' | b'\\'))).then_some(inner)
}

/// An address with or without port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let harmless = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return harmless
            .then(|| address.parse::<Ipv6Addr>().ok())
            .flatten()
            .map(canonical);
    }
    match text.split_once(':') {
        None => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        Some((address, port)) if is_port(port) && address.contains('.') => {
            address.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
        }
        Some(_) => text.parse::<Ipv6Addr>().ok().map(canonical),
    }
}

fn canonical(ip: Ipv6Addr) -> IpAddr {
    IpAddr::V6(ip).to_canonical()
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit())
}
