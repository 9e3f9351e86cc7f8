//! RFC 3339 timestamps in UTC with milliseconds, `2026-11-21T03:40:00.123Z`.
//!
//! Must hold: a second is formatted once and then copied; a record of the access log costs three
//! digits. Never: reads a clock; the time is the caller's.

use std::time::Duration;

/// A wall time since the Unix epoch as text; past year 9999 its last second.
#[must_use]
pub fn rfc3339(time: Duration) -> String {
    String::from_utf8_lossy(Stamp::new().at(time)).into_owned()
}

/// The last second formatted.
#[derive(Debug)]
pub(crate) struct Stamp {
    second: u64,
    text: [u8; 24],
}

/// The end of year 9999, the last one RFC 3339 can write, in seconds since the epoch.
const LAST_SECOND: u64 = 253_402_300_799;

impl Stamp {
    pub(crate) fn new() -> Stamp {
        let mut stamp = Stamp {
            second: 0,
            text: *b"1970-01-01T00:00:00.000Z",
        };
        stamp.set_second(0);
        stamp
    }

    /// The text of a wall time since the Unix epoch.
    #[inline]
    pub(crate) fn at(&mut self, time: Duration) -> &[u8; 24] {
        let second = time.as_secs().min(LAST_SECOND);
        if second != self.second {
            self.set_second(second);
        }
        let millis = time.subsec_millis();
        self.text[20] = digit(millis / 100);
        self.text[21] = digit(millis / 10);
        self.text[22] = digit(millis);
        &self.text
    }

    #[cold]
    fn set_second(&mut self, second: u64) {
        self.second = second;
        let (year, month, day) = date(second / 86_400);
        let of_day = (second % 86_400) as u32;
        let two = [
            (2, year % 100),
            (5, month),
            (8, day),
            (11, of_day / 3600),
            (14, of_day / 60 % 60),
            (17, of_day % 60),
        ];
        self.text[0] = digit(year / 1000);
        self.text[1] = digit(year / 100);
        for (at, number) in two {
            self.text[at] = digit(number / 10);
            self.text[at + 1] = digit(number);
        }
    }
}

fn digit(number: u32) -> u8 {
    b'0' + (number % 10) as u8
}

/// Year, month and day of a day since the epoch, in the Gregorian calendar. Counts years from
/// March, so that a leap day is a year's last: then months have 30.6 days on average and a division
/// finds them (Richards, "Explanatory Supplement to the Astronomical Almanac", 2013, chapter 15).
fn date(days: u64) -> (u32, u32, u32) {
    const DAYS_IN_400_YEARS: u64 = 146_097;
    let since_march_0000 = days + 719_468;
    let cycle = since_march_0000 / DAYS_IN_400_YEARS;
    let day = since_march_0000 % DAYS_IN_400_YEARS;
    // Leaves out the leap days before `day`: every 4 years, but not every 100, but every 400.
    let year = (day - day / 1_460 + day / 36_524 - day / (DAYS_IN_400_YEARS - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day + 2) / 153;
    let day = day - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = cycle * 400 + year + u64::from(month <= 2);
    (year as u32, month as u32, day as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(stamp: &mut Stamp, seconds: u64, millis: u64) -> String {
        let time = Duration::from_secs(seconds) + Duration::from_millis(millis);
        String::from_utf8(stamp.at(time).to_vec()).unwrap()
    }

    #[test]
    fn writes_known_moments() {
        let mut stamp = Stamp::new();
        assert_eq!(text(&mut stamp, 0, 7), "1970-01-01T00:00:00.007Z");
        assert_eq!(
            text(&mut stamp, 951_782_399, 999),
            "2000-02-28T23:59:59.999Z"
        );
        assert_eq!(text(&mut stamp, 951_782_400, 0), "2000-02-29T00:00:00.000Z");
        assert_eq!(
            text(&mut stamp, 1_795_232_461, 50),
            "2026-11-21T03:41:01.050Z"
        );
        assert_eq!(
            text(&mut stamp, 4_107_542_400, 0),
            "2100-03-01T00:00:00.000Z"
        );
        assert_eq!(
            text(&mut stamp, u64::MAX / 2, 0),
            "9999-12-31T23:59:59.000Z"
        );
        assert_eq!(text(&mut stamp, 0, 0), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn writes_one_moment_by_itself() {
        let time = Duration::from_millis(1_798_761_599_999);
        assert_eq!(rfc3339(time), "2026-12-31T23:59:59.999Z");
    }

    #[test]
    fn days_follow_each_other_for_a_thousand_years() {
        let is_leap =
            |y: u32| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..365_250 {
            assert_eq!(date(days), (year, month, day));
            let last = match month {
                2 => 28 + u32::from(is_leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > last {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }
}
