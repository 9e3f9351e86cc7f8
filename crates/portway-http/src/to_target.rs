//! What a request's head tells a target, whatever the protocol: which host, which fields, which id.
//!
//! Must hold: both codecs write exactly these; what the gateway says itself (forwarded fields, the
//! request id) replaces what the exchange carries under the same name.

use http::Method;
use http::header::{HeaderName, HeaderValue};

use crate::exchange::Exchange;
use crate::hygiene::forwarded;

/// What the Host field or `:authority` says.
#[derive(Clone, Copy, Debug)]
pub struct HostField<'a> {
    /// The name, with its port if `port` is none.
    pub name: &'a str,
    /// The port behind the name.
    pub port: Option<u16>,
}

impl<'a> HostField<'a> {
    /// What a rewrite or the upstream sets, else what the client asked for, else the target's name.
    #[must_use]
    pub fn of(exchange: &'a Exchange, target: &'a str) -> HostField<'a> {
        let request = &exchange.request;
        match (&exchange.target_host, request.host.as_str()) {
            (Some(name), _) => HostField { name, port: None },
            (None, "") => HostField {
                name: target,
                port: None,
            },
            (None, name) => HostField {
                name,
                port: request.port,
            },
        }
    }
}

/// The header that carries the id unless the config names another.
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The header that carries the exchange's id, if it has one.
pub(crate) fn id_header(exchange: &Exchange) -> Option<&HeaderName> {
    let name = exchange.request_id_header.as_ref().unwrap_or(&REQUEST_ID);
    (!exchange.request_id.is_none()).then_some(name)
}

/// The exchange's fields, without those that the gateway writes itself.
pub(crate) fn fields<'a>(
    exchange: &'a Exchange,
    id_header: Option<&'a HeaderName>,
) -> impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)> {
    exchange
        .request
        .headers
        .iter()
        .filter(move |(name, _)| !forwarded::is_forwarded_header(name) && Some(*name) != id_header)
}

/// The path for the target.
pub(crate) fn path(exchange: &Exchange) -> &str {
    match exchange.target_path.as_str() {
        "" => &exchange.request.path,
        path => path,
    }
}

/// Whether the method has a meaning for a body, so that its absence is said (RFC 9110, section 8.6).
pub(crate) fn expects_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}
