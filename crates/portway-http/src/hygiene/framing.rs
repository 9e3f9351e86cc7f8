//! How long a message's body is (RFC 9112, section 6.3), decided from the framing fields alone.
//!
//! Must hold: one length or none at all. Whatever two readers could measure differently is refused:
//! that is how requests are smuggled (CVE-2021-40346, CVE-2025-22871, CVE-2026-2835). Stricter than
//! the RFC on purpose: it lets a recipient merge equal Content-Length fields and drop one beside
//! Transfer-Encoding; here both are refused.

use http::Version;
use portway_core::{Code, ProxyError};

/// The longest Content-Length, digits: what always fits into 63 bits.
const LENGTH_DIGITS_MAX: usize = 19;

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// After so many octets.
    Length(u64),
    /// After the last chunk and the trailer section.
    Chunked,
    /// When the connection closes. Only replies.
    Close,
}

/// What the Transfer-Encoding fields said so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Coding {
    #[default]
    Absent,
    Chunked,
    /// One coding that is not implemented.
    Unknown,
}

/// Collects the framing fields of one head, in the order in which they come.
#[derive(Clone, Copy, Debug, Default)]
pub struct FramingScan {
    length: Option<u64>,
    coding: Coding,
    of_reply: bool,
}

impl FramingScan {
    /// A scan of a reply's head: its errors are the target's, not the client's.
    #[must_use]
    pub fn for_reply() -> FramingScan {
        FramingScan {
            of_reply: true,
            ..FramingScan::default()
        }
    }

    /// Takes a Content-Length field.
    ///
    /// # Errors
    ///
    /// [`Code::AmbiguousFraming`] (a reply: [`Code::UpstreamBadReply`]) for a second field, equal or
    /// not, and for anything but 1 to 19 digits.
    pub fn content_length(&mut self, value: &[u8]) -> Result<(), ProxyError> {
        if self.length.is_some() {
            return Err(self.fault("there is more than one Content-Length"));
        }
        if value.is_empty() {
            return Err(self.fault("Content-Length is empty"));
        }
        if !value.iter().all(u8::is_ascii_digit) {
            return Err(self.fault("Content-Length is not digits alone"));
        }
        if value.len() > LENGTH_DIGITS_MAX {
            return Err(self.fault("Content-Length has more than 19 digits"));
        }
        // 19 digits are below 10^19, which is below 2^64.
        self.length = Some(
            value
                .iter()
                .fold(0, |n, digit| n * 10 + u64::from(digit - b'0')),
        );
        Ok(())
    }

    /// Takes a Transfer-Encoding field.
    ///
    /// # Errors
    ///
    /// [`Code::AmbiguousFraming`] (a reply: [`Code::UpstreamBadReply`]) for a second field and for
    /// anything but one coding without parameters.
    pub fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), ProxyError> {
        if self.coding != Coding::Absent {
            return Err(self.fault("there is more than one Transfer-Encoding"));
        }
        self.coding = if value.eq_ignore_ascii_case(b"chunked") {
            Coding::Chunked
        } else if is_token(value) {
            Coding::Unknown
        } else {
            return Err(self.fault("Transfer-Encoding is not exactly `chunked`"));
        };
        Ok(())
    }

    /// Where the request's body ends.
    ///
    /// # Errors
    ///
    /// [`Code::AmbiguousFraming`]; [`Code::NotImplemented`] for one coding other than `chunked`.
    pub fn request(self, version: Version) -> Result<Framing, ProxyError> {
        self.check(version)?;
        match (self.coding, self.length) {
            (Coding::Chunked, _) => Ok(Framing::Chunked),
            (Coding::Unknown, _) => Err(ProxyError::new(
                Code::NotImplemented,
                "Transfer-Encoding is not `chunked`",
            )),
            (Coding::Absent, Some(length)) => Ok(Framing::Length(length)),
            (Coding::Absent, None) => Ok(Framing::None),
        }
    }

    /// Where the reply's body ends, and for HEAD and 304 the length it declares without having it.
    ///
    /// # Errors
    ///
    /// [`Code::UpstreamBadReply`]. Also for a 1xx or 204 that announces a body, which RFC 9112, section
    /// 6, forbids: a target that then sends one would have it read as the next exchange's reply.
    pub fn response(
        self,
        version: Version,
        head_request: bool,
        status: u16,
    ) -> Result<(Framing, Option<u64>), ProxyError> {
        let scan = FramingScan {
            of_reply: true,
            ..self
        };
        scan.check(version)?;
        if scan.coding == Coding::Unknown {
            return Err(scan.fault("Transfer-Encoding is not `chunked`"));
        }
        if matches!(status, 100..=199 | 204) {
            if scan.coding != Coding::Absent || scan.length.unwrap_or(0) != 0 {
                return Err(scan.fault("a reply that cannot have a body announces one"));
            }
            return Ok((Framing::None, None));
        }
        if head_request || status == 304 {
            return Ok((Framing::None, scan.length));
        }
        Ok((
            match (scan.coding, scan.length) {
                (Coding::Chunked | Coding::Unknown, _) => Framing::Chunked,
                (Coding::Absent, Some(length)) => Framing::Length(length),
                (Coding::Absent, None) => Framing::Close,
            },
            None,
        ))
    }

    /// The rules that requests and replies share.
    fn check(self, version: Version) -> Result<(), ProxyError> {
        if self.coding == Coding::Absent {
            return Ok(());
        }
        if self.length.is_some() {
            return Err(self.fault("there are both Content-Length and Transfer-Encoding"));
        }
        if version < Version::HTTP_11 {
            // An HTTP/1.0 reader on the way would not have seen the chunks (RFC 9112, section 6.1).
            return Err(self.fault("Transfer-Encoding in an HTTP/1.0 message"));
        }
        Ok(())
    }

    #[cold]
    fn fault(self, what: &str) -> ProxyError {
        let code = if self.of_reply {
            Code::UpstreamBadReply
        } else {
            Code::AmbiguousFraming
        };
        ProxyError::new(code, what)
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(value: &[u8]) -> bool {
    !value.is_empty()
        && value
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

#[cfg(test)]
mod tests;
