//! What a WebSocket's handshake over HTTP/1.1 is proven by (RFC 6455, sections 4.1 and 4.2.2). HTTP/2 has
//! no such proof (RFC 8441, section 5): between the two, the gateway asks for it, or gives it.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use http::HeaderValue;

/// Put behind the key before it is digested.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A key of 16 octets that are random.
#[must_use]
pub fn key(random: u128) -> HeaderValue {
    base64(&random.to_be_bytes())
}

/// What a server that has read this key answers.
#[must_use]
pub fn accept(key: &HeaderValue) -> HeaderValue {
    let told = [key.as_bytes().trim_ascii(), GUID].concat();
    base64(digest(&SHA1_FOR_LEGACY_USE_ONLY, &told).as_ref())
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> HeaderValue {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = (bits >> (18 - 6 * at)) as usize & 63;
            text.push(if at <= group.len() {
                DIGITS[digit]
            } else {
                b'='
            });
        }
    }
    HeaderValue::from_bytes(&text).expect("base64 is visible ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455, section 1.3.
    #[test]
    fn answers_a_key_as_the_rfc_does() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_key_is_sixteen_octets() {
        let sample = u128::from_be_bytes(*b"the sample nonce");
        assert_eq!(key(sample), "dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(key(0), "AAAAAAAAAAAAAAAAAAAAAA==");
    }

    /// RFC 4648, section 10.
    #[test]
    fn pads_what_is_no_multiple_of_three() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
