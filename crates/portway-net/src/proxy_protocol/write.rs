//! Telling a target who the client is.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ppp::{v1, v2};

use super::Version;

/// Appends a header that says: from `source`, to `destination`. Where only one of the two is an IPv6
/// address, the other is written as one too (RFC 4291, section 2.5.5.2).
pub fn write(version: Version, source: SocketAddr, destination: SocketAddr, out: &mut Vec<u8>) {
    let (from, to) = (source.ip().to_canonical(), destination.ip().to_canonical());
    let ports = (source.port(), destination.port());
    match (version, from, to) {
        (Version::V1, IpAddr::V4(from), IpAddr::V4(to)) => {
            let addresses = v1::Addresses::new_tcp4(from, to, ports.0, ports.1);
            out.extend_from_slice(addresses.to_string().as_bytes());
        }
        (Version::V1, from, to) => {
            let addresses = v1::Addresses::new_tcp6(wide(from), wide(to), ports.0, ports.1);
            out.extend_from_slice(addresses.to_string().as_bytes());
        }
        (Version::V2, IpAddr::V4(from), IpAddr::V4(to)) => {
            binary(v2::IPv4::new(from, to, ports.0, ports.1).into(), out);
        }
        (Version::V2, from, to) => {
            let ip = v2::IPv6::new(wide(from), wide(to), ports.0, ports.1);
            binary(ip.into(), out);
        }
    }
}

fn wide(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

fn binary(addresses: v2::Addresses, out: &mut Vec<u8>) {
    let version = v2::Version::Two | v2::Command::Proxy;
    let built = v2::Builder::with_addresses(version, v2::Protocol::Stream, addresses).build();
    out.extend_from_slice(&built.expect("addresses alone are far below the longest payload"));
}
