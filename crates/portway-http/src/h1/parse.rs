//! Heads: from bytes to a checked [`Request`] or reply head.
//!
//! Must hold: only a complete head is parsed, once; every line of it ends in CRLF; hop-by-hop fields,
//! Host and framing fields are consumed here and never reach the header map. Pure: no I/O, no clock.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode, Version};
use httparse::{EMPTY_HEADER, Header};
use portway_core::{Code, ProxyError, limits};

use crate::hygiene::fields::{self, ConnectionOptions, FieldKind};
use crate::hygiene::framing::{Framing, FramingScan};
use crate::hygiene::host::{HostMemo, parse_authority};
use crate::hygiene::intake::{Intake, Keep, Peer};
use crate::hygiene::path::PathRules;
use crate::hygiene::target::{check_length, connect_refused, read_path, read_query};
use crate::hygiene::trailers::is_welcome;
use crate::request::{Form, Request};

/// Fields that fit on the stack while a head is parsed; the hard maximum of `max_headers`.
pub const FIELDS_HARD_MAX: usize = 256;

/// What a listener allows of a request's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// The whole head, bytes.
    pub head_bytes_max: usize,
    /// Header fields; at most [`FIELDS_HARD_MAX`].
    pub fields_max: usize,
    /// The request target, bytes.
    pub target_bytes_max: usize,
    /// How paths become canonical.
    pub path: PathRules,
}

impl Default for HeadLimits {
    fn default() -> HeadLimits {
        HeadLimits {
            head_bytes_max: limits::HEADER_BYTES_MAX,
            fields_max: limits::HEADERS_MAX,
            target_bytes_max: limits::TARGET_BYTES_MAX,
            path: PathRules::default(),
        }
    }
}

/// What a request's head says about its connection and body.
#[derive(Debug)]
pub struct RequestHead {
    /// How its body ends.
    pub framing: Framing,
    /// Whether the client wants to go on using the connection.
    pub persistent: bool,
    /// Whether it waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// The protocol it asks to switch to.
    pub upgrade: Option<HeaderValue>,
}

/// A target's reply head.
#[derive(Debug)]
pub struct ReplyHead {
    /// The status; may be 1xx.
    pub status: StatusCode,
    /// End-to-end fields.
    pub headers: HeaderMap,
    /// How its body ends.
    pub framing: Framing,
    /// For HEAD and 304: the length a GET would have had.
    pub declared_length: Option<u64>,
    /// Whether the target keeps the connection open.
    pub persistent: bool,
    /// Whether it is a 101 that names in Upgrade, left among the fields, what it switches to.
    pub switches: bool,
}

/// Where the head that starts at 0 ends (past its empty line), if it is all there. `scanned` remembers
/// how far it was searched, so that a head that comes byte by byte is searched once. A bare LF is
/// refused here: some peers take it for a line's end and some do not (RFC 9112, 2.2).
pub fn head_end(input: &[u8], scanned: &mut usize) -> Result<Option<usize>, &'static str> {
    let mut from = *scanned;
    while let Some(offset) = memchr::memchr(b'\n', &input[from..]) {
        let lf = from + offset;
        if lf == 0 || input[lf - 1] != b'\r' {
            return Err("a line ends in a bare LF");
        }
        if lf == 1 || (lf >= 3 && input[lf - 2] == b'\n') {
            return Ok(Some(lf + 1));
        }
        from = lf + 1;
    }
    *scanned = input.len();
    Ok(None)
}

/// Reads a complete request head (with its empty line) into `request`.
pub fn request_head(
    head: &Bytes,
    limits: &HeadLimits,
    keep_forwarded: bool,
    request: &mut Request,
) -> Result<RequestHead, ProxyError> {
    let mut hosts = HostMemo::default();
    request_head_again(head, limits, keep_forwarded, &mut hosts, request)
}

