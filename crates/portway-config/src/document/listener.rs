//! `listeners`: addresses that accept connections.

use std::net::SocketAddr;

use ipnet::IpNet;
use portway_core::limits;

use super::filter::FilterEntry;
use super::server::Exposed;
use super::tls::{ListenerTls, RedirectHttps};
use crate::decode::{Each, Given};
use crate::spanned::Spanned;
use crate::value::Size;
use crate::{choice, config, defaults};

config! {
    /// An address that accepts connections.
    pub struct Listener {
        /// Its name, for routes, metrics and logs.
        pub name: Spanned<String>,
        /// The address and port to listen on, like 0.0.0.0:8080.
        pub bind: Spanned<SocketAddr>,
        /// What is spoken on it.
        pub protocol: Spanned<ListenerProtocol> = ListenerProtocol::Http,
        /// Limits and versions of HTTP.
        pub http: HttpOptions = defaults(),
        /// TLS of a listener of protocol https.
        pub tls: Given<ListenerTls>,
        /// Sends clients of a plain listener to https: `true`, or the port that https has outside.
        pub redirect_https: Spanned<RedirectHttps> = RedirectHttps::No,
        /// Where the connections of a `tcp` listener go, and those of a `tls` listener whose server name no
        /// route takes.
        pub upstream: Given<String>,
        /// Filters of a `tcp` or `tls` listener: ip_filter, and rate_limit by client_ip or of the listener
        /// as a whole. On other listeners, routes have filters.
        pub filters: Each<FilterEntry> = Vec::new(),
        /// Whether each connection begins with a PROXY protocol header. Only `trusted_proxies` may connect
        /// then.
        pub proxy_protocol: Spanned<ProxyProtocol> = ProxyProtocol::Off,
        /// Proxies in front of this gateway, whose word on the client's address counts.
        pub trusted_proxies: Vec<IpNet> = Vec::new(),
        /// Connections open at once; more are closed at once.
        pub max_connections: Spanned<usize> = limits::CONNECTIONS_MAX,
        /// Operators' pages that this listener answers too.
        pub expose: Vec<Spanned<Exposed>> = Vec::new(),
    }
}

choice! {
    /// What is spoken on a listener.
    #[later("udp")]
    pub enum ListenerProtocol {
        /// Plain HTTP.
        Http = "http",
        /// HTTP over TLS.
        Https = "https",
        /// Whatever the targets speak: bytes pass as they are.
        Tcp = "tcp",
        /// TLS that the targets end: it passes unread but for the server name, by which routes choose.
        Tls = "tls",
    }
}

choice! {
    /// Which PROXY protocol header a connection begins with.
    pub enum ProxyProtocol {
        /// None.
        Off = "off",
        /// The one in text.
        V1 = "v1",
        /// The one in bytes.
        V2 = "v2",
        /// Either.
        Auto = "auto",
    }
}

config! {
    /// Limits and versions of HTTP on a listener.
    pub struct HttpOptions {
        /// Versions that are accepted; h1 and h2 if none is named.
        pub versions: Vec<Spanned<Version>> = Vec::new(),
        /// The UDP port that clients are told to use for HTTP/3 (Alt-Svc), where it is another outside; 0
        /// for the listener's own.
        pub h3_port: u16 = 0,
        /// The largest request head.
        pub max_header_bytes: Spanned<Size> = Size(limits::HEADER_BYTES_MAX as u64),
        /// The most header fields of one request.
        pub max_headers: Spanned<usize> = limits::HEADERS_MAX,
        /// The largest request body; 0 for no limit.
        pub max_request_body: Size = Size(limits::REQUEST_BODY_BYTES_MAX),
        /// How a path becomes the one canonical path that everything uses.
        pub normalize_path: Cleaning = defaults(),
    }
}

choice! {
    /// A version of HTTP.
    pub enum Version {
        /// HTTP/1.0 and HTTP/1.1.
        H1 = "h1",
        /// HTTP/2; on a plain listener by prior knowledge.
        H2 = "h2",
        /// HTTP/3, over UDP on the same port; for https listeners, beside one of the others.
        H3 = "h3",
    }
}

config! {
    /// How a path becomes canonical. What is rejected gets a 400 `ambiguous_path`.
    pub struct Cleaning {
        /// What becomes of `.` and `..` segments.
        pub dot_segments: DotSegments = DotSegments::Resolve,
        /// Whether `//` becomes `/`.
        pub merge_slashes: bool = true,
        /// What becomes of `%2F`.
        pub encoded_slashes: EncodedSlashes = EncodedSlashes::Reject,
    }
}

choice! {
    /// What becomes of `.` and `..` segments.
    pub enum DotSegments {
        /// They are resolved (RFC 3986, 5.2.4).
        Resolve = "resolve",
        /// The request is refused.
        Reject = "reject",
    }
}

choice! {
    /// What becomes of an encoded slash.
    pub enum EncodedSlashes {
        /// The request is refused.
        Reject = "reject",
        /// It stays as it is and is never decoded.
        Keep = "keep",
    }
}
