//! Conditional requests, in the order of RFC 9110, section 13.2.2.
//!
//! Must hold: `If-None-Match` outweighs `If-Modified-Since`, `If-Match` outweighs
//! `If-Unmodified-Since`, even where the former is malformed; a part is sent only if the client's other
//! parts are of the same version, as far as it asked for that.

use http::Method;
use http::header::{
    AsHeaderName, HeaderMap, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, RANGE,
};
use portway_http::Request;

use super::range;
use super::version::{Version, date_seconds};

/// What a request makes its reply depend on.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    matches: Vec<HeaderValue>,
    unmodified_since: Option<HeaderValue>,
    none_match: Vec<HeaderValue>,
    modified_since: Option<HeaderValue>,
    range: Option<HeaderValue>,
    if_range: Option<HeaderValue>,
}

/// What becomes of a request for a file that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// 200
    Whole,
    /// 206: `length` octets from `first` on; at least one.
    Part { first: u64, length: u64 },
    /// 304
    NotModified,
    /// 412
    Failed,
    /// 416
    Unsatisfiable,
}

impl Conditions {
    /// The conditions in a request's fields.
    pub(super) fn of(request: &Request) -> Conditions {
        let headers = &request.headers;
        // Only GET knows ranges (RFC 9110, section 14.2).
        let ranges = request.method == Method::GET;
        Conditions {
            matches: headers.get_all(IF_MATCH).iter().cloned().collect(),
            unmodified_since: only(headers, IF_UNMODIFIED_SINCE),
            none_match: headers.get_all(IF_NONE_MATCH).iter().cloned().collect(),
            modified_since: only(headers, IF_MODIFIED_SINCE),
            range: only(headers, RANGE).filter(|_| ranges),
            if_range: headers.get(IF_RANGE).cloned(),
        }
    }

    /// Weighs them against the version that is there.
    pub(super) fn decide(&self, version: &Version) -> Verdict {
        if !self.is_version_asked_for(version) {
            return Verdict::Failed;
        }
        if self.is_known_to_client(version) {
            return Verdict::NotModified;
        }
        let range = self.range.as_ref().filter(|_| self.is_range_of(version));
        match range.map(|field| range::asked(field.as_bytes(), version.length)) {
            None | Some(range::Asked::Whole) => Verdict::Whole,
            Some(range::Asked::Part { first, length }) => Verdict::Part { first, length },
            Some(range::Asked::Outside) => Verdict::Unsatisfiable,
        }
    }

    fn is_version_asked_for(&self, version: &Version) -> bool {
        if !self.matches.is_empty() {
            let strong = version.is_strong();
            return any_tag(&self.matches, version, |tag| strong && !tag.weak);
        }
        let since = self
            .unmodified_since
            .as_ref()
            .and_then(|v| date_seconds(v.as_bytes()));
        since.is_none_or(|since| version.modified_seconds() <= since)
    }

    fn is_known_to_client(&self, version: &Version) -> bool {
        if !self.none_match.is_empty() {
            return any_tag(&self.none_match, version, |_| true);
        }
        let since = self
            .modified_since
            .as_ref()
            .and_then(|v| date_seconds(v.as_bytes()));
        since.is_some_and(|since| version.modified_seconds() <= since)
    }

    /// `If-Range` takes a strong tag or exactly the date that was sent; neither says anything sure
    /// about a file just written.
    fn is_range_of(&self, version: &Version) -> bool {
        let Some(value) = self.if_range.as_ref().map(HeaderValue::as_bytes) else {
            return true;
        };
        if !version.is_strong() {
            return false;
        }
        match tags(value).next() {
            Some(tag) => !tag.weak && tag.opaque == version.opaque_tag().as_bytes(),
            None => date_seconds(value) == Some(version.modified_seconds()),
        }
    }
}

/// The value of a field that may be there once; repeated, it means nothing.
fn only(headers: &HeaderMap, name: impl AsHeaderName) -> Option<HeaderValue> {
    let mut values = headers.get_all(name).into_iter();
    values.next().filter(|_| values.next().is_none()).cloned()
}

/// Whether a list holds `*`, or a tag of this version that `counts`.
fn any_tag(fields: &[HeaderValue], version: &Version, counts: impl Fn(&Tag<'_>) -> bool) -> bool {
    let opaque = version.opaque_tag();
    fields.iter().map(HeaderValue::as_bytes).any(|field| {
        field.trim_ascii() == b"*"
            || tags(field).any(|tag| tag.opaque == opaque.as_bytes() && counts(&tag))
    })
}

/// An entity tag (RFC 9110, section 8.8.3).
struct Tag<'a> {
    weak: bool,
    /// With its quotes, inside which a comma separates nothing.
    opaque: &'a [u8],
}

/// The tags of a list, up to the first that is none.
fn tags(field: &[u8]) -> impl Iterator<Item = Tag<'_>> {
    let mut rest = field;
    std::iter::from_fn(move || {
        while let [b' ' | b'\t' | b',', after @ ..] = rest {
            rest = after;
        }
        let (weak, quoted) = match rest.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let inside = quoted.strip_prefix(b"\"")?;
        let end = inside.iter().position(|&octet| octet == b'"')?;
        let (opaque, after) = quoted.split_at(end + 2);
        rest = after;
        Some(Tag { weak, opaque })
    })
}

#[cfg(test)]
mod tests;
