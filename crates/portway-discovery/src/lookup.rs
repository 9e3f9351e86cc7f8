//! Questions to the DNS: the one place that names hickory.
//!
//! Must hold: nothing is cached here, so that a refresh asks; an answer comes with the time it may
//! be used. The hosts file counts, as it does for every other program.
//! Never: validates DNSSEC (RUSTSEC-2026-0118); the server asked is trusted to.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, Record};
use hickory_resolver::{Resolver, ResolverBuilder, TokioResolver};

/// An answer and how long it may be used.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    pub list: Vec<T>,
    pub ttl: Duration,
}

/// One SRV record of the best priority.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Service {
    pub host: String,
    pub port: u16,
    pub weight: u32,
}

/// One server to ask, waiting for it this long, twice. Sooner than the 5 s of resolv.conf: the
/// server was named for the purpose.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Asks one DNS server, or those of the system. Clones made after [`Lookup::prepare`] share what it made.
#[derive(Clone)]
pub(crate) struct Lookup {
    server: Option<SocketAddr>,
    resolver: Option<TokioResolver>,
}

impl Lookup {
    pub(crate) fn new(server: Option<SocketAddr>) -> Lookup {
        Lookup {
            server,
            resolver: None,
        }
    }

    /// A host's IPv4 addresses, or its IPv6 addresses if it has no others, in order.
    pub(crate) async fn addresses(&mut self, name: &str) -> Result<Answer<IpAddr>, String> {
        let failed = |e: NetError| format!("{name}: {e}");
        let resolver = self.resolver().map_err(failed)?;
        let found = resolver.lookup_ip(name).await.map_err(failed)?;
        let records = found.as_lookup().answers();
        answer(name, records, |data| match data {
            RData::A(a) => Some(IpAddr::V4(a.0)),
            RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
            _ => None,
        })
    }

    /// A service's records of the lowest priority number, in order. RFC 2782 keeps the others for
    /// when these are gone.
    pub(crate) async fn services(&mut self, name: &str) -> Result<Answer<Service>, String> {
        let failed = |e: NetError| format!("{name}: {e}");
        let resolver = self.resolver().map_err(failed)?;
        let found = resolver.srv_lookup(name).await.map_err(failed)?;
        let records = found.answers();
        let priority = |data: &RData| match data {
            RData::SRV(srv) => Some(srv.priority),
            _ => None,
        };
        let best = records.iter().filter_map(|r| priority(&r.data)).min();
        answer(name, records, |data| match data {
            // A lone "." says that the service is not offered (RFC 2782, "Target").
            RData::SRV(srv) if Some(srv.priority) == best && !srv.target.is_root() => {
                Some(Service {
                    host: srv.target.to_string().trim_end_matches('.').to_owned(),
                    port: srv.port,
                    // Weight 0 is "hardly any" beside others and "all alike" among themselves.
                    weight: u32::from(srv.weight).max(1),
                })
            }
            _ => None,
        })
    }

    /// Makes ready to ask.
    pub(crate) fn prepare(&mut self) -> Result<(), String> {
        let made = self.resolver().map(drop);
        made.map_err(|error| format!("the system's DNS settings: {error}"))
    }

    /// Made at the first question: the system's configuration may not be readable yet.
    fn resolver(&mut self) -> Result<&TokioResolver, NetError> {
        let resolver = match self.resolver.take() {
            Some(resolver) => resolver,
            None => build(self.server)?,
        };
        Ok(self.resolver.insert(resolver))
    }
}

fn build(server: Option<SocketAddr>) -> Result<TokioResolver, NetError> {
    let mut builder: ResolverBuilder<_> = match server {
        None => Resolver::builder_tokio()?,
        Some(server) => {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut c| {
                c.port = server.port();
                c
            });
            let server = NameServerConfig::new(server.ip(), true, connections.into());
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
            let mut builder =
                Resolver::builder_with_config(config, TokioRuntimeProvider::default());
            builder.options_mut().timeout = TIMEOUT;
            builder
        }
    };
    let options: &mut ResolverOpts = builder.options_mut();
    options.cache_size = 0;
    options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
    builder.build()
}

/// The records of the kind asked for; aliases on the way count for the TTL only.
fn answer<T: Ord>(
    name: &str,
    records: &[Record],
    pick: impl Fn(&RData) -> Option<T>,
) -> Result<Answer<T>, String> {
    let mut list: Vec<T> = records.iter().filter_map(|r| pick(&r.data)).collect();
    if list.is_empty() {
        return Err(format!("{name}: the answer has no usable record"));
    }
    // A server turns its answers round; an order of our own keeps the set the same.
    list.sort_unstable();
    list.dedup();
    let ttl = records.iter().map(|r| r.ttl).min().unwrap_or(0);
    Ok(Answer {
        list,
        ttl: Duration::from_secs(u64::from(ttl)),
    })
}
