//! Writes what the gateway tells the target about the client: as HTTP/1 lines, or value by value for
//! HTTP/2.
//!
//! Must hold: from a trusted peer the chains are extended by that peer, and protocol and host are the
//! ones that it saw; from anyone else everything starts anew. Both chains tell the same story.

use std::io::Write as _;
use std::net::IpAddr;

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};

use super::chain;
use crate::Exchange;

/// A field that the gateway writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedField {
    /// `X-Forwarded-For`: the hops up to the peer.
    For,
    /// `X-Forwarded-Proto`: the scheme that the client used.
    Proto,
    /// `X-Forwarded-Host`: the host that the client asked for.
    Host,
    /// `X-Real-IP`: the client's address.
    RealIp,
    /// `Forwarded`: all of it (RFC 7239).
    Forwarded,
}

impl ForwardedField {
    /// Every field, in the order in which it is written.
    pub const ALL: [ForwardedField; 5] = [
        ForwardedField::For,
        ForwardedField::Proto,
        ForwardedField::Host,
        ForwardedField::RealIp,
        ForwardedField::Forwarded,
    ];

    /// The field's name, lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ForwardedField::For => "x-forwarded-for",
            ForwardedField::Proto => "x-forwarded-proto",
            ForwardedField::Host => "x-forwarded-host",
            ForwardedField::RealIp => "x-real-ip",
            ForwardedField::Forwarded => "forwarded",
        }
    }
}

/// The scheme that the client used, by what a trusted peer says.
#[must_use]
pub fn client_scheme(exchange: &Exchange) -> &'static str {
    View::of_client(exchange).proto
}

/// Whether [`write_forwarded`] writes this field, so that a copy among the exchange's own fields must
/// not be written too.
#[must_use]
pub fn is_forwarded_header(name: &HeaderName) -> bool {
    let name = name.as_str();
    // Lengths and first letters first: this runs on every field of every request.
    match (name.len(), name.as_bytes().first()) {
        (9, Some(b'x')) => name == "x-real-ip",
        (9, Some(b'f')) => name == "forwarded",
        (15, Some(b'x')) => name == "x-forwarded-for",
        (16, Some(b'x')) => name == "x-forwarded-host",
        (17, Some(b'x')) => name == "x-forwarded-proto",
        _ => false,
    }
}

/// Appends the fields as HTTP/1 lines. A request without host has none to tell.
pub fn write_forwarded(exchange: &Exchange, out: &mut Vec<u8>) {
    if let Some(told) = &exchange.client.told {
        out.extend_from_slice(told);
        return;
    }
    for field in ForwardedField::ALL {
        let start = out.len();
        out.extend_from_slice(field.name().as_bytes());
        out.extend_from_slice(b": ");
        if write_value(field, exchange, out) {
            out.extend_from_slice(b"\r\n");
        } else {
            out.truncate(start);
        }
    }
}

/// Appends one field's value and says whether there is one.
pub fn write_value(field: ForwardedField, exchange: &Exchange, out: &mut Vec<u8>) -> bool {
    match field {
        ForwardedField::For => write_for(exchange, out),
        ForwardedField::Proto => out.extend_from_slice(View::of_client(exchange).proto.as_bytes()),
        ForwardedField::Host => return View::of_client(exchange).write_host(out),
        ForwardedField::RealIp => write_ip(exchange.client.ip, out),
        ForwardedField::Forwarded => write_elements(exchange, out),
    }
    true
}

fn write_for(exchange: &Exchange, out: &mut Vec<u8>) {
    if let Some(unnamed) = write_known(exchange, &chain::X_FORWARDED_FOR, out) {
        write_ip(unnamed, out);
        out.extend_from_slice(b", ");
    }
    write_ip(exchange.client.peer.ip(), out);
}

fn write_elements(exchange: &Exchange, out: &mut Vec<u8>) {
    if let Some(unnamed) = write_known(exchange, &FORWARDED, out) {
        View::of_client(exchange).write_element(unnamed, out);
        out.extend_from_slice(b", ");
    }
    View::of_gateway(exchange).write_element(exchange.client.peer.ip(), out);
}

