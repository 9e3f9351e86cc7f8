//! Why the gateway answered instead of a target, and the one table from that reason to an HTTP
//! status, a gRPC status, a problem type and a metric label.
//!
//! Must hold: the table is exhaustive; the string form of a [`Code`] is stable (clients, dashboards
//! and alerts match on it).

use std::error::Error as StdError;
use std::fmt;

/// Who caused a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The client: it sent something wrong, or went away.
    Downstream,
    /// A target: it was not reachable, broke off, or answered badly.
    Upstream,
    /// The gateway or its configuration.
    Internal,
}

/// Whether the same request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Nothing of the request reached a target: safe for every method.
    Safe,
    /// The target may have acted on it: safe only for idempotent methods (RFC 9110, 9.2.2).
    IfIdempotent,
    /// Trying again cannot help or must not happen.
    Never,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal, $grpc:literal, $proxy_status:literal, $title:literal;)*) => {
        /// A stable name for why the gateway answered by itself.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// Every code, in table order.
            pub const ALL: &'static [Code] = &[$(Code::$variant),*];

            /// The stable name: problem `code`, metric label, log field.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// The HTTP status of the gateway's reply (RFC 9110, section 15; 499 is nginx's
            /// "client closed request" and is only logged, never sent).
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Code::$variant => $status,)* }
            }

            /// The gRPC status code that says the same
            /// (<https://grpc.github.io/grpc/core/md_doc_statuscodes.html>).
            #[must_use]
            pub const fn grpc_status(self) -> u8 {
                match self { $(Code::$variant => $grpc,)* }
            }

            /// The `error` parameter of the `Proxy-Status` header (RFC 9209, section 2.3).
            #[must_use]
            pub const fn proxy_status(self) -> &'static str {
                match self { $(Code::$variant => $proxy_status,)* }
            }

            /// The `title` member of the problem document (RFC 9457, section 3.1.3).
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Code::$variant => $title,)* }
            }
        }
    };
}

codes! {
    /// The request could not be parsed as HTTP.
    BadRequest = "bad_request", 400, 3, "http_request_error", "The request is malformed";
    /// Content-Length and Transfer-Encoding leave the body's end in doubt.
    AmbiguousFraming = "ambiguous_framing", 400, 3, "http_request_error", "The request's length is ambiguous";
    /// The path could mean different things to different readers.
    AmbiguousPath = "ambiguous_path", 400, 3, "http_request_error", "The request's path is ambiguous";
    /// No Host, several, an invalid one, or one that disagrees with the target.
    BadHost = "bad_host", 400, 3, "http_request_error", "The request's Host is missing, repeated or invalid";
    /// The client did not finish its request in time.
    RequestTimeout = "request_timeout", 408, 4, "http_request_error", "The request did not arrive in time";
    /// The connection was not made for the host that is asked for.
    MisdirectedRequest = "misdirected_request", 421, 3, "http_request_error", "The request belongs on another connection";
    /// The body is larger than the listener or route allows.
    PayloadTooLarge = "payload_too_large", 413, 8, "http_request_denied", "The request body is too large";
    /// The request target is longer than the limit.
    UriTooLong = "uri_too_long", 414, 3, "http_request_error", "The request target is too long";
    /// `Expect` holds something other than `100-continue`.
    ExpectationFailed = "expectation_failed", 417, 3, "http_request_error", "The expectation cannot be met";
    /// The head is larger than the limit, or has too many fields.
    HeadersTooLarge = "headers_too_large", 431, 8, "http_request_error", "The request's header fields are too large";
    /// A transfer coding this gateway does not implement.
    NotImplemented = "not_implemented", 501, 12, "http_request_error", "The request needs something not implemented";
    /// An HTTP version this listener does not speak.
    UnsupportedVersion = "unsupported_version", 505, 12, "http_request_error", "The HTTP version is not supported";

    /// No route matches host and path.
    NoRoute = "no_route", 404, 12, "destination_not_found", "No route matches the request";
    /// Routes match the path, but none the method.
    MethodNotAllowed = "method_not_allowed", 405, 12, "http_request_denied", "The method is not allowed here";
    /// A static file that does not exist.
    NotFound = "not_found", 404, 5, "destination_not_found", "There is nothing here";
    /// `If-Match` or `If-Unmodified-Since` does not hold for a static file.
    PreconditionFailed = "precondition_failed", 412, 9, "http_request_denied", "A precondition of the request does not hold";
    /// A `Range` outside the file.
    RangeNotSatisfiable = "range_not_satisfiable", 416, 11, "http_request_error", "The range is outside the representation";

    /// No credentials, or ones that do not hold.
    Unauthorized = "unauthorized", 401, 16, "http_request_denied", "Valid credentials are needed";
    /// The caller is known but may not do this.
    Forbidden = "forbidden", 403, 7, "http_request_denied", "The caller may not do this";
    /// The client's address is not allowed.
    IpDenied = "ip_denied", 403, 7, "http_request_denied", "The client's address is not allowed";
    /// A rate limit is used up.
    RateLimited = "rate_limited", 429, 8, "http_request_denied", "Too many requests";
    /// A connection that must begin with a PROXY protocol header of a trusted proxy does not.
    BadProxyHeader = "bad_proxy_header", 400, 3, "http_request_denied", "The connection did not begin as agreed";
    /// What should begin with a TLS ClientHello does not.
    BadClientHello = "bad_client_hello", 400, 3, "tls_protocol_error", "The connection is not TLS";
    /// A tunnel without a byte either way for too long.
    IdleTimeout = "idle_timeout", 408, 4, "connection_timeout", "The connection was idle for too long";
    /// An exchange or a connection that a drain did not wait for any longer.
    Drained = "drained", 503, 14, "proxy_internal_response", "The gateway ended the connection to stop";
    /// The gateway has no room for the connection.
    Overloaded = "overloaded", 503, 14, "proxy_internal_response", "The gateway has no room for the request";

    /// The upstream's circuit breaker is open.
    CircuitOpen = "circuit_open", 503, 14, "destination_unavailable", "The upstream's circuit is open";
    /// An upstream limit (connections, pending, requests) is reached.
    UpstreamOverloaded = "upstream_overloaded", 503, 14, "connection_limit_reached", "The upstream's limit is reached";
    /// No target may be used.
    NoHealthyTarget = "no_healthy_target", 503, 14, "destination_unavailable", "The upstream has no healthy target";
    /// The target refused the connection or was not reachable.
    ConnectFailure = "connect_failure", 502, 14, "connection_refused", "The target could not be reached";
    /// Connecting took longer than allowed.
    ConnectTimeout = "connect_timeout", 504, 14, "connection_timeout", "Connecting to the target took too long";
    /// The TLS handshake with the target failed.
    UpstreamTls = "upstream_tls", 502, 14, "tls_protocol_error", "No TLS with the target";
    /// The target's certificate does not hold.
    UpstreamCertificate = "upstream_certificate", 502, 14, "tls_certificate_error", "The target's certificate does not hold";
    /// The target did not answer in time.
    UpstreamTimeout = "upstream_timeout", 504, 4, "http_response_timeout", "The target did not answer in time";
    /// The target broke the connection before its reply was complete.
    UpstreamReset = "upstream_reset", 502, 14, "connection_terminated", "The target closed the connection early";
    /// The target's reply is not valid HTTP.
    UpstreamBadReply = "upstream_bad_reply", 502, 13, "http_protocol_error", "The target's reply is malformed";

    /// The client went away before its reply was complete.
    ClientGone = "client_gone", 499, 1, "connection_terminated", "The client closed the connection";
    /// A fault injected on purpose.
    FaultInjected = "fault_injected", 503, 14, "proxy_internal_response", "A fault was injected";
    /// Something in the gateway failed.
    Internal = "internal", 500, 13, "proxy_internal_error", "The gateway failed";
}

