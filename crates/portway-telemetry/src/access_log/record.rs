//! What is known of an exchange when it ends, and the names under which the log shows it.
//!
//! Must hold: field names are a contract with whoever reads the log. The query of a request is not
//! among the fields: it may hold a key.

use portway_core::{Code, GrpcStatus};
use std::net::IpAddr;
use std::time::Duration;

/// One exchange, as the access log sees it. Bytes that came from a client may be anything; the
/// formats escape them.
#[derive(Clone, Copy, Debug, Default)]
pub struct AccessRecord<'a> {
    /// When the request began: wall time since the Unix epoch.
    pub time: Duration,
    /// The request's method.
    pub method: &'a str,
    /// The canonical host, with its port if it has one.
    pub host: &'a [u8],
    /// The canonical path, without the query.
    pub path: &'a [u8],
    /// `HTTP/1.1` and the like.
    pub protocol: &'a str,
    /// The status sent, or 499 and the like if nothing was sent.
    pub status: u16,
    /// From the first byte of the request to the last of the reply, nanoseconds.
    pub duration_ns: u64,
    /// Time spent with the upstream, all tries, nanoseconds.
    pub upstream_ns: Option<u64>,
    /// The client's address, after trusted proxies.
    pub client_ip: Option<IpAddr>,
    /// The route's name.
    pub route: Option<&'a str>,
    /// The upstream's name.
    pub upstream: Option<&'a str>,
    /// The target's address or name, of the last try.
    pub target: Option<&'a str>,
    /// The request id.
    pub request_id: Option<&'a [u8]>,
    /// The trace id, 32 hex digits.
    pub trace_id: Option<&'a str>,
    /// Received from the client, bytes.
    pub bytes_in: u64,
    /// Sent to the client, bytes.
    pub bytes_out: u64,
    /// The `User-Agent` header.
    pub user_agent: Option<&'a [u8]>,
    /// Tries after the first.
    pub retries: u32,
    /// How a gRPC call ended; `None` for what is no call.
    pub grpc_status: Option<GrpcStatus>,
    /// Why the gateway answered by itself.
    pub code: Option<Code>,
    /// What exactly happened. Never holds a secret.
    pub error: Option<&'a str>,
}

macro_rules! fields {
    ($($variant:ident = $name:literal;)*) => {
        /// A field of a record.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Field {
            $($variant,)*
        }

        impl Field {
            pub(crate) const NAMES: &'static [&'static str] = &[$($name),*];

            pub(crate) fn find(name: &str) -> Option<Field> {
                match name {
                    $($name => Some(Field::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

fields! {
    Timestamp = "timestamp";
    Method = "method";
    Host = "host";
    Path = "path";
    Protocol = "protocol";
    StatusCode = "status_code";
    DurationMs = "duration_ms";
    UpstreamMs = "upstream_ms";
    ClientIp = "client_ip";
    Route = "route";
    Upstream = "upstream";
    Target = "target";
    RequestId = "request_id";
    TraceId = "trace_id";
    BytesIn = "bytes_in";
    BytesOut = "bytes_out";
    UserAgent = "user_agent";
    Retries = "retries";
    GrpcStatus = "grpc_status";
    Code = "code";
    Error = "error";
}