/// As [`request_head`], on a connection whose last host is remembered.
pub(super) fn request_head_again(
    head: &Bytes,
    limits: &HeadLimits,
    keep_forwarded: bool,
    hosts: &mut HostMemo,
    request: &mut Request,
) -> Result<RequestHead, ProxyError> {
    let mut storage = [const { MaybeUninit::<Header<'_>>::uninit() }; FIELDS_HARD_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    let fields_max = limits.fields_max.min(FIELDS_HARD_MAX);
    let outcome = parsed.parse_with_uninit_headers(head, &mut storage[..fields_max]);
    let method = parsed.method.unwrap_or_default();
    match Method::from_bytes(method.as_bytes()) {
        Ok(method) => request.method = method,
        Err(_) => request.set_unread(),
    }
    match outcome {
        Ok(httparse::Status::Complete(_)) if method.is_empty() => {
            return Err(bad("the method is not a token"));
        }
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(bad("the head is incomplete")),
        Err(error) => return Err(refusal(error, head)),
    }
    request.version = if parsed.version == Some(1) {
        Version::HTTP_11
    } else {
        Version::HTTP_10
    };

    let peer = if keep_forwarded {
        Peer::Trusted
    } else {
        Peer::Unknown
    };
    let mut fields = Intake::default();
    for header in parsed.headers.iter() {
        if fields.take(header.name.as_bytes(), header.value, peer)? == Keep::Yes {
            append(head, header, &mut request.headers)?;
        }
    }
    if fields.connection.named {
        fields::remove_named(&mut request.headers, &fields.connection_values);
    }
    let target = parsed.path.unwrap_or_default().as_bytes();
    read_target(target, limits, fields.host, hosts, request)?;
    let framing = fields.framing.request(request.version)?;
    let http11 = request.version == Version::HTTP_11;
    Ok(RequestHead {
        framing,
        persistent: !fields.connection.close && (http11 || fields.connection.keep_alive),
        expects_continue: fields.expects_continue && http11 && framing != Framing::None,
        upgrade: if fields.connection.upgrade {
            fields.upgrade
        } else {
            None
        },
    })
}

fn append(head: &Bytes, header: &Header<'_>, headers: &mut HeaderMap) -> Result<(), ProxyError> {
    let name = HeaderName::from_bytes(header.name.as_bytes())
        .map_err(|_| bad("a header name is not a token"))?;
    let value = HeaderValue::from_maybe_shared(head.slice_ref(header.value))
        .map_err(|_| bad("a header value has a control character"))?;
    headers
        .try_append(name, value)
        .map_err(|_| ProxyError::new(Code::HeadersTooLarge, "there are too many header fields"))?;
    Ok(())
}

/// The target in its three forms (RFC 9112, section 3.2); host and path become canonical here, once.
fn read_target(
    target: &[u8],
    limits: &HeadLimits,
    host: Option<&[u8]>,
    hosts: &mut HostMemo,
    request: &mut Request,
) -> Result<(), ProxyError> {
    check_length(target, limits.target_bytes_max)?;
    match host {
        Some(host) => request.port = hosts.parse(host, &mut request.host)?,
        None if request.version == Version::HTTP_11 => {
            return Err(ProxyError::new(
                Code::BadHost,
                "HTTP/1.1 needs a Host field",
            ));
        }
        None => {}
    }
    if request.method == Method::CONNECT {
        return Err(connect_refused());
    }
    if target.first() == Some(&b'/') {
        request.form = Form::Origin;
        return read_path(target, limits.path, request);
    }
    if target == b"*" && request.method == Method::OPTIONS {
        request.form = Form::Asterisk;
        request.path.push('*');
        return Ok(());
    }
    let Some((rest, usual_port)) = absolute(target) else {
        return Err(bad("the request target is neither a path nor an http URL"));
    };
    request.form = Form::Absolute;
    let authority = rest
        .iter()
        .position(|b| matches!(b, b'/' | b'?'))
        .unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority);
    let mut named = String::new();
    let port = parse_authority(authority, &mut named)?;
    // A port that goes without saying may be said (RFC 9110, section 4.2.3).
    let same_port = port.unwrap_or(usual_port) == request.port.unwrap_or(usual_port);
    if host.is_some() && (named != request.host || !same_port) {
        return Err(ProxyError::new(
            Code::BadHost,
            "the target's host and the Host field disagree",
        ));
    }
    request.host = named;
    request.port = port;
    if path.first() == Some(&b'/') {
        return read_path(path, limits.path, request);
    }
    request.path.push('/');
    read_query(path.get(1..), request)
}

/// What follows `http://` or `https://`, and the port that it means if none is named.
fn absolute(target: &[u8]) -> Option<(&[u8], u16)> {
    let schemes = [(&b"http://"[..], 80), (b"https://", 443)];
    schemes.into_iter().find_map(|(scheme, port)| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some((rest, port))
    })
}