impl Code {
    /// Who is to blame.
    #[must_use]
    pub const fn side(self) -> Side {
        match self {
            Code::CircuitOpen
            | Code::UpstreamOverloaded
            | Code::NoHealthyTarget
            | Code::ConnectFailure
            | Code::ConnectTimeout
            | Code::UpstreamTls
            | Code::UpstreamCertificate
            | Code::UpstreamTimeout
            | Code::UpstreamReset
            | Code::UpstreamBadReply => Side::Upstream,
            Code::Internal | Code::Overloaded | Code::Drained | Code::FaultInjected => {
                Side::Internal
            }
            _ => Side::Downstream,
        }
    }

    /// Whether the failure, by its nature, allows another try.
    #[must_use]
    pub const fn retry(self) -> Retry {
        match self {
            Code::ConnectFailure
            | Code::ConnectTimeout
            | Code::UpstreamTls
            | Code::UpstreamCertificate => Retry::Safe,
            Code::UpstreamTimeout | Code::UpstreamReset | Code::UpstreamBadReply => {
                Retry::IfIdempotent
            }
            _ => Retry::Never,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure on the request path: what kind, whose side, whether a retry is safe, and why.
#[derive(Debug)]
pub struct ProxyError {
    /// What kind; decides status, gRPC code and label.
    pub kind: Code,
    /// Whose side.
    pub side: Side,
    /// Whether the same request may be sent again.
    pub retry: Retry,
    /// What exactly happened, for the log and the problem's `detail`. Never holds a secret.
    pub detail: Box<str>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl ProxyError {
    /// A failure of this kind, with what exactly happened.
    #[must_use]
    pub fn new(kind: Code, detail: impl Into<Box<str>>) -> ProxyError {
        ProxyError {
            kind,
            side: kind.side(),
            retry: kind.retry(),
            detail: detail.into(),
            source: None,
        }
    }

    /// The same, caused by another error.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> ProxyError {
        self.source = Some(source.into());
        self
    }

    /// The same, with another verdict on retrying.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> ProxyError {
        self.retry = retry;
        self
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.detail)?;
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl StdError for ProxyError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|s| s as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_code_has_its_own_name_and_an_error_status() {
        let names: HashSet<_> = Code::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!((400..600).contains(&code.status()), "{code}");
            assert!((1..=16).contains(&code.grpc_status()), "{code}");
        }
    }

    #[test]
    fn only_failures_before_the_request_left_are_safe_to_repeat() {
        for code in Code::ALL.iter().filter(|c| c.retry() == Retry::Safe) {
            assert!(
                matches!(
                    code,
                    Code::ConnectFailure
                        | Code::ConnectTimeout
                        | Code::UpstreamTls
                        | Code::UpstreamCertificate
                ),
                "{code}"
            );
        }
    }
}
