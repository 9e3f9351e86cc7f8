//! What each field of a head is to the gateway, and what the Connection field may do to others.
//!
//! Must hold: hop-by-hop fields are a fixed set (RFC 9110, section 7.6.1), and what Connection names
//! goes too, except fields that decide who the client is, what it may do or how long the message is
//! (CVE-2022-31813, CVE-2024-45410). A name that a target would fold onto one of ours (CGI turns
//! `X_Forwarded_For` and `X.Forwarded.For` into the same variable) counts as an alias and is dropped.
//!
//! [`classify`] runs on every field of every head: it compares at most three names of equal length.

use http::HeaderMap;

/// What a field is to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// For the other end: passed on.
    EndToEnd,
    /// For this connection: dropped.
    HopByHop,
    /// `Host`: decides the canonical host.
    Host,
    /// `Content-Length`: decides the framing.
    ContentLength,
    /// `Transfer-Encoding`: decides the framing.
    TransferEncoding,
    /// `Connection`: read by [`ConnectionOptions`].
    Connection,
    /// `Upgrade`: kept for a tunnel, else dropped.
    Upgrade,
    /// `Expect`: answered here.
    Expect,
    /// `TE`: says whether trailers are welcome.
    Te,
    /// `X-Forwarded-*`, `X-Real-IP`, `Forwarded`, `X-Request-ID`: count only from trusted peers.
    Forwarded,
    /// Folds onto one of the names above when a target reads it as CGI does: dropped.
    Alias,
    /// `X-Internal` and `X-Internal-*`: never from a client. In a reply they are the target's own affair.
    Internal,
}

/// What a field with this name is, whatever its letter case.
///
/// The hop-by-hop set is RFC 9110's, with the fields meant for a proxy alone, with `Trailer` (chunked
/// trailers are announced anew or not at all), and with `Proxy`, which CGI would turn into the
/// variable that redirects a target's own requests (CVE-2016-5385).
#[must_use]
pub fn classify(name: &[u8]) -> FieldKind {
    use FieldKind as Kind;
    let Some(first) = name.first() else {
        return Kind::EndToEnd;
    };
    match (name.len(), first | 0x20) {
        (2, b't') => kind(name, b"te", Kind::Te),
        (4, b'h') => kind(name, b"host", Kind::Host),
        (5, b'p') => kind(name, b"proxy", Kind::HopByHop),
        (6, b'e') => kind(name, b"expect", Kind::Expect),
        (7, b'u') => kind(name, b"upgrade", Kind::Upgrade),
        (7, b't') => kind(name, b"trailer", Kind::HopByHop),
        (9, b'f') => kind(name, b"forwarded", Kind::Forwarded),
        (9, b'x') => kind(name, b"x-real-ip", Kind::Forwarded),
        (10, b'c') => kind(name, b"connection", Kind::Connection),
        (10, b'k') => kind(name, b"keep-alive", Kind::HopByHop),
        (10, b'x') => kind(name, b"x-internal", Kind::Internal),
        (11, b'x') => x_family(name, kind(name, b"x-forwarded", Kind::Forwarded)),
        (12, b'x') => x_family(name, kind(name, b"x-request-id", Kind::Forwarded)),
        (14, b'c') => kind(name, b"content-length", Kind::ContentLength),
        (14, b'h') => kind(name, b"http2-settings", Kind::HopByHop),
        (16, b'p') => kind(name, b"proxy-connection", Kind::HopByHop),
        (17, b't') => kind(name, b"transfer-encoding", Kind::TransferEncoding),
        (18, b'p') => kind(name, b"proxy-authenticate", Kind::HopByHop),
        (19, b'p') => kind(name, b"proxy-authorization", Kind::HopByHop),
        (25, b'p') => kind(name, b"proxy-authentication-info", Kind::HopByHop),
        (13.., b'x') => x_family(name, Kind::EndToEnd),
        _ => Kind::EndToEnd,
    }
}

/// `X-Forwarded-*` and `X-Internal-*`, unless the whole name has already been found.
fn x_family(name: &[u8], found: FieldKind) -> FieldKind {
    if found != FieldKind::EndToEnd {
        return found;
    }
    let by_prefix = |prefix: &[u8], is| match name.get(..prefix.len()) {
        Some(start) => match kind(start, prefix, is) {
            // `X-Forwarded_For`: the prefix is ours, and the rest is spelled so as to be folded.
            same if same == is && name[prefix.len()..].iter().any(|&b| folds(b) && b != b'-') => {
                FieldKind::Alias
            }
            other => other,
        },
        None => FieldKind::EndToEnd,
    };
    match by_prefix(b"x-forwarded-", FieldKind::Forwarded) {
        FieldKind::EndToEnd => by_prefix(b"x-internal-", FieldKind::Internal),
        found => found,
    }
}

/// `is`, if the name is `known` (lower case, of equal length); an alias, if it folds onto it.
fn kind(name: &[u8], known: &[u8], is: FieldKind) -> FieldKind {
    if name.eq_ignore_ascii_case(known) {
        is
    } else if folds_onto(name, known) {
        FieldKind::Alias
    } else {
        FieldKind::EndToEnd
    }
}

/// Whether a target that reads fields as CGI does takes `name` for `known` (lower case): letter case
/// and what stands for the hyphens do not count. True for `known` itself.
#[must_use]
pub fn folds_onto(name: &[u8], known: &[u8]) -> bool {
    name.len() == known.len()
        && name
            .iter()
            .zip(known)
            .all(|(n, k)| n.eq_ignore_ascii_case(k) || (*k == b'-' && folds(*n)))
}

/// Whether some CGI implementation turns the octet into `_`.
fn folds(byte: u8) -> bool {
    !byte.is_ascii_alphanumeric()
}

/// The options of one Connection field, without empty ones.
pub fn connection_options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&b| b == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|option| !option.is_empty())
}

/// What the Connection fields of one head ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionOptions {
    /// `close`
    pub close: bool,
    /// `keep-alive`
    pub keep_alive: bool,
    /// `upgrade`
    pub upgrade: bool,
    /// A field that [`remove_named`] would remove.
    pub named: bool,
}

impl ConnectionOptions {
    /// Takes one Connection field.
    pub fn add(&mut self, value: &[u8]) {
        for option in connection_options(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                self.named |= !is_protected(option);
            }
        }
    }
}

/// Removes the fields that the Connection fields name, except protected ones.
pub fn remove_named<V: AsRef<[u8]>>(headers: &mut HeaderMap, connection_values: &[V]) {
    for value in connection_values {
        for option in connection_options(value.as_ref()) {
            if !is_protected(option)
                && let Ok(name) = std::str::from_utf8(option)
            {
                headers.remove(name);
            }
        }
    }
}

/// Fields meant for every recipient, which Connection must not name (RFC 9110, section 7.6.1):
/// without them a request would lose its caller, or a reply would become cacheable, readable
/// across origins or of another type. Fields with a kind of their own have rules of their own.
const PROTECTED: [&[u8]; 12] = [
    b"age",
    b"authorization",
    b"cache-control",
    b"content-encoding",
    b"content-type",
    b"cookie",
    b"date",
    b"expires",
    b"origin",
    b"pragma",
    b"set-cookie",
    b"vary",
];

fn is_protected(name: &[u8]) -> bool {
    classify(name) != FieldKind::EndToEnd || PROTECTED.iter().any(|p| p.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests;
