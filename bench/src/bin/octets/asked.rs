//! What is asked for, and the octets that answer it: each exchange has a key, and every octet of both its
//! bodies follows from the key and its place, so that one that came from elsewhere shows.

use std::error::Error;
use std::fmt;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

/// The reply names the exchange that it belongs to.
pub const KEY: &str = "x-octets-key";
/// What the target found wrong with a request.
pub const SAID: &str = "x-octets-said";

/// Lengths at which buffers, frames and windows end.
const EDGES: [u64; 6] = [4096, 8192, 16_384, 32_768, 65_535, 65_536];
const LONGEST_BITS: u32 = 21;
/// Sockets hold some MiB: only the end of a reply that is longer waits in the gateway itself.
const LARGE: RangeInclusive<u64> = 4 << 20..=10 << 20;
/// A body of this many octets is kept for another try.
const KEPT_BYTES: u64 = 60_000;
const LARGEST_PIECE_BYTES: u64 = 40_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// With its length.
    Sized,
    /// Without a length: chunks over HTTP/1.
    Pieces,
    /// The reply begins before the request has been read.
    Early,
    /// The target fails the first try.
    Again,
    /// The target ends in the midst of its reply.
    Cut,
    /// A WebSocket: both ways at once.
    Tunnel,
}

const SHAPES: [(&str, Shape); 6] = [
    ("sized", Shape::Sized),
    ("pieces", Shape::Pieces),
    ("early", Shape::Early),
    ("again", Shape::Again),
    ("cut", Shape::Cut),
    ("tunnel", Shape::Tunnel),
];

/// One exchange, as its path tells it.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub key: u64,
    /// Octets of the reply.
    pub length: u64,
    pub shape: Shape,
    /// Octets of the request.
    pub sent: u64,
}

impl Asked {
    pub fn any(rng: &mut Rng, shapes: &[Shape]) -> Asked {
        let shape = shapes[rng.usize(..shapes.len())];
        let sent = match rng.u8(..3) {
            _ if shape == Shape::Tunnel => length(rng),
            0 => length(rng),
            _ => 0,
        };
        let bound = if shape == Shape::Again {
            KEPT_BYTES
        } else {
            u64::MAX
        };
        let length = match rng.u8(..24) {
            0 => rng.u64(LARGE),
            _ => length(rng),
        };
        Asked {
            key: rng.u64(..),
            length: length.max(u64::from(shape == Shape::Cut)),
            shape,
            sent: sent.min(bound),
        }
    }

    /// The reply's body.
    pub fn reply(&self) -> Octets {
        let mut rng = Rng::with_seed(self.key);
        let sized = match self.shape {
            Shape::Sized => true,
            Shape::Pieces => false,
            _ => rng.bool(),
        };
        let cut = self.shape == Shape::Cut;
        let end = if cut {
            rng.u64(..self.length)
        } else {
            self.length
        };
        Octets::new(self.key, end, self.length, sized, rng)
    }

    /// The request's body.
    pub fn request(&self) -> Octets {
        let mut rng = Rng::with_seed(!self.key);
        let sized = self.sent == 0 || rng.bool();
        Octets::new(!self.key, self.sent, self.sent, sized, rng)
    }

    /// Compares what has come of the reply with what should have.
    pub fn reply_check(&self) -> Check {
        Check::new(self.key, self.length)
    }

    /// As [`Asked::reply_check`], of the request.
    pub fn request_check(&self) -> Check {
        Check::new(!self.key, self.sent)
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = SHAPES.iter().find(|(_, shape)| *shape == self.shape);
        let name = name.map_or("", |(name, _)| name);
        let Asked {
            key, length, sent, ..
        } = self;
        write!(f, "{key:016x}/{length}/{name}/{sent}")
    }
}

impl FromStr for Asked {
    type Err = String;

    /// From the last four segments of a path.
    fn from_str(path: &str) -> Result<Asked, String> {
        let wrong = || format!("{path}: the path ends in KEY/LENGTH/SHAPE/SENT");
        let mut parts = path.rsplit('/');
        let mut part = || parts.next().ok_or_else(wrong);
        let (sent, shape, length, key) = (part()?, part()?, part()?, part()?);
        let shape = SHAPES.iter().find(|(name, _)| *name == shape);
        Ok(Asked {
            key: u64::from_str_radix(key, 16).map_err(|_| wrong())?,
            length: length.parse().map_err(|_| wrong())?,
            shape: shape.ok_or_else(wrong)?.1,
            sent: sent.parse().map_err(|_| wrong())?,
        })
    }
}

