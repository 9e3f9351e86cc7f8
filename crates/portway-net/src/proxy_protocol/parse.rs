//! Where a header ends, and what it says. The end is found here, by length or line end, before the
//! `ppp` crate reads what is inside.

use std::fmt;
use std::net::SocketAddr;

use portway_core::limits::PROXY_HEADER_BYTES_MAX;
use ppp::{v1, v2};

use super::{Accept, Version};

/// A whole header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its version.
    pub version: Version,
    /// Its length, bytes.
    pub length: usize,
    /// The client and the address it connected to; `None` if the proxy speaks for itself, or the
    /// client is not on TCP.
    pub addresses: Option<(SocketAddr, SocketAddr)>,
}

/// What the first bytes of a connection are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The beginning of a header, and nothing else.
    Part,
    /// A header, and what is behind it.
    Whole(Header),
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// They do not begin like one.
    Start,
    /// It is of a version that is not taken here.
    Version,
    /// It is longer than allowed.
    Length,
    /// What is inside is wrong.
    Inside,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Malformed::Start => "the first bytes are something else",
            Malformed::Version => "it is of a version that this listener does not take",
            Malformed::Length => "its length is out of bounds",
            Malformed::Inside => "its addresses are malformed",
        })
    }
}

/// The longest line of version 1, with its line end (section 2.1).
const V1_BYTES_MAX: usize = 107;
/// Signature, command, family and length of version 2 (section 2.2).
const V2_FIXED_BYTES: usize = 16;

/// Looks at the first bytes of a connection.
///
/// # Errors
/// If no bytes to come could make them a header.
pub fn parse(bytes: &[u8], accept: Accept) -> Result<Found, Malformed> {
    let version = match version_of(bytes)? {
        Some(version) => version,
        None => return Ok(Found::Part),
    };
    if !accept.takes(version) {
        return Err(Malformed::Version);
    }
    match version {
        Version::V1 => parse_v1(bytes),
        Version::V2 => parse_v2(bytes),
    }
}

/// The version, once enough has come to tell.
fn version_of(bytes: &[u8]) -> Result<Option<Version>, Malformed> {
    let text = v1::PROTOCOL_PREFIX.as_bytes();
    for (start, version) in [(text, Version::V1), (v2::PROTOCOL_PREFIX, Version::V2)] {
        if bytes.starts_with(start) {
            return Ok(Some(version));
        }
        if start.starts_with(bytes) {
            return Ok(None);
        }
    }
    Err(Malformed::Start)
}

fn parse_v1(bytes: &[u8]) -> Result<Found, Malformed> {
    let line = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = line.iter().position(|b| *b == b'\n') else {
        return match line.len() {
            V1_BYTES_MAX => Err(Malformed::Length),
            _ => Ok(Found::Part),
        };
    };
    let line = &line[..=end];
    if !line.ends_with(b"\r\n") {
        return Err(Malformed::Inside);
    }
    let header = v1::Header::try_from(line).map_err(|_| Malformed::Inside)?;
    let addresses = match header.addresses {
        v1::Addresses::Tcp4(ip) => Some((
            (ip.source_address, ip.source_port).into(),
            (ip.destination_address, ip.destination_port).into(),
        )),
        v1::Addresses::Tcp6(ip) => Some((
            (ip.source_address, ip.source_port).into(),
            (ip.destination_address, ip.destination_port).into(),
        )),
        v1::Addresses::Unknown => None,
    };
    Ok(Found::Whole(Header {
        version: Version::V1,
        length: line.len(),
        addresses,
    }))
}

fn parse_v2(bytes: &[u8]) -> Result<Found, Malformed> {
    let Some(fixed) = bytes.get(..V2_FIXED_BYTES) else {
        return Ok(Found::Part);
    };
    let length = V2_FIXED_BYTES + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if length > PROXY_HEADER_BYTES_MAX {
        return Err(Malformed::Length);
    }
    let Some(whole) = bytes.get(..length) else {
        return Ok(Found::Part);
    };
    let header = v2::Header::try_from(whole).map_err(|_| Malformed::Inside)?;
    let speaks_for_client = header.command == v2::Command::Proxy;
    let addresses = match header.addresses {
        // A datagram's sender says nothing about a stream.
        v2::Addresses::IPv4(_) | v2::Addresses::IPv6(_)
            if header.protocol == v2::Protocol::Datagram =>
        {
            return Err(Malformed::Inside);
        }
        v2::Addresses::IPv4(ip) => Some((
            (ip.source_address, ip.source_port).into(),
            (ip.destination_address, ip.destination_port).into(),
        )),
        v2::Addresses::IPv6(ip) => Some((
            (ip.source_address, ip.source_port).into(),
            (ip.destination_address, ip.destination_port).into(),
        )),
        v2::Addresses::Unix(_) | v2::Addresses::Unspecified => None,
    };
    Ok(Found::Whole(Header {
        version: Version::V2,
        length,
        addresses: addresses.filter(|_| speaks_for_client),
    }))
}
