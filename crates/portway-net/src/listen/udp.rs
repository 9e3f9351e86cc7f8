//! Sockets for datagrams, one for each worker, on one port.
//!
//! Must hold: the kernel spreads clients over the sockets by their address and port, and by how many
//! sockets there are; so all of a listener's are opened at once, and none joins those of another process
//! or of a listener that drains: clients in the middle of something would land with whom they do not know.

use std::net::{SocketAddr, UdpSocket};

use portway_core::limits;
use socket2::{Domain, Protocol, Socket, Type};

use super::BindError;

/// Binds so many sockets to `addr`, non-blocking. `[::]` takes IPv4 too.
///
/// # Errors
/// [`BindError`], also if somebody else has the address; then no socket is left open.
pub fn bind_datagrams(addr: SocketAddr, sockets: usize) -> Result<Vec<UdpSocket>, BindError> {
    let bind = || {
        if addr.port() != 0 {
            // Bound without sharing, then closed: fails if anybody has it.
            bound(addr, false)?;
        }
        let first = bound(addr, true)?;
        let addr = first.local_addr()?;
        let mut all = vec![first];
        while all.len() < sockets {
            all.push(bound(addr, true)?);
        }
        std::io::Result::Ok(all)
    };
    bind().map_err(|source| BindError::new(format!("{addr} (UDP)"), source))
}

fn bound(addr: SocketAddr, reuse_port: bool) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if let SocketAddr::V6(v6) = addr {
        socket.set_only_v6(!v6.ip().is_unspecified())?;
    }
    // No SO_REUSEADDR: for datagrams it would share the address with anybody.
    socket.set_reuse_port(reuse_port)?;
    // As much as the kernel allows; with less, more is lost in a burst and sent again.
    let _ = socket.set_recv_buffer_size(limits::H3_SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(limits::H3_SOCKET_BUFFER_BYTES);
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_port_is_shared_by_those_of_one_call_only() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let sockets = bind_datagrams(any, 3).unwrap();
        let addr = sockets[0].local_addr().unwrap();
        assert!(sockets.iter().all(|s| s.local_addr().unwrap() == addr));
        let error = bind_datagrams(addr, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.addr.ends_with("(UDP)"));
        drop(sockets);
        assert_eq!(bind_datagrams(addr, 2).unwrap().len(), 2);
    }
}
