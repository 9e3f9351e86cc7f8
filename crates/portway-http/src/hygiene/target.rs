//! The request target's parts, put into a [`Request`]: path and query, the same in every protocol.
//!
//! Must hold: the path that is written is the canonical one; a query has only characters that need no
//! escaping, and is kept as it came.

use portway_core::{Code, ProxyError};

use super::path::{PathRules, canonicalize};
use crate::request::Request;

/// Reads `/path?query`.
///
/// # Errors
/// [`Code::AmbiguousPath`] or [`Code::BadRequest`].
pub fn read_path(target: &[u8], rules: PathRules, request: &mut Request) -> Result<(), ProxyError> {
    match memchr::memchr(b'?', target) {
        None => canonicalize(target, rules, &mut request.path),
        Some(mark) => {
            canonicalize(&target[..mark], rules, &mut request.path)?;
            read_query(Some(&target[mark + 1..]), request)
        }
    }
}

/// Reads what follows the question mark, if there is one.
///
/// # Errors
/// [`Code::BadRequest`].
pub fn read_query(query: Option<&[u8]>, request: &mut Request) -> Result<(), ProxyError> {
    let Some(query) = query else { return Ok(()) };
    let visible = |b: &u8| matches!(b, b'!'..=b'~') && *b != b'#';
    match std::str::from_utf8(query) {
        Ok(text) if query.iter().all(visible) => {
            request.query = Some(text.to_owned());
            Ok(())
        }
        _ => Err(ProxyError::new(
            Code::BadRequest,
            "the query has a character that must be percent-encoded",
        )),
    }
}

/// Refuses a target over the limit.
///
/// # Errors
/// [`Code::UriTooLong`].
pub fn check_length(target: &[u8], bytes_max: usize) -> Result<(), ProxyError> {
    if target.len() > bytes_max {
        return Err(ProxyError::new(
            Code::UriTooLong,
            "the request target is over the limit",
        ));
    }
    Ok(())
}

/// A tunnel to anywhere is not offered.
#[must_use]
pub fn connect_refused() -> ProxyError {
    ProxyError::new(Code::NotImplemented, "CONNECT is not offered")
}
