//! Writing heads: always from the checked message, never from the bytes that came.
//!
//! Must hold: names and values were checked when they became `HeaderName` and `HeaderValue`, so no CR
//! or LF can slip in; the framing field written is the one the body follows.

use http::header::{DATE, HeaderMap, HeaderName};
use http::{Method, StatusCode};

use crate::body::BodyLength;
use crate::exchange::{Exchange, Protocol};
use crate::hygiene::forwarded;
use crate::hygiene::framing::Framing;
use crate::own_fields::OwnFields;
use crate::reply::Reply;
use crate::to_target::{self, HostField};
use crate::upgrade::Wanted;

/// Whether the client's connection goes on, and how it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// HTTP/1.1's silent default.
    KeepAlive,
    /// HTTP/1.0 wants to hear it.
    SayKeepAlive,
    /// The last reply.
    Close,
}

/// Appends a request's head for a target.
pub fn request_head(out: &mut Vec<u8>, exchange: &Exchange, host: HostField<'_>, framing: Framing) {
    let request = &exchange.request;
    out.extend_from_slice(request.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(to_target::path(exchange).as_bytes());
    if let Some(query) = &request.query {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
    }
    out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    out.extend_from_slice(host.name.as_bytes());
    if let Some(port) = host.port {
        out.push(b':');
        out.extend_from_slice(itoa::Buffer::new().format(port).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    let id_header = to_target::id_header(exchange);
    for (name, value) in to_target::fields(exchange, id_header) {
        field(out, name, value.as_bytes());
    }
    if let Some(name) = id_header {
        field(out, name, exchange.request_id.as_bytes());
    }
    forwarded::write_forwarded(exchange, out);
    if let Some(wanted) = exchange.upgrade.asked() {
        wanted.write(out);
    }
    match framing {
        Framing::None | Framing::Close if to_target::expects_body(&request.method) => {
            out.extend_from_slice(b"content-length: 0\r\n");
        }
        Framing::None | Framing::Close => {}
        Framing::Length(length) => content_length(out, length),
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    out.extend_from_slice(b"\r\n");
}

/// How a request's body is framed for a target.
#[must_use]
pub fn request_framing(length: BodyLength) -> Framing {
    match length {
        BodyLength::Exact(0) => Framing::None,
        BodyLength::Exact(length) => Framing::Length(length),
        BodyLength::Unknown => Framing::Chunked,
    }
}

/// How a reply's body is framed for a client; `None` where the reply has no body.
#[must_use]
pub fn reply_framing(reply: &Reply, method: &Method, protocol: Protocol) -> Framing {
    if *method == Method::HEAD || is_bodiless(reply.status) {
        return Framing::None;
    }
    match reply.body.length() {
        BodyLength::Exact(length) => Framing::Length(length),
        BodyLength::Unknown if protocol == Protocol::Http10 => Framing::Close,
        BodyLength::Unknown => Framing::Chunked,
    }
}

/// Statuses without a body (RFC 9110, section 6.4.1).
#[must_use]
pub fn is_bodiless(status: StatusCode) -> bool {
    status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
}

/// Appends a reply's head for a client.
pub fn reply_head(
    out: &mut Vec<u8>,
    reply: &Reply,
    own: &OwnFields,
    framing: Framing,
    persistence: Persistence,
    date: &DateCache,
) {
    status_line(out, reply.status);
    let mut dated = false;
    for (name, value) in &reply.headers {
        dated |= *name == DATE;
        if !own.replaces(name) {
            field(out, name, value.as_bytes());
        }
    }
    out.extend_from_slice(own.lines());
    // A reply with a date of its own keeps it (RFC 9110, section 6.6.1).
    if !dated {
        out.extend_from_slice(b"date: ");
        out.extend_from_slice(date.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    match (framing, reply.declared_length) {
        (Framing::Length(length), _) => content_length(out, length),
        (Framing::Chunked, _) => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        (Framing::None, Some(length)) if reply.status != StatusCode::NO_CONTENT => {
            content_length(out, length);
        }
        _ => {}
    }
    match persistence {
        Persistence::KeepAlive => {}
        Persistence::SayKeepAlive => out.extend_from_slice(b"connection: keep-alive\r\n"),
        Persistence::Close => out.extend_from_slice(b"connection: close\r\n"),
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends an informational reply (1xx) as it came from the target.
pub fn informational_head(out: &mut Vec<u8>, status: StatusCode, headers: &HeaderMap) {
    status_line(out, status);
    for (name, value) in headers {
        field(out, name, value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the reply with which the connection to a client becomes a tunnel.
pub fn switching_head(out: &mut Vec<u8>, reply: &Reply, own: &OwnFields, to: &Wanted) {
    status_line(out, reply.status);
    for (name, value) in &reply.headers {
        if !own.replaces(name) {
            field(out, name, value.as_bytes());
        }
    }
    out.extend_from_slice(own.lines());
    to.write(out);
    out.extend_from_slice(b"\r\n");
}

/// Appends the last chunk and the trailer section.
pub(super) fn last_chunk(out: &mut Vec<u8>, trailers: Option<&HeaderMap>) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        field(out, name, value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

fn status_line(out: &mut Vec<u8>, status: StatusCode) {
    if status == StatusCode::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn field(out: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn content_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"content-length: ");
    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The `Date` field's value, made once a second (RFC 9110, section 5.6.7).
#[derive(Clone, Debug)]
pub struct DateCache {
    second: u64,
    text: [u8; 29],
}

impl DateCache {
    /// The date of this Unix second.
    #[must_use]
    pub fn new(second: u64) -> DateCache {
        let mut cache = DateCache {
            second,
            text: [b' '; 29],
        };
        cache.format();
        cache
    }

    /// Moves on to this Unix second.
    pub fn update(&mut self, second: u64) {
        if second != self.second {
            self.second = second;
            self.format();
        }
    }

    fn format(&mut self) {
        let date = httpdate::HttpDate::from(
            std::time::UNIX_EPOCH + std::time::Duration::from_secs(self.second),
        );
        let text = date.to_string();
        if text.len() == self.text.len() {
            self.text.copy_from_slice(text.as_bytes());
        }
    }

    /// The value.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_the_date_as_imf_fixdate() {
        let mut date = DateCache::new(784_111_777);
        assert_eq!(date.as_bytes(), b"Sun, 06 Nov 1994 08:49:37 GMT");
        date.update(784_111_778);
        assert_eq!(date.as_bytes(), b"Sun, 06 Nov 1994 08:49:38 GMT");
    }
}
