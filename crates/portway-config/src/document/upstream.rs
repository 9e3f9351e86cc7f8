//! `upstreams`: named groups of targets, with balancing, health, breaker and pool.

use std::net::SocketAddr;
use std::time::Duration;

use portway_core::diagnostic::Diagnostics;
use portway_core::{Span, limits};
use serde_json::{Value, json};

use super::tls::UpstreamTls;
use crate::decode::{
    Decode, Each, Given, OneOrMany, string_schema, struct_entries, unknown_key, wrong,
};
use crate::node::{Entry, Node};
use crate::spanned::Spanned;
use crate::value::{Address, Percent, StatusRange};
use crate::{Schema, choice, config, defaults};

config! {
    /// A named group of targets.
    pub struct Upstream {
        /// Its name, for routes, metrics and logs.
        pub name: Spanned<String>,
        /// Its targets, if they are known beforehand.
        pub targets: Given<Each<Target>>,
        /// Where its targets come from otherwise.
        pub discover: Given<Discover>,
        /// How a target is picked.
        pub load_balance: LoadBalance = defaults(),
        /// Checks that look whether each target works.
        pub health_check: Option<HealthCheck>,
        /// Leaves out targets whose replies fail.
        pub outlier_detection: Option<Spanned<OutlierDetection>>,
        /// Refuses quickly while the upstream as a whole fails. Shared by all its routes.
        pub circuit_breaker: Option<CircuitBreaker>,
        /// How long things may take.
        pub timeouts: Timeouts = defaults(),
        /// Connections that are kept for the next request.
        pub pool: Pool = defaults(),
        /// What is spoken with the targets.
        pub protocol: Spanned<TargetProtocol> = TargetProtocol::Auto,
        /// TLS towards the targets. Without it, targets whose address begins with https:// are checked
        /// against the system's CAs.
        pub tls: Option<Spanned<UpstreamTls>>,
        /// The PROXY protocol header that tells targets of a `tcp` or `tls` listener who the client is.
        pub proxy_protocol: Spanned<SendProxy> = SendProxy::Off,
    }
}

config! {
    /// One address of an upstream.
    pub struct Target {
        /// Its address, like http://127.0.0.1:8081.
        pub addr: Spanned<Address>,
        /// Its share of the requests, compared to the others. 0 gets none.
        pub weight: Spanned<u32> = 1,
    }
}

choice! {
    /// What is spoken with targets.
    pub enum TargetProtocol {
        /// What the addresses say: HTTP/2 for h2c://, grpc:// and grpcs://, what the target picks in the
        /// TLS handshake for https:// (HTTP/2 or HTTP/1.1), else HTTP/1.1.
        Auto = "auto",
        /// HTTP/1.1.
        H1 = "h1",
        /// HTTP/2 over TLS.
        H2 = "h2",
        /// HTTP/2 without TLS.
        H2c = "h2c",
        /// gRPC, which is HTTP/2.
        Grpc = "grpc",
    }
}

choice! {
    /// Which PROXY protocol header is sent to targets.
    pub enum SendProxy {
        /// None.
        Off = "off",
        /// The one in text.
        V1 = "v1",
        /// The one in bytes.
        V2 = "v2",
    }
}

/// Where targets come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Discover {
    /// Names that are looked up again when their time to live is over.
    Dns(Spanned<DnsSource>),
    /// A file that is watched.
    File(Spanned<FileSource>),
}

const SOURCES: &[&str] = &["dns", "file"];
const LATER_SOURCES: &[&str] = &[
    "consul",
    "etcd",
    "nacos",
    "kubernetes",
    "eureka",
    "zookeeper",
];

impl Decode for Discover {
    type Plain = Discover;

    fn from_plain(plain: Discover, _: &Span) -> Discover {
        plain
    }

    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<Discover> {
        let entries = struct_entries(node, problems)?;
        let unknown = |e: &&Entry| !SOURCES.contains(&&*e.key);
        let mut unknown = entries.iter().filter(unknown).peekable();
        if unknown.peek().is_some() {
            unknown.for_each(|e| unknown_key(e, SOURCES, LATER_SOURCES, problems));
            return None;
        }
        let [entry] = entries else {
            let what = "`discover` needs exactly one source";
            problems.error(&node.span, what, "write `dns: …` or `file: …`");
            return None;
        };
        match &*entry.key {
            "dns" => Decode::decode(&entry.value, problems).map(Discover::Dns),
            _ => Decode::decode(&entry.value, problems).map(Discover::File),
        }
    }

