//! One canonical host per request, from Host, `:authority` or an absolute target (RFC 3986, section
//! 3.2; RFC 9110, section 7.2).
//!
//! Must hold: the result is a lower-case name, a dotted IPv4 address or an IPv6 address in brackets
//! (RFC 5952), without port; two spellings of one host give one result. What some readers take for
//! an address and others for a name (`127.1`, `0x7f.1`) is refused, as is userinfo.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use portway_core::{Code, ProxyError};

/// The longest host name, octets (RFC 1035, section 2.3.4, without the root's dot).
const NAME_BYTES_MAX: usize = 253;
/// The longest label, octets (RFC 1035, section 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// The last host of a connection: the next request mostly names the same one.
#[derive(Clone, Debug, Default)]
pub struct HostMemo {
    raw: Vec<u8>,
    host: String,
    port: Option<u16>,
    told: Option<Rc<[u8]>>,
}

impl HostMemo {
    /// As [`parse_authority`], from memory if `raw` is the same as the last time.
    ///
    /// # Errors
    ///
    /// [`Code::BadHost`].
    pub fn parse(&mut self, raw: &[u8], out: &mut String) -> Result<Option<u16>, ProxyError> {
        if self.raw == raw && !raw.is_empty() {
            out.clear();
            out.push_str(&self.host);
            return Ok(self.port);
        }
        self.raw.clear();
        self.told = None;
        self.port = parse_authority(raw, out)?;
        self.host.clone_from(out);
        self.raw.extend_from_slice(raw);
        Ok(self.port)
    }

    /// What targets are told of requests for this host, as lines of a head: made by `render` once.
    /// `None` if the request names another host than the last one read here.
    pub fn told(
        &mut self,
        host: &str,
        port: Option<u16>,
        render: impl FnOnce() -> Rc<[u8]>,
    ) -> Option<Rc<[u8]>> {
        if self.host != host || self.port != port {
            return None;
        }
        Some(Rc::clone(self.told.get_or_insert_with(render)))
    }
}

/// Writes the canonical host of `raw` (`host` or `host:port`) to `out`, whose old content goes, and
/// says which port it names, if any.
///
/// # Errors
///
/// [`Code::BadHost`]; `out` is then empty.
pub fn parse_authority(raw: &[u8], out: &mut String) -> Result<Option<u16>, ProxyError> {
    out.clear();
    if raw.is_empty() {
        return Err(bad("the host is empty"));
    }
    if raw[0] == b'[' {
        return bracketed(&raw[1..], out);
    }
    let (name, port) = match raw.iter().position(|&b| b == b':') {
        Some(colon) => (&raw[..colon], Some(parse_port(&raw[colon + 1..])?)),
        None => (raw, None),
    };
    let name = name.strip_suffix(b".").unwrap_or(name);
    let name = check_name(name)?;
    out.push_str(name);
    out.make_ascii_lowercase();
    Ok(port)
}

/// What follows an opening bracket: an IPv6 address, a closing one, perhaps a port.
fn bracketed(raw: &[u8], out: &mut String) -> Result<Option<u16>, ProxyError> {
    let close = raw
        .iter()
        .position(|&b| b == b']')
        .ok_or_else(|| bad("a bracket is not closed"))?;
    let address = std::str::from_utf8(&raw[..close])
        .ok()
        .and_then(|a| a.parse::<Ipv6Addr>().ok());
    let address = address.ok_or_else(|| bad("what is in brackets is not an IPv6 address"))?;
    let port = match &raw[close + 1..] {
        [] => None,
        [b':', port @ ..] => Some(parse_port(port)?),
        _ => return Err(bad("something other than a port follows the address")),
    };
    write!(out, "[{address}]").map_err(|_| bad("the address cannot be written"))?;
    Ok(port)
}

fn parse_port(digits: &[u8]) -> Result<u16, ProxyError> {
    if digits.is_empty() {
        return Err(bad("the port is empty"));
    }
    if digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) || digits[0] == b'0' {
        return Err(bad("the port is not a number from 1 to 65535"));
    }
    let value = digits
        .iter()
        .fold(0_u32, |value, digit| value * 10 + u32::from(digit - b'0'));
    u16::try_from(value).map_err(|_| bad("the port is not a number from 1 to 65535"))
}

fn check_name(name: &[u8]) -> Result<&str, ProxyError> {
    if name.is_empty() {
        return Err(bad("the host is empty"));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(bad("the host is longer than 253 octets"));
    }
    let mut label = 0;
    for &byte in name {
        match byte {
            b'.' if label == 0 => return Err(bad("the host has an empty label")),
            b'.' => label = 0,
            b'@' => return Err(bad("the host has userinfo")),
            b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => label += 1,
            _ => return Err(bad("the host has an octet that no host name has")),
        }
        if label > LABEL_BYTES_MAX {
            return Err(bad("the host has a label longer than 63 octets"));
        }
    }
    if label == 0 {
        return Err(bad("the host has an empty label"));
    }
    let name = std::str::from_utf8(name).map_err(|_| bad("the host is not ASCII"))?;
    if ends_in_a_number(name) && name.parse::<Ipv4Addr>().is_err() {
        return Err(bad("the host is a number but not a dotted IPv4 address"));
    }
    Ok(name)
}

/// Whether some readers take the name for an IPv4 address (WHATWG URL, "ends in a number").
fn ends_in_a_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return true;
    }
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    hex.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cold]
fn bad(what: &str) -> ProxyError {
    ProxyError::new(Code::BadHost, what)
}

#[cfg(test)]
mod tests;
