//! gRPC-Web's framing (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md>): trailers as a last
//! frame of the body, and all of the body in base64 where the caller cannot read octets.
//!
//! Must hold: messages pass octet for octet and are never looked into; what is decoded does not depend on
//! how it was cut on its way; of what came no more than three characters are kept. Pure.

pub mod base64;

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;

use base64::{Decoded, Decoder, encoded};

/// The flag of the frame that holds the trailers.
const TRAILERS: u8 = 0x80;

/// How the octets of a body are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As they are: `application/grpc-web`.
    Binary,
    /// In base64: `application/grpc-web-text`.
    Text,
}

impl Form {
    /// The form that a content type stands for, and what follows it of the type (`+proto`, `;charset=…`);
    /// `None` if it is none of gRPC-Web.
    #[must_use]
    pub fn of(content_type: &[u8]) -> Option<(Form, &[u8])> {
        const PREFIX: &[u8] = b"application/grpc-web";
        const TEXT: &[u8] = b"-text";
        let rest = behind(PREFIX, content_type)?;
        let (form, rest) = match behind(TEXT, rest) {
            Some(rest) => (Form::Text, rest),
            None => (Form::Binary, rest),
        };
        matches!(rest.first(), None | Some(b'+' | b';' | b' ')).then_some((form, rest))
    }

    /// The content type without what follows it.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Form::Binary => "application/grpc-web",
            Form::Text => "application/grpc-web-text",
        }
    }

    /// Octets as they go to the caller. Text is whole in itself, so that a caller can read each piece when
    /// it comes.
    #[must_use]
    pub fn write(self, octets: Bytes) -> Bytes {
        match self {
            Form::Binary => octets,
            Form::Text => encoded(&octets),
        }
    }
}

/// What follows `prefix`, in whatever case, in `value`.
fn behind<'v>(prefix: &[u8], value: &'v [u8]) -> Option<&'v [u8]> {
    let (begin, rest) = value.split_at_checked(prefix.len())?;
    begin.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// The frame that ends a reply: its trailers as lines of a head.
#[must_use]
pub fn trailers_frame(trailers: &HeaderMap) -> Bytes {
    let lines: usize = trailers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    let mut frame = BytesMut::with_capacity(lines + 5);
    frame.put_u8(TRAILERS);
    // Trailers are limited to some KiB where they are read.
    frame.put_u32(u32::try_from(lines).unwrap_or(u32::MAX));
    for (name, value) in trailers {
        frame.put_slice(name.as_str().as_bytes());
        frame.put_slice(b": ");
        frame.put_slice(value.as_bytes());
        frame.put_slice(b"\r\n");
    }
    frame.freeze()
}

/// Reads the octets of a caller's text.
#[derive(Debug, Default)]
pub struct TextReader(Decoder);

/// The text is no base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotText;

impl TextReader {
    /// The octets of the next piece, as many as are whole.
    ///
    /// # Errors
    /// [`NotText`]; nothing is to be read after it.
    pub fn read(&mut self, piece: &[u8]) -> Result<Bytes, NotText> {
        let mut octets = BytesMut::with_capacity(piece.len() / 4 * 3 + 3);
        for &character in piece {
            match self.0.push(character).ok_or(NotText)? {
                Decoded::Nothing => {}
                Decoded::Octets(group, count) => octets.put_slice(&group[..count]),
            }
        }
        Ok(octets.freeze())
    }

    /// There is no more.
    ///
    /// # Errors
    /// [`NotText`] if the last group is not whole.
    pub fn end(&self) -> Result<(), NotText> {
        if self.0.is_between_groups() {
            Ok(())
        } else {
            Err(NotText)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    #[test]
    fn knows_the_forms_by_their_content_types() {
        let form = |text: &'static str| Form::of(text.as_bytes());
        assert_eq!(form("application/grpc-web"), Some((Form::Binary, &b""[..])));
        assert_eq!(
            form("Application/gRPC-Web+proto; x"),
            Some((Form::Binary, &b"+proto; x"[..]))
        );
        assert_eq!(
            form("application/grpc-web-text"),
            Some((Form::Text, &b""[..]))
        );
        assert_eq!(
            form("application/grpc-web-text+proto"),
            Some((Form::Text, &b"+proto"[..]))
        );
        for other in [
            "application/grpc",
            "application/grpc-webx",
            "text/plain",
            "application/grpc-web-textual",
        ] {
            assert_eq!(form(other), None, "{other}");
        }
    }

    #[test]
    fn trailers_become_a_frame_of_lines() {
        let mut trailers = HeaderMap::new();
        trailers.append("grpc-status", HeaderValue::from_static("5"));
        trailers.append("grpc-message", HeaderValue::from_static("gone"));
        trailers.append(
            HeaderName::from_static("x-bin"),
            HeaderValue::from_static("AA=="),
        );
        let frame = trailers_frame(&trailers);
        let lines = b"grpc-status: 5\r\ngrpc-message: gone\r\nx-bin: AA==\r\n";
        assert_eq!(frame[..5], [0x80, 0, 0, 0, lines.len() as u8]);
        assert_eq!(&frame[5..], lines);
        assert_eq!(trailers_frame(&HeaderMap::new())[..], [0x80, 0, 0, 0, 0]);
    }

    #[test]
    fn text_is_read_however_it_was_cut_and_padded() {
        let octets = b"\0\0\0\0\x02hi";
        let text = [encoded(&octets[..1]), encoded(&octets[1..])].concat();
        for cut in 0..text.len() {
            let mut reader = TextReader::default();
            let first = reader.read(&text[..cut]).unwrap();
            let second = reader.read(&text[cut..]).unwrap();
            assert_eq!([first, second].concat(), octets, "{cut}");
            assert_eq!(reader.end(), Ok(()));
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for bad in [
            "A===", "AA=A", "====", "AAA!", "AAA\n", "A A ", "AB==", "AAB=",
        ] {
            let mut reader = TextReader::default();
            assert_eq!(reader.read(bad.as_bytes()), Err(NotText), "{bad}");
        }
        let mut reader = TextReader::default();
        assert_eq!(reader.read(b"AAAAA").unwrap(), &[0, 0, 0][..]);
        assert_eq!(reader.end(), Err(NotText));
    }
}
