//! Paths: one canonical form, and nothing left in it that a target could read in another way.
//!
//! The first octet of the input chooses the rules, the rest is the raw path.

use portway_http::hygiene::path::{DotSegments, EncodedSlashes, PathRules, canonicalize};

/// Checks one path under one set of rules.
pub fn check(data: &[u8]) {
    let Some((&choice, raw)) = data.split_first() else {
        return;
    };
    let rules = PathRules {
        dot_segments: if choice & 1 == 0 {
            DotSegments::Resolve
        } else {
            DotSegments::Reject
        },
        merge_slashes: choice & 2 == 0,
        encoded_slashes: if choice & 4 == 0 {
            EncodedSlashes::Reject
        } else {
            EncodedSlashes::Keep
        },
    };
    let mut path = String::new();
    if canonicalize(raw, rules, &mut path).is_err() {
        return;
    }
    let mut again = String::new();
    let second = canonicalize(path.as_bytes(), rules, &mut again);
    assert!(second.is_ok(), "refuses its own result {path:?}");
    assert_eq!(again, path, "a canonical path changes");
    assert!(
        path.len() <= raw.len() * 3,
        "the path grows past its escapes"
    );
    is_unambiguous(&path);
    assert!(!(rules.merge_slashes && path.contains("//")), "{path:?}");
    let encoded_slash = path.contains("%2F");
    assert!(
        !encoded_slash || rules.encoded_slashes == EncodedSlashes::Keep,
        "{path:?}"
    );
}

/// Asserts that the path reads the same however often it is normalized further on.
pub fn is_unambiguous(path: &str) {
    assert!(path.starts_with('/'), "{path:?}");
    let plain = |b: u8| matches!(b, b'!'..=b'~') && !b"\"#<>?[\\]^`{|}".contains(&b);
    assert!(path.bytes().all(plain), "{path:?}");
    for escape in path.split('%').skip(1) {
        let byte = escape
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let byte = byte.unwrap_or_else(|| panic!("a broken escape in {path:?}"));
        assert_eq!(escape[..2], format!("{byte:02X}"), "{path:?}");
        let decoded = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let forbidden = byte.is_ascii_control() || byte == b'\\';
        assert!(!decoded && !forbidden, "{path:?}");
    }
    let decoded = path.replace("%2F", "/").replace("%3B", ";");
    for segment in decoded.split('/') {
        let name = segment.split(';').next().unwrap_or_default();
        assert!(
            name != "." && name != "..",
            "a dot segment lives in {path:?}"
        );
    }
}
