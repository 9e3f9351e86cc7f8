//! Budgets for frames that cost a client nothing and us something: the floods of the last years
//! (CVE-2019-9512 to -9518, CVE-2023-44487, CVE-2024-27316, CVE-2025-8671). The same pass holds
//! `rules.rs` against them.
//!
//! Must hold: what an honest client sends along with its work never uses a budget up, since work earns
//! frames; what comes without work does, whatever its kind. Octets are looked at in passing: only the
//! nine octets of a frame's head are kept. Pure: no socket, and the time is told.

use portway_core::{Flood, Mono, limits};

use super::rules::{Breach, Rules};
use super::scan::{ACK, END_HEADERS, END_STREAM, FrameHead, Passing, Scanner, kind};
use crate::streams::Budget;

/// Octets of a GOAWAY that are kept. The library's own are shorter.
const SAID_BYTES_MAX: usize = 256;

/// Why a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// Too many frames without work.
    Flood(Flood),
    /// A frame that may not be.
    Breach(Breach),
}

/// The flood that the `h2` crate's GOAWAY names.
fn named(said: &[u8]) -> Option<Flood> {
    if said.is_empty() {
        return None;
    }
    let names = [
        (&b"too_many_internal_resets"[..], Flood::ForcedResets),
        (b"too_many_resets", Flood::Resets),
        (b"too_many_data_frames", Flood::EmptyFrames),
        (b"too_many_continuations", Flood::Continuations),
        (b"header_list_way_too_large", Flood::Headers),
    ];
    let found = names.into_iter().find(|(name, _)| said.ends_with(name));
    found.map(|(_, flood)| flood)
}

/// One connection's budgets.
#[derive(Debug)]
pub struct Meter {
    received: Scanner,
    rules: Rules,
    sent: Scanner,
    /// What a GOAWAY of ours says, as far as it has gone by.
    said: Vec<u8>,
    resets: Budget,
    settings: Budget,
    pings: Budget,
    window_updates: Budget,
    empty: Budget,
    other: Budget,
    /// CONTINUATION frames of the head that is not complete.
    continuations: u32,
    /// A head has begun and not ended.
    head_is_open: bool,
    refilled: Mono,
    offence: Option<Offence>,
}

impl Meter {
    /// A connection's budgets, full. `now` is when it began.
    #[must_use]
    pub fn new(now: Mono) -> Meter {
        Meter {
            received: Scanner::behind(super::PREFACE.len()),
            rules: Rules::default(),
            sent: Scanner::behind(0),
            said: Vec::new(),
            resets: Budget::new(limits::H2_RESETS_MAX, limits::H2_RESETS_PER_SECOND),
            settings: Budget::new(limits::H2_SETTINGS_MAX, 1),
            pings: Budget::new(limits::H2_PINGS_MAX, 10),
            window_updates: Budget::new(limits::H2_WINDOW_UPDATES_MAX, 100),
            empty: Budget::new(limits::H2_EMPTY_FRAMES_MAX, 1),
            other: Budget::new(limits::H2_OTHER_FRAMES_MAX, 10),
            continuations: 0,
            head_is_open: false,
            refilled: now,
            offence: None,
        }
    }

    /// Octets that came from the client, in order. Returns the offence that they complete, if any; from then
    /// on nothing changes any more.
    pub fn receive(&mut self, octets: &[u8], now: Mono) -> Option<Offence> {
        self.refill(now);
        let mut scanner = std::mem::take(&mut self.received);
        scanner.scan(octets, |passing| match passing {
            Passing::Head(head) => self.take(head),
            Passing::Payload(octets) => {
                let breach = self.rules.payload(octets);
                self.offend(breach.map(Offence::Breach));
            }
        });
        self.received = scanner;
        self.offence
    }

    /// Octets that went to the client: work that was done for it earns it frames. Returns the flood that
    /// a GOAWAY of the library's own names: it has limits too, and tells by these words only.
    pub fn send(&mut self, octets: &[u8]) -> Option<Flood> {
        let mut scanner = std::mem::take(&mut self.sent);
        scanner.scan(octets, |passing| match passing {
            Passing::Head(head) if matches!(head.kind, kind::DATA | kind::HEADERS) => {
                // An update for the stream and one for the connection, and some clients measure the
                // way with a ping each time something comes (gRPC).
                self.window_updates.earn(4);
                self.pings.earn(2);
            }
            Passing::Head(head) if head.kind == kind::PING && !head.has(ACK) => {
                self.pings.earn(1); // its answer
            }
            Passing::Head(head) if head.kind == kind::GOAWAY => self.said.clear(),
            Passing::Payload(octets) => {
                let room = SAID_BYTES_MAX.saturating_sub(self.said.len());
                self.said
                    .extend_from_slice(&octets[..room.min(octets.len())]);
            }
            Passing::Head(_) => {}
        });
        self.sent = scanner;
        named(&self.said)
    }

    /// Whether a head has begun and not ended: its end has a deadline.
    #[must_use]
    pub fn head_is_open(&self) -> bool {
        self.head_is_open || self.received.is_within_a_head()
    }

    fn take(&mut self, head: FrameHead) {
        let breach = self.rules.take(head);
        self.offend(breach.map(Offence::Breach));
        let (within, flood) = match head.kind {
            kind::DATA if head.length > 0 => {
                self.pings.earn(1);
                (true, Flood::EmptyFrames)
            }
            // A stream can end but once.
            kind::DATA => (
                head.has(END_STREAM) || self.empty.spend(),
                Flood::EmptyFrames,
            ),
            kind::HEADERS => {
                self.pings.earn(2);
                self.other.earn(2);
                self.continuations = 0;
                self.head_is_open = !head.has(END_HEADERS);
                (true, Flood::Headers)
            }
            kind::CONTINUATION => {
                self.head_is_open = !head.has(END_HEADERS);
                self.continuations += 1;
                let few = self.continuations <= limits::H2_CONTINUATIONS_MAX;
                // A full frame brings octets, which the limit on heads counts.
                let empty = head.length == 0 && self.head_is_open;
                (few && (!empty || self.empty.spend()), Flood::Continuations)
            }
            kind::RST_STREAM => (self.resets.spend(), Flood::Resets),
            kind::SETTINGS => (head.has(ACK) || self.settings.spend(), Flood::Settings),
            // Answers too: the library takes any number that nobody has asked for.
            kind::PING => (self.pings.spend(), Flood::Pings),
            kind::WINDOW_UPDATE => (self.window_updates.spend(), Flood::WindowUpdates),
            kind::GOAWAY => (self.other.spend(), Flood::OtherFrames),
            _ => (self.other.spend(), Flood::OtherFrames),
        };
        self.offend((!within).then_some(Offence::Flood(flood)));
    }

    /// The first offence is the one.
    fn offend(&mut self, offence: Option<Offence>) {
        self.offence = self.offence.or(offence);
    }

    fn refill(&mut self, now: Mono) {
        let seconds = now.since(self.refilled).as_secs();
        if seconds == 0 {
            return;
        }
        self.refilled = now;
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        let budgets = [
            &mut self.resets,
            &mut self.settings,
            &mut self.pings,
            &mut self.window_updates,
            &mut self.empty,
            &mut self.other,
        ];
        for budget in budgets {
            budget.refill(seconds);
        }
    }
}

#[cfg(test)]
mod tests;
