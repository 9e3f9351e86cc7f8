//! Session tickets of one listener: encrypted under keys that never leave memory (RFC 8446, section 4.6.1).
//!
//! Must hold: a ticket is good for [`KEY_AGE_MAX`] after it was made, and for no longer than twice that, however
//! long nobody shakes hands in between: who gets hold of a key can read no more than what was resumed under
//! it. Never: keeps a key past that while anybody shakes hands.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portway_core::{Clock, Mono};
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;

/// Tickets are made with a key for so long; those made with the one before are still taken.
pub const KEY_AGE_MAX: Duration = Duration::from_secs(6 * 3600);

/// What makes and reads tickets.
pub(crate) struct Tickets {
    clock: Clock,
    keys: Mutex<Keys>,
}

type Key = Arc<dyn ProducesTickets>;

struct Keys {
    current: Key,
    /// When the current one makes no more tickets. It becomes the previous one at the next handshake after that.
    until: Mono,
    /// The one before, and when nothing that it made is good any more.
    previous: Option<(Key, Mono)>,
}

impl Tickets {
    /// With a key of its own.
    ///
    /// # Errors
    /// If the system gives no random octets.
    pub(crate) fn new(clock: &Clock) -> Result<Tickets, rustls::Error> {
        let keys = Keys {
            current: Ticketer::new()?,
            until: clock.now() + KEY_AGE_MAX,
            previous: None,
        };
        Ok(Tickets {
            clock: clock.clone(),
            keys: Mutex::new(keys),
        })
    }

    /// The key to make tickets with, and the one before. `None` if it is time for another and there is none
    /// to be had: then nothing is resumed.
    fn keys(&self) -> Option<(Key, Option<Key>)> {
        let now = self.clock.now();
        // What is in there is whole after every statement.
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= keys.until {
            let current = Ticketer::new().ok()?;
            let old = std::mem::replace(&mut keys.current, current);
            keys.previous = Some((old, keys.until + KEY_AGE_MAX));
            keys.until = now + KEY_AGE_MAX;
        }
        keys.previous.take_if(|(_, until)| now >= *until);
        let previous = keys.previous.as_ref().map(|(key, _)| Arc::clone(key));
        Some((Arc::clone(&keys.current), previous))
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        KEY_AGE_MAX.as_secs().try_into().unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.keys()?.0.encrypt(plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (current, previous) = self.keys()?;
        let read = current.decrypt(ticket);
        read.or_else(|| previous?.decrypt(ticket))
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets") // never a key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_ticket_is_good_for_one_key_age_and_never_for_two() {
        let (clock, hand) = Clock::manual();
        let tickets = Tickets::new(&clock).unwrap();
        let early = tickets.encrypt(b"early").unwrap();
        hand.advance(KEY_AGE_MAX - Duration::from_secs(1));
        let late = tickets.encrypt(b"late").unwrap();
        assert_eq!(tickets.decrypt(&early).unwrap(), b"early");
        hand.advance(Duration::from_secs(1));
        assert_eq!(tickets.decrypt(&early).unwrap(), b"early");
        let fresh = tickets.encrypt(b"fresh").unwrap();
        hand.advance(KEY_AGE_MAX - Duration::from_secs(1));
        assert_eq!(tickets.decrypt(&late).unwrap(), b"late");
        hand.advance(Duration::from_secs(1));
        assert_eq!(tickets.decrypt(&early), None);
        assert_eq!(tickets.decrypt(&late), None);
        assert_eq!(tickets.decrypt(&fresh).unwrap(), b"fresh");
    }

    #[test]
    fn nothing_is_resumed_after_a_long_silence() {
        let (clock, hand) = Clock::manual();
        let tickets = Tickets::new(&clock).unwrap();
        let ticket = tickets.encrypt(b"x").unwrap();
        hand.advance(KEY_AGE_MAX * 2);
        assert_eq!(tickets.decrypt(&ticket), None);
    }

    #[test]
    fn a_key_that_was_followed_late_does_not_stay_longer_for_it() {
        let (clock, hand) = Clock::manual();
        let tickets = Tickets::new(&clock).unwrap();
        let ticket = tickets.encrypt(b"x").unwrap();
        hand.advance(KEY_AGE_MAX * 11 / 6);
        assert_eq!(tickets.decrypt(&ticket).unwrap(), b"x");
        hand.advance(KEY_AGE_MAX / 6 - Duration::from_secs(1));
        assert_eq!(tickets.decrypt(&ticket).unwrap(), b"x");
        hand.advance(Duration::from_secs(1));
        assert_eq!(tickets.decrypt(&ticket), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Handshakes at any times, each of which offers all tickets of before and gets one.
        #[test]
        fn no_ticket_is_good_for_two_key_ages_whenever_hands_are_shaken(
            pauses in prop::collection::vec(0..KEY_AGE_MAX.as_secs() * 3, 1..24),
        ) {
            let (clock, hand) = Clock::manual();
            let tickets = Tickets::new(&clock).unwrap();
            let mut made: Vec<(Mono, Vec<u8>)> = Vec::new();
            for pause in pauses {
                hand.advance(Duration::from_secs(pause));
                for (at, ticket) in &made {
                    let age = clock.now().since(*at);
                    let is_good = tickets.decrypt(ticket).is_some();
                    prop_assert!(!is_good || age < KEY_AGE_MAX * 2, "good after {age:?}");
                    prop_assert!(is_good || age >= KEY_AGE_MAX, "void after {age:?}");
                }
                made.push((clock.now(), tickets.encrypt(b"x").unwrap()));
            }
        }
    }

    #[test]
    fn tickets_of_others_are_refused() {
        let (clock, _hand) = Clock::manual();
        let [ours, theirs] = [0, 1].map(|_| Tickets::new(&clock).unwrap());
        let mut ticket = ours.encrypt(b"x").unwrap();
        assert_eq!(theirs.decrypt(&ticket), None);
        *ticket.last_mut().unwrap() ^= 1;
        assert_eq!(ours.decrypt(&ticket), None);
        assert_eq!(ours.decrypt(b""), None);
    }
}
