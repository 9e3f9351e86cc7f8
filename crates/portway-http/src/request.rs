//! A request's head after hygiene: what routes, filters and targets see.
//!
//! Must hold: `host` is lower case without port, `path` is canonical and starts with `/` (or is `*`
//! for `OPTIONS *`), `headers` holds no hop-by-hop field, no Host and no Content-Length: those are
//! written anew from what was decided when the head was read.

use http::{HeaderMap, Method, Version};

/// The form of the request target (RFC 9112, section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `/path?query`
    Origin,
    /// `http://host/path?query`
    Absolute,
    /// `*`
    Asterisk,
}

/// A request's head. Reused from one exchange to the next, so its buffers stop growing.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The version that the client spoke.
    pub version: Version,
    /// The form in which the target came.
    pub form: Form,
    /// Canonical host, lower case, without port; empty for HTTP/1.0 without Host.
    pub host: String,
    /// The port the client named, if it named one.
    pub port: Option<u16>,
    /// Canonical path.
    pub path: String,
    /// The query as it came, without `?`.
    pub query: Option<String>,
    /// End-to-end fields.
    pub headers: HeaderMap,
}

impl Request {
    /// A blank head whose buffers are still to grow.
    #[must_use]
    pub fn blank() -> Request {
        Request {
            method: Method::GET,
            version: Version::HTTP_11,
            form: Form::Origin,
            host: String::new(),
            port: None,
            path: String::new(),
            query: None,
            headers: HeaderMap::new(),
        }
    }

    /// Notes that what came has no method that could be read. It must not pass for a GET in the log.
    #[cold]
    pub fn set_unread(&mut self) {
        // A token, and no method that anybody uses.
        self.method = Method::from_bytes(b"-").unwrap_or_default();
    }

    /// Forgets the last request but keeps its buffers.
    pub fn clear(&mut self) {
        self.method = Method::GET;
        self.version = Version::HTTP_11;
        self.form = Form::Origin;
        self.host.clear();
        self.port = None;
        self.path.clear();
        self.query = None;
        self.headers.clear();
    }

    /// The first value of a header as text, if it has one and it is visible ASCII.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// The value of a cookie, from any Cookie field (RFC 6265, section 5.4).
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.headers
            .get_all(http::header::COOKIE)
            .into_iter()
            .filter_map(|v| v.to_str().ok())
            .flat_map(|v| v.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find_map(|(n, v)| (n == name).then(|| v.trim_matches('"')))
    }

    /// The first value of a query parameter, as it came (not percent-decoded).
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<&str> {
        self.query.as_deref()?.split('&').find_map(|pair| {
            let (n, v) = pair.split_once('=').unwrap_or((pair, ""));
            (n == name).then_some(v)
        })
    }
}
