//! The chunked transfer coding (RFC 9112, section 7.1), read strictly.
//!
//! Must hold: a size is 1 to 15 hex digits; lines end in CRLF; extensions are checked, bounded and
//! dropped (they are hop-by-hop and have carried smuggling, CVE-2025-22871). Pure: bytes in, steps out.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use portway_core::limits;

use super::parse;

/// A chunk-size line with its extensions, bytes. An extension has no known use through a gateway.
const LINE_BYTES_MAX: usize = limits::CHUNK_LINE_BYTES_MAX + 240;

/// Where in the coding the reader stands.
#[derive(Debug, Default)]
pub struct Chunks {
    at: At,
}

#[derive(Debug, Default)]
enum At {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailers,
}

/// What reading gave.
#[derive(Debug)]
pub enum Chunk {
    /// Octets of the body.
    Data(Bytes),
    /// The end, with the trailer section if there is one.
    End(Option<HeaderMap>),
    /// More input is needed.
    More,
}

impl Chunks {
    /// The next step from what has arrived; the error says what is wrong.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Chunk, &'static str> {
        loop {
            match &mut self.at {
                At::Size => match size_line(input)? {
                    None => return Ok(Chunk::More),
                    Some((0, line)) => {
                        let _ = input.split_to(line);
                        self.at = At::Trailers;
                    }
                    Some((size, line)) => {
                        let _ = input.split_to(line);
                        self.at = At::Data(size);
                    }
                },
                At::Data(left) => {
                    if input.is_empty() {
                        return Ok(Chunk::More);
                    }
                    let take = usize::try_from(*left)
                        .unwrap_or(usize::MAX)
                        .min(input.len());
                    *left -= take as u64;
                    if *left == 0 {
                        self.at = At::DataEnd;
                    }
                    return Ok(Chunk::Data(input.split_to(take).freeze()));
                }
                At::DataEnd => match &input[..input.len().min(2)] {
                    b"\r\n" => {
                        let _ = input.split_to(2);
                        self.at = At::Size;
                    }
                    b"" | b"\r" => return Ok(Chunk::More),
                    _ => return Err("a chunk is longer than its size says"),
                },
                At::Trailers => return trailers(input),
            }
        }
    }

    /// How many octets of the current chunk are still to come: a hint for how much to read.
    #[must_use]
    pub fn expected(&self) -> u64 {
        match self.at {
            At::Data(left) => left,
            _ => 0,
        }
    }
}

/// The chunk's size and the length of its line; `None` if the line is not complete.
fn size_line(input: &[u8]) -> Result<Option<(u64, usize)>, &'static str> {
    let window = &input[..input.len().min(LINE_BYTES_MAX)];
    let Some(lf) = memchr::memchr(b'\n', window) else {
        if window.len() == LINE_BYTES_MAX {
            return Err("a chunk-size line is too long");
        }
        // What cannot become a size is refused before its line is complete.
        if window.first().is_some_and(|b| !b.is_ascii_hexdigit()) {
            return Err("a chunk size is not a hexadecimal number");
        }
        return Ok(None);
    };
    let Some(line) = window[..lf].strip_suffix(b"\r") else {
        return Err("a chunk-size line ends in a bare LF");
    };
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    // 15 digits are less than 2^60: sums cannot overflow.
    if digits == 0 || digits > 15 {
        return Err("a chunk size is not a hexadecimal number");
    }
    let (digits, extension) = line.split_at(digits);
    if !extension_is_harmless(extension) {
        return Err("a chunk extension is malformed");
    }
    let size = digits.iter().fold(0u64, |n, b| {
        let digit = char::from(*b).to_digit(16).unwrap_or(0);
        n << 4 | u64::from(digit)
    });
    Ok(Some((size, lf + 1)))
}

/// Empty, or `;` and visible characters, spaces and tabs.
fn extension_is_harmless(extension: &[u8]) -> bool {
    let start = extension
        .iter()
        .take_while(|b| **b == b' ' || **b == b'\t')
        .count();
    match extension.get(start) {
        None => start == 0,
        Some(b';') => extension.iter().all(|b| matches!(b, b'\t' | b' '..=b'~')),
        Some(_) => false,
    }
}

fn trailers(input: &mut BytesMut) -> Result<Chunk, &'static str> {
    if input.starts_with(b"\r\n") {
        let _ = input.split_to(2);
        return Ok(Chunk::End(None));
    }
    let mut scanned = 0;
    match parse::head_end(
        &input[..input.len().min(limits::TRAILER_BYTES_MAX)],
        &mut scanned,
    )? {
        Some(end) => {
            let section = input.split_to(end).freeze();
            parse::trailers(&section).map(Chunk::End)
        }
        None if input.len() >= limits::TRAILER_BYTES_MAX => Err("the trailer section is too large"),
        None => Ok(Chunk::More),
    }
}

/// Appends a chunk's size line.
pub(super) fn write_size(out: &mut Vec<u8>, size: usize) {
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for i in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(size >> (i * 4)) & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, Option<HeaderMap>), &'static str> {
        let mut input = BytesMut::from(text);
        let mut chunks = Chunks::default();
        let mut body = String::new();
        loop {
            match chunks.decode(&mut input)? {
                Chunk::Data(data) => body.push_str(std::str::from_utf8(&data).unwrap()),
                Chunk::End(trailers) => return Ok((body, trailers)),
                Chunk::More => return Err("more"),
            }
        }
    }

    #[test]
    fn reads_chunks_and_trailers() {
        let (body, trailers) =
            read("5\r\nhello\r\nA\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n").unwrap();
        assert_eq!(body, "hello0123456789");
        assert_eq!(trailers.unwrap()["x-sum"], "1");
    }

    #[test]
    fn drops_a_harmless_extension() {
        assert_eq!(read("5;a=\"b\"\r\nhello\r\n0\r\n\r\n").unwrap().0, "hello");
    }

    #[test]
    fn refuses_what_leaves_the_size_in_doubt() {
        for bad in [
            "5\nhello\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "-5\r\nhello\r\n0\r\n\r\n",
            " 5\r\nhello\r\n0\r\n\r\n",
            "5 \r\nhello\r\n0\r\n\r\n",
            "5;a\nb\r\nhello\r\n0\r\n\r\n",
            "5\r\nhelloX\r\n0\r\n\r\n",
            "FFFFFFFFFFFFFFFF\r\nhello",
            "\r\nhello",
            "5\r\nhello\r\n0\r\nBad Name: x\r\n\r\n",
            "5\r\nhello\r\n0\r\nX: y\n\r\n",
        ] {
            let refused = read(bad).expect_err(bad);
            assert_ne!(refused, "more", "{bad:?}");
        }
    }

    #[test]
    fn waits_for_more_at_every_cut() {
        let whole = "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n";
        for cut in 0..whole.len() {
            assert_eq!(read(&whole[..cut]).unwrap_err(), "more", "cut at {cut}");
        }
    }

    #[test]
    fn writes_sizes_in_hex() {
        for (size, text) in [
            (1, "1\r\n"),
            (15, "f\r\n"),
            (16, "10\r\n"),
            (65_536, "10000\r\n"),
        ] {
            let mut out = Vec::new();
            write_size(&mut out, size);
            assert_eq!(out, text.as_bytes());
        }
    }
}
