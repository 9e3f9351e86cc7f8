//! Ports that nobody else has.
//!
//! Must hold: a reserved port refuses connections until somebody listens on it, and no other test
//! is given it meanwhile.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

/// A loopback port kept for whoever binds it with `SO_REUSEADDR` (Portway, nginx, HAProxy, and the
/// standard library's listeners do).
#[derive(Debug)]
pub struct Reserved {
    addr: SocketAddr,
    /// Bound and not listening: the kernel gives the port to no one who asks for any.
    _held: Socket,
}

impl Reserved {
    /// Where to listen, and where to connect.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The port alone.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// Listens there; again after an earlier listener was dropped.
    ///
    /// # Errors
    /// If somebody listens there.
    pub fn listen(&self) -> std::io::Result<TcpListener> {
        let socket = shared(self.addr)?;
        socket.listen(1024)?;
        Ok(TcpListener::from(socket))
    }
}

/// Reserves any free port of 127.0.0.1.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn reserve() -> Reserved {
    let held = shared(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
    let addr = held.local_addr().expect("bound").as_socket();
    Reserved {
        addr: addr.expect("an IPv4 address"),
        _held: held,
    }
}

/// A port that was free just now, for what cannot share it even with a [`Reserved`].
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free() -> u16 {
    reserve().port()
}

/// An address that neither accepts connections nor refuses them: its queue is full. It is so while
/// the second part lives.
///
/// # Panics
/// If there is no free port.
#[must_use]
pub fn deaf() -> (SocketAddr, Vec<Socket>) {
    let socket = shared(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
    socket.listen(0).expect("listens");
    let addr = socket.local_addr().expect("bound");
    let mut held = vec![socket];
    // One fits into a queue of none; the others see to it that nothing else does.
    for _ in 0..4 {
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        client.set_nonblocking(true).expect("a setting");
        let _ = client.connect(&addr);
        held.push(client);
    }
    (addr.as_socket().expect("an IPv4 address"), held)
}

fn shared(addr: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_reserved_port_refuses_until_somebody_listens() {
        let port = reserve();
        assert!(TcpStream::connect(port.addr()).is_err());
        for _ in 0..3 {
            let listener = port.listen().unwrap();
            TcpStream::connect(port.addr()).unwrap();
            assert!(port.listen().is_err(), "one listener at a time");
            drop(listener);
            assert!(TcpStream::connect(port.addr()).is_err());
        }
    }
}
