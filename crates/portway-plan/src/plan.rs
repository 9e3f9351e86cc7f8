//! The plan: the checked, plain-data result of compiling a config document.
//!
//! Must hold: every name is an id, every limit a number, every reference holds. Nothing here is live: no
//! socket, no thread, no clock.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use portway_acme::AcmeSpec;
use portway_config::Secret;
use portway_core::UpstreamId;
use portway_filter::{BreakerPolicy, Chain, LogSpec, MetricsPolicy, RetryPolicy};
use portway_http::h1::HeadLimits;
use portway_http::hygiene::forwarded::TrustedProxies;
use portway_route::RouteTable;
use portway_tls::AcceptSpec;
use portway_upstream::spec::{HashOn, UpstreamSpec};

/// A whole config, checked.
#[derive(Debug)]
pub struct Plan {
    /// What concerns the process as a whole.
    pub process: ProcessPlan,
    /// How certificates are obtained.
    pub acme: Option<AcmeSpec>,
    /// The operators' API.
    pub admin: AdminPlan,
    /// Listeners; the index is the `ListenerId`.
    pub listeners: Vec<ListenerPlan>,
    /// Upstreams; the index is the `UpstreamId`. Inline targets of a route are one too.
    pub upstreams: Vec<UpstreamSpec>,
    /// Routes; the index is the `RouteId`, in the order of the file.
    pub routes: Vec<RoutePlan>,
    /// Finds the route.
    pub table: RouteTable,
    /// The global filters, for exchanges that no route takes.
    pub no_route: Chain,
    /// The global access log; `None` if there is none.
    pub log: Option<LogSpec>,
    /// What is counted.
    pub metrics: MetricsPolicy,
}

/// What concerns the process as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessPlan {
    /// Worker threads; `None` for one per core.
    pub workers: Option<usize>,
    /// After SIGTERM: what still runs by then is cut.
    pub drain_timeout: Duration,
}

/// The operators' API.
#[derive(Clone, Debug)]
pub struct AdminPlan {
    /// Where it listens.
    pub bind: AdminBind,
    /// What callers must present.
    pub token: Option<Secret>,
}

/// Where the operators' API listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminBind {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

/// A listener.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerPlan {
    /// Its name.
    pub name: Arc<str>,
    /// Its address.
    pub bind: SocketAddr,
    /// Its TLS; `None` for a plain listener.
    pub tls: Option<AcceptSpec>,
    /// The port of https that clients are sent to; `None` if they are served.
    pub redirect_https: Option<u16>,
    /// What becomes of its connections.
    pub serves: Serves,
    /// What its connections begin with.
    pub proxy_header: Option<ProxyHeader>,
    /// Filters of connections whose bytes pass.
    pub filters: Chain,
    /// The versions of HTTP it speaks.
    pub versions: Versions,
    /// The port of HTTP/3 that clients are told of; 0 for the listener's own.
    pub h3_port: u16,
    /// What a request's head may be.
    pub head: HeadLimits,
    /// How long clients may take.
    pub timeouts: ClientTimeouts,
    /// The most octets of a request body; 0 for no limit.
    pub body_bytes_max: u64,
    /// Whose word on the client's address counts.
    pub trusted: TrustedProxies,
    /// Connections open at once; more are closed at once.
    pub connections_max: usize,
    /// `/health` answers here too.
    pub expose_health: Exposed,
    /// `/metrics` answers here too.
    pub expose_metrics: Exposed,
}

/// What becomes of a listener's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    /// They carry HTTP.
    Http,
    /// Their bytes go to this upstream.
    Tcp(UpstreamId),
    /// Their bytes go where a route sends their server name; the others to this upstream.
    Tls(Option<UpstreamId>),
}

/// The PROXY protocol header that connections must begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// Version 1.
    V1,
    /// Version 2.
    V2,
    /// Either version.
    Auto,
}

/// Versions of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// HTTP/1.0 and HTTP/1.1.
    pub h1: bool,
    /// HTTP/2.
    pub h2: bool,
    /// HTTP/3, over UDP on the same port.
    pub h3: bool,
}

/// Whether an operators' page answers on a listener too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposed {
    /// It does.
    Yes,
    /// It does not.
    No,
}

/// How long clients may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// Until the head is complete.
    pub header: Duration,
    /// Until the request is complete, head and body.
    pub read: Duration,
    /// Without progress in writing a reply.
    pub write: Duration,
    /// Without a request.
    pub idle: Duration,
}

/// A route.
#[derive(Clone, Debug)]
pub struct RoutePlan {
    /// Its name.
    pub name: Arc<str>,
    /// Its path prefix, if it is matched by one.
    pub prefix: Option<String>,
    /// A hash of all that decides which exchanges it takes, to tell a changed route by.
    pub conditions: u64,
    /// What becomes of its exchanges.
    pub action: Action,
    /// The filters, global ones included.
    pub filters: Chain,
    /// What the target is asked instead.
    pub rewrite: Rewrite,
    /// The port of https that clients without TLS are sent to.
    pub redirect_https: Option<u16>,
    /// Protocols that clients may switch to.
    pub upgrades: Box<[Box<str>]>,
    /// Limits of this route that are tighter or wider than its upstream's.
    pub timeouts: RouteTimeouts,
    /// Tries after the first.
    pub retry: Option<RetryPolicy>,
    /// A circuit breaker of its own.
    pub breaker: Option<BreakerPolicy>,
    /// A copy of its requests goes there too.
    pub mirror: Option<Mirror>,
    /// Its access log.
    pub log: Option<LogSpec>,
}

/// What becomes of a route's exchanges.
#[derive(Clone, Debug)]
pub enum Action {
    /// Forwarded.
    Upstream(UpstreamId),
    /// Forwarded, by weight.
    Split(Split),
    /// Answered with another place.
    Redirect(Redirect),
    /// Answered with a fixed reply.
    Respond(Respond),
    /// Answered from a folder.
    Static(StaticFiles),
}

/// Upstreams by weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Upstreams with their weights; at least one is above 0.
    pub parts: Vec<(UpstreamId, u32)>,
    /// What keeps a client on its side.
    pub sticky_by: Option<HashOn>,
}

/// Another place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// An absolute URL or a path; the rest of the path behind a matched prefix and the query are added.
    pub to: String,
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
}

/// A fixed reply.
#[derive(Clone, Debug)]
pub struct Respond {
    /// The status.
    pub status: StatusCode,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: bytes::Bytes,
}

/// A folder's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticFiles {
    /// The folder.
    pub root: PathBuf,
    /// The file that stands for a folder.
    pub index: String,
    /// The prefix that is not part of the file's path.
    pub prefix: String,
}

/// What the target is asked instead.
#[derive(Clone, Debug, Default)]
pub struct Rewrite {
    /// The route's prefix is taken off the path.
    pub strip_prefix: Option<String>,
    /// The path is replaced where the pattern matches; `$1` stands for a group.
    pub path: Option<(regex::Regex, String)>,
    /// The Host to send.
    pub host: Option<Arc<str>>,
}

/// Limits of a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteTimeouts {
    /// The exchange with the upstream as a whole.
    pub request: Option<Duration>,
}

/// A copy of the requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Mirror {
    /// Where it goes.
    pub upstream: UpstreamId,
    /// The share of requests (0.0 to 1.0).
    pub share: f64,
}
