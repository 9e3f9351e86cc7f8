//! An HTTP/2 client that sends exactly the frames it is told to, sound or not (RFC 9113).
//!
//! Must hold: nothing is sent by itself but the preface; every wait has an end.
//! Never: decodes a header block, or keeps the rules that it is there to break.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::wait::TIMEOUT;

/// Frame types.
#[allow(missing_docs)] // their names say it
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// On DATA and HEADERS.
pub const END_STREAM: u8 = 0x1;
/// On SETTINGS and PING.
pub const ACK: u8 = 0x1;
/// On HEADERS and CONTINUATION.
pub const END_HEADERS: u8 = 0x4;

/// Error codes (RFC 9113, section 7).
#[allow(missing_docs)] // their names say it
pub mod error {
    pub const NO_ERROR: u32 = 0;
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const INTERNAL_ERROR: u32 = 2;
    pub const CANCEL: u32 = 8;
    pub const ENHANCE_YOUR_CALM: u32 = 11;
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 for the connection.
    pub stream: u32,
    /// What it holds.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The code of a RST_STREAM or GOAWAY.
    ///
    /// # Panics
    /// If it is neither.
    #[must_use]
    #[track_caller]
    pub fn code(&self) -> u32 {
        let at = match self.kind {
            kind::RST_STREAM => 0,
            kind::GOAWAY => 4,
            _ => panic!("no code in {self:?}"),
        };
        let code = self.payload[at..at + 4].try_into().expect("four octets");
        u32::from_be_bytes(code)
    }
}

/// A frame's octets.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a payload of less than 4 GiB");
    let mut octets = length.to_be_bytes()[1..].to_vec();
    octets.extend([kind, flags]);
    octets.extend(stream.to_be_bytes());
    octets.extend(payload);
    octets
}

/// A field of a header block: literal, never indexed, not compressed (RFC 7541, section 6.2.3).
///
/// # Panics
/// If the name or value is 127 octets or more.
#[must_use]
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let mut octets = vec![0x10];
    for text in [name, value] {
        let length = u8::try_from(text.len()).expect("a short text");
        assert!(length < 127, "a short text");
        octets.push(length);
        octets.extend(text.as_bytes());
    }
    octets
}

/// The header block of a GET for this path.
#[must_use]
pub fn get(path: &str) -> Vec<u8> {
    [
        field(":method", "GET"),
        field(":scheme", "http"),
        field(":path", path),
        field(":authority", "test.example"),
    ]
    .concat()
}

/// A connection.
pub struct FrameClient {
    stream: TcpStream,
    read: Vec<u8>,
}

impl FrameClient {
    /// Connects, says the preface and empty SETTINGS.
    ///
    /// # Panics
    /// If that fails.
    #[must_use]
    #[track_caller]
    pub fn connect(addr: SocketAddr) -> FrameClient {
        let stream = TcpStream::connect_timeout(&addr, TIMEOUT).expect("a connection");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
        stream.set_write_timeout(Some(TIMEOUT)).expect("a timeout");
        let mut client = FrameClient {
            stream,
            read: Vec::new(),
        };
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        client.send(&frame(kind::SETTINGS, 0, 0, &[]));
        client
    }

    /// Sends octets. Says whether they went out: the gateway may have had enough.
    pub fn send(&mut self, octets: &[u8]) -> bool {
        self.stream.write_all(octets).is_ok()
    }

    /// Sends a GET on this stream, whole.
    pub fn get(&mut self, stream: u32, path: &str) -> bool {
        let flags = END_HEADERS | END_STREAM;
        self.send(&frame(kind::HEADERS, flags, stream, &get(path)))
    }

    /// The next frame; none when the gateway has closed the connection.
    ///
    /// # Panics
    /// If nothing comes for 5 s.
    #[track_caller]
    pub fn read_frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            let mut octets = [0; 16 * 1024];
            match self.stream.read(&mut octets) {
                Ok(0) => return None,
                Ok(read) => self.read.extend_from_slice(&octets[..read]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock) => {
                    panic!("no frame for {TIMEOUT:?}")
                }
                Err(_) => return None,
            }
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let head = self.read.get(..9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        let payload = self.read.get(9..9 + length)?.to_vec();
        self.read.drain(..9 + length);
        Some(Frame {
            kind,
            flags,
            stream,
            payload,
        })
    }

    /// Reads on until such a frame comes.
    ///
    /// # Panics
    /// If the connection ends first.
    #[track_caller]
    pub fn expect(&mut self, what: &str, is_it: impl Fn(&Frame) -> bool) -> Frame {
        let mut before = Vec::new();
        loop {
            match self.read_frame() {
                Some(frame) if is_it(&frame) => return frame,
                Some(frame) => before.push((frame.kind, frame.flags, frame.stream)),
                None => panic!("closed before {what}; came: {before:?}"),
            }
        }
    }

    /// Reads on until GOAWAY with an error comes, or none at all: then `None`.
    #[track_caller]
    pub fn goaway(&mut self) -> Option<Frame> {
        loop {
            let frame = self.read_frame()?;
            if frame.kind == kind::GOAWAY {
                return Some(frame);
            }
        }
    }

    /// Reads on until the gateway closes.
    ///
    /// # Panics
    /// If it does not for 5 s.
    #[track_caller]
    pub fn expect_closed(&mut self) {
        while self.read_frame().is_some() {}
    }

    /// Whether something comes within this time.
    ///
    /// # Panics
    /// If the socket breaks.
    pub fn stirs(&mut self, within: Duration) -> bool {
        if !self.read.is_empty() {
            return true;
        }
        self.stream
            .set_read_timeout(Some(within))
            .expect("a timeout");
        let mut one = [0; 1];
        let stirred = self.stream.peek(&mut one).is_ok();
        self.stream
            .set_read_timeout(Some(TIMEOUT))
            .expect("a timeout");
        stirred
    }
}
