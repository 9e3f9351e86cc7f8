//! Request heads against hyper's server: whatever the gateway accepts, hyper accepts and understands
//! in the same way; where only hyper accepts, the gateway's reason is one of the listed ones.
//!
//! hyper is no judge of what is right (it reads bare LF, for one), but a second reader with the same
//! job: a request that the two measure differently is one that can be smuggled.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use http::{HeaderMap, Method, Response, Uri};
use hyper::body::{Body, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use portway_core::{Code, ProxyError};
use portway_http::h1::HeadLimits;
use portway_http::h1::parse::{head_end, request_head};
use portway_http::hygiene::fields::{ConnectionOptions, FieldKind, classify, remove_named};
use portway_http::hygiene::framing::Framing;
use portway_http::hygiene::path::{PathRules, canonicalize};
use portway_http::{Form, Request};

/// A request as hyper understood it.
#[derive(Debug)]
pub struct Seen {
    /// Its method.
    pub method: Method,
    /// Its target.
    pub uri: Uri,
    /// All its fields.
    pub headers: HeaderMap,
    /// Its length by the head; none if chunked.
    pub length: Option<u64>,
    /// Its body, if it was complete and well-formed.
    pub body: Option<Vec<u8>>,
}

/// A refusal that hyper does not share, and why it is meant.
pub struct Stricter {
    /// The problem's code.
    pub code: Code,
    /// What its detail holds.
    pub detail: &'static str,
    /// Why the gateway refuses it nevertheless.
    pub why: &'static str,
}

const fn stricter(code: Code, detail: &'static str, why: &'static str) -> Stricter {
    Stricter { code, detail, why }
}

/// Every reason for which the gateway refuses what hyper accepts.
pub const STRICTER: &[Stricter] = &[
    stricter(
        Code::BadRequest,
        "bare LF",
        "some readers end a line at LF, some do not (RFC 9112, 2.2)",
    ),
    stricter(
        Code::BadRequest,
        "the head is incomplete",
        "one empty line in front of a request is forgiven, not many (RFC 9112, 2.2)",
    ),
    stricter(
        Code::BadRequest,
        "of the path",
        "octets that no path holds (RFC 3986, 3.3)",
    ),
    stricter(
        Code::BadRequest,
        "the query has",
        "octets that no query holds (RFC 3986, 3.4)",
    ),
    stricter(
        Code::BadRequest,
        "neither a path nor an http URL",
        "no other scheme is served",
    ),
    stricter(
        Code::AmbiguousPath,
        "",
        "paths that two readers resolve differently",
    ),
    stricter(
        Code::AmbiguousFraming,
        "",
        "lengths that hyper merges or lets one field win",
    ),
    stricter(
        Code::NotImplemented,
        "Transfer-Encoding",
        "hyper leaves unknown codings to its user",
    ),
    stricter(
        Code::NotImplemented,
        "CONNECT",
        "hyper leaves tunnels to its user",
    ),
    stricter(Code::BadHost, "", "hyper leaves Host to its user"),
    stricter(
        Code::ExpectationFailed,
        "",
        "hyper leaves other expectations to its user",
    ),
    stricter(Code::HeadersTooLarge, "", "another limit"),
    stricter(Code::UriTooLong, "", "another limit"),
];

/// What the gateway makes of the head at the start of the input; `None` if it is not complete.
pub fn gateway(input: &[u8]) -> Option<Result<(Request, Framing), ProxyError>> {
    // As a connection does, once.
    let input = input.strip_prefix(b"\r\n").unwrap_or(input);
    let head = match head_end(input, &mut 0) {
        Ok(end) => Bytes::copy_from_slice(&input[..end?]),
        Err(detail) => return Some(Err(ProxyError::new(Code::BadRequest, detail))),
    };
    let mut request = Request::blank();
    let parsed = request_head(&head, &HeadLimits::default(), true, &mut request);
    Some(parsed.map(|parsed| (request, parsed.framing)))
}

/// Why the gateway may refuse what hyper accepts, if it may.
#[must_use]
pub fn reason_to_be_stricter(error: &ProxyError) -> Option<&'static str> {
    let known = |s: &&Stricter| s.code == error.kind && error.detail.contains(s.detail);
    STRICTER.iter().find(known).map(|s| s.why)
}

