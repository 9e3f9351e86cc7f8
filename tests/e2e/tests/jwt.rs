//! Tokens, signed by hand: the tests must not share the gateway's idea of a token.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// Long enough for every algorithm.
pub const SECRET: &str = "a-secret-of-the-tests-that-is-long-enough-for-hs512-0123456789abcdef";

/// Claims that are good until the year 2100.
pub const GOOD: &str = r#"{"sub":"alice","exp":4102444800,"team":"blue"}"#;

/// A token with this header's `alg`, signed by what that says.
pub fn token(alg: &str, claims: &str) -> String {
    token_of(
        &format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#),
        alg,
        SECRET,
        claims,
    )
}

/// A token of parts that need not fit each other. `signed_by` is an algorithm, or anything else for no
/// signature.
pub fn token_of(header: &str, signed_by: &str, secret: &str, claims: &str) -> String {
    let message = format!("{}.{}", base64url(header), base64url(claims));
    let algorithm = match signed_by {
        "HS256" => hmac::HMAC_SHA256,
        "HS384" => hmac::HMAC_SHA384,
        "HS512" => hmac::HMAC_SHA512,
        _ => return format!("{message}."),
    };
    let key = hmac::Key::new(algorithm, secret.as_bytes());
    let signature = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", base64url(signature))
}

/// RFC 4648, section 5, without padding.
pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