    fn schema() -> Schema {
        json!({
            "type": "object",
            "properties": { "dns": DnsSource::schema(), "file": FileSource::schema() },
            "additionalProperties": false,
            "minProperties": 1,
            "maxProperties": 1,
        })
    }

    fn to_json(&self) -> Value {
        match self {
            Discover::Dns(dns) => json!({ "dns": dns.to_json() }),
            Discover::File(file) => json!({ "file": file.to_json() }),
        }
    }
}

config! {
    /// Targets by name.
    pub struct DnsSource {
        /// The name to look up.
        pub name: Spanned<String>,
        /// What to look up.
        pub record: DnsRecord = DnsRecord::A,
        /// The port of the targets; an SRV record brings its own.
        pub port: Option<Spanned<u16>>,
        /// The DNS server to ask, like 127.0.0.1:53; the system's if there is none.
        pub resolver: Option<SocketAddr>,
        /// An answer is used for so long at least, whatever its time to live.
        pub refresh_min: Spanned<Duration> = Duration::from_secs(1),
        /// An answer is used for so long at most, whatever its time to live.
        pub refresh_max: Spanned<Duration> = Duration::from_secs(300),
    }
}

choice! {
    /// Which records name the targets.
    pub enum DnsRecord {
        /// A and AAAA: addresses.
        A = "a",
        /// SRV: addresses with ports, weights and priorities (RFC 2782).
        Srv = "srv",
    }
}

config! {
    /// Targets from a file, in the form of `targets`.
    pub struct FileSource {
        /// The file, YAML or JSON.
        pub path: Spanned<String>,
    }
}

config! {
    /// How a target is picked.
    pub struct LoadBalance {
        /// By which rule.
        pub policy: Spanned<Policy> = Policy::WeightedRoundRobin,
        /// What `ring_hash` and `maglev` place by: client_ip, path, url, header:NAME, cookie:NAME or
        /// query:NAME.
        pub hash_on: Option<Spanned<HashOn>>,
        /// A target that becomes healthy gets its full share only after so long.
        pub slow_start: Duration = Duration::ZERO,
        /// Below this share of healthy targets all of them are used.
        pub panic_threshold: Percent = Percent::new(50.0),
        /// Brings a client back to its target.
        pub sticky: Option<Sticky>,
    }
}

choice! {
    /// By which rule a target is picked.
    pub enum Policy {
        /// One after the other, whatever their weights.
        RoundRobin = "round_robin",
        /// One after the other by weight, smoothly.
        WeightedRoundRobin = "weighted_round_robin",
        /// Any of them, by weight.
        Random = "random",
        /// The one with the fewest requests under way per weight.
        LeastConnections = "least_connections",
        /// The less busy of two random ones.
        P2c = "p2c",
        /// The faster of two random ones.
        Ewma = "ewma",
        /// By the hash of something, on a ring.
        RingHash = "ring_hash",
        /// By the hash of something, in a table.
        Maglev = "maglev",
    }
}

config! {
    /// A cookie that brings a client back to its target.
    pub struct Sticky {
        /// The cookie's name.
        pub cookie: Spanned<String>,
        /// How long the client keeps it; without it until the browser closes.
        pub ttl: Option<Duration>,
    }
}

config! {
    /// Checks that look whether a target works.
    pub struct HealthCheck {
        /// How.
        #[key = "type"]
        pub kind: CheckType = CheckType::Http,
        /// The path to ask for.
        pub path: Option<Spanned<String>>,
        /// The Host to ask for; the target's address if there is none.
        pub host: Option<Spanned<String>>,
        /// The gRPC service to ask about; the server as a whole if there is none.
        pub service: Option<Spanned<String>>,
        /// From one check to the next.
        pub interval: Spanned<Duration> = Duration::from_secs(10),
        /// A check without an answer by then failed.
        pub timeout: Spanned<Duration> = Duration::from_secs(5),
        /// So many successes in a row make a target healthy.
        pub healthy_after: Spanned<u32> = 2,
        /// So many failures in a row make it unhealthy.
        pub unhealthy_after: Spanned<u32> = 3,
        /// Statuses that are healthy.
        pub expect: OneOrMany<StatusRange> = vec![StatusRange { first: 200, last: 299 }],
    }
}

choice! {
    /// How a target is checked.
    pub enum CheckType {
        /// A GET that is answered as expected.
        Http = "http",
        /// A connection that opens.
        Tcp = "tcp",
        /// gRPC's health service, answered with SERVING.
        Grpc = "grpc",
    }
}

