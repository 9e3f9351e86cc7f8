//! A fixed reply, as the config spells it out.
//!
//! Must hold: it carries no field that says how the message is framed, since the body that is sent
//! decides that.

use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, TRANSFER_ENCODING};
use portway_http::h1::serialize::is_bodiless;
use portway_http::{Body, Exchange, Reply};
use portway_plan::Respond;

use super::without_body_for_head;

/// Answers with the status, fields and body of the config. A body without a type is plain text: a
/// browser left to guess could take it for a page.
#[must_use]
pub fn respond(spec: &Respond, exchange: &mut Exchange) -> Reply {
    let body = if is_bodiless(spec.status) || spec.body.is_empty() {
        Body::Empty
    } else {
        Body::Full(spec.body.clone())
    };
    let mut reply = Reply::new(spec.status, body);
    reply.headers = spec.headers.clone();
    for framing in [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION] {
        reply.headers.remove(framing);
    }
    if !reply.body.is_empty() && !reply.headers.contains_key(CONTENT_TYPE) {
        let plain = match std::str::from_utf8(&spec.body) {
            Ok(_) => "text/plain; charset=utf-8",
            Err(_) => "application/octet-stream",
        };
        reply
            .headers
            .insert(CONTENT_TYPE, HeaderValue::from_static(plain));
    }
    without_body_for_head(exchange, reply)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::{HeaderMap, Method, StatusCode};
    use portway_http::BodyLength;

    fn spec(status: u16, body: &'static [u8]) -> Respond {
        Respond {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::from_static(body),
        }
    }

    fn exchange(method: Method) -> Exchange {
        let mut exchange = Exchange::blank();
        exchange.request.method = method;
        exchange
    }

    #[test]
    fn answers_as_the_config_says() {
        let mut spec = spec(202, b"pong");
        spec.headers.insert("x-a", HeaderValue::from_static("1"));
        spec.headers
            .insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        let reply = respond(&spec, &mut exchange(Method::POST));
        assert_eq!(reply.status, 202);
        assert_eq!(reply.headers["x-a"], "1");
        assert_eq!(reply.headers[CONTENT_TYPE], "text/html");
        assert_eq!(reply.body.length(), BodyLength::Exact(4));
    }

    #[test]
    fn a_body_without_a_type_is_text_or_octets() {
        let text = respond(&spec(200, b"pong"), &mut exchange(Method::GET));
        assert_eq!(text.headers[CONTENT_TYPE], "text/plain; charset=utf-8");
        let octets = respond(&spec(200, b"\xff\xfe"), &mut exchange(Method::GET));
        assert_eq!(octets.headers[CONTENT_TYPE], "application/octet-stream");
        let nothing = respond(&spec(200, b""), &mut exchange(Method::GET));
        assert!(!nothing.headers.contains_key(CONTENT_TYPE));
    }

    #[test]
    fn head_gets_the_fields_and_the_length_but_no_body() {
        let reply = respond(&spec(200, b"pong"), &mut exchange(Method::HEAD));
        assert!(reply.body.is_empty());
        assert_eq!(reply.declared_length, Some(4));
        assert!(reply.headers.contains_key(CONTENT_TYPE));
    }

    #[test]
    fn statuses_without_a_body_have_none() {
        for status in [204, 304] {
            for method in [Method::GET, Method::HEAD] {
                let reply = respond(&spec(status, b"pong"), &mut exchange(method));
                assert!(reply.body.is_empty(), "{status}");
                assert!(!reply.headers.contains_key(CONTENT_TYPE), "{status}");
            }
        }
    }

    #[test]
    fn drops_fields_that_would_frame_the_message() {
        let mut spec = spec(200, b"pong");
        for name in [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION] {
            spec.headers.insert(name, HeaderValue::from_static("99"));
        }
        let reply = respond(&spec, &mut exchange(Method::GET));
        assert_eq!(reply.headers.len(), 1, "only the type: {:?}", reply.headers);
    }
}
