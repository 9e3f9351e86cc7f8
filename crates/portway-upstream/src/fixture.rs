//! What the tests of several modules start from.

use std::net::SocketAddr;

use portway_discovery::{DiscoveredTarget, NamedTarget, SourceSpec, TargetSet};

use crate::spec::{BalanceSpec, LimitSpec, PoolSpec, Protocol, TimeoutSpec, UpstreamSpec};

/// An upstream of these addresses and nothing else.
pub(crate) fn spec(addrs: &[SocketAddr]) -> UpstreamSpec {
    let named = addrs.iter().map(|a| NamedTarget {
        host: a.ip().to_string(),
        port: a.port(),
        weight: 1,
    });
    UpstreamSpec {
        name: "users".into(),
        source: SourceSpec::Static(named.collect()),
        protocol: Protocol::H1,
        tls: None,
        balance: BalanceSpec::default(),
        health: None,
        outlier: None,
        breaker: None,
        limits: LimitSpec::default(),
        timeouts: TimeoutSpec::default(),
        proxy_protocol: None,
        pool: PoolSpec::default(),
    }
}

/// Addresses that nobody connects to: 10.0.0.1:80, 10.0.0.2:80, and so on.
pub(crate) fn addrs(count: u8) -> Vec<SocketAddr> {
    (1..=count)
        .map(|n| SocketAddr::from(([10, 0, 0, n], 80)))
        .collect()
}

/// What a source would find: these, each with weight 1.
pub(crate) fn found(addrs: &[SocketAddr]) -> TargetSet {
    let target = |addr: &SocketAddr| DiscoveredTarget {
        addr: *addr,
        host: None,
        weight: 1,
    };
    TargetSet {
        generation: 1,
        targets: addrs.iter().map(target).collect(),
    }
}
