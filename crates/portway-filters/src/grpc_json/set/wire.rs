//! How much a file of a descriptor set makes of itself when it is decoded, counted in its octets.
//!
//! Must hold: nothing is kept; it calls itself as deep as messages are declared in messages, and no deeper than any
//! decoder. Two octets can be a message of some hundred, so they are counted before there is one.

use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// What a set may have, messages counting several times: they take as much more memory. All of googleapis has
/// some two million.
const ELEMENTS_MAX: usize = 4_000_000;
const MESSAGE_COUNTS: usize = 4;
/// Messages are declared in messages no deeper: a decoder's limit.
const DEPTH_MAX: usize = 100;
/// The number of `uninterpreted_option` in any options.
const UNINTERPRETED: u32 = 999;

#[derive(Clone, Copy)]
enum Of {
    File,
    Message,
    Field,
    Oneof,
    Range,
    Enum,
    Value,
    Service,
    Method,
    Options,
}

/// What is wrong with a file.
pub enum Wrong {
    Broken,
    TooMuch,
    /// Options that a compiler has not looked at yet; it leaves none.
    Uninterpreted,
}

impl From<DecodeError> for Wrong {
    fn from(_: DecodeError) -> Wrong {
        Wrong::Broken
    }
}

/// The files of a set, one after the other.
#[derive(Default)]
pub struct Elements {
    count: usize,
}

impl Elements {
    /// Counts those of one more file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn file(&mut self, octets: &[u8]) -> Result<(), Wrong> {
        self.walk(Of::File, octets, 0)
    }

    fn walk(&mut self, of: Of, mut rest: &[u8], depth: usize) -> Result<(), Wrong> {
        if depth > DEPTH_MAX {
            return Err(Wrong::Broken);
        }
        while !rest.is_empty() {
            let (number, kind) = decode_key(&mut rest)?;
            if kind != WireType::LengthDelimited {
                skip_field(kind, number, &mut rest, DecodeContext::default())?;
                continue;
            }
            let length = usize::try_from(decode_varint(&mut rest)?);
            let (inner, behind) = length
                .ok()
                .and_then(|length| rest.split_at_checked(length))
                .ok_or(Wrong::Broken)?;
            rest = behind;
            if matches!(of, Of::Options) && number == UNINTERPRETED {
                return Err(Wrong::Uninterpreted);
            }
            let of = of.inner(number);
            self.count += of.map_or(1, |_| MESSAGE_COUNTS);
            if self.count > ELEMENTS_MAX {
                return Err(Wrong::TooMuch);
            }
            if let Some(of) = of {
                self.walk(of, inner, depth + 1)?;
            }
        }
        Ok(())
    }
}

impl Of {
    /// What a field is, if it is a message: by the numbers of `google/protobuf/descriptor.proto`.
    fn inner(self, number: u32) -> Option<Of> {
        Some(match (self, number) {
            (Of::File, 4) | (Of::Message, 3) => Of::Message,
            (Of::File, 5) | (Of::Message, 4) => Of::Enum,
            (Of::File, 6) => Of::Service,
            (Of::File, 7) | (Of::Message, 2 | 6) => Of::Field,
            (Of::Message, 5) => Of::Range,
            (Of::Message, 8) => Of::Oneof,
            (Of::Enum, 2) => Of::Value,
            (Of::Service, 2) => Of::Method,
            (Of::File | Of::Field, 8)
            | (Of::Message, 7)
            | (Of::Oneof, 2)
            | (Of::Range | Of::Enum | Of::Value | Of::Service, 3)
            | (Of::Method, 4) => Of::Options,
            _ => return None,
        })
    }
}
