//! Reply heads: what is accepted is by the grammar, free of what ends at the gateway, and comes out of
//! the serializer as the same reply.
//!
//! The first octet says whether the request was HEAD; the rest is what a target sent.

use bytes::Bytes;
use http::HeaderMap;
use http::header::{DATE, UPGRADE};
use portway_http::h1::parse::reply_head;
use portway_http::h1::serialize::{self, DateCache};
use portway_http::h1::{Persistence, ReplyHead};
use portway_http::hygiene::fields::{FieldKind, classify};
use portway_http::hygiene::framing::Framing;
use portway_http::{Body, OwnFields, Reply};

use crate::grammar;
use crate::request_head::complete_head;

/// Checks the head that the input starts with.
pub fn check(data: &[u8]) {
    let Some((&choice, input)) = data.split_first() else {
        return;
    };
    let Some(head) = complete_head(input) else {
        return;
    };
    let head_request = choice & 1 != 0;
    let Ok(parsed) = reply_head(
        &Bytes::copy_from_slice(head),
        head_request,
        HeaderMap::new(),
    ) else {
        return;
    };
    assert!(grammar::is_reply_head(head), "laxer than the grammar");
    let status = parsed.status.as_u16();
    let bodiless = head_request || matches!(status, 100..=199 | 204 | 304);
    assert_eq!(parsed.framing == Framing::None, bodiless, "{parsed:?}");
    assert!(
        parsed.framing != Framing::Close || !parsed.persistent,
        "{parsed:?}"
    );
    for name in parsed.headers.keys() {
        let kind = classify(name.as_str().as_bytes());
        let ends_here = matches!(
            kind,
            FieldKind::HopByHop
                | FieldKind::ContentLength
                | FieldKind::TransferEncoding
                | FieldKind::Connection
        );
        let switches = kind == FieldKind::Upgrade && !parsed.switches;
        assert!(!ends_here && !switches, "{name} is passed on");
    }
    survives_serializing(parsed, head_request);
}

fn survives_serializing(parsed: ReplyHead, head_request: bool) {
    let mut out = Vec::new();
    let mut reply = Reply::new(parsed.status, Body::Empty);
    reply.headers = parsed.headers;
    reply.headers.remove(UPGRADE); // of a switch, which has a head of its own
    reply.declared_length = parsed.declared_length;
    if parsed.status.is_informational() {
        serialize::informational_head(&mut out, reply.status, &reply.headers);
    } else {
        serialize::reply_head(
            &mut out,
            &reply,
            &OwnFields::default(),
            parsed.framing,
            Persistence::KeepAlive,
            &DateCache::new(0),
        );
    }
    let out = Bytes::from(out);
    assert!(grammar::is_reply_head(&out), "writes a bad head: {out:?}");
    let again = reply_head(&out, head_request, HeaderMap::new());
    let mut again = again.unwrap_or_else(|e| panic!("cannot read its own head: {e}: {out:?}"));
    assert_eq!(
        (again.status, again.framing),
        (reply.status, parsed.framing),
        "{out:?}"
    );
    assert_eq!(again.declared_length, parsed.declared_length, "{out:?}");
    if !reply.headers.contains_key(DATE) {
        again.headers.remove(DATE);
    }
    assert_eq!(again.headers, reply.headers, "{out:?}");
}