/// From a trusted peer, appends the chain so far, each entry with its comma. Returns the client's
/// address if only the other chain names it.
fn write_known(exchange: &Exchange, name: &HeaderName, out: &mut Vec<u8>) -> Option<IpAddr> {
    if !exchange.client.trusted {
        return None;
    }
    for value in exchange.request.headers.get_all(name) {
        let value = value.as_bytes().trim_ascii();
        if !value.is_empty() {
            out.extend_from_slice(value);
            out.extend_from_slice(b", ");
        }
    }
    let known = exchange.request.headers.contains_key(name);
    let client = exchange.client.ip.to_canonical();
    (!known && client != exchange.client.peer.ip().to_canonical()).then_some(client)
}

/// A request's scheme and host as one of its readers saw them.
struct View<'a> {
    proto: &'static str,
    host: &'a [u8],
    port: Option<u16>,
}

impl<'a> View<'a> {
    /// As they came to the gateway.
    fn of_gateway(exchange: &'a Exchange) -> View<'a> {
        View {
            proto: exchange.client.scheme(),
            host: exchange.request.host.as_bytes(),
            port: exchange.request.port,
        }
    }

    /// As they left the client, by what a trusted peer says.
    fn of_client(exchange: &'a Exchange) -> View<'a> {
        let mut view = View::of_gateway(exchange);
        if !exchange.client.trusted {
            return view;
        }
        let headers = &exchange.request.headers;
        if let Some(proto) = told(headers, X_FORWARDED_PROTO, b"proto").and_then(known_proto) {
            view.proto = proto;
        }
        if let Some(host) = told(headers, X_FORWARDED_HOST, b"host").filter(|h| is_host(h)) {
            view.host = host;
            view.port = None;
        }
        view
    }

    /// Appends `host` or `host:port`, if there is a host.
    fn write_host(&self, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(self.host);
        if let Some(port) = self.port {
            out.push(b':');
            out.extend_from_slice(itoa::Buffer::new().format(port).as_bytes());
        }
        !self.host.is_empty()
    }

    /// Appends an element of `Forwarded`; what is not a token is quoted (RFC 7239, section 4).
    fn write_element(&self, hop: IpAddr, out: &mut Vec<u8>) {
        match hop.to_canonical() {
            IpAddr::V4(_) => {
                out.extend_from_slice(b"for=");
                write_ip(hop, out);
            }
            IpAddr::V6(_) => {
                out.extend_from_slice(b"for=\"[");
                write_ip(hop, out);
                out.extend_from_slice(b"]\"");
            }
        }
        out.extend_from_slice(b";proto=");
        out.extend_from_slice(self.proto.as_bytes());
        if self.host.is_empty() {
            return;
        }
        let quote: &[u8] = match self.port {
            None if !self.host.iter().any(|b| matches!(b, b':' | b'[' | b']')) => b"",
            _ => b"\"",
        };
        out.extend_from_slice(b";host=");
        out.extend_from_slice(quote);
        self.write_host(out);
        out.extend_from_slice(quote);
    }
}

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What the nearest proxy says: in its own field, else in `Forwarded`.
fn told<'a>(headers: &'a HeaderMap, field: HeaderName, parameter: &[u8]) -> Option<&'a [u8]> {
    chain::nearest_entry(headers, field)
        .or_else(|| chain::parameter(chain::nearest_element(headers)?, parameter))
}

fn known_proto(value: &[u8]) -> Option<&'static str> {
    ["http", "https", "ws", "wss"]
        .into_iter()
        .find(|p| value.eq_ignore_ascii_case(p.as_bytes()))
}

fn is_host(value: &[u8]) -> bool {
    !value.is_empty()
        && value
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(b))
}

/// IPv4 by hand: the formatting machinery would cost more than all the rest of the line.
fn write_ip(ip: IpAddr, out: &mut Vec<u8>) {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let mut digits = itoa::Buffer::new();
            for (i, octet) in ip.octets().into_iter().enumerate() {
                if i > 0 {
                    out.push(b'.');
                }
                out.extend_from_slice(digits.format(octet).as_bytes());
            }
        }
        IpAddr::V6(ip) => write!(out, "{ip}").expect("a Vec takes every write"),
    }
}