config! {
    /// Leaves out targets whose replies fail.
    pub struct OutlierDetection {
        /// So many failures in a row leave a target out; 0 for none.
        pub consecutive_5xx: u32 = 5,
        /// For how long; longer each time it happens again.
        pub eject_for: Spanned<Duration> = Duration::from_secs(30),
        /// At most this share of the targets is left out; of a few it may be one, unless this is 0%.
        pub max_ejected: Percent = Percent::new(50.0),
        /// Also leave out a target that answers less than this share well.
        pub success_rate_below: Option<Percent>,
    }
}

config! {
    /// Refuses quickly while the upstream as a whole fails, or when too much is under way. Limits alone make
    /// no breaker.
    pub struct CircuitBreaker {
        /// So many failures in a row open it; 0 for none. Default 5; none if only `failure_rate` is set.
        pub failure_threshold: Option<u32>,
        /// This share of failures in the window opens it.
        pub failure_rate: Option<Spanned<Percent>>,
        /// Below so many requests in the window the rate says nothing. Default 20.
        pub minimum_requests: Option<u32>,
        /// The window of the rate. Default 10s.
        pub window: Option<Spanned<Duration>>,
        /// How long it stays open before it lets a few requests try. Default 30s.
        pub open_for: Option<Spanned<Duration>>,
        /// So many may try; their success closes it. Default 3.
        pub half_open_requests: Option<Spanned<u32>>,
        /// The most connections to all targets, idle ones included, which make room for others; 0 for no
        /// limit.
        pub max_connections: u32 = 0,
        /// The most requests that wait for a connection; 0 for no limit.
        pub max_pending: u32 = 0,
        /// The most requests at once; 0 for no limit.
        pub max_requests: u32 = 0,
    }
}

config! {
    /// How long things may take with a target.
    pub struct Timeouts {
        /// Until a connection is open.
        pub connect: Spanned<Duration> = limits::CONNECT_TIMEOUT,
        /// From the request's end to the reply's head.
        pub response_header: Spanned<Duration> = limits::RESPONSE_HEADER_TIMEOUT,
        /// The whole exchange, with all its tries and the reply's body to its last byte. Without it a reply
        /// that has begun may take as long as it goes on.
        pub request: Option<Spanned<Duration>>,
        /// A connection without a request is closed after so long.
        pub idle: Spanned<Duration> = limits::POOL_IDLE_TIMEOUT,
        /// A tunnel (TCP, TLS passed through, WebSocket) without a byte in either direction is closed after
        /// so long.
        pub tunnel: Spanned<Duration> = limits::TUNNEL_IDLE_TIMEOUT,
    }
}

config! {
    /// Connections that are kept for the next request.
    pub struct Pool {
        /// The most idle connections per target and worker; 0 keeps none.
        pub max_idle_per_target: usize = limits::POOL_IDLE_MAX,
    }
}

/// What a request is placed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashOn {
    /// The client's address.
    ClientIp,
    /// The path.
    Path,
    /// Host, path and query.
    Url,
    /// A header.
    Header(String),
    /// A cookie.
    Cookie(String),
    /// A query key.
    Query(String),
}

impl Decode for HashOn {
    type Plain = HashOn;

    fn from_plain(plain: HashOn, _: &Span) -> HashOn {
        plain
    }

    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<HashOn> {
        let found = match node.text().unwrap_or_default() {
            "client_ip" => Some(HashOn::ClientIp),
            "path" => Some(HashOn::Path),
            "url" => Some(HashOn::Url),
            text => match text.split_once(':').map(|(k, v)| (k, v.trim())) {
                Some((_, "")) => None,
                Some(("header", name)) => Some(HashOn::Header(name.into())),
                Some(("cookie", name)) => Some(HashOn::Cookie(name.into())),
                Some(("query", name)) => Some(HashOn::Query(name.into())),
                _ => None,
            },
        };
        if found.is_none() {
            let expected = "client_ip, path, url, header:NAME, cookie:NAME or query:NAME";
            wrong(node, expected, problems);
        }
        found
    }

    fn schema() -> Schema {
        let mut schema = string_schema("", &["client_ip", "header:X-User-Id", "cookie:session"]);
        schema["pattern"] = r"^(client_ip|path|url|(header|cookie|query):.+)$|\$\{.+\}".into();
        schema
    }

    fn to_json(&self) -> Value {
        match self {
            HashOn::ClientIp => "client_ip".into(),
            HashOn::Path => "path".into(),
            HashOn::Url => "url".into(),
            HashOn::Header(name) => format!("header:{name}").into(),
            HashOn::Cookie(name) => format!("cookie:{name}").into(),
            HashOn::Query(name) => format!("query:{name}").into(),
        }
    }
}
