//! What of a stream's octets reaches the `h3` crate (0.0.8), frame by frame (RFC 9114, section 7.1).
//!
//! Left to itself that crate collects a frame of any length that is not DATA before it looks at it, takes a
//! DATA frame without octets for the end of the body, and one that the stream ends in the middle of, too;
//! asked for the trailers then, it panics. It reads a piece ahead for each DATA frame that it passes on, and
//! adds up all of them each time. Must hold: no DATA reaches it but what is out of place; no frame is
//! collected past its limit; frames that mean nothing are dropped; a stream that ends inside a frame is
//! broken. A head that is too large or malformed is replaced by one that is neither, and noted, so that it
//! can be answered like any other request. Pure: octets in, octets out.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::fault::Fault;
use super::names::{self, Limits, Section, Unfit};
use super::receiving::READ_BYTES;
use super::watch::Watch;

/// Frame types (RFC 9114, section 7.2).
mod kind {
    pub const DATA: u64 = 0;
    pub const HEADERS: u64 = 1;
    /// HTTP/2's PRIORITY, which must not come; the first of those the library looks at.
    pub const FIRST_KNOWN: u64 = 2;
    pub const GOAWAY: u64 = 7;
    /// HTTP/2's CONTINUATION, which must not come.
    pub const LAST_KNOWN: u64 = 9;
    pub const MAX_PUSH_ID: u64 = 0xd;
}

/// The type of a control stream (RFC 9114, section 6.2.1).
const CONTROL: u64 = 0;
/// The largest frame on a control stream, octets. SETTINGS of clients have some 50.
const CONTROL_FRAME_BYTES_MAX: u64 = 4096;
/// Type and length, each up to eight octets.
const FRAME_HEAD_BYTES_MAX: usize = 16;

/// A part of a body with fewer octets is copied together with those around it: a frame costs three octets on
/// the wire, and a piece of its own a hundred here. And a piece that is not copied holds all that was read with it,
/// while whoever keeps it counts its octets: so much may be held for each of them four times at most.
const COPIED_BYTES_MAX: usize = READ_BYTES / 4;
/// A DATA frame with fewer octets says next to nothing. A gRPC message has five at least.
const SMALL_FRAME_BYTES: u64 = 4;

/// An empty DATA frame: stands for one that is out of place, which the library ends the connection for.
const OUT_OF_PLACE: &[u8] = &[0, 0];
/// A HEADERS frame without a section: stands for one whose section cannot be read, which the library ends the
/// connection for (RFC 9204, section 2.2).
const UNREADABLE: &[u8] = &[1, 0];
/// GET https://x/ as a HEADERS frame: stands for a head that does not reach the library.
const STAND_IN: &[u8] = &[1, 8, 0, 0, 0xd1, 0xd7, 0x50, 1, b'x', 0xc1];

/// One stream's.
#[derive(Debug)]
pub(super) struct Sieve {
    at: At,
    head: [u8; FRAME_HEAD_BYTES_MAX],
    have: usize,
    out: VecDeque<Piece>,
    /// Parts of the body too small to be pieces of their own.
    gathered: BytesMut,
    /// Whether the last DATA frame had next to no octets.
    was_small: bool,
    /// Whether the last frame was DATA without any.
    was_empty: bool,
    limits: Limits,
    place: Place,
    /// What was wrong with the request's head.
    fault: Option<Fault>,
}

/// What passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A whole frame, or any octets of a stream that has none: for the library.
    Frame(Bytes),
    /// Of the body: not for the library.
    Data(Bytes),
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// What may on a stream in one direction.
    OneWay,
    Head,
    /// DATA, or trailers.
    Body,
    /// Nothing that has a meaning.
    End,
}

#[derive(Debug)]
enum At {
    /// In the type of a unidirectional stream.
    StreamType,
    /// In a frame's type and length.
    Head,
    /// In a part of the body; so many of its octets are still to come.
    Data(u64),
    /// In a frame that passes as a whole; so many of its octets are still to come.
    Whole(BytesMut, u64),
    /// In what does not pass.
    Skip(u64),
    /// In a stream whose frames are none: all of it passes.
    Open,
}

impl Sieve {
    /// For a request's stream.
    pub(super) fn request(limits: Limits) -> Sieve {
        Sieve::new(At::Head, Place::Head, limits)
    }

    /// For a stream in one direction.
    pub(super) fn one_way() -> Sieve {
        let limits = Limits {
            encoded: 0,
            unpacked: 0,
            fields: 0,
        };
        Sieve::new(At::StreamType, Place::OneWay, limits)
    }

