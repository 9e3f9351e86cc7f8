//! Base64 (RFC 4648, section 4), one character at a time: text that is cut anywhere, and that may be made
//! of several padded texts one behind the other, as gRPC-Web sends it.
//!
//! Must hold: what does not stand for octets is refused, bits that padding leaves over included, so that
//! no two texts stand for the same octets.

use bytes::Bytes;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// No character of the alphabet.
const NONE: u8 = 0xff;

const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut at = 0;
    while at < ALPHABET.len() {
        values[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    values
};

/// Octets as padded text.
#[must_use]
pub fn encoded(octets: &[u8]) -> Bytes {
    let mut text = Vec::with_capacity(octets.len().div_ceil(3) * 4);
    for group in octets.chunks(3) {
        let at = |i: usize| u32::from(group.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        let character = |shift: u32| ALPHABET[(bits >> shift & 63) as usize];
        text.push(character(18));
        text.push(character(12));
        text.push(if group.len() > 1 { character(6) } else { b'=' });
        text.push(if group.len() > 2 { character(0) } else { b'=' });
    }
    Bytes::from(text)
}

/// What a character completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A group is still open.
    Nothing,
    /// So many octets of these.
    Octets([u8; 3], usize),
}

/// A group of four characters, as far as it has come.
#[derive(Debug, Default)]
pub struct Decoder {
    bits: u32,
    characters: u8,
    padding: u8,
}

impl Decoder {
    /// The next character; `None` if it cannot stand here.
    pub fn push(&mut self, character: u8) -> Option<Decoded> {
        let value = match (character, self.characters) {
            (b'=', 2 | 3) => {
                self.padding += 1;
                0
            }
            _ if self.padding > 0 => return None,
            _ => match VALUES[usize::from(character)] {
                NONE => return None,
                value => u32::from(value),
            },
        };
        self.bits = self.bits << 6 | value;
        self.characters += 1;
        if self.characters < 4 {
            return Some(Decoded::Nothing);
        }
        let [_, a, b, c] = self.bits.to_be_bytes();
        let count = 3 - usize::from(self.padding);
        let left_over = [a, b, c][count..].iter().any(|octet| *octet != 0);
        *self = Decoder::default();
        (!left_over).then_some(Decoded::Octets([a, b, c], count))
    }

    /// Whether no group is open.
    #[must_use]
    pub fn is_between_groups(&self) -> bool {
        self.characters == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &[u8]) -> Option<Vec<u8>> {
        let mut decoder = Decoder::default();
        let mut octets = Vec::new();
        for &character in text {
            if let Decoded::Octets(group, count) = decoder.push(character)? {
                octets.extend_from_slice(&group[..count]);
            }
        }
        decoder.is_between_groups().then_some(octets)
    }

    #[test]
    fn writes_the_examples_of_the_rfc() {
        // RFC 4648, section 10.
        for (octets, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encoded(octets.as_bytes()), text.as_bytes());
            assert_eq!(decoded(text.as_bytes()).as_deref(), Some(octets.as_bytes()));
        }
    }

    #[test]
    fn every_octet_comes_back() {
        let all: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for length in 0..300 {
            let octets = &all[length..2 * length];
            assert_eq!(decoded(&encoded(octets)).as_deref(), Some(octets));
        }
    }
}
