//! What a discovery source is and what it yields.
//!
//! Must hold: a source yields whole sets, never changes to one; a set differs from the one before
//! it. After a failure the last set stays in use, so a source that cannot answer takes no target
//! away.
//! Never: knows of health, balancing or connections.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use crate::refresh::addresses;

/// A boxed future: sources are few and wait long, so the box costs nothing that counts.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where an upstream's targets come from. Plain data: equal specs mean the same targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSpec {
    /// A list in the config.
    Static(Vec<NamedTarget>),
    /// A name that is looked up again and again.
    Dns(DnsSpec),
    /// A list in a watched file.
    File(FileSpec),
}

impl SourceSpec {
    /// What of it is known without waiting for anybody: the addresses in a list that has names too.
    #[must_use]
    pub fn known_targets(&self) -> TargetSet {
        TargetSet {
            generation: 0,
            targets: match self {
                SourceSpec::Static(named) => addresses(named),
                SourceSpec::Dns(_) | SourceSpec::File(_) => Vec::new(),
            },
        }
    }
}

/// A target as a person writes it down.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamedTarget {
    /// An IP address, without brackets, or a host name that is looked up.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The weight, not scaled.
    pub weight: u32,
}

/// What the `dns` source looks up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSpec {
    /// The name: of a host, or of a service (`_http._tcp.example.com`) if `srv`.
    pub name: String,
    /// The port of every target; unused with `srv`, whose records have their own.
    pub port: u16,
    /// SRV records instead of A and AAAA.
    pub srv: bool,
    /// Answers are used this long at least, whatever their TTL says.
    pub refresh_min: Duration,
    /// Answers are used this long at most, whatever their TTL says.
    pub refresh_max: Duration,
    /// The DNS server to ask; that of the system's configuration if none.
    pub resolver: Option<SocketAddr>,
}

impl DnsSpec {
    /// A host's addresses, with the system's DNS server and the usual bounds on the TTL.
    #[must_use]
    pub fn host(name: &str, port: u16) -> DnsSpec {
        DnsSpec {
            name: name.to_owned(),
            port,
            srv: false,
            refresh_min: REFRESH_MIN,
            refresh_max: REFRESH_MAX,
            resolver: None,
        }
    }

    /// A service's addresses and ports, with the system's DNS server and the usual bounds on the
    /// TTL.
    #[must_use]
    pub fn service(name: &str) -> DnsSpec {
        DnsSpec {
            srv: true,
            ..DnsSpec::host(name, 0)
        }
    }
}

/// What the `file` source watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSpec {
    /// The file, YAML or JSON.
    pub path: PathBuf,
}

/// The least time between two look-ups of a name. A TTL of 0 must not become a storm of queries.
pub const REFRESH_MIN: Duration = Duration::from_secs(1);
/// The most time between two look-ups of a name. A TTL of a day must not hide a move for a day.
pub const REFRESH_MAX: Duration = Duration::from_secs(300);

/// One target that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveredTarget {
    /// Where to connect.
    pub addr: SocketAddr,
    /// The name that the address belongs to; `None` if it was given as an address.
    pub host: Option<String>,
    /// The weight, not scaled.
    pub weight: u32,
}

/// All targets of an upstream at one time. No address occurs twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSet {
    /// Counts the sets that a source has yielded, from 1.
    pub generation: u64,
    /// The targets.
    pub targets: Vec<DiscoveredTarget>,
}

/// Why a source has no new set. The last one stays in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceError {
    /// What went wrong and where: `targets.yaml:3:9: error: …`, `users.internal: no addresses`.
    pub what: String,
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for SourceError {}

/// Where targets come from.
pub trait Source: Send {
    /// Waits for the next set: the first comes as soon as it is known, a later one when it differs
    /// from the last. An error says that something failed; call again to go on, the source waits
    /// between its tries by itself. A source that can never change again waits forever.
    ///
    /// Dropping the future loses no set: the next call goes on.
    fn next(&mut self) -> BoxFuture<'_, Result<TargetSet, SourceError>>;
}
