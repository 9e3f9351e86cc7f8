//! Budgets for frames that cost a client nothing and us something: the floods of the last years
//! (CVE-2019-9512 to -9518, CVE-2023-44487, CVE-2024-27316, CVE-2025-8671).
//!
//! Must hold: what an honest client sends along with its work never uses a budget up, since work earns
//! frames; what comes without work does, whatever its kind. Octets are looked at in passing: only the
//! nine octets of a frame's head are kept. Pure: no socket, and the time is told.

use portway_core::{Flood, Mono, limits};

use crate::streams::Budget;

/// Frame types (RFC 9113, section 6).
mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// END_STREAM on DATA and HEADERS; ACK on SETTINGS and PING.
const FLAG_FIRST: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// A frame's head (RFC 9113, section 4.1), as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FrameHead {
    length: u32,
    kind: u8,
    flags: u8,
}

/// Finds the frame heads in octets that go by.
#[derive(Debug, Default)]
struct Scanner {
    head: [u8; 9],
    have: usize,
    /// Octets until the next head.
    skip: usize,
    /// What a GOAWAY says, as far as it has gone by.
    said: Vec<u8>,
    saying: bool,
}

impl Scanner {
    fn scan(&mut self, mut octets: &[u8], mut seen: impl FnMut(FrameHead)) {
        while !octets.is_empty() {
            if self.skip > 0 {
                let passed = self.skip.min(octets.len());
                self.skip -= passed;
                if self.saying {
                    self.said.extend_from_slice(&octets[..passed]);
                }
                octets = &octets[passed..];
                continue;
            }
            let take = (self.head.len() - self.have).min(octets.len());
            self.head[self.have..self.have + take].copy_from_slice(&octets[..take]);
            self.have += take;
            octets = &octets[take..];
            if self.have == self.head.len() {
                let [a, b, c, kind, flags, ..] = self.head;
                let length = u32::from_be_bytes([0, a, b, c]);
                self.have = 0;
                self.skip = length as usize;
                self.saying = kind == kind::GOAWAY && length < 256;
                seen(FrameHead {
                    length,
                    kind,
                    flags,
                });
            }
        }
    }
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
    sent: Scanner,
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
    flood: Option<Flood>,
}

impl Meter {
    /// A connection's budgets, full. `now` is when it began.
    #[must_use]
    pub fn new(now: Mono) -> Meter {
        Meter {
            received: Scanner {
                skip: super::PREFACE.len(),
                ..Scanner::default()
            },
            sent: Scanner::default(),
            resets: Budget::new(limits::H2_RESETS_MAX, limits::H2_RESETS_PER_SECOND),
            settings: Budget::new(limits::H2_SETTINGS_MAX, 1),
            pings: Budget::new(limits::H2_PINGS_MAX, 10),
            window_updates: Budget::new(limits::H2_WINDOW_UPDATES_MAX, 100),
            empty: Budget::new(limits::H2_EMPTY_FRAMES_MAX, 1),
            other: Budget::new(limits::H2_OTHER_FRAMES_MAX, 10),
            continuations: 0,
            head_is_open: false,
            refilled: now,
            flood: None,
        }
    }

    /// Octets that came from the client, in order. Returns the flood they complete, if any; from then on
    /// nothing changes any more.
    pub fn receive(&mut self, octets: &[u8], now: Mono) -> Option<Flood> {
        self.refill(now);
        let mut scanner = std::mem::take(&mut self.received);
        scanner.scan(octets, |head| self.take(head));
        scanner.said.clear(); // what a client says on leaving is not kept
        self.received = scanner;
        self.flood
    }

    /// Octets that went to the client: work that was done for it earns it frames. Returns the flood that
    /// a GOAWAY of the library's own names: it has limits too, and tells by these words only.
    pub fn send(&mut self, octets: &[u8]) -> Option<Flood> {
        let mut scanner = std::mem::take(&mut self.sent);
        scanner.scan(octets, |head| {
            if matches!(head.kind, kind::DATA | kind::HEADERS) {
                // An update for the stream and one for the connection, and some clients measure the
                // way with a ping each time something comes (gRPC).
                self.window_updates.earn(4);
                self.pings.earn(2);
            } else if head.kind == kind::PING && head.flags & FLAG_FIRST == 0 {
                self.pings.earn(1); // its answer
            }
        });
        let flood = named(&scanner.said);
        self.sent = scanner;
        flood
    }

    /// Whether a head has begun and not ended: its end has a deadline.
    #[must_use]
    pub fn head_is_open(&self) -> bool {
        self.head_is_open || self.received.have > 0
    }

    fn take(&mut self, head: FrameHead) {
        let first = head.flags & FLAG_FIRST != 0;
        let (within, flood) = match head.kind {
            kind::DATA if head.length > 0 => {
                self.pings.earn(1);
                (true, Flood::EmptyFrames)
            }
            // A stream can end but once.
            kind::DATA => (first || self.empty.spend(), Flood::EmptyFrames),
            kind::HEADERS => {
                self.pings.earn(2);
                self.other.earn(2);
                self.continuations = 0;
                self.head_is_open = head.flags & END_HEADERS == 0;
                (true, Flood::Headers)
            }
            kind::CONTINUATION => {
                self.head_is_open = head.flags & END_HEADERS == 0;
                self.continuations += 1;
                let few = self.continuations <= limits::H2_CONTINUATIONS_MAX;
                // A full frame brings octets, which the limit on heads counts.
                let empty = head.length == 0 && self.head_is_open;
                (few && (!empty || self.empty.spend()), Flood::Continuations)
            }
            kind::RST_STREAM => (self.resets.spend(), Flood::Resets),
            kind::SETTINGS => (first || self.settings.spend(), Flood::Settings),
            // Answers too: the library takes any number that nobody has asked for.
            kind::PING => (self.pings.spend(), Flood::Pings),
            kind::WINDOW_UPDATE => (self.window_updates.spend(), Flood::WindowUpdates),
            kind::GOAWAY => (self.other.spend(), Flood::OtherFrames),
            _ => (self.other.spend(), Flood::OtherFrames),
        };
        if !within && self.flood.is_none() {
            self.flood = Some(flood);
        }
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
