//! Writes untrusted bytes so that they stay inside their quotes, on their line, in their file.
//!
//! Must hold: the result is valid UTF-8 and, between quotes, a valid JSON string (RFC 8259,
//! section 7) that reads back as the input with invalid UTF-8 replaced by U+FFFD. Nothing a
//! terminal or a line reader acts on passes: no control character, line or paragraph separator,
//! or change of writing direction.

use portway_core::limits::ACCESS_LOG_FIELD_BYTES_MAX;

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);

/// Appends `bytes`, escaped, without quotes; cut with an ellipsis past the limit of a field.
#[inline]
pub(crate) fn push_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() > ACCESS_LOG_FIELD_BYTES_MAX {
        return push_cut(out, bytes);
    }
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else {
        push_slowly(out, bytes);
    }
}

/// Appends `bytes` between double quotes.
#[inline]
pub(crate) fn push_quoted(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    push_escaped(out, bytes);
    out.push(b'"');
}

/// Whether every byte is printable ASCII other than `"` and `\`. Eight at a time: a record holds
/// some 200 bytes of text, nearly all of it plain. Ends overlap, which is cheaper than a loop over
/// the rest.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    if let Some(last) = bytes.last_chunk::<8>() {
        let (words, _) = bytes.as_chunks::<8>();
        let found = words
            .iter()
            .fold(odd(u64::from_ne_bytes(*last)), |found, word| {
                found | odd(u64::from_ne_bytes(*word))
            });
        return found == 0;
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let [first, last] = [first, last].map(|half| u64::from(u32::from_ne_bytes(*half)));
        return odd(first | last << 32) == 0;
    }
    bytes
        .iter()
        .all(|b| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\'))
}

/// Not zero if one of eight bytes is a control character, DEL, `"`, `\` or not ASCII. The trick of
/// finding a byte below a limit by a borrow is from <https://graphics.stanford.edu/~seander/bithacks.html>;
/// which byte it was is not reliable, whether there was one is.
#[inline]
fn odd(word: u64) -> u64 {
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (word | below(word, 0x20) | equal(b'"') | equal(b'\\') | equal(0x7f)) & TOPS
}

#[cold]
fn push_cut(out: &mut Vec<u8>, bytes: &[u8]) {
    push_slowly(out, &bytes[..ACCESS_LOG_FIELD_BYTES_MAX]);
    out.extend_from_slice("…".as_bytes());
}

#[cold]
fn push_slowly(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        push_text(out, chunk.valid());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    let mut copied = 0;
    for (at, c) in text.char_indices() {
        let short = match c {
            '"' => b'"',
            '\\' => b'\\',
            '\n' => b'n',
            '\r' => b'r',
            '\t' => b't',
            c if acts(c) => b'u',
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[copied..at]);
        out.extend_from_slice(&[b'\\', short]);
        if short == b'u' {
            push_hex(out, c as u32);
        }
        copied = at + c.len_utf8();
    }
    out.extend_from_slice(&text.as_bytes()[copied..]);
}

/// Characters that do something where a log is read. All are in the basic plane, so that one
/// escape is enough.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

fn push_hex(out: &mut Vec<u8>, code: u32) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for shift in [12, 8, 4, 0] {
        out.push(DIGITS[(code >> shift) as usize & 15]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quoted(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        push_quoted(&mut out, bytes);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_single_byte_reads_back_in_every_place() {
        for byte in 0..=255u8 {
            for (len, at) in (1..=20).flat_map(|len| (0..len).map(move |at| (len, at))) {
                let mut input = vec![b'x'; len];
                input[at] = byte;
                let text = quoted(&input);
                let read: String = serde_json::from_str(&text).unwrap();
                assert_eq!(read, String::from_utf8_lossy(&input));
                assert!(!text.chars().any(acts), "{text}");
            }
        }
    }

    #[test]
    fn nothing_that_acts_passes() {
        let text = quoted("a\r\nb\u{1b}[2J\u{9b}2J\u{2028}\u{202e}\u{7f}\0".as_bytes());
        assert_eq!(text, r#""a\r\nb\u001b[2J\u009b2J\u2028\u202e\u007f\u0000""#);
    }

    #[test]
    fn cuts_a_field_at_its_limit() {
        let read: String = serde_json::from_str(&quoted(&[b'a'; 100_000])).unwrap();
        assert_eq!(read.len(), ACCESS_LOG_FIELD_BYTES_MAX + "…".len());
        assert!(read.ends_with("a…"));
        let cut_inside_a_character = "é".repeat(ACCESS_LOG_FIELD_BYTES_MAX);
        let odd = format!("a{cut_inside_a_character}");
        let read: String = serde_json::from_str(&quoted(odd.as_bytes())).unwrap();
        assert!(read.ends_with("é\u{fffd}…"), "{read}");
    }

    proptest! {
        #[test]
        fn any_bytes_read_back_lossily(bytes: Vec<u8>) {
            let text = quoted(&bytes);
            let read: String = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read, String::from_utf8_lossy(&bytes));
            prop_assert!(!text.chars().any(acts));
        }

        #[test]
        fn any_text_reads_back(text: String) {
            let read: String = serde_json::from_str(&quoted(text.as_bytes())).unwrap();
            prop_assert_eq!(read, text);
        }
    }
}
