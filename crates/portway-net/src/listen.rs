//! Listening sockets: made with the options a gateway needs, and accepted from without giving up.
//!
//! Must hold: options go onto the listening socket once, because Linux hands them down to every
//! connection it accepts; a failure says which address, what happened and what to do about it.
//! Never: shares an address with a process that was there before, unless asked to.

mod accept;
mod error;
mod udp;
mod unix;

pub use accept::Acceptor;
pub use error::BindError;
pub use udp::bind_datagrams;
pub use unix::{Present, bind_unix};

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;

use portway_core::limits;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// How to listen.
#[derive(Clone, Copy, Debug)]
pub struct ListenOptions {
    /// Connections waiting to be accepted; the kernel cuts it to [`somaxconn`].
    pub backlog: u32,
    /// `SO_REUSEPORT`: several sockets of this user share the address, and the kernel spreads
    /// connections over them.
    pub reuse_port: bool,
}

impl Default for ListenOptions {
    fn default() -> Self {
        ListenOptions {
            backlog: limits::LISTEN_BACKLOG,
            reuse_port: false,
        }
    }
}

/// Listens on `addr` (port 0: any free one) with a non-blocking socket. `[::]` takes IPv4 too.
///
/// # Errors
/// [`BindError`], with a hint where there is one to give.
pub fn bind(addr: SocketAddr, options: ListenOptions) -> Result<TcpListener, BindError> {
    let listen = || {
        let socket = bound(addr, options.reuse_port)?;
        tune(&socket)?;
        socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
        std::io::Result::Ok(TcpListener::from(socket))
    };
    listen().map_err(|source| BindError::new(addr.to_string(), source))
}

/// Listens on `addr` with one socket per worker, all on the same port. Somebody else's socket on
/// that address is an error, though `SO_REUSEPORT` would let both have a share of the traffic.
///
/// # Errors
/// [`BindError`]; then no socket is left open.
pub fn bind_workers(
    addr: SocketAddr,
    workers: usize,
    options: ListenOptions,
) -> Result<Vec<TcpListener>, BindError> {
    if addr.port() != 0 {
        // Bound without sharing, then closed: fails if anybody listens there.
        bound(addr, false).map_err(|source| BindError::new(addr.to_string(), source))?;
    }
    let first = bind_another(addr, options)?;
    let addr = first
        .local_addr()
        .map_err(|source| BindError::new(addr.to_string(), source))?;
    let mut listeners = vec![first];
    while listeners.len() < workers {
        listeners.push(bind_another(addr, options)?);
    }
    Ok(listeners)
}

/// Listens on `addr` next to the sockets that are there, e.g. those inherited from a predecessor.
///
/// # Errors
/// [`BindError`], e.g. if a socket without `SO_REUSEPORT` has the address.
pub fn bind_another(addr: SocketAddr, options: ListenOptions) -> Result<TcpListener, BindError> {
    let reuse_port = true;
    bind(
        addr,
        ListenOptions {
            reuse_port,
            ..options
        },
    )
}

/// Sends small writes at once (`TCP_NODELAY`) and finds dead peers (keep-alive). For connected
/// sockets; accepted ones have it from their listening socket.
///
/// # Errors
/// Those of `setsockopt`, e.g. if it is no TCP socket.
pub fn tune(socket: &impl AsFd) -> std::io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(limits::TCP_KEEPALIVE)
            .with_interval(limits::TCP_KEEPALIVE_INTERVAL)
            .with_retries(limits::TCP_KEEPALIVE_RETRIES),
    )
}

/// The kernel's bound on every backlog, if it can be read.
#[must_use]
pub fn somaxconn() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok()?;
    text.trim().parse().ok()
}

fn bound(addr: SocketAddr, reuse_port: bool) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if let SocketAddr::V6(v6) = addr {
        // `[::]` means every address there is, whatever net.ipv6.bindv6only says.
        socket.set_only_v6(!v6.ip().is_unspecified())?;
    }
    // A restart must not wait for connections in TIME_WAIT. It does not share a listening socket.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests;
