//! gRPC's framing of messages: one octet of flags, four of length, the message
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>, "Length-Prefixed-Message").
//!
//! Must hold: a length past the limit is refused when it is read, before any of its message is kept; at
//! most one message and what came with its last octets is held.

use bytes::{Buf, Bytes, BytesMut};
use portway_core::{Code, ProxyError};

/// Octets before each message.
pub const PREFIX_BYTES: usize = 5;
/// The flag of a compressed message.
pub const COMPRESSED: u8 = 1;

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// [`COMPRESSED`], or what a protocol on top has added.
    pub flags: u8,
    /// Its octets.
    pub data: Bytes,
}

/// Takes messages out of a stream of octets.
#[derive(Debug)]
pub struct Messages {
    held: BytesMut,
    bytes_max: usize,
}

impl Messages {
    /// Messages of at most so many octets.
    #[must_use]
    pub fn new(bytes_max: usize) -> Messages {
        Messages {
            held: BytesMut::new(),
            bytes_max,
        }
    }

    /// More octets of the stream.
    pub fn push(&mut self, data: &[u8]) {
        self.held.extend_from_slice(data);
    }

    /// The next message; `None` if it is not whole yet.
    ///
    /// # Errors
    /// [`Code::UpstreamBadReply`] for one that is too large.
    pub fn take(&mut self) -> Result<Option<Message>, ProxyError> {
        let Some((&[flags, a, b, c, d], _)) = self.held.split_first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > self.bytes_max {
            let max = self.bytes_max;
            let detail = format!("a message has {length} octets, and the limit is {max}");
            return Err(ProxyError::new(Code::UpstreamBadReply, detail));
        }
        if self.held.len() < PREFIX_BYTES + length {
            return Ok(None);
        }
        self.held.advance(PREFIX_BYTES);
        let data = self.held.split_to(length).freeze();
        Ok(Some(Message { flags, data }))
    }

    /// Whether no message has begun.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

/// What goes before a message of so many octets; `None` past what the format can say.
#[must_use]
pub fn prefix(flags: u8, bytes: usize) -> Option<[u8; PREFIX_BYTES]> {
    let [a, b, c, d] = u32::try_from(bytes).ok()?.to_be_bytes();
    Some([flags, a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_messages_out_of_octets_however_they_are_cut() {
        let mut stream = Vec::new();
        for text in ["", "a", "some more"] {
            stream.extend(prefix(0, text.len()).unwrap());
            stream.extend(text.as_bytes());
        }
        for size in 1..=stream.len() {
            let mut messages = Messages::new(9);
            let mut found = Vec::new();
            for piece in stream.chunks(size) {
                messages.push(piece);
                while let Some(message) = messages.take().unwrap() {
                    found.push(String::from_utf8(message.data.to_vec()).unwrap());
                }
            }
            assert_eq!(found, ["", "a", "some more"]);
            assert!(messages.is_empty());
        }
    }

    #[test]
    fn refuses_a_length_past_the_limit_before_the_message_comes() {
        let mut messages = Messages::new(8);
        messages.push(&prefix(0, 9).unwrap());
        let error = messages.take().unwrap_err();
        assert_eq!(error.kind, Code::UpstreamBadReply);
        let mut messages = Messages::new(8);
        messages.push(b"\x01\0\0\0\x02a");
        assert_eq!(messages.take().unwrap(), None);
        assert!(!messages.is_empty());
    }
}
