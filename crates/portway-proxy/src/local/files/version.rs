//! Which version of a file this is, as validators tell it (RFC 9110, section 8.8).
//!
//! Must hold: a strong tag is given only once a further write would change it. Two writes within one
//! tick of the file system's clock leave the same time, so a file just written gets a weak one.

use std::fs::Metadata;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// File systems tell times apart by 10 ms at worst (ext4 and xfs by the kernel's tick), FAT by 2 s.
const SETTLED_NS: i128 = 2_000_000_000;
/// The first second that the date format cannot say: the year 10,000.
const DATE_SECONDS_END: i128 = 253_402_300_800;
const SECOND_NS: i128 = 1_000_000_000;

/// Length and time of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// Octets.
    pub(super) length: u64,
    /// Nanoseconds since the Unix epoch; below 0 before it.
    pub(super) modified_ns: i128,
    /// Wall time of the request, the same way.
    pub(super) now_ns: i128,
}

impl Version {
    /// Of an open file, at wall time `now_ns`.
    pub(super) fn of(metadata: &Metadata, now_ns: u64) -> Version {
        let modified_ns =
            metadata
                .modified()
                .map_or(0, |time| match time.duration_since(UNIX_EPOCH) {
                    Ok(since) => nanoseconds(since),
                    Err(before) => -nanoseconds(before.duration()),
                });
        Version {
            length: metadata.len(),
            modified_ns,
            now_ns: i128::from(now_ns),
        }
    }

    /// Whether the same tag means the same octets.
    pub(super) fn is_strong(&self) -> bool {
        self.modified_ns + SETTLED_NS <= self.now_ns
    }

    /// The tag without its `W/`, quotes included.
    pub(super) fn opaque_tag(&self) -> String {
        format!("\"{:x}-{:x}\"", self.length, self.modified_ns)
    }

    /// The `ETag` field.
    pub(super) fn etag(&self) -> String {
        let tag = self.opaque_tag();
        if self.is_strong() {
            tag
        } else {
            format!("W/{tag}")
        }
    }

    /// Whole seconds since the Unix epoch, as dates have no finer ones.
    pub(super) fn modified_seconds(&self) -> i128 {
        self.modified_ns.div_euclid(SECOND_NS)
    }

    /// The `Last-Modified` field: never later than now (RFC 9110, section 8.8.2.1). `None` for a time
    /// that the format cannot say.
    pub(super) fn last_modified(&self) -> Option<String> {
        let seconds = self
            .modified_seconds()
            .min(self.now_ns.div_euclid(SECOND_NS));
        if !(0..DATE_SECONDS_END).contains(&seconds) {
            return None;
        }
        let since = Duration::from_secs(u64::try_from(seconds).ok()?);
        Some(httpdate::fmt_http_date(UNIX_EPOCH + since))
    }
}

fn nanoseconds(since: Duration) -> i128 {
    i128::try_from(since.as_nanos()).unwrap_or(i128::MAX / 2)
}

/// A date field, in seconds since the Unix epoch; `None` if it is none (RFC 9110, section 5.6.7).
pub(super) fn date_seconds(value: &[u8]) -> Option<i128> {
    let date: SystemTime = httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()?;
    Some(i128::from(date.duration_since(UNIX_EPOCH).ok()?.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i128 = 1_800_000_000 * SECOND_NS;

    fn version(modified_ns: i128) -> Version {
        Version {
            length: 255,
            modified_ns,
            now_ns: NOW,
        }
    }

    #[test]
    fn a_tag_tells_length_and_time_and_is_weak_just_after_a_write() {
        assert_eq!(version(0x10).etag(), "\"ff-10\"");
        assert!(version(NOW - SETTLED_NS).is_strong());
        for fresh in [NOW - SETTLED_NS + 1, NOW, NOW + SECOND_NS] {
            assert!(version(fresh).etag().starts_with("W/\"ff-"), "{fresh}");
        }
    }

    #[test]
    fn last_modified_is_never_in_the_future_and_never_a_date_that_does_not_exist() {
        let at = |ns| version(ns).last_modified();
        assert_eq!(
            at(784_111_777 * SECOND_NS + 999).as_deref(),
            Some("Sun, 06 Nov 1994 08:49:37 GMT")
        );
        assert_eq!(at(NOW + 5 * SECOND_NS), at(NOW));
        assert_eq!(at(-1), None);
        let far = Version {
            now_ns: i128::MAX,
            ..version(DATE_SECONDS_END * SECOND_NS)
        };
        assert_eq!(far.last_modified(), None);
    }

    #[test]
    fn reads_the_three_date_formats_and_nothing_else() {
        for date in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(date_seconds(date.as_bytes()), Some(784_111_777), "{date}");
        }
        for other in ["", "yesterday", "784111777", "\u{ff}"] {
            assert_eq!(date_seconds(other.as_bytes()), None, "{other}");
        }
    }
}
