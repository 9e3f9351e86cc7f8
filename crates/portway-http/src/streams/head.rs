//! A request's head: from what HPACK or QPACK decoded to a checked [`Request`].
//!
//! Must hold: the same rules as for HTTP/1, by the same code; `:authority` and Host name one host; what
//! has a meaning for one connection only never gets past here (RFC 9113, sections 8.2.2 and 8.3.1; RFC 9114,
//! sections 4.2 and 4.3.1), so that a request written on as HTTP/1 says what it said before
//! (CVE-2023-27491, CVE-2021-39240).

use http::header::{COOKIE, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Version};
use portway_core::{Code, ProxyError};

use crate::body::BodyLength;
use crate::h1::HeadLimits;
use crate::hygiene::framing::Framing;
use crate::hygiene::host::parse_authority;
use crate::hygiene::intake::{Intake, Keep, Peer};
use crate::hygiene::target::{check_length, connect_refused, read_path};
use crate::request::{Form, Request};
use crate::upgrade::{WEBSOCKET, WEBSOCKET_KEY};

/// What a request's head says about its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How long it declares the body to be.
    pub declared: BodyLength,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// Whether it asks for a WebSocket: then it is a GET from here on, as over HTTP/1.
    pub websocket: bool,
}

/// Reads a decoded head into `request`. `protocol` is its `:protocol`.
///
/// # Errors
/// What HTTP/1's reader would say: the request can be answered, and nothing else must be done with it.
pub fn read(
    parts: Parts,
    protocol: Option<&str>,
    limits: &HeadLimits,
    peer: Peer,
    request: &mut Request,
) -> Result<Head, ProxyError> {
    request.method = parts.method;
    request.version = parts.version;
    request.headers = parts.headers;
    join_cookies(&mut request.headers);
    let target = parts
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    check_size(request, target, limits)?;
    let (host, mut head) = take_fields(&mut request.headers, parts.version, peer)?;
    let authority = parts.uri.authority().map(|a| a.as_str().as_bytes());
    read_host(authority, host.as_deref(), request)?;
    // Proxies that end TLS in front of this one may say either; both mean the same here.
    if !matches!(parts.uri.scheme_str(), None | Some("http" | "https")) {
        return Err(bad("the scheme is neither http nor https"));
    }
    check_length(target.as_bytes(), limits.target_bytes_max)?;
    if request.method == Method::CONNECT {
        check_connect(protocol, &head)?;
        head.websocket = true;
        request.method = Method::GET;
        // The gateway itself proves it to the client's end, and asks the target for proof.
        request.headers.remove(WEBSOCKET_KEY);
    }
    if target == "*" && request.method == Method::OPTIONS {
        request.form = Form::Asterisk;
        request.path.push('*');
        return Ok(head);
    }
    if !target.starts_with('/') {
        return Err(bad("the path does not begin with a slash"));
    }
    request.form = Form::Origin;
    read_path(target.as_bytes(), limits.path, request)?;
    Ok(head)
}

/// A tunnel is offered to WebSocket only (RFC 8441, section 5).
fn check_connect(protocol: Option<&str>, head: &Head) -> Result<(), ProxyError> {
    let Some(protocol) = protocol else {
        return Err(connect_refused());
    };
    if !protocol.eq_ignore_ascii_case(WEBSOCKET) {
        let detail = "`:protocol` is not websocket, and no other tunnel is offered";
        return Err(ProxyError::new(Code::NotImplemented, detail));
    }
    match head.declared {
        BodyLength::Unknown => Ok(()),
        BodyLength::Exact(_) => Err(bad("a tunnel has no Content-Length")),
    }
}

/// Cookies may come in pieces, for the sake of compression; everything behind expects one field
/// (RFC 9113, section 8.2.3; RFC 9114, section 4.2.1).
fn join_cookies(headers: &mut HeaderMap) {
    let mut pieces = headers.get_all(COOKIE).into_iter();
    if pieces.next().is_none() || pieces.next().is_none() {
        return;
    }
    let pieces: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(|p| p.as_bytes())
        .filter(|p| !p.is_empty()) // it would leave a separator at an end
        .collect();
    // Pieces that were values make a value.
    if let Ok(whole) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        headers.insert(COOKIE, whole);
    }
}

/// The limits of HTTP/1's head, as if it were written as one.
fn check_size(request: &Request, target: &str, limits: &HeadLimits) -> Result<(), ProxyError> {
    if request.headers.len() > limits.fields_max {
        return Err(ProxyError::new(
            Code::HeadersTooLarge,
            "there are more header fields than the limit",
        ));
    }
    let line = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    let fields: usize = request.headers.iter().map(line).sum();
    if fields + target.len() > limits.head_bytes_max {
        return Err(ProxyError::new(
            Code::HeadersTooLarge,
            "the head is over the limit",
        ));
    }
    Ok(())
}

/// The Host field, if there is one.
type Host = Option<Box<[u8]>>;

/// Takes out what is not for the other end.
fn take_fields(
    headers: &mut HeaderMap,
    version: Version,
    peer: Peer,
) -> Result<(Host, Head), ProxyError> {
    let mut fields = Intake::default();
    let mut ended: Vec<HeaderName> = Vec::new();
    for (name, value) in headers.iter() {
        // HTTP/1 would read the value without it: a filter and a target would see two requests
        // (RFC 9113, section 8.2.1; RFC 9114, section 4.2).
        if value.as_bytes().trim_ascii().len() != value.len() {
            return Err(bad("a field's value begins or ends with white space"));
        }
        if fields.take(name.as_str().as_bytes(), value.as_bytes(), peer)? == Keep::No
            && ended.last() != Some(name)
        {
            ended.push(name.clone());
        }
    }
    // The library has refused these already; nothing behind relies on that.
    if !fields.connection_values.is_empty() || fields.upgrade.is_some() {
        return Err(bad(
            "a field is about the connection, which this version of HTTP forbids",
        ));
    }
    let declared = match fields.framing.request(version)? {
        Framing::Length(length) => BodyLength::Exact(length),
        Framing::None => BodyLength::Unknown,
        Framing::Chunked | Framing::Close => {
            return Err(bad("Transfer-Encoding, which this version of HTTP forbids"));
        }
    };
    let head = Head {
        declared,
        expects_continue: fields.expects_continue,
        websocket: false,
    };
    let host = fields.host.map(Box::from);
    for name in ended {
        headers.remove(name);
    }
    Ok((host, head))
}

fn read_host(
    authority: Option<&[u8]>,
    host: Option<&[u8]>,
    request: &mut Request,
) -> Result<(), ProxyError> {
    let Some(first) = authority.or(host) else {
        return Err(ProxyError::new(
            Code::BadHost,
            "there is neither :authority nor a Host field",
        ));
    };
    request.port = parse_authority(first, &mut request.host)?;
    if let (Some(_), Some(host)) = (authority, host) {
        let mut named = String::new();
        let port = parse_authority(host, &mut named)?;
        if named != request.host || port != request.port {
            return Err(ProxyError::new(
                Code::BadHost,
                ":authority and the Host field disagree",
            ));
        }
    }
    Ok(())
}

fn bad(detail: &'static str) -> ProxyError {
    ProxyError::new(Code::BadRequest, detail)
}

#[cfg(test)]
mod tests;
