//! Cutting a body of JSON values: the values are the same however the body came, none is longer than the limit, and
//! of a body that serde_json reads they are the values that it finds.

use portway_filters::grpc_json::pieces::{Pieces, Wrong};
use serde_json::value::RawValue;

/// Values, up to what is wrong with the body.
type Cut = (Vec<Vec<u8>>, Option<Wrong>);

/// Checks the octets as a body.
pub fn check(data: &[u8]) {
    for bytes_max in [8, data.len() + 1] {
        let whole = cut(data, data.len().max(1), bytes_max);
        for value in &whole.0 {
            assert!(value.len() <= bytes_max);
        }
        for size in [1, 3] {
            assert_eq!(cut(data, size, bytes_max), whole);
        }
    }
    let (values, wrong) = cut(data, data.len().max(1), data.len() + 1);
    if let Some(known) = by_serde(data) {
        assert_eq!(wrong, None);
        assert_eq!(values, known);
    }
}

fn cut(data: &[u8], size: usize, bytes_max: usize) -> Cut {
    let mut pieces = Pieces::new(bytes_max);
    let mut values = Vec::new();
    let mut take = |pieces: &mut Pieces, last| {
        loop {
            match pieces.take(last) {
                Ok(Some(value)) => values.push(value.to_vec()),
                Ok(None) => return None,
                Err(wrong) => return Some(wrong),
            }
        }
    };
    for piece in data.chunks(size) {
        pieces.push(piece);
        if let Some(wrong) = take(&mut pieces, false) {
            return (values, Some(wrong));
        }
    }
    let wrong = take(&mut pieces, true);
    (values, wrong)
}

/// The values of an array, or those that stand one behind the other; `None` if it is no JSON.
fn by_serde(data: &[u8]) -> Option<Vec<Vec<u8>>> {
    let begins = data.iter().find(|byte| !byte.is_ascii_whitespace());
    let values: Vec<Box<RawValue>> = if begins == Some(&b'[') {
        serde_json::from_slice(data).ok()?
    } else {
        let values = serde_json::Deserializer::from_slice(data).into_iter();
        let values: Vec<Box<RawValue>> = values.collect::<Result<_, _>>().ok()?;
        // Two words need something between them; serde_json ends a number at a bracket, too.
        let words = |value: &RawValue| !value.get().starts_with(['{', '[', '"']);
        if values.iter().any(|value| words(value)) {
            return None;
        }
        values
    };
    Some(
        values
            .iter()
            .map(|value| value.get().as_bytes().to_vec())
            .collect(),
    )
}