    fn new(at: At, place: Place, limits: Limits) -> Sieve {
        Sieve {
            at,
            head: [0; FRAME_HEAD_BYTES_MAX],
            have: 0,
            out: VecDeque::new(),
            gathered: BytesMut::new(),
            was_small: false,
            was_empty: false,
            limits,
            place,
            fault: None,
        }
    }

    /// The next piece that passes.
    pub(super) fn pop(&mut self) -> Option<Piece> {
        self.out.pop_front()
    }

    /// What was wrong with the request's head, for which another stands in.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// How many octets are still to come of a head or trailers that have begun to.
    pub(super) fn lacking(&self) -> u64 {
        match self.at {
            At::Whole(_, left) if self.place != Place::OneWay => left,
            _ => 0,
        }
    }

    /// Whether this is a request's stream whose head has not come yet.
    pub(super) fn wants_head(&self) -> bool {
        self.place == Place::Head
    }

    /// Octets that came, in order.
    ///
    /// # Errors
    /// What is wrong with the stream: nothing more of it is to be read. What came before still passes.
    pub(super) fn take(&mut self, came: &Bytes, watch: &Watch) -> Result<(), Fault> {
        let taken = self.sift(came, watch);
        self.pass_gathered();
        taken
    }

    fn sift(&mut self, came: &Bytes, watch: &Watch) -> Result<(), Fault> {
        let mut at = 0;
        while at < came.len() {
            let room = came.len() - at;
            match &mut self.at {
                At::Open => {
                    self.pass(came.slice(at..));
                    return Ok(());
                }
                At::Skip(left) => {
                    let passed = room_for(*left, room);
                    *left -= passed as u64;
                    at += passed;
                    self.end_of_frame();
                }
                At::Data(left) => {
                    let passed = room_for(*left, room);
                    *left -= passed as u64;
                    self.pass_data(came, at, passed);
                    at += passed;
                    self.end_of_frame();
                }
                At::Whole(frame, left) => {
                    let passed = room_for(*left, room);
                    *left -= passed as u64;
                    frame.extend_from_slice(&came[at..at + passed]);
                    at += passed;
                    self.end_of_whole()?;
                }
                At::StreamType | At::Head => {
                    self.head[self.have] = came[at];
                    self.have += 1;
                    at += 1;
                    self.look_at_head(watch)?;
                }
            }
        }
        Ok(())
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// [`Fault::Truncated`] if it did so inside a frame.
    pub(super) fn end(&self) -> Result<(), Fault> {
        match self.at {
            At::Head if self.have > 0 => Err(Fault::Truncated),
            At::Data(_) | At::Whole(..) => Err(Fault::Truncated),
            // What stands in is whole.
            At::Skip(_) if self.fault.is_none() => Err(Fault::Truncated),
            _ => Ok(()),
        }
    }

    fn look_at_head(&mut self, watch: &Watch) -> Result<(), Fault> {
        let octets = &self.head[..self.have];
        let Some((first, after)) = varint(octets) else {
            return Ok(());
        };
        if matches!(self.at, At::StreamType) {
            self.pass(Bytes::copy_from_slice(&self.head[..self.have]));
            self.have = 0;
            self.at = if first == CONTROL { At::Head } else { At::Open };
            return Ok(());
        }
        let Some((length, _)) = varint(&octets[after..]) else {
            return Ok(());
        };
        self.begin(first, length, watch)
    }

    fn begin(&mut self, kind: u64, length: u64, watch: &Watch) -> Result<(), Fault> {
        let on_request = self.place != Place::OneWay;
        // The stream's last one may be without octets.
        if std::mem::take(&mut self.was_empty) {
            watch.empty_frame();
        }
        match kind {
            kind::DATA if on_request => self.begin_data(length, watch),
            kind::HEADERS if on_request => {
                watch.head();
                if length > self.limits.encoded {
                    return self.replace(Fault::TooLarge);
                }
                self.collect(length)?;
            }
            kind::DATA
            | kind::HEADERS
            | kind::FIRST_KNOWN..=kind::LAST_KNOWN
            | kind::MAX_PUSH_ID => {
                watch.other_frame();
                if length > CONTROL_FRAME_BYTES_MAX {
                    return Err(Fault::TooLarge);
                }
                if kind == kind::GOAWAY && !on_request {
                    watch.goaway();
                    self.turn_into_max_push_id();
                }
                self.collect(length)?;
            }
            // Unknown ones mean nothing (section 9).
            _ => {
                watch.other_frame();
                self.skip(length);
            }
        }
        Ok(())
    }

    /// The library would answer a GOAWAY by one that disowns the last request, which is served. The frame that
    /// it passes over has the same form.
    fn turn_into_max_push_id(&mut self) {
        if let Some((_, length)) = varint(&self.head[..self.have]) {
            self.head[length - 1] = kind::MAX_PUSH_ID as u8;
        }
    }

    fn begin_data(&mut self, length: u64, watch: &Watch) {
        self.was_empty = length == 0;
        if self.place != Place::Body {
            self.pass(Bytes::from_static(OUT_OF_PLACE));
            return self.skip(length);
        }
        // The last one may be as small as it likes.
        if std::mem::replace(&mut self.was_small, length < SMALL_FRAME_BYTES) {
            watch.small_frame();
        }
        self.have = 0;
        self.at = At::Data(length);
        self.end_of_frame();
    }

    fn pass(&mut self, frame: Bytes) {
        self.pass_gathered();
        self.out.push_back(Piece::Frame(frame));
    }

    fn pass_data(&mut self, came: &Bytes, from: usize, octets: usize) {
        if octets < COPIED_BYTES_MAX {
            self.gathered.extend_from_slice(&came[from..from + octets]);
            return;
        }
        self.pass_gathered();
        let piece = came.slice(from..from + octets);
        self.out.push_back(Piece::Data(piece));
    }

    fn pass_gathered(&mut self) {
        if !self.gathered.is_empty() {
            let piece = std::mem::take(&mut self.gathered).freeze();
            self.out.push_back(Piece::Data(piece));
        }
    }

    fn skip(&mut self, length: u64) {
        self.have = 0;
        self.at = At::Skip(length);
        self.end_of_frame();
    }

    fn collect(&mut self, length: u64) -> Result<(), Fault> {
        let mut frame = BytesMut::new(); // grows with what comes, whatever is claimed
        frame.extend_from_slice(&self.head[..self.have]);
        self.have = 0;
        self.at = At::Whole(frame, length);
        self.end_of_whole()
    }

    fn end_of_frame(&mut self) {
        if matches!(self.at, At::Skip(0) | At::Data(0)) {
            self.at = At::Head;
        }
    }

    fn end_of_whole(&mut self) -> Result<(), Fault> {
        let At::Whole(frame, 0) = &mut self.at else {
            return Ok(());
        };
        let mut frame = std::mem::take(frame).freeze();
        self.at = At::Head;
        let section = match self.place {
            Place::OneWay => None,
            Place::Head => Some(Section::Head),
            Place::Body | Place::End => Some(Section::Trailers),
        };
        if let (Some(section), Some((kind::HEADERS, after))) = (section, varint(&frame)) {
            let length = varint(&frame[after..]).map_or(0, |(_, length)| length);
            match names::check(&frame[after + length..], section, self.limits) {
                Ok(()) => {}
                Err(Unfit::Unreadable) => frame = Bytes::from_static(UNREADABLE),
                Err(Unfit::TooLarge) => return self.replace(Fault::TooLarge),
                Err(Unfit::Names(what)) => return self.replace(Fault::Names(what)),
            }
            self.place = match self.place {
                Place::Head => Place::Body,
                _ => Place::End,
            };
        }
        self.pass(frame);
        Ok(())
    }

    /// Lets nothing through any more. A request whose head is wrong has another in its place.
    fn replace(&mut self, fault: Fault) -> Result<(), Fault> {
        if self.place != Place::Head {
            return Err(fault);
        }
        self.fault = Some(fault);
        self.have = 0;
        self.place = Place::Body;
        self.pass(Bytes::from_static(STAND_IN));
        self.at = At::Skip(u64::MAX);
        Ok(())
    }
}

/// How many of so many octets belong to what has so many left.
fn room_for(left: u64, octets: usize) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(octets)
}

/// An integer of QUIC's (RFC 9000, section 16), with how many octets it has; `None` if some are missing.
fn varint(octets: &[u8]) -> Option<(u64, usize)> {
    let first = *octets.first()?;
    let length = 1 << (first >> 6);
    let rest = octets.get(1..length)?;
    let start = u64::from(first & 0x3f);
    let value = rest
        .iter()
        .fold(start, |value, octet| value << 8 | u64::from(*octet));
    Some((value, length))
}

#[cfg(test)]
mod tests;
