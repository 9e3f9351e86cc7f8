//! What servers find when they check names: tokens for http-01, certificates for tls-alpn-01.
//!
//! Must hold: an answer is there only while its order is under way; whoever asks for another token
//! gets nothing from here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portway_tls::Slots;

/// Answers to requests of servers, by token. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Tokens(Arc<Mutex<HashMap<Box<str>, Box<str>>>>);

impl Tokens {
    pub(crate) fn find(&self, token: &str) -> Option<Box<str>> {
        self.lock().get(token).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Box<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answers of one order; they go when it is over.
pub(crate) struct Answers<'k> {
    tokens: &'k Tokens,
    slots: &'k Slots,
    given: Vec<Given>,
}

enum Given {
    Token(Box<str>),
    Name(Box<str>),
}

impl<'k> Answers<'k> {
    pub(crate) fn new(tokens: &'k Tokens, slots: &'k Slots) -> Answers<'k> {
        Answers {
            tokens,
            slots,
            given: Vec::new(),
        }
    }

    /// http-01: a request for `token` gets `answer`.
    pub(crate) fn token(&mut self, token: &str, answer: &str) {
        self.tokens.lock().insert(token.into(), answer.into());
        self.given.push(Given::Token(token.into()));
    }

    /// tls-alpn-01: a handshake that checks `name` gets this digest.
    pub(crate) fn handshake(&mut self, name: &str, digest: &[u8]) -> Result<(), String> {
        let digest = digest
            .try_into()
            .map_err(|_| "the digest has a wrong length")?;
        self.slots.answer(name, digest)?;
        self.given.push(Given::Name(name.into()));
        Ok(())
    }
}

impl Drop for Answers<'_> {
    fn drop(&mut self) {
        for given in self.given.drain(..) {
            match given {
                Given::Token(token) => drop(self.tokens.lock().remove(&token)),
                Given::Name(name) => self.slots.withdraw(&name),
            }
        }
    }
}
