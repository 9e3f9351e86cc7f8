//! Tokens that were checked already, so that a caller's second request costs a digest and a look-up.
//!
//! Must hold: an entry is found by the SHA-256 of the whole token, so nothing but that very token
//! finds it; its end is checked on every use; the cache belongs to one set of rules and goes with it,
//! so changed rules start anew. Only accepted tokens enter, so strangers cannot fill it. Never: holds
//! a token.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};

use super::token::{Reason, Verified, Verifier};

/// Locks: enough that workers seldom meet.
const SHARDS: usize = 8;
/// Tokens per shard. With a few hundred bytes of claims each, a full cache stays near 2 MiB.
const TOKENS_MAX: usize = 512;

type Digest = [u8; 32];

/// Accepted tokens.
#[derive(Default)]
pub struct Cache {
    shards: [Mutex<HashMap<Digest, Arc<Verified>>>; SHARDS],
}

impl Cache {
    /// The token's verdict, from memory if it was accepted before and is still valid. `now` is wall
    /// time, seconds since the Unix epoch.
    pub fn verify(&self, token: &str, with: &Verifier, now: u64) -> Result<Arc<Verified>, Reason> {
        let mut key = Digest::default();
        key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        let shard = &self.shards[usize::from(key[0]) % SHARDS];
        // A poisoned lock guards whole entries only: each was complete when it was put in.
        let lock = || shard.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().get(&key).map(Arc::clone);
        if let Some(known) = known.filter(|k| now <= k.valid_to) {
            return Ok(known);
        }
        let verified = Arc::new(with.verify(token)?);
        let mut tokens = lock();
        if tokens.len() >= TOKENS_MAX {
            tokens.retain(|_, v| now <= v.valid_to);
        }
        if tokens.len() >= TOKENS_MAX {
            tokens.clear(); // all it costs is to check them once more
        }
        tokens.insert(key, Arc::clone(&verified));
        Ok(verified)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};

    use super::super::token::Rules;
    use super::*;

    fn verifier() -> Verifier {
        Verifier::new(Rules {
            algorithms: vec![Algorithm::HS256],
            secret: b"secret".as_slice().into(),
            issuers: Vec::new(),
            audiences: Vec::new(),
            clock_skew: Duration::ZERO,
            require_exp: true,
            claims_to_headers: Vec::new(),
            permissions: Vec::new(),
            roles: Vec::new(),
        })
    }

    fn token(number: usize, exp: u64) -> String {
        let claims = serde_json::json!({"sub": number.to_string(), "exp": exp});
        encode(
            &Header::default(),
            &claims,
            &EncodingKey::from_secret(b"secret"),
        )
        .unwrap()
    }

    #[test]
    fn remembers_a_token_until_its_end() {
        let (cache, verifier) = (Cache::default(), verifier());
        let now = jsonwebtoken::get_current_timestamp();
        let token = token(1, now + 100);
        let first = cache.verify(&token, &verifier, now).unwrap();
        let second = cache.verify(&token, &verifier, now + 100).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        // Past its end it is checked anew; here the real clock still accepts it.
        let third = cache.verify(&token, &verifier, now + 101).unwrap();
        assert!(!Arc::ptr_eq(&first, &third));
    }

    #[test]
    fn does_not_remember_a_refused_token() {
        let (cache, verifier) = (Cache::default(), verifier());
        let mut token = token(1, jsonwebtoken::get_current_timestamp() + 100);
        cache.verify(&token, &verifier, 0).unwrap();
        token.truncate(token.len() - 3); // still whole octets
        for _ in 0..2 {
            assert_eq!(
                cache.verify(&token, &verifier, 0).unwrap_err(),
                Reason::Signature
            );
        }
        let held: usize = cache.shards.iter().map(|s| s.lock().unwrap().len()).sum();
        assert_eq!(held, 1);
    }

    #[test]
    fn stays_bounded() {
        let (cache, verifier) = (Cache::default(), verifier());
        let exp = jsonwebtoken::get_current_timestamp() + 1000;
        for number in 0..SHARDS * TOKENS_MAX + 2000 {
            cache.verify(&token(number, exp), &verifier, 0).unwrap();
        }
        for shard in &cache.shards {
            assert!(shard.lock().unwrap().len() <= TOKENS_MAX);
        }
    }
}
