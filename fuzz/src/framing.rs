//! Framing: a length is given only where every reader finds the same one.
//!
//! The first octet chooses version, method and status; each line of the rest is a field: `L` and the
//! value of a Content-Length, anything else and the value of a Transfer-Encoding.

use http::Version;
use portway_core::{Code, ProxyError};
use portway_http::hygiene::framing::{Framing, FramingScan};

const STATUSES: [u16; 8] = [200, 100, 101, 204, 205, 304, 404, 500];

/// Checks one head's framing fields, as a request's and as a reply's.
pub fn check(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else {
        return;
    };
    let version = if choice & 1 == 0 {
        Version::HTTP_11
    } else {
        Version::HTTP_10
    };
    let fields: Vec<(bool, &[u8])> = rest
        .split(|&b| b == b'\n')
        .filter_map(|line| line.split_first())
        .map(|(&kind, value)| (kind == b'L', value))
        .collect();
    match scan(FramingScan::default(), &fields).and_then(|s| s.request(version)) {
        Ok(framing) => is_the_only_reading(framing, version, &fields),
        Err(error) => assert!(
            matches!(error.kind, Code::AmbiguousFraming | Code::NotImplemented),
            "a request's fault is {error}"
        ),
    }
    let head_request = choice & 2 != 0;
    let status = STATUSES[usize::from(choice >> 2 & 7)];
    match scan(FramingScan::for_reply(), &fields)
        .and_then(|s| s.response(version, head_request, status))
    {
        Ok((framing, declared)) => {
            let bodiless = head_request || matches!(status, 100..=199 | 204 | 304);
            assert_eq!(framing == Framing::None, bodiless);
            assert!(declared.is_none() || bodiless);
            if !bodiless {
                is_the_only_reading(framing, version, &fields);
            }
        }
        Err(error) => assert_eq!(error.kind, Code::UpstreamBadReply),
    }
}

fn scan(mut scan: FramingScan, fields: &[(bool, &[u8])]) -> Result<FramingScan, ProxyError> {
    for &(length, value) in fields {
        if length {
            scan.content_length(value)?;
        } else {
            scan.transfer_encoding(value)?;
        }
    }
    Ok(scan)
}

fn is_the_only_reading(framing: Framing, version: Version, fields: &[(bool, &[u8])]) {
    match (framing, fields) {
        (Framing::None | Framing::Close, []) => {}
        (Framing::Length(length), [(true, digits)]) => {
            let text = std::str::from_utf8(digits).unwrap_or_default();
            assert_eq!(text.parse(), Ok(length));
            assert!(!text.starts_with('+'));
        }
        (Framing::Chunked, [(false, coding)]) => {
            assert!(coding.eq_ignore_ascii_case(b"chunked"));
            assert_eq!(version, Version::HTTP_11);
        }
        other => panic!("{other:?}"),
    }
}
