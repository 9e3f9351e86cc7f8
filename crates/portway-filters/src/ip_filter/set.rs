//! A set of IP addresses, given as networks, kept as sorted ranges that do not touch.
//!
//! Must hold: an IPv4 address and its IPv4-mapped IPv6 form (RFC 4291, section 2.5.5.2) are the same
//! address, both in the networks and in the question; a search takes logarithmic time, so a list of a
//! hundred thousand networks costs no more than 17 steps.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

/// A set of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpSet {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

type Ranges<T> = Box<[(T, T)]>;

impl IpSet {
    /// The addresses of all these networks.
    #[must_use]
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> IpSet {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match unmapped(network) {
                IpNet::V4(n) => v4.push((u32::from(n.network()), u32::from(n.broadcast()))),
                IpNet::V6(n) => v6.push((u128::from(n.network()), u128::from(n.broadcast()))),
            }
        }
        IpSet {
            v4: merged(v4),
            v6: merged(v6),
        }
    }

    /// Whether no address is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether this address is in it.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            IpAddr::V4(ip) => within(&self.v4, u32::from(ip)),
            IpAddr::V6(ip) => within(&self.v6, u128::from(ip)),
        }
    }
}

fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(n) = network else {
        return network;
    };
    let v4 = (n.prefix_len() >= 96)
        .then(|| n.network().to_ipv4_mapped())
        .flatten()
        .and_then(|ip| Ipv4Net::new(ip, n.prefix_len() - 96).ok());
    v4.map_or(network, IpNet::V4)
}

fn merged<T: Ord + Copy>(mut ranges: Vec<(T, T)>) -> Ranges<T> {
    ranges.sort_unstable();
    let mut out: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match out.last_mut() {
            Some(before) if first <= before.1 => before.1 = before.1.max(last),
            _ => out.push((first, last)),
        }
    }
    out.into()
}

fn within<T: Ord + Copy>(ranges: &[(T, T)], value: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= value);
    after > 0 && value <= ranges[after - 1].1
}

/// The network that a limit counts as one caller: an IPv4 address, or an IPv6 /64, which is the least
/// that one customer gets (RFC 6177), so that its owner cannot pass for 2^64 callers.
#[must_use]
pub fn caller(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(networks: &[&str]) -> IpSet {
        IpSet::new(networks.iter().map(|n| n.parse().unwrap()))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn holds_whole_networks_and_single_addresses() {
        let set = set(&["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]);
        for inside in ["10.0.0.0", "10.255.255.255", "192.0.2.7", "2001:db8:1::9"] {
            assert!(set.contains(ip(inside)), "{inside}");
        }
        for outside in ["9.255.255.255", "11.0.0.0", "192.0.2.8", "2001:db9::"] {
            assert!(!set.contains(ip(outside)), "{outside}");
        }
    }

    #[test]
    fn takes_a_mapped_address_for_what_it_maps() {
        assert!(set(&["10.0.0.0/8"]).contains(ip("::ffff:10.1.2.3")));
        assert!(set(&["::ffff:10.0.0.0/104"]).contains(ip("10.1.2.3")));
        assert!(!set(&["::ffff:10.0.0.0/104"]).contains(ip("11.1.2.3")));
    }

    #[test]
    fn covers_the_whole_of_either_family() {
        assert!(set(&["0.0.0.0/0"]).contains(ip("255.255.255.255")));
        assert!(!set(&["0.0.0.0/0"]).contains(ip("::1")));
        assert!(set(&["::/0"]).contains(ip("ffff::")));
    }

    #[test]
    fn counts_an_ipv6_customer_as_one_caller() {
        assert_eq!(caller(ip("2001:db8:1:2:3:4:5:6")), ip("2001:db8:1:2::"));
        assert_eq!(caller(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
    }

    proptest! {
        #[test]
        fn agrees_with_a_search_of_every_network(
            networks in proptest::collection::vec((any::<u32>(), 0u8..=32), 0..40),
            asked in proptest::collection::vec(any::<u32>(), 20),
        ) {
            let networks: Vec<IpNet> = networks
                .into_iter()
                .map(|(ip, len)| IpNet::V4(Ipv4Net::new(ip.into(), len).unwrap()))
                .collect();
            let set = IpSet::new(networks.iter().copied());
            let edges = networks.iter().flat_map(|n| [n.network(), n.broadcast()]);
            for ip in asked.into_iter().map(|a| IpAddr::V4(a.into())).chain(edges) {
                prop_assert_eq!(set.contains(ip), networks.iter().any(|n| n.contains(&ip)));
            }
        }
    }
}
