//! The `Range` field (RFC 9110, section 14.2), one range only.
//!
//! Must hold: a part lies inside the file and is never empty. Several ranges at once are answered with
//! the whole, as the RFC allows: many small overlapping ones make a server send a file many times over
//! (CVE-2011-3192).

/// What a field asks for, given the file's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing that counts.
    Whole,
    /// `length` octets from `first` on; at least one.
    Part { first: u64, length: u64 },
    /// Something outside the file.
    Outside,
}

/// Reads a field for a file of `total` octets. What is malformed does not count.
pub(super) fn asked(field: &[u8], total: u64) -> Asked {
    single(field).map_or(Asked::Whole, |(first, last)| resolve(first, last, total))
}

/// The only range of a field; `None` if there are several, or what is there is not one.
fn single(field: &[u8]) -> Option<(Option<u64>, Option<u64>)> {
    let text = std::str::from_utf8(field).ok()?;
    let (unit, set) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    // A list may have empty elements (RFC 9110, section 5.6.1.2).
    let mut ranges = set
        .split(',')
        .map(|range| range.trim_matches([' ', '\t']))
        .filter(|r| !r.is_empty());
    let (first, last) = ranges.next()?.split_once('-')?;
    if ranges.next().is_some() {
        return None;
    }
    let (first, last) = (position(first)?, position(last)?);
    match (first, last) {
        (None, None) => None,
        (Some(first), Some(last)) if last < first => None,
        range => Some(range),
    }
}

/// Empty, or digits. A number past 64 bits is past every file's end, too.
fn position(digits: &str) -> Option<Option<u64>> {
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((!digits.is_empty()).then(|| digits.parse().unwrap_or(u64::MAX)))
}

fn resolve(first: Option<u64>, last: Option<u64>, total: u64) -> Asked {
    let (first, end) = match (first, last) {
        (Some(first), last) => (first, last.unwrap_or(u64::MAX).saturating_add(1).min(total)),
        (None, Some(0)) | (None, None) => return Asked::Outside,
        // The end of an empty file is all of it, and no `Content-Range` can say that.
        (None, Some(_)) if total == 0 => return Asked::Whole,
        (None, Some(suffix)) => (total.saturating_sub(suffix), total),
    };
    if first >= end {
        return Asked::Outside;
    }
    Asked::Part {
        first,
        length: end - first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part(first: u64, length: u64) -> Asked {
        Asked::Part { first, length }
    }

    #[test]
    fn reads_one_range() {
        let cases = [
            ("bytes=0-0", part(0, 1)),
            ("bytes=0-9", part(0, 10)),
            ("bytes=0-", part(0, 10)),
            ("bytes=3-5", part(3, 3)),
            ("bytes=9-9", part(9, 1)),
            ("bytes=9-99", part(9, 1)),
            ("bytes=-1", part(9, 1)),
            ("bytes=-10", part(0, 10)),
            ("bytes=-99", part(0, 10)),
            ("BYTES=3-5", part(3, 3)),
            ("bytes= 3-5 ", part(3, 3)),
            ("bytes=,3-5,", part(3, 3)),
            ("bytes=5-99999999999999999999999", part(5, 5)),
            ("bytes=0-18446744073709551615", part(0, 10)),
            ("bytes=-99999999999999999999999", part(0, 10)),
            ("bytes=10-", Asked::Outside),
            ("bytes=10-20", Asked::Outside),
            ("bytes=-0", Asked::Outside),
            ("bytes=99999999999999999999999-", Asked::Outside),
        ];
        for (field, expected) in cases {
            assert_eq!(asked(field.as_bytes(), 10), expected, "{field}");
        }
    }

    #[test]
    fn several_or_malformed_ranges_do_not_count() {
        let fields = [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=,",
            "bytes=a-b",
            "bytes=5-3",
            "bytes=+1-2",
            "bytes=1--2",
            "bytes=1-2-3",
            "bytes=0x1-2",
            "bytes=1 -2",
            "bytes=0-1,3-4",
            "bytes=0-0,-1",
            "items=0-1",
            "0-1",
            "bytes 0-1/2",
            "bytes=\u{661}-2",
        ];
        for field in fields {
            assert_eq!(asked(field.as_bytes(), 10), Asked::Whole, "{field}");
        }
        assert_eq!(asked(b"bytes=\xff", 10), Asked::Whole);
    }

    #[test]
    fn an_empty_file_has_no_part() {
        assert_eq!(asked(b"bytes=0-", 0), Asked::Outside);
        assert_eq!(asked(b"bytes=0-0", 0), Asked::Outside);
        assert_eq!(asked(b"bytes=-5", 0), Asked::Whole);
    }

    proptest! {
        #[test]
        fn a_part_is_the_octets_that_the_field_names(total in 0u64..40, first in prop::option::of(0u64..50), last in prop::option::of(0u64..50)) {
            let text = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
            let field = format!("bytes={}-{}", text(first), text(last));
            let named: Vec<u64> = (0..total).filter(|&at| match (first, last) {
                (Some(first), last) => first <= at && last.is_none_or(|last| at <= last),
                (None, Some(suffix)) => at + suffix >= total,
                (None, None) => false,
            }).collect();
            match asked(field.as_bytes(), total) {
                Asked::Part { first, length } => prop_assert_eq!(named, (first..first + length).collect::<Vec<_>>()),
                Asked::Outside => prop_assert!(named.is_empty()),
                Asked::Whole => {
                    let malformed = matches!((first, last), (None, None)) || matches!((first, last), (Some(a), Some(b)) if b < a);
                    prop_assert!(malformed || total == 0);
                }
            }
        }

        #[test]
        fn a_part_lies_inside_the_file_whatever_is_asked(field in "(bytes=)?[-0-9, a]{0,45}", total in any::<u64>()) {
            if let Asked::Part { first, length } = asked(field.as_bytes(), total) {
                prop_assert!(length > 0);
                prop_assert!(first.checked_add(length).is_some_and(|end| end <= total));
            }
        }

        #[test]
        fn no_octets_make_it_panic(field in prop::collection::vec(any::<u8>(), 0..40), total in any::<u64>()) {
            let _ = asked(&field, total);
        }
    }
}
