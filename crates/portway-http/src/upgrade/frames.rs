//! Where WebSocket frames end (RFC 6455, section 5.2), and whether one of them closes.
//!
//! Must hold: payloads are skipped, never looked at; the bytes may come in any pieces.

/// The longest head of a frame: two bytes, eight of length, four of mask.
const HEAD_BYTES_MAX: usize = 14;
const CLOSE: u8 = 8;

/// Follows one direction of a WebSocket.
#[derive(Debug, Default)]
pub struct Frames {
    head: [u8; HEAD_BYTES_MAX],
    head_len: usize,
    /// Of the current frame's payload.
    left: u64,
    closed: bool,
}

impl Frames {
    /// Whether a frame could begin here.
    #[must_use]
    pub fn at_boundary(&self) -> bool {
        self.head_len == 0 && self.left == 0
    }

    /// Whether a closing frame has gone by.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes bytes up to the end of the current frame; how many those were.
    pub fn take_frame(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        while used < bytes.len() {
            if self.left > 0 {
                let here = self.left.min((bytes.len() - used) as u64);
                self.left -= here;
                used += here as usize;
            } else {
                self.head[self.head_len] = bytes[used];
                self.head_len += 1;
                used += 1;
                self.read_head();
            }
            if self.at_boundary() {
                break;
            }
        }
        used
    }

    /// Takes all of these bytes.
    pub fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = &bytes[self.take_frame(bytes)..];
        }
    }

    fn read_head(&mut self) {
        let [first, second, ..] = self.head;
        if self.head_len < 2 {
            return;
        }
        let length_bytes = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask_bytes = if second & 0x80 == 0 { 0 } else { 4 };
        if self.head_len < 2 + length_bytes + mask_bytes {
            return;
        }
        let long = self.head[2..2 + length_bytes].iter();
        self.left = match length_bytes {
            0 => u64::from(second & 0x7f),
            _ => long.fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        };
        self.closed |= first & 0x0f == CLOSE;
        self.head_len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, masked: bool, length: usize) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut bytes = vec![first];
        match length {
            0..126 => bytes.push(mask | length as u8),
            126..65_536 => {
                bytes.push(mask | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(mask | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.resize(bytes.len() + if masked { 4 } else { 0 } + length, 0x88);
        bytes
    }

    #[test]
    fn finds_the_end_of_every_frame_however_it_is_cut() {
        let lengths = [0, 1, 125, 126, 65_535, 65_536, 0, 300];
        for masked in [false, true] {
            let all: Vec<Vec<u8>> = lengths.iter().map(|n| frame(0x82, masked, *n)).collect();
            let bytes = all.concat();
            for piece in [1, 3, 1000, bytes.len()] {
                let mut frames = Frames::default();
                let (mut ends, mut at) = (Vec::new(), 0);
                for piece in bytes.chunks(piece) {
                    let mut rest = piece;
                    while !rest.is_empty() {
                        let used = frames.take_frame(rest);
                        at += used;
                        rest = &rest[used..];
                        if frames.at_boundary() {
                            ends.push(at);
                        }
                    }
                }
                let expected: Vec<usize> = all
                    .iter()
                    .scan(0, |sum, frame| {
                        *sum += frame.len();
                        Some(*sum)
                    })
                    .collect();
                assert_eq!(ends, expected);
                assert!(!frames.is_closed(), "0x88 is only in payloads");
            }
        }
    }

    #[test]
    fn notices_a_closing_frame() {
        let mut frames = Frames::default();
        frames.take(&frame(0x81, true, 200));
        assert!(!frames.is_closed());
        frames.take(&frame(0x88, true, 2));
        assert!(frames.is_closed());
    }

    #[test]
    fn a_length_of_all_ones_does_no_harm() {
        let mut frames = Frames::default();
        frames.take(&[0x82, 127]);
        frames.take(&[0xff; 8]);
        frames.take(&[0; 100]);
        assert!(!frames.at_boundary());
    }
}
