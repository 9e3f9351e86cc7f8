//! HTTP/2 heads: what is accepted is canonical, free of what ends at the gateway, and written on as HTTP/1 is
//! one head by the grammar, which says the same (CVE-2023-27491, CVE-2021-39240).
//!
//! The first octet says whether the peer is trusted, and how long the body is said to be; each line of the
//! rest is a field, `name: value`, pseudo-header fields included.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request as Head, Uri, Version};
use portway_http::h1::HeadLimits;
use portway_http::hygiene::fields::{FieldKind, classify};
use portway_http::hygiene::framing::Framing;
use portway_http::hygiene::intake::Peer;
use portway_http::streams::head;
use portway_http::{BodyLength, Request};

use crate::request_head::{is_canonical, survives_serializing};

/// Checks one head.
pub fn check(data: &[u8]) {
    let Some((&choice, lines)) = data.split_first() else {
        return;
    };
    let Some(parts) = decoded(lines) else {
        return;
    };
    let trusted = choice & 1 != 0;
    let peer = if trusted {
        Peer::Trusted
    } else {
        Peer::Unknown
    };
    let mut request = Request::blank();
    let Ok(read) = head::read(parts, None, &HeadLimits::default(), peer, &mut request) else {
        return;
    };
    is_canonical(&request);
    for name in request.headers.keys() {
        let kind = classify(name.as_str().as_bytes());
        let claim = matches!(kind, FieldKind::Forwarded | FieldKind::Internal);
        assert!(
            kind == FieldKind::EndToEnd || (claim && trusted),
            "{name} is passed on"
        );
    }
    let framing = match (read.declared, choice & 2) {
        (BodyLength::Exact(length), _) => Framing::Length(length),
        (BodyLength::Unknown, 0) => Framing::None,
        (BodyLength::Unknown, _) => Framing::Chunked,
    };
    request.version = Version::HTTP_11;
    survives_serializing(request, framing, trusted);
}

/// The head as the `h2` crate would give it; none if it gives none.
fn decoded(lines: &[u8]) -> Option<Parts> {
    let mut headers = HeaderMap::new();
    let mut pseudo = [const { None::<&[u8]> }; 4];
    for line in lines.split(|b| *b == b'\n').take(128) {
        let colon = line.iter().skip(1).position(|b| *b == b':')? + 1;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let names: [&[u8]; 4] = [b":method", b":scheme", b":authority", b":path"];
        if let Some(at) = names.iter().position(|known| *known == name) {
            pseudo[at] = Some(value);
            continue;
        }
        if name.iter().any(u8::is_ascii_uppercase) {
            return None;
        }
        headers.append(
            HeaderName::from_bytes(name).ok()?,
            HeaderValue::from_bytes(value).ok()?,
        );
    }
    let [method, scheme, authority, path] = pseudo;
    let mut uri = Uri::builder();
    if let Some(scheme) = scheme {
        uri = uri.scheme(scheme);
    }
    if let Some(authority) = authority {
        uri = uri.authority(authority);
    }
    if let Some(path) = path {
        uri = uri.path_and_query(path);
    }
    let mut head = Head::new(());
    *head.method_mut() = Method::from_bytes(method?).ok()?;
    *head.uri_mut() = uri.build().ok()?;
    *head.version_mut() = Version::HTTP_2;
    *head.headers_mut() = headers;
    Some(head.into_parts().0)
}
