//! A reply: a target's, or the gateway's own.
//!
//! Must hold: `headers` holds no hop-by-hop field and no Content-Length; the body's length decides
//! how it is framed. The gateway's own replies carry a problem document (RFC 9457), `Proxy-Status`
//! (RFC 9209) and the request id, so that whoever reads them knows who refused and why.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use portway_core::{ProxyError, Side};

use crate::{Body, Exchange};

/// A reply on its way to the client.
#[derive(Debug)]
pub struct Reply {
    /// The status; never 1xx.
    pub status: StatusCode,
    /// End-to-end fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
    /// For HEAD and 304: the length that the same reply to GET would have.
    pub declared_length: Option<u64>,
    /// Whether the client's connection must close after it (HTTP/1).
    pub close: bool,
}

impl Reply {
    /// A reply without fields.
    #[must_use]
    pub fn new(status: StatusCode, body: impl Into<Body>) -> Reply {
        Reply {
            status,
            headers: HeaderMap::new(),
            body: body.into(),
            declared_length: None,
            close: false,
        }
    }

    /// The same with one more field.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Reply {
        self.headers.insert(name, value);
        self
    }

    /// The gateway's refusal as a problem document (RFC 9457). `detail` goes to the client only where
    /// the client caused it; what the gateway and its upstreams did is for the log.
    #[must_use]
    pub fn problem(error: &ProxyError, exchange: &Exchange) -> Reply {
        let code = error.kind;
        let mut text = String::with_capacity(256);
        text.push_str("{\"type\":\"about:blank\",\"title\":\"");
        text.push_str(code.title());
        text.push_str("\",\"status\":");
        text.push_str(itoa::Buffer::new().format(code.status()));
        text.push_str(",\"code\":\"");
        text.push_str(code.as_str());
        if error.side == Side::Downstream && !error.detail.is_empty() {
            text.push_str("\",\"detail\":\"");
            escape(&error.detail, &mut text);
        }
        if !exchange.request_id.is_none() {
            text.push_str("\",\"request_id\":\"");
            text.push_str(exchange.request_id.as_str());
        }
        text.push_str("\"}\n");
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::BAD_GATEWAY);
        let mut reply = Reply::new(status, Body::Full(Bytes::from(text)));
        reply.headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        let proxy_status = format!(
            "portway; error={}; details=\"{}\"",
            code.proxy_status(),
            code
        );
        if let Ok(value) = HeaderValue::try_from(proxy_status) {
            reply
                .headers
                .insert(HeaderName::from_static("proxy-status"), value);
        }
        reply
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        Body::Full(bytes)
    }
}

/// JSON string escaping (RFC 8259, section 7).
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
}
