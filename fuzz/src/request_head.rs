//! Request heads: what is accepted is by the grammar, canonical, free of what ends at the gateway, and
//! comes out of the serializer as the same request.
//!
//! The first octet says whether the peer is trusted; the rest is what a client sent.

use bytes::Bytes;
use http::HeaderMap;
use portway_http::h1::parse::{head_end, request_head};
use portway_http::h1::{HeadLimits, serialize};
use portway_http::hygiene::fields::{FieldKind, classify};
use portway_http::hygiene::forwarded::is_forwarded_header;
use portway_http::hygiene::framing::Framing;
use portway_http::{Exchange, Form, Request};

use crate::{grammar, host, path};

/// Checks the head that the input starts with.
pub fn check(data: &[u8]) {
    let Some((&choice, input)) = data.split_first() else {
        return;
    };
    let Some(head) = complete_head(input) else {
        return;
    };
    let trusted = choice & 1 != 0;
    let mut request = Request::blank();
    let Ok(parsed) = request_head(
        &Bytes::copy_from_slice(head),
        &HeadLimits::default(),
        trusted,
        &mut request,
    ) else {
        return;
    };
    assert!(grammar::is_request_head(head), "laxer than the grammar");
    is_canonical(&request);
    for name in request.headers.keys() {
        let kind = classify(name.as_str().as_bytes());
        let claim = matches!(kind, FieldKind::Forwarded | FieldKind::Internal);
        assert!(
            kind == FieldKind::EndToEnd || (claim && trusted),
            "{name} is passed on"
        );
    }
    survives_serializing(request, parsed.framing, trusted);
}

/// The head up to its empty line, found in one go and octet by octet alike.
pub fn complete_head(input: &[u8]) -> Option<&[u8]> {
    let whole = head_end(input, &mut 0);
    let mut scanned = 0;
    let in_steps = (0..=input.len())
        .map(|n| head_end(&input[..n], &mut scanned))
        .find(|r| *r != Ok(None));
    assert_eq!(
        in_steps.unwrap_or(Ok(None)),
        whole,
        "a head ends elsewhere when it comes in pieces"
    );
    whole.ok().flatten().map(|end| &input[..end])
}

/// Host and path have one reading.
pub fn is_canonical(request: &Request) {
    match request.form {
        Form::Asterisk => assert_eq!(request.path, "*"),
        Form::Origin | Form::Absolute => path::is_unambiguous(&request.path),
    }
    if !request.host.is_empty() {
        host::is_canonical(&request.host);
    }
}

/// What is written of it as HTTP/1 is one head, by the grammar, and says the same.
pub fn survives_serializing(request: Request, framing: Framing, trusted: bool) {
    let mut exchange = Exchange::blank();
    exchange.client.trusted = trusted;
    exchange.request = request;
    let mut out = Vec::new();
    let host = portway_http::HostField {
        name: "target.example",
        port: None,
    };
    serialize::request_head(&mut out, &exchange, host, framing);
    let out = Bytes::from(out);
    assert!(grammar::is_request_head(&out), "writes a bad head: {out:?}");
    assert_eq!(
        head_end(&out, &mut 0),
        Ok(Some(out.len())),
        "writes more than one head: {out:?}"
    );
    let mut again = Request::blank();
    // The serialized head may be longer by what the gateway adds.
    let limits = HeadLimits {
        fields_max: 256,
        target_bytes_max: usize::MAX,
        ..HeadLimits::default()
    };
    let second = request_head(&out, &limits, true, &mut again);
    let second = second.unwrap_or_else(|e| panic!("cannot read its own head: {e}: {out:?}"));
    let request = &exchange.request;
    assert_eq!(
        without_length_zero(second.framing),
        without_length_zero(framing),
        "{out:?}"
    );
    assert_eq!(
        (&again.method, &again.path, &again.query),
        (&request.method, &request.path, &request.query)
    );
    assert_eq!(
        passed_on(&again.headers),
        passed_on(&request.headers),
        "{out:?}"
    );
}

/// Both mean that no octet follows.
fn without_length_zero(framing: Framing) -> Framing {
    if framing == Framing::Length(0) {
        Framing::None
    } else {
        framing
    }
}

/// The fields that the gateway does not write itself.
fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let own = headers
        .iter()
        .filter(|(name, _)| !is_forwarded_header(name));
    own.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
