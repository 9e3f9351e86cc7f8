//! An upstream as the plan describes it: plain data, compared to decide whether a running upstream
//! can be adopted by the next snapshot.
//!
//! Must hold: everything here was checked when the config was compiled. No I/O.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use portway_balance::PolicyKind;
use portway_core::limits;
use portway_discovery::SourceSpec;
use portway_filter::BreakerPolicy;
use portway_tls::ConnectSpec;

/// An upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamSpec {
    /// Its name, unique in the plan.
    pub name: Arc<str>,
    /// Where its targets come from.
    pub source: SourceSpec,
    /// What is spoken with its targets.
    pub protocol: Protocol,
    /// TLS towards its targets; `None` for plain ones.
    pub tls: Option<ConnectSpec>,
    /// How a target is picked.
    pub balance: BalanceSpec,
    /// Active checks.
    pub health: Option<HealthSpec>,
    /// Passive checks.
    pub outlier: Option<OutlierSpec>,
    /// The circuit breaker that all routes to this upstream share.
    pub breaker: Option<BreakerPolicy>,
    /// How much may be under way at once.
    pub limits: LimitSpec,
    /// How long things may take.
    pub timeouts: TimeoutSpec,
    /// Pooled connections.
    pub pool: PoolSpec,
    /// The PROXY protocol header that tunnels to its targets begin with.
    pub proxy_protocol: Option<SendProxy>,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendProxy {
    /// In text.
    V1,
    /// In bytes.
    V2,
}

/// What is spoken with targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    H1,
    /// HTTP/2, without asking first. What it cannot do over HTTP/2 may be asked of it over HTTP/1.1.
    H2,
    /// HTTP/2 and nothing else.
    H2Only,
    /// What each target picks in the TLS handshake: HTTP/2 is offered first, then HTTP/1.1.
    Either,
}

/// How a target is picked.
#[derive(Clone, Debug, PartialEq)]
pub struct BalanceSpec {
    /// The policy.
    pub policy: PolicyKind,
    /// What the two hashing policies place by.
    pub hash_on: HashOn,
    /// A target that becomes healthy gets its full weight only after so long; zero for at once.
    pub slow_start: Duration,
    /// Below this share of healthy targets (0 to 100) all are used.
    pub panic_threshold_percent: u8,
    /// Clients that come back to their target.
    pub sticky: Option<StickySpec>,
}

/// What a request is placed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashOn {
    /// The client's address.
    ClientIp,
    /// The canonical path.
    Path,
    /// Host, path and query.
    Url,
    /// A header's first value.
    Header(HeaderName),
    /// A cookie.
    Cookie(String),
    /// A query parameter.
    Query(String),
}

/// A cookie that brings a client back to its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StickySpec {
    /// The cookie's name.
    pub cookie: String,
    /// How long the client keeps it; `None` for the browser's session.
    pub ttl: Option<Duration>,
}

/// Active checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthSpec {
    /// What is asked.
    pub probe: Probe,
    /// From one check of a target to the next; each is moved by up to 10 % at random.
    pub interval: Duration,
    /// A check without an answer by then failed.
    pub timeout: Duration,
    /// So many successes in a row make a target healthy.
    pub healthy_after: u32,
    /// So many failures in a row make it unhealthy.
    pub unhealthy_after: u32,
}

/// What an active check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// `GET path` answered with one of these statuses.
    Http {
        /// The path.
        path: String,
        /// The Host field; the target's address if none.
        host: Option<String>,
        /// Inclusive ranges of statuses that are healthy.
        expect: Vec<(u16, u16)>,
    },
    /// A connection that opens.
    Tcp,
    /// `grpc.health.v1.Health/Check` answered with SERVING.
    Grpc {
        /// The service asked about; empty for the server as a whole.
        service: String,
    },
}

/// Passive checks: a target that fails its exchanges is left out for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct OutlierSpec {
    /// So many failures in a row (5xx, or no reply) eject a target; 0 for none.
    pub consecutive_failures: u32,
    /// How long; doubled with each ejection in a row, up to ten times.
    pub eject_for: Duration,
    /// At most this share (0.0 to 1.0) of the targets is ejected, but one may always be, unless it is 0.
    pub ejected_max: f64,
    /// A success rate (0.0 to 1.0) below this ejects, once enough exchanges were seen.
    pub success_rate_below: Option<f64>,
}

/// How much may be under way at once, all workers together; 0 for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitSpec {
    /// Open connections to targets.
    pub connections_max: u32,
    /// Exchanges that wait for a connection to open.
    pub pending_max: u32,
    /// Exchanges.
    pub requests_max: u32,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeoutSpec {
    /// Until a connection is open.
    pub connect: Duration,
    /// From the request's last octet to the reply's head.
    pub response_header: Duration,
    /// The whole exchange with the upstream, tries and body included; `None` if only its parts are
    /// bounded.
    pub request: Option<Duration>,
    /// A pooled connection without use is closed after so long.
    pub idle: Duration,
    /// A tunnel without a byte in either direction is closed after so long.
    pub tunnel: Duration,
}

impl Default for TimeoutSpec {
    fn default() -> TimeoutSpec {
        TimeoutSpec {
            connect: limits::CONNECT_TIMEOUT,
            response_header: limits::RESPONSE_HEADER_TIMEOUT,
            request: None,
            idle: limits::POOL_IDLE_TIMEOUT,
            tunnel: limits::TUNNEL_IDLE_TIMEOUT,
        }
    }
}

/// Pooled connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSpec {
    /// Idle connections kept per target and worker; 0 switches the pool off.
    pub idle_per_target_max: usize,
}

impl Default for PoolSpec {
    fn default() -> PoolSpec {
        PoolSpec {
            idle_per_target_max: limits::POOL_IDLE_MAX,
        }
    }
}

impl Default for BalanceSpec {
    fn default() -> BalanceSpec {
        BalanceSpec {
            policy: PolicyKind::WeightedRoundRobin,
            hash_on: HashOn::ClientIp,
            slow_start: Duration::ZERO,
            panic_threshold_percent: 50,
            sticky: None,
        }
    }
}
