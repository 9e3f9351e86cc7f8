//! Frames of HTTP/3: the same passes in whatever pieces the octets come, and never more than came.

use portway_http::h3::sift;

/// A head that stands in for one that was refused.
const STAND_IN_BYTES: usize = 10;

/// Checks the octets of a request's stream.
pub fn check(data: &[u8]) {
    let whole = sift(data, data.len().max(1));
    if let Some(passed) = &whole {
        assert!(passed.len() <= data.len() + STAND_IN_BYTES);
    }
    for piece in [1, 3, 1000] {
        assert_eq!(sift(data, piece), whole, "in pieces of {piece}");
    }
}
