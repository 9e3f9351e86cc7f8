//! The octets of one body on a stream, counted as they come in and as they go out.
//!
//! Must hold: octets are counted against the declared length before the end is passed on (RFC 9113, section
//! 8.1.1; RFC 9114, section 4.1.2), both ways; trailers pass the same rules as HTTP/1's.
//! Pure: knows no stream.

use std::cell::Cell;
use std::rc::Rc;

use http::HeaderMap;
use portway_core::{Code, ProxyError, limits};

use crate::body::BodyLength;
use crate::h1::Role;
use crate::hygiene::trailers;

/// A body on its way in.
#[derive(Debug)]
pub(crate) struct Arriving {
    /// Who sends it: decides whose fault a broken one is.
    pub(crate) role: Role,
    /// What of the declared length is still to come.
    declared: BodyLength,
    bytes: Rc<Cell<u64>>,
    /// The most octets it may have; 0 for no limit.
    bytes_max: u64,
    pub(crate) at: At,
}

/// How far a body has come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Data,
    Trailers,
    End,
}

impl Arriving {
    /// Nothing has come yet.
    pub(crate) fn new(role: Role, declared: BodyLength) -> Arriving {
        Arriving {
            role,
            declared,
            bytes: Rc::default(),
            bytes_max: 0,
            at: At::Data,
        }
    }

    /// Octets so far; goes on counting when the body has moved on.
    pub(crate) fn counter(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.bytes)
    }

    /// Sets the most octets it may have; 0 for no limit.
    pub(crate) fn limit(&mut self, bytes_max: u64) {
        self.bytes_max = bytes_max;
    }

    /// What is known of the octets that are still to come.
    pub(crate) fn length(&self) -> BodyLength {
        match self.at {
            At::Data => self.declared,
            At::Trailers | At::End => BodyLength::Exact(0),
        }
    }

    /// So many octets have come.
    pub(crate) fn take(&mut self, octets: usize) -> Result<(), ProxyError> {
        let bytes = self.bytes.get() + octets as u64;
        self.bytes.set(bytes);
        if let BodyLength::Exact(left) = self.declared {
            let left = left
                .checked_sub(octets as u64)
                .ok_or_else(|| self.malformed("the body is longer than its Content-Length"))?;
            self.declared = BodyLength::Exact(left);
        }
        if self.bytes_max != 0 && bytes > self.bytes_max {
            return Err(ProxyError::new(
                Code::PayloadTooLarge,
                "the request body is over the limit",
            ));
        }
        Ok(())
    }

    /// Whether the declared length, if there is one, has come.
    pub(crate) fn is_complete(&self) -> bool {
        !matches!(self.declared, BodyLength::Exact(1..))
    }

    /// No more data comes.
    pub(crate) fn end_of_data(&mut self) -> Result<(), ProxyError> {
        if !self.is_complete() {
            return Err(self.malformed("the body is shorter than its Content-Length"));
        }
        self.at = At::Trailers;
        Ok(())
    }

    /// What of a trailer section may be passed on; `None` if nothing.
    pub(crate) fn clean(&self, mut section: HeaderMap) -> Result<Option<HeaderMap>, ProxyError> {
        if section.len() > limits::HEADERS_MAX || size_of(&section) > limits::TRAILER_BYTES_MAX {
            return Err(self.malformed("the trailer section is over the limit"));
        }
        trailers::clean(&mut section);
        Ok((!section.is_empty()).then_some(section))
    }

    fn malformed(&self, detail: &'static str) -> ProxyError {
        let code = match self.role {
            Role::Client => Code::BadRequest,
            Role::Target => Code::UpstreamBadReply,
        };
        ProxyError::new(code, detail)
    }
}

/// Octets of the section as HTTP/1 would write it.
fn size_of(section: &HeaderMap) -> usize {
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        name.as_str().len() + value.len() + ": \r\n".len()
    };
    section.iter().map(line).sum()
}

/// What of a length that was announced is still to go out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Announced(pub(crate) BodyLength);

impl Announced {
    /// So many octets are to go out.
    pub(crate) fn take(&mut self, octets: usize) -> Result<(), ProxyError> {
        if let BodyLength::Exact(left) = &mut self.0 {
            *left = left.checked_sub(octets as u64).ok_or_else(|| {
                ProxyError::new(Code::Internal, "a body is longer than announced")
            })?;
        }
        Ok(())
    }

    /// Whether all of it, if there is a length, has gone out.
    pub(crate) fn is_met(self) -> bool {
        !matches!(self.0, BodyLength::Exact(1..))
    }

    /// Nothing more goes out.
    pub(crate) fn check_whole(self) -> Result<(), ProxyError> {
        if self.is_met() {
            return Ok(());
        }
        Err(ProxyError::new(
            Code::Internal,
            "a body is shorter than announced",
        ))
    }
}
