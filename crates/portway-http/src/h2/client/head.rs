//! Heads of requests to a target, and of its replies (RFC 9113, section 8.3).
//!
//! Must hold: what leaves was decided when the client's head was read, field by field, as with HTTP/1;
//! what comes passes the same hygiene as an HTTP/1 reply: no hop-by-hop field, one length or none.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, TE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, StatusCode, Uri, Version};
use portway_core::{Code, ProxyError};

use crate::body::BodyLength;
use crate::exchange::Exchange;
use crate::h1::parse::FIELDS_HARD_MAX;
use crate::hygiene::fields::{FieldKind, classify};
use crate::hygiene::forwarded::{ForwardedField, write_value};
use crate::hygiene::framing::{Framing, FramingScan};
use crate::to_target::{self, HostField};
use crate::upgrade::{WEBSOCKET, WEBSOCKET_KEY};

/// A reply's head after hygiene; never informational.
#[derive(Debug)]
pub struct ReplyHead {
    /// The status.
    pub status: StatusCode,
    /// End-to-end fields.
    pub headers: HeaderMap,
    /// What is known of the body's length.
    pub length: BodyLength,
    /// For HEAD and 304: the length a GET would have had.
    pub declared_length: Option<u64>,
}

/// The head of a request with a body of this length.
///
/// # Errors
///
/// [`Code::BadHost`] for a host that is none.
pub(super) fn request(
    exchange: &Exchange,
    host: HostField<'_>,
    scheme: Scheme,
    length: BodyLength,
) -> Result<Request<()>, ProxyError> {
    let mut head = Request::new(());
    *head.method_mut() = exchange.request.method.clone();
    *head.version_mut() = Version::HTTP_2;
    *head.uri_mut() = uri(exchange, host, scheme)?;
    *head.headers_mut() = fields(exchange, length);
    Ok(head)
}

/// The head that asks for a WebSocket (RFC 8441, section 5). The key is for HTTP/1 only.
///
/// # Errors
///
/// As [`request`].
pub(super) fn websocket(
    exchange: &Exchange,
    host: HostField<'_>,
    scheme: Scheme,
) -> Result<Request<()>, ProxyError> {
    let mut head = request(exchange, host, scheme, BodyLength::Exact(0))?;
    *head.method_mut() = Method::CONNECT;
    head.headers_mut().remove(WEBSOCKET_KEY);
    head.headers_mut().remove(TE);
    let protocol = ::h2::ext::Protocol::from_static(WEBSOCKET);
    head.extensions_mut().insert(protocol);
    Ok(head)
}

fn uri(exchange: &Exchange, host: HostField<'_>, scheme: Scheme) -> Result<Uri, ProxyError> {
    let mut authority = String::with_capacity(host.name.len() + 6);
    authority.push_str(host.name);
    if let Some(port) = host.port {
        authority.push(':');
        authority.push_str(itoa::Buffer::new().format(port));
    }
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(scheme);
    parts.authority = Some(
        Authority::from_maybe_shared(Bytes::from(authority))
            .map_err(|_| ProxyError::new(Code::BadHost, "the host is not an authority"))?,
    );
    parts.path_and_query = Some(path_and_query(exchange)?);
    Uri::from_parts(parts).map_err(|_| not_a_path())
}

fn path_and_query(exchange: &Exchange) -> Result<PathAndQuery, ProxyError> {
    let path = to_target::path(exchange);
    let query = exchange.request.query.as_deref();
    let mut text = String::with_capacity(path.len() + query.map_or(0, |q| q.len() + 1));
    text.push_str(path);
    if let Some(query) = query {
        text.push('?');
        text.push_str(query);
    }
    let text = Bytes::from(text);
    PathAndQuery::from_maybe_shared(text.clone())
        .or_else(|_| PathAndQuery::from_maybe_shared(Bytes::from(escaped(&text))))
        .map_err(|_| not_a_path())
}

/// Characters that no URI has (RFC 3986, section 2) but clients send: what they mean stays the same.
fn escaped(text: &[u8]) -> Vec<u8> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Vec::with_capacity(text.len() + 16);
    for &byte in text {
        if matches!(
            byte,
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}'
        ) {
            out.extend([
                b'%',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]);
        } else {
            out.push(byte);
        }
    }
    out
}

fn not_a_path() -> ProxyError {
    ProxyError::new(Code::BadRequest, "the path cannot be written as a URI")
}

fn fields(exchange: &Exchange, length: BodyLength) -> HeaderMap {
    let request = &exchange.request;
    let mut headers = HeaderMap::with_capacity(request.headers.len() + 8);
    let id_header = to_target::id_header(exchange);
    for (name, value) in to_target::fields(exchange, id_header) {
        headers.append(name.clone(), value.clone());
    }
    if let Some(name) = id_header {
        insert(
            &mut headers,
            name.clone(),
            exchange.request_id.as_str().into(),
        );
    }
    for field in ForwardedField::ALL {
        let mut value = Vec::new();
        if write_value(field, exchange, &mut value) {
            insert(&mut headers, HeaderName::from_static(field.name()), value);
        }
    }
    match length {
        BodyLength::Exact(0) if !to_target::expects_body(&request.method) => {}
        BodyLength::Exact(length) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        BodyLength::Unknown => {}
    }
    // Trailers are passed on whoever the client is; gRPC servers insist on hearing it.
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: Vec<u8>) {
    // What a trusted peer told may hold any octet that a field value may; nothing else is lost.
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value)) {
        headers.insert(name, value);
    }
}

/// Reads a final reply's head.
///
/// # Errors
///
/// [`Code::UpstreamBadReply`].
pub(super) fn reply(
    parts: http::response::Parts,
    head_request: bool,
) -> Result<ReplyHead, ProxyError> {
    let mut headers = parts.headers;
    let scan = clean(&mut headers)?;
    let status = parts.status;
    let (framing, declared_length) =
        scan.response(Version::HTTP_2, head_request, status.as_u16())?;
    let length = match framing {
        Framing::None => BodyLength::Exact(0),
        Framing::Length(length) => BodyLength::Exact(length),
        Framing::Chunked | Framing::Close => BodyLength::Unknown,
    };
    Ok(ReplyHead {
        status,
        headers,
        length,
        declared_length,
    })
}

/// Takes out of a reply's fields what is not for the client.
///
/// # Errors
///
/// [`Code::UpstreamBadReply`].
pub(super) fn clean(headers: &mut HeaderMap) -> Result<FramingScan, ProxyError> {
    if headers.len() > FIELDS_HARD_MAX {
        return Err(ProxyError::new(
            Code::UpstreamBadReply,
            "the reply has too many header fields",
        ));
    }
    let mut scan = FramingScan::for_reply();
    let mut unwanted = Vec::new();
    for name in headers.keys() {
        match classify(name.as_str().as_bytes()) {
            FieldKind::ContentLength => {
                for value in headers.get_all(name) {
                    scan.content_length(value.as_bytes())?;
                }
                unwanted.push(name.clone());
            }
            FieldKind::HopByHop
            | FieldKind::Te
            | FieldKind::Upgrade
            | FieldKind::Connection
            | FieldKind::TransferEncoding => unwanted.push(name.clone()),
            _ => {}
        }
    }
    for name in unwanted {
        headers.remove(name);
    }
    Ok(scan)
}
