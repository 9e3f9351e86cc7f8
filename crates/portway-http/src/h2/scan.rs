//! Finds the frames in octets of HTTP/2 that go by.
//!
//! Must hold: how the octets are cut makes no difference; nothing is kept but the nine octets of one
//! frame's head.
//! Never: judges a frame.

/// Frame types (RFC 9113, section 6).
pub(super) mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// On DATA and HEADERS.
pub(super) const END_STREAM: u8 = 0x1;
/// On SETTINGS and PING.
pub(super) const ACK: u8 = 0x1;
/// On HEADERS and CONTINUATION.
pub(super) const END_HEADERS: u8 = 0x4;

/// A frame's head (RFC 9113, section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    /// Octets of its payload.
    pub length: u32,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl FrameHead {
    fn parse(octets: [u8; 9]) -> FrameHead {
        let [a, b, c, kind, flags, stream @ ..] = octets;
        FrameHead {
            length: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & 0x7fff_ffff, // the first bit means nothing
        }
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// What goes by.
pub(super) enum Passing<'a> {
    Head(FrameHead),
    /// A piece of the payload of a SETTINGS or GOAWAY; others' pass unseen.
    Payload(&'a [u8]),
}

#[derive(Debug, Default)]
pub(super) struct Scanner {
    head: [u8; 9],
    have: usize,
    /// Octets until the next head.
    skip: usize,
    /// They are shown.
    shows: bool,
}

impl Scanner {
    /// The first frame begins after `skip` octets.
    pub(super) fn behind(skip: usize) -> Scanner {
        Scanner {
            skip,
            ..Scanner::default()
        }
    }

    /// A frame's head has come in part.
    pub(super) fn is_within_a_head(&self) -> bool {
        self.have > 0
    }

    pub(super) fn scan(&mut self, mut octets: &[u8], mut seen: impl FnMut(Passing<'_>)) {
        while !octets.is_empty() {
            if self.skip > 0 {
                let (passed, rest) = octets.split_at(self.skip.min(octets.len()));
                self.skip -= passed.len();
                octets = rest;
                if self.shows {
                    seen(Passing::Payload(passed));
                }
                continue;
            }
            let take = (self.head.len() - self.have).min(octets.len());
            self.head[self.have..self.have + take].copy_from_slice(&octets[..take]);
            self.have += take;
            octets = &octets[take..];
            if self.have == self.head.len() {
                let head = FrameHead::parse(self.head);
                self.have = 0;
                self.skip = head.length as usize;
                self.shows = matches!(head.kind, kind::SETTINGS | kind::GOAWAY);
                seen(Passing::Head(head));
            }
        }
    }
}
