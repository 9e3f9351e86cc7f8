//! Which fields a trailer section may carry on.
//!
//! Must hold: a field that would change how the message is framed, routed, authenticated or decoded
//! never comes out of a trailer section (RFC 9110, section 6.5.1; CVE-2025-12642), and trailers never
//! become header fields.

use http::HeaderMap;

use super::fields::{self, FieldKind};

/// Whether a field may be in a trailer section.
#[must_use]
pub fn is_welcome(name: &str) -> bool {
    fields::classify(name.as_bytes()) == FieldKind::EndToEnd && !comes_first(name)
}

/// Removes the fields that may not be in a trailer section.
pub fn clean(section: &mut HeaderMap) {
    let unwelcome: Vec<_> = section
        .keys()
        .filter(|name| !is_welcome(name.as_str()))
        .cloned()
        .collect();
    for name in unwelcome {
        section.remove(name);
    }
}

/// End-to-end fields that must come before the content they are about (RFC 9110, section 6.5.1).
fn comes_first(name: &str) -> bool {
    const FORBIDDEN: [&str; 14] = [
        "age",
        "authorization",
        "cache-control",
        "content-encoding",
        "content-range",
        "content-type",
        "cookie",
        "date",
        "expires",
        "location",
        "range",
        "set-cookie",
        "vary",
        "www-authenticate",
    ];
    FORBIDDEN.iter().any(|f| name.eq_ignore_ascii_case(f))
}
