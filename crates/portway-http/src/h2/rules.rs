//! What a client's frames may not be, where the `h2` crate says nothing, or says PROTOCOL_ERROR where
//! RFC 9113 has a code of its own: wrong sizes, wrong settings, frames on streams that the client has
//! ended, pushes.
//!
//! Must hold: what is called a breach here is one by the RFC, whatever came before; what is not known for
//! sure is left to the library, which ends the connection too.
//! Never: keeps more than the client's open streams, and of these no more than [`OPEN_MAX`].

use ::h2::Reason;

use super::scan::{ACK, END_HEADERS, END_STREAM, FrameHead, kind};

/// Streams that the client has not ended and that are remembered; four times as many as may be open.
const OPEN_MAX: usize = 4 * portway_core::limits::H2_STREAMS_MAX as usize;

const INITIAL_WINDOW_SIZE: u16 = 4;
const WINDOW_MAX: u32 = 0x7fff_ffff;

/// A rule that a client's frame breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// A frame of a fixed size has another.
    FrameSize,
    /// A window larger than there are.
    WindowSize,
    /// DATA or HEADERS on a stream that the client had ended or reset.
    StreamEnded,
    /// A client pushes.
    Push,
}

impl Breach {
    /// What GOAWAY says.
    pub(super) fn reason(self) -> Reason {
        match self {
            Breach::FrameSize => Reason::FRAME_SIZE_ERROR,
            Breach::WindowSize => Reason::FLOW_CONTROL_ERROR,
            Breach::StreamEnded => Reason::STREAM_CLOSED,
            Breach::Push => Reason::PROTOCOL_ERROR,
        }
    }

    /// What the log says.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Breach::FrameSize => "a frame of the wrong size",
            Breach::WindowSize => "SETTINGS_INITIAL_WINDOW_SIZE over 2^31-1",
            Breach::StreamEnded => "DATA or HEADERS on a stream that the client had ended",
            Breach::Push => "PUSH_PROMISE from a client",
        }
    }
}

/// What has to be known of the frames before.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// The highest stream that the client has opened.
    highest: u32,
    /// Of the streams up to here it is not known which were opened: the client left some out, or there
    /// were too many at once.
    unsure: u32,
    /// Streams above that are the client's to send on, in order.
    open: Vec<u32>,
    /// A head has begun and not ended: until then anything but CONTINUATION is an error of its own.
    head_is_open: bool,
    /// Settings are going by, and this much of one.
    in_settings: bool,
    setting: [u8; 6],
    have: usize,
}

impl Rules {
    /// A frame's head came.
    pub(super) fn take(&mut self, head: FrameHead) -> Option<Breach> {
        let fits = match head.kind {
            kind::PRIORITY => head.length == 5,
            kind::RST_STREAM | kind::WINDOW_UPDATE => head.length == 4,
            kind::PING => head.length == 8,
            kind::GOAWAY => head.length >= 8,
            kind::SETTINGS if head.has(ACK) => head.length == 0,
            kind::SETTINGS => head.length.is_multiple_of(6),
            _ => true,
        };
        if !fits {
            return Some(Breach::FrameSize);
        }
        self.in_settings = head.kind == kind::SETTINGS;
        self.have = 0;
        if std::mem::take(&mut self.head_is_open) && head.kind != kind::CONTINUATION {
            return None;
        }
        if matches!(head.kind, kind::HEADERS | kind::CONTINUATION) {
            self.head_is_open = !head.has(END_HEADERS);
        }
        match head.kind {
            kind::PUSH_PROMISE => Some(Breach::Push),
            kind::HEADERS if head.stream > self.highest => {
                self.begin(head);
                None
            }
            kind::HEADERS | kind::DATA => self.go_on(head),
            kind::RST_STREAM => {
                self.end(head.stream);
                None
            }
            _ => None,
        }
    }

    fn begin(&mut self, head: FrameHead) {
        let left_out = head.stream - self.highest > 2 || (self.highest == 0 && head.stream > 1);
        if left_out {
            self.unsure = head.stream - 1;
            self.open.clear();
        }
        self.highest = head.stream;
        if head.has(END_STREAM) {
            return;
        }
        if self.open.len() == OPEN_MAX {
            self.unsure = self.open.remove(0);
        }
        self.open.push(head.stream);
    }

    fn go_on(&mut self, head: FrameHead) -> Option<Breach> {
        let known = self.unsure < head.stream && head.stream <= self.highest;
        // Streams with even numbers are a server's, and what is wrong with them is another thing.
        if !known || head.stream.is_multiple_of(2) {
            return None;
        }
        let is_open = self.open.binary_search(&head.stream).is_ok();
        if is_open && head.has(END_STREAM) {
            self.end(head.stream);
        }
        (!is_open).then_some(Breach::StreamEnded)
    }

    fn end(&mut self, stream: u32) {
        if let Ok(at) = self.open.binary_search(&stream) {
            self.open.remove(at);
        }
    }

    /// A piece of a SETTINGS' or GOAWAY's payload came, of a size that fits.
    pub(super) fn payload(&mut self, octets: &[u8]) -> Option<Breach> {
        if !self.in_settings {
            return None;
        }
        let mut breach = None;
        for octet in octets {
            self.setting[self.have] = *octet;
            self.have += 1;
            if self.have == self.setting.len() {
                self.have = 0;
                let [a, b, value @ ..] = self.setting;
                let too_large = u32::from_be_bytes(value) > WINDOW_MAX;
                if too_large && u16::from_be_bytes([a, b]) == INITIAL_WINDOW_SIZE {
                    breach = Some(Breach::WindowSize);
                }
            }
        }
        breach
    }
}

#[cfg(test)]
mod tests;
