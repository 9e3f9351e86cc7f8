//! Chunked bodies: the same octets however they arrive, and never more lenient than hyper.
//!
//! The first octet is the size of the pieces in which the rest arrives.

use bytes::{Bytes, BytesMut};
use portway_http::h1::chunked::{Chunk, Chunks};

use crate::hyper_oracle;

/// What decoding came to.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The body, and how many octets of the input were left over.
    Whole(Vec<u8>, usize),
    /// The input ended first.
    Cut,
    Refused,
}

/// Checks one body.
pub fn check(data: &[u8]) {
    let Some((&piece, input)) = data.split_first() else {
        return;
    };
    let whole = decode(input, input.len());
    let in_pieces = decode(input, usize::from(piece) + 1);
    assert_eq!(
        in_pieces, whole,
        "the arrival of the octets changes the body"
    );
    let Outcome::Whole(body, left) = whole else {
        return;
    };
    let used = &input[..input.len() - left];
    let mut message = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    message.extend_from_slice(used);
    let seen = hyper_oracle::serve(Bytes::from(message));
    let seen = seen.first().and_then(|request| request.body.as_deref());
    assert_eq!(seen, Some(&body[..]), "hyper reads another body");
}

fn decode(input: &[u8], piece: usize) -> Outcome {
    let mut chunks = Chunks::default();
    let mut body = Vec::new();
    let mut buffer = BytesMut::new();
    let mut taken = 0;
    for part in input.chunks(piece.max(1)) {
        buffer.extend_from_slice(part);
        taken += part.len();
        loop {
            match chunks.decode(&mut buffer) {
                Ok(Chunk::Data(data)) => {
                    assert!(!data.is_empty(), "an empty piece of data");
                    body.extend_from_slice(&data);
                }
                Ok(Chunk::End(_)) => {
                    return Outcome::Whole(body, input.len() - taken + buffer.len());
                }
                Ok(Chunk::More) => break,
                Err(_) => return Outcome::Refused,
            }
        }
    }
    Outcome::Cut
}
