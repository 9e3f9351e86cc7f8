//! gRPC-Web's framing: text means the same however it was cut, and only one text means what it means;
//! what is written can be read; trailers stay lines of one frame.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use portway_http::grpc::web::{Form, NotText, TextReader, trailers_frame};

fn read(pieces: &[&[u8]]) -> Result<Vec<u8>, NotText> {
    let mut reader = TextReader::default();
    let mut octets = Vec::new();
    for piece in pieces {
        octets.extend_from_slice(&reader.read(piece)?);
    }
    reader.end().map(|()| octets)
}

/// Checks the octets as a caller's text, as a service's message, and as trailers.
pub fn check(data: &[u8]) {
    let whole = read(&[data]);
    let cut = usize::from(data.first().copied().unwrap_or(0)) % (data.len() + 1);
    assert_eq!(read(&[&data[..cut], &data[cut..]]), whole);
    let single: Vec<&[u8]> = data.chunks(1).collect();
    assert_eq!(read(&single), whole);
    if let Ok(octets) = whole {
        assert!(octets.len() <= data.len() / 4 * 3);
        // Padded texts one behind the other stand for what one text stands for.
        if !data[..data.len().saturating_sub(2)].contains(&b'=') {
            assert_eq!(Form::Text.write(Bytes::from(octets)), data);
        }
    }
    let text = Form::Text.write(Bytes::copy_from_slice(data));
    assert_eq!(read(&[&text]).as_deref(), Ok(data));
    if let Some((_, rest)) = Form::of(data) {
        assert!(data.ends_with(rest));
    }
    trailers(data);
}

fn trailers(data: &[u8]) {
    let mut fields = HeaderMap::new();
    for line in data.split(|b| *b == b'\n').take(64) {
        let mut parts = line.splitn(2, |b| *b == b':');
        let name = parts.next().map(HeaderName::from_bytes);
        let value = parts.next().map(HeaderValue::from_bytes);
        if let (Some(Ok(name)), Some(Ok(value))) = (name, value) {
            fields.append(name, value);
        }
    }
    let frame = trailers_frame(&fields);
    let length = u32::from_be_bytes([frame[1], frame[2], frame[3], frame[4]]);
    assert_eq!((frame[0], length as usize), (0x80, frame.len() - 5));
    let lines = frame[5..].split(|b| *b == b'\n').count();
    assert_eq!(lines, fields.len() + 1);
}