/// Short ones as often as long ones, and many at an edge.
fn length(rng: &mut Rng) -> u64 {
    if rng.u8(..4) == 0 {
        return EDGES[rng.usize(..EDGES.len())] + rng.u64(..7) - 3;
    }
    let bits = rng.u32(..=LONGEST_BITS);
    rng.u64(..1 << bits)
}

/// The eight octets at `index` times eight (splitmix64: Steele, Lea and Flood, 2014).
fn word(key: u64, index: u64) -> [u8; 8] {
    let mut z = key.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)).to_le_bytes()
}

/// The octets of `key` from the place `from` on.
pub fn fill(key: u64, mut from: u64, mut out: &mut [u8]) {
    while !out.is_empty() {
        let word = &word(key, from / 8)[(from % 8) as usize..];
        let step = word.len().min(out.len());
        let (these, rest) = out.split_at_mut(step);
        these.copy_from_slice(&word[..step]);
        out = rest;
        from += step as u64;
    }
}

/// Follows a body and notices the first octet that is not its own.
pub struct Check {
    key: u64,
    at: u64,
    length: u64,
}

impl Check {
    fn new(key: u64, length: u64) -> Check {
        Check { key, at: 0, length }
    }

    /// Octets seen.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Octets still to come.
    pub fn left(&self) -> u64 {
        self.length - self.at
    }

    /// # Errors
    /// Where and how these octets differ, or that they are too many.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut expected = [0; 4096];
        for bytes in bytes.chunks(expected.len()) {
            let expected = &mut expected[..bytes.len()];
            fill(self.key, self.at, expected);
            if let Some(wrong) = (0..bytes.len()).find(|&i| bytes[i] != expected[i]) {
                let end = bytes.len().min(wrong + 16);
                return Err(format!(
                    "octet {} of {} is another: {:02x?} instead of {:02x?}",
                    self.at + wrong as u64,
                    self.length,
                    &bytes[wrong..end],
                    &expected[wrong..end],
                ));
            }
            self.at += bytes.len() as u64;
        }
        if self.at > self.length {
            return Err(format!("{} octets instead of {}", self.at, self.length));
        }
        Ok(())
    }

    /// # Errors
    /// That the body ended, as if whole, before it was.
    pub fn end(&self) -> Result<(), String> {
        if self.at == self.length {
            return Ok(());
        }
        Err(format!(
            "ends as if whole after {} of {}",
            self.at, self.length
        ))
    }
}

/// A body in pieces of any size, with pauses.
pub struct Octets {
    key: u64,
    at: u64,
    end: u64,
    length: u64,
    sized: bool,
    rng: Rng,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Octets {
    fn new(key: u64, end: u64, length: u64, sized: bool, rng: Rng) -> Octets {
        Octets {
            key,
            at: 0,
            end,
            length,
            sized,
            rng,
            pause: None,
        }
    }

    /// The whole length, if it is told beforehand.
    pub fn told(&self) -> Option<u64> {
        self.sized.then_some(self.length)
    }

    /// The next piece, at once.
    pub fn piece(&mut self) -> Option<Bytes> {
        let most = (self.end - self.at).min(self.rng.u64(1..=LARGEST_PIECE_BYTES));
        if most == 0 {
            return None;
        }
        let mut piece = vec![0; most as usize];
        fill(self.key, self.at, &mut piece);
        self.at += most;
        Some(piece.into())
    }
}

/// What a body ends with that stops before its end.
#[derive(Debug)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped before its end, as asked for")
    }
}

impl Error for Stopped {}

impl Body for Octets {
    type Data = Bytes;
    type Error = Stopped;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Stopped>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        if self.rng.u8(..32) == 0 {
            let pause = Duration::from_millis(self.rng.u64(1..=10));
            self.pause = Some(Box::pin(tokio::time::sleep(pause)));
        }
        match self.piece() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None if self.end < self.length => Poll::Ready(Some(Err(Stopped))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.at == self.length
    }

    fn size_hint(&self) -> SizeHint {
        if self.sized {
            SizeHint::with_exact(self.length - self.at)
        } else {
            SizeHint::default()
        }
    }
}
