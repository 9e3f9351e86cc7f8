//! When a certificate is renewed, and when a failed order is tried again.
//!
//! Must hold: pure; `share` is a random number from 0.0 to 1.0, so that many gateways do not come at
//! once. Times are seconds since the Unix epoch.

use std::time::Duration;

/// The first pause after a failure that has nothing to do with the order itself: the server cannot be
/// reached, the disk is full.
const OUTAGE_PAUSE: Duration = Duration::from_secs(30);
/// Such pauses grow up to this.
const OUTAGE_PAUSE_MAX: Duration = Duration::from_secs(60 * 60);
/// The first pause after the server refused. Let's Encrypt takes five failed checks of a name in an
/// hour: tripled each time, these pauses make it four.
const REFUSED_PAUSE: Duration = Duration::from_secs(2 * 60);
/// Such pauses grow up to this.
const REFUSED_PAUSE_MAX: Duration = Duration::from_secs(8 * 60 * 60);

/// What kind of failure a pause follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Nothing was counted against us.
    Outage,
    /// The server may count it.
    Refused,
}

/// The pause after this many failures in a row, at least one.
pub(crate) fn pause(pace: Pace, failures: u32, share: f64) -> Duration {
    let (first, factor, max) = match pace {
        Pace::Outage => (OUTAGE_PAUSE, 2u32, OUTAGE_PAUSE_MAX),
        Pace::Refused => (REFUSED_PAUSE, 3, REFUSED_PAUSE_MAX),
    };
    let grown = factor
        .checked_pow(failures.saturating_sub(1))
        .and_then(|factor| first.checked_mul(factor));
    let pause = grown.map_or(max, |pause| pause.min(max));
    pause + pause.mul_f64(share.clamp(0.0, 1.0) / 4.0)
}

/// When to renew a certificate of which the server says nothing: after two thirds of its life, or up to
/// a fifteenth of its life earlier.
pub(crate) fn renew_at(not_before: i64, not_after: i64, share: f64) -> i64 {
    let life = (not_after - not_before).max(0) as f64;
    let at = life * 2.0 / 3.0 - life / 15.0 * share.clamp(0.0, 1.0);
    not_before + at as i64
}

/// When to renew where the server suggests a window (RFC 9773, section 4.2): anywhere in it.
pub(crate) fn renew_in(start: i64, end: i64, share: f64) -> i64 {
    let width = (end - start).max(0) as f64;
    start + (width * share.clamp(0.0, 1.0)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 60 * 60;

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_life_or_a_little_earlier() {
        assert_eq!(renew_at(1000, 1000 + 90 * DAY, 0.0), 1000 + 60 * DAY);
        assert_eq!(renew_at(1000, 1000 + 90 * DAY, 1.0), 1000 + 54 * DAY);
        assert_eq!(renew_at(1000, 1006, 0.0), 1004);
        assert_eq!(
            renew_at(1000, 900, 0.5),
            1000,
            "a life that ends before it begins"
        );
    }

    #[test]
    fn a_suggested_window_is_met_anywhere_in_it() {
        assert_eq!(renew_in(1000, 2000, 0.0), 1000);
        assert_eq!(renew_in(1000, 2000, 0.5), 1500);
        assert_eq!(renew_in(1000, 900, 1.0), 1000);
    }

    #[test]
    fn pauses_grow_and_end_at_their_limits() {
        let seconds = |pace, failures| pause(pace, failures, 0.0).as_secs();
        assert_eq!(
            [1, 2, 3, 4].map(|n| seconds(Pace::Outage, n)),
            [30, 60, 120, 240]
        );
        assert_eq!(
            [1, 2, 3, 4].map(|n| seconds(Pace::Refused, n)),
            [120, 360, 1080, 3240]
        );
        assert_eq!(seconds(Pace::Outage, 1000), 3600);
        assert_eq!(seconds(Pace::Refused, u32::MAX), 8 * 3600);
        assert_eq!(pause(Pace::Refused, 1, 1.0), Duration::from_secs(150));
        let in_an_hour = (0..10).scan(0, |at, n| {
            let now = *at;
            *at += seconds(Pace::Refused, n + 1);
            Some(now)
        });
        assert_eq!(in_an_hour.filter(|at| *at < 3600).count(), 4);
    }
}