/// Reads a complete reply head (with its empty line).
pub fn reply_head(
    head: &Bytes,
    head_request: bool,
    mut headers: HeaderMap,
) -> Result<ReplyHead, ProxyError> {
    let mut storage = [const { MaybeUninit::<Header<'_>>::uninit() }; FIELDS_HARD_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut parsed, head, &mut storage) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(bad_reply("the head is incomplete".into())),
        Err(error) => return Err(bad_reply(error.to_string())),
    }
    let status = StatusCode::from_u16(parsed.code.unwrap_or_default())
        .map_err(|_| bad_reply("the status is out of range".into()))?;
    let version = if parsed.version == Some(1) {
        Version::HTTP_11
    } else {
        Version::HTTP_10
    };
    let mut framing = FramingScan::default();
    let mut connection = ConnectionOptions::default();
    let mut connection_values: Vec<&[u8]> = Vec::new();
    let (mut upgrade, mut upgrades) = (None, 0);
    for header in parsed.headers.iter() {
        match fields::classify(header.name.as_bytes()) {
            FieldKind::HopByHop | FieldKind::Te => {}
            FieldKind::Upgrade => {
                upgrade = Some(header);
                upgrades += 1;
            }
            FieldKind::ContentLength => framing.content_length(header.value).map_err(as_reply)?,
            FieldKind::TransferEncoding => {
                framing.transfer_encoding(header.value).map_err(as_reply)?
            }
            FieldKind::Connection => {
                connection.add(header.value);
                connection_values.push(header.value);
            }
            _ => append(head, header, &mut headers).map_err(as_reply)?,
        }
    }
    if connection.named {
        fields::remove_named(&mut headers, &connection_values);
    }
    // Two of them name a list, and nobody asks for one.
    let switching = status == StatusCode::SWITCHING_PROTOCOLS && upgrades == 1;
    let upgrade = upgrade.filter(|_| switching);
    if let (Some(header), true) = (upgrade, connection.upgrade) {
        append(head, header, &mut headers).map_err(as_reply)?;
    }
    let (framing, declared_length) = framing.response(version, head_request, status.as_u16())?;
    let persistent = !connection.close && (version == Version::HTTP_11 || connection.keep_alive);
    Ok(ReplyHead {
        status,
        headers,
        framing,
        declared_length,
        persistent: persistent && framing != Framing::Close,
        switches: upgrade.is_some() && connection.upgrade,
    })
}

/// Reads a trailer section (with its empty line); what may not be in one is dropped.
pub(crate) fn trailers(section: &Bytes) -> Result<Option<HeaderMap>, &'static str> {
    let mut storage = [EMPTY_HEADER; limits::HEADERS_MAX];
    let Ok(httparse::Status::Complete((_, parsed))) =
        httparse::parse_headers(section, &mut storage)
    else {
        return Err("the trailer section is malformed");
    };
    let mut headers = HeaderMap::new();
    for header in parsed {
        if is_welcome(header.name) {
            append(section, header, &mut headers)
                .map_err(|_| "the trailer section is malformed")?;
        }
    }
    Ok((!headers.is_empty()).then_some(headers))
}

fn bad(detail: &'static str) -> ProxyError {
    ProxyError::new(Code::BadRequest, detail)
}

fn bad_reply(detail: String) -> ProxyError {
    ProxyError::new(Code::UpstreamBadReply, detail)
}

/// The same fault, found in a reply.
fn as_reply(error: ProxyError) -> ProxyError {
    bad_reply(error.detail.into())
}

fn refusal(error: httparse::Error, head: &[u8]) -> ProxyError {
    match error {
        httparse::Error::TooManyHeaders => ProxyError::new(
            Code::HeadersTooLarge,
            "there are more header fields than the limit",
        ),
        httparse::Error::Version if names_other_version(head) => ProxyError::new(
            Code::UnsupportedVersion,
            "only HTTP/1.0 and HTTP/1.1 are spoken here",
        ),
        httparse::Error::Version => bad("the HTTP version is malformed"),
        httparse::Error::HeaderName => bad("a header name has an invalid character"),
        httparse::Error::HeaderValue => bad("a header value has an invalid character"),
        httparse::Error::Token => bad("the request line has an invalid character"),
        httparse::Error::NewLine => bad("a line end is malformed"),
        _ => bad("the head is malformed"),
    }
}

/// Whether the request line has three parts and the last is a well-formed `HTTP/d.d`.
fn names_other_version(head: &[u8]) -> bool {
    let line = head
        .split(|b| *b == b'\r')
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    let mut parts = line.split(|b| *b == b' ').skip(2);
    let version = parts.next().unwrap_or_default();
    parts.next().is_none()
        && matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit())
}