/// Whether hyper refuses a target that the gateway rewrites as escapes (RFC 3986, appendix A, has
/// none of these octets; browsers send some).
#[must_use]
pub fn is_only_escaped_here(request_line: &[u8]) -> bool {
    request_line.iter().any(|b| b"<>`\"^|{}[]".contains(b))
}

/// Checks one request head.
pub fn check(input: &[u8]) {
    let Some(ours) = gateway(input) else { return };
    let theirs = serve(Bytes::copy_from_slice(input));
    match (ours, theirs.first()) {
        (Ok((request, framing)), Some(seen)) => agree(&request, framing, seen),
        (Ok(_), None) => {
            let line = input
                .split(|&b| b == b'\n')
                .find(|line| line.len() > 1)
                .unwrap_or_default();
            assert!(is_only_escaped_here(line), "laxer than hyper");
        }
        (Err(error), Some(_)) => {
            assert!(
                reason_to_be_stricter(&error).is_some(),
                "stricter than hyper for no listed reason: {error}"
            );
        }
        (Err(_), None) => {}
    }
}

fn agree(request: &Request, framing: Framing, seen: &Seen) {
    assert_eq!(request.method, seen.method);
    let length = match framing {
        Framing::None => Some(0),
        Framing::Length(length) => Some(length),
        Framing::Chunked => None,
        Framing::Close => panic!("a request that ends with its connection"),
    };
    assert_eq!(length, seen.length, "hyper measures another body");
    if request.form != Form::Asterisk {
        let mut path = String::new();
        let theirs = canonicalize(seen.uri.path().as_bytes(), PathRules::default(), &mut path);
        assert!(
            theirs.is_ok() && path == request.path,
            "hyper reads the path {:?}",
            seen.uri.path()
        );
    }
    assert_eq!(request.query.as_deref(), seen.uri.query());
    assert_eq!(request.headers, end_to_end(&seen.headers));
}

/// What the gateway passes on of the fields that hyper saw.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::new();
    let mut connection = ConnectionOptions::default();
    let mut values = Vec::new();
    for (name, value) in headers {
        match classify(name.as_str().as_bytes()) {
            FieldKind::EndToEnd | FieldKind::Forwarded | FieldKind::Internal => {
                kept.append(name, value.clone());
            }
            FieldKind::Connection => {
                connection.add(value.as_bytes());
                values.push(value);
            }
            _ => {}
        }
    }
    if connection.named {
        remove_named(&mut kept, &values);
    }
    kept
}

/// The requests that hyper's server reads from the input, in order.
#[must_use]
pub fn serve(input: Bytes) -> Vec<Seen> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let service = service_fn(|request: http::Request<Incoming>| {
        let seen = Rc::clone(&seen);
        async move {
            let (head, body) = request.into_parts();
            let length = body.size_hint().exact();
            let at = seen.borrow().len();
            let request = Seen {
                method: head.method,
                uri: head.uri,
                headers: head.headers,
                length,
                body: None,
            };
            seen.borrow_mut().push(request);
            let body = collect(body).await;
            if let Some(request) = seen.borrow_mut().get_mut(at) {
                request.body = body;
            }
            Ok::<_, Infallible>(Response::new(String::new()))
        }
    });
    let connection = http1::Builder::new()
        .half_close(true)
        .serve_connection(Wire(input), service);
    let mut connection = pin!(connection);
    let mut cx = Context::from_waker(Waker::noop());
    // Its input is always ready, so a few polls bring it to its end.
    for _ in 0..64 {
        if connection.as_mut().poll(&mut cx).is_ready() {
            break;
        }
    }
    seen.take()
}

async fn collect(body: Incoming) -> Option<Vec<u8>> {
    let mut body = pin!(body);
    let mut octets = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        if let Ok(data) = frame.ok()?.into_data() {
            octets.extend_from_slice(&data);
        }
    }
    Some(octets)
}

/// A transport that has received all its input and forgets its output.
struct Wire(Bytes);

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let take = buf.remaining().min(self.0.len());
        buf.put_slice(&self.0[..take]);
        self.0.advance(take);
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
