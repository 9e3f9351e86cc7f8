//! Whether the target behind a connection is still there, where streams wait for it.
//!
//! Must hold: a target that says nothing while streams are open is asked (PING; RFC 9113, section 6.7),
//! and its connection given up if nothing at all comes of it; nobody is asked on a connection without
//! streams, nor again and again while it is silent. gRPC servers take that for an attack
//! (<https://github.com/grpc/grpc/blob/master/doc/keepalive.md>).

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use portway_core::{Mono, limits};
use portway_http::h1::Io;
use portway_http::h2::client::Driver;
use portway_net::timer::Timer;

/// The frame that answers a PING, octets.
const PONG_BYTES: u64 = 17;

/// Moves a connection's frames until it is done, or its target no longer answers.
pub(super) async fn drive(mut driver: Driver<Io>, timer: Timer) {
    let mut keep = KeepAlive::new(timer.wheel().now());
    let mut armed = false;
    poll_fn(|cx| {
        loop {
            if Pin::new(&mut driver).poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let now = timer.wheel().now();
            if now < keep.look_at {
                // Once per look: there is no other timer in this task.
                if !armed {
                    armed = timer.poll(cx, keep.look_at).is_pending();
                }
                return Poll::Pending;
            }
            armed = false;
            match keep.look(now, driver.octets_in(), driver.has_streams()) {
                Verdict::Fine => {}
                Verdict::Ask => driver.ping(),
                Verdict::Dead => {
                    driver.give_up();
                    return Poll::Ready(());
                }
            }
        }
    })
    .await;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    Ask,
    Dead,
}

struct KeepAlive {
    look_at: Mono,
    /// Octets that had come at the last look.
    octets: u64,
    /// When the target was last asked, and what had come by then.
    asked: Option<(Mono, u64)>,
    waits: bool,
}

impl KeepAlive {
    fn new(now: Mono) -> KeepAlive {
        KeepAlive {
            look_at: now + limits::H2_TARGET_SILENCE,
            octets: 0,
            asked: None,
            waits: false,
        }
    }

    fn look(&mut self, now: Mono, octets: u64, has_streams: bool) -> Verdict {
        self.look_at = now + limits::H2_TARGET_SILENCE;
        let silent = octets == self.octets;
        self.octets = octets;
        if self.waits && silent {
            return Verdict::Dead;
        }
        self.waits = false;
        let may_ask = self.asked.is_none_or(|(at, before)| {
            octets - before > PONG_BYTES || now.since(at) >= limits::H2_TARGET_PINGS_APART
        });
        if !silent || !has_streams || !may_ask {
            return Verdict::Fine;
        }
        self.asked = Some((now, octets));
        self.waits = true;
        Verdict::Ask
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Looks ten seconds apart, each with what had come and whether streams were open.
    fn looks(seen: &[(u64, bool)]) -> Vec<Verdict> {
        let mut keep = KeepAlive::new(Mono(0));
        let looks = seen.iter().map(|(octets, has_streams)| {
            let now = keep.look_at;
            keep.look(now, *octets, *has_streams)
        });
        looks.collect()
    }

    use Verdict::{Ask, Dead, Fine};

    #[test]
    fn a_silent_target_is_asked_and_given_up_if_it_stays_silent() {
        let seen = [(100, true), (100, true), (100, true)];
        assert_eq!(looks(&seen), [Fine, Ask, Dead]);
    }

    #[test]
    fn one_that_answers_is_asked_again_only_after_it_said_something_else() {
        let answers = [(100, true), (100, true), (117, true), (117, true)];
        assert_eq!(looks(&answers), [Fine, Ask, Fine, Fine]);
        let speaks = [
            (100, true),
            (100, true),
            (117, true),
            (900, true),
            (900, true),
        ];
        assert_eq!(looks(&speaks), [Fine, Ask, Fine, Fine, Ask]);
    }

    #[test]
    fn one_that_stays_silent_for_minutes_is_asked_again() {
        let apart = limits::H2_TARGET_PINGS_APART.as_secs() / limits::H2_TARGET_SILENCE.as_secs();
        let mut seen = vec![(100, true), (100, true)];
        seen.extend((0..apart).map(|_| (117, true)));
        let verdicts = looks(&seen);
        let asked = verdicts.iter().filter(|v| **v == Ask).count();
        assert_eq!((asked, verdicts.last()), (2, Some(&Ask)), "{verdicts:?}");
        assert!(limits::H2_TARGET_PINGS_APART > Duration::from_secs(300));
    }

    #[test]
    fn nobody_is_asked_without_streams() {
        assert_eq!(looks(&[(100, false); 50]), [Fine; 50]);
    }
}
