//! The PROXY protocol (HAProxy's proxy-protocol.txt): who a connection comes from, told by a proxy in
//! front before the first byte of the client.
//!
//! Must hold: only a trusted peer is read from, within a deadline; a header is whole and well formed or
//! the connection is refused; not one byte behind the header is taken from the socket, so that whatever
//! comes next reads it as if there had been no header. A length is checked before it is waited for
//! (CVE-2026-47692). Never: guesses whether there is a header.

mod parse;
mod write;

pub use parse::{Found, Header, Malformed, parse};
pub use write::write;

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Poll, ready};

use portway_core::{Mono, limits};
use tokio::io::ReadBuf;
use tokio::net::TcpStream;

use crate::timer::{Timer, with_deadline};

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// One line of text.
    V1,
    /// Bytes, with a length.
    V2,
}

/// Which versions are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// This one.
    Only(Version),
    /// Either.
    Either,
}

impl Accept {
    /// Whether a header of this version is taken.
    #[must_use]
    pub fn takes(self, version: Version) -> bool {
        self == Accept::Either || self == Accept::Only(version)
    }
}

/// Why a connection is refused.
#[derive(Debug)]
pub enum Refused {
    /// The peer may not say who it speaks for.
    Untrusted(IpAddr),
    /// What came is no header.
    Malformed(Malformed),
    /// The header was not whole in time.
    Late,
    /// The peer closed before it was whole.
    Gone(Option<io::Error>),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::Untrusted(ip) => write!(f, "{ip} is not one of trusted_proxies"),
            Refused::Malformed(why) => write!(f, "no PROXY header: {why}"),
            Refused::Late => f.write_str("the PROXY header did not arrive in time"),
            Refused::Gone(None) => f.write_str("closed before the PROXY header was whole"),
            Refused::Gone(Some(error)) => write!(f, "broken before the PROXY header: {error}"),
        }
    }
}

impl std::error::Error for Refused {}

/// So much is looked at in one go: a header without long extensions fits.
const LOOK_BYTES: usize = 536;

/// Reads the header that a connection of a trusted peer begins with. Every byte behind it is left in
/// the socket.
///
/// # Errors
/// Why the connection must be closed; never [`Refused::Untrusted`], which is for the caller to find.
pub async fn read(
    stream: &mut TcpStream,
    accept: Accept,
    timer: &Timer,
    deadline: Mono,
) -> Result<Header, Refused> {
    match with_deadline(timer, deadline, read_header(stream, accept)).await {
        Ok(read) => read,
        Err(_) => Err(Refused::Late),
    }
}

async fn read_header(stream: &mut TcpStream, accept: Accept) -> Result<Header, Refused> {
    let mut bytes = Vec::new();
    loop {
        let had = bytes.len();
        bytes.resize((had + LOOK_BYTES).min(limits::PROXY_HEADER_BYTES_MAX), 0);
        let seen = peek(stream, &mut bytes[had..]).await?;
        let found = parse(&bytes[..had + seen], accept).map_err(Refused::Malformed)?;
        // What is not behind the header is of it, and may be taken: without taking it, the next look
        // would see the same bytes at once, and not wait for more.
        let ours = match &found {
            Found::Part => seen,
            Found::Whole(header) => header.length - had,
        };
        take(stream, &mut bytes[had..had + ours]).await?;
        bytes.truncate(had + ours);
        if let Found::Whole(header) = found {
            return Ok(header);
        }
    }
}

/// Looks at bytes without taking them; at least one.
async fn peek(stream: &mut TcpStream, into: &mut [u8]) -> Result<usize, Refused> {
    let peeked = poll_fn(|cx| {
        let mut buf = ReadBuf::new(into);
        let peeked = ready!(stream.poll_peek(cx, &mut buf));
        Poll::Ready(peeked)
    });
    match peeked.await {
        Ok(0) => Err(Refused::Gone(None)),
        Ok(seen) => Ok(seen),
        Err(error) => Err(Refused::Gone(Some(error))),
    }
}

async fn take(stream: &mut TcpStream, bytes: &mut [u8]) -> Result<(), Refused> {
    let taken = tokio::io::AsyncReadExt::read_exact(stream, bytes).await;
    taken
        .map(|_| ())
        .map_err(|error| Refused::Gone(Some(error)))
}

/// What a header says of a connection.
impl Header {
    /// The client, if the header names one: a proxy's own checks do not.
    #[must_use]
    pub fn client(&self) -> Option<SocketAddr> {
        self.addresses.map(|(source, _)| source)
    }
}

#[cfg(test)]
mod tests;
