//! Who the client is when trusted proxies stand before the gateway, and what the gateway tells the
//! target about it (X-Forwarded-*, X-Real-IP, RFC 7239).
//!
//! Must hold: a claim counts only if every hop that could have written it is trusted: chains are read
//! from the right, and the first hop that is not trusted is the client. What reaches a target is
//! written here alone, so `Connection` cannot remove it and a client cannot add to it.
//! Never: allocates on the request path, apart from growth of the buffer written to.

mod chain;
mod write;

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

pub use write::{ForwardedField, client_scheme, is_forwarded_header, write_forwarded, write_value};

/// The networks whose forwarding fields count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Box<[IpNet]>);

impl TrustedProxies {
    /// These networks.
    #[must_use]
    pub fn new(networks: Vec<IpNet>) -> TrustedProxies {
        TrustedProxies(networks.into())
    }

    /// Whether the address is in one of the networks. An IPv4 address in IPv6 clothes counts as IPv4.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|network| network.contains(&ip))
    }

    /// Whether nobody is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<IpNet>> for TrustedProxies {
    fn from(networks: Vec<IpNet>) -> TrustedProxies {
        TrustedProxies::new(networks)
    }
}

/// The client's address: the rightmost one in X-Forwarded-For (without it: in `Forwarded`) that is
/// not a trusted proxy, if the peer is one; else the peer's. An entry that is not an address ends
/// the walk at the last hop that was understood.
#[must_use]
pub fn client_ip(headers: &HeaderMap, peer: IpAddr, trusted: &TrustedProxies) -> IpAddr {
    let peer = peer.to_canonical();
    if !trusted.contains(peer) {
        return peer;
    }
    let mut client = peer;
    for hop in chain::hops(headers) {
        let Some(ip) = hop else { break };
        client = ip;
        if !trusted.contains(ip) {
            break;
        }
    }
    client
}

#[cfg(test)]
mod tests;
