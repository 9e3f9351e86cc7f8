//! Accepting from one listening socket, whatever `accept` says.
//!
//! Must hold: an error of one connection costs that connection only; when file descriptors or
//! memory run out, accepting pauses and goes on by itself, and the log says so once, not at every
//! try. Never: gives up, or spins.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;

use portway_core::limits::ACCEPT_BACKOFF;
use rustix::io::Errno;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

use super::error::is_out_of_descriptors;
use crate::{Timer, Wheel};

/// One worker's way in through one listening socket.
pub struct Acceptor {
    listener: TcpListener,
    pause: Timer,
    warned: bool,
}

impl Acceptor {
    /// Takes a non-blocking listening socket into the current tokio runtime.
    ///
    /// # Errors
    /// If the runtime cannot register it.
    pub fn new(listener: std::net::TcpListener, wheel: &Wheel) -> std::io::Result<Acceptor> {
        Ok(Acceptor {
            listener: TcpListener::from_std(listener)?,
            pause: wheel.timer(),
            warned: false,
        })
    }

    /// The socket, e.g. to hand it to a successor.
    #[must_use]
    pub fn listener(&self) -> &TcpListener {
        &self.listener
    }

    /// The next connection. Safe to drop at any time: no connection is lost.
    pub async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => {
                    self.warned = false;
                    return accepted;
                }
                // `accept` gives way to other tasks by tokio's own budget.
                Err(error) if is_one_connections(&error) => {}
                Err(error) => self.back_off(&error).await,
            }
        }
    }

    /// A connection that is already there; none if there is none. Asks the kernel: the runtime may not
    /// have heard of it yet, and has a budget that a long queue exceeds.
    pub fn try_accept(&mut self) -> Option<(TcpStream, SocketAddr)> {
        loop {
            match accept_now(&self.listener) {
                Err(error) if is_one_connections(&error) => {}
                accepted => return accepted.ok(),
            }
        }
    }

    async fn back_off(&mut self, error: &Error) {
        if !self.warned {
            self.warned = true;
            let addr = self.listener.local_addr().ok().map(tracing::field::display);
            let hint = if is_out_of_descriptors(error) {
                "raise `ulimit -n` (LimitNOFILE= of the service), or lower max_connections"
            } else {
                ""
            };
            tracing::warn!(addr, %error, hint, "cannot accept connections; trying again");
        }
        let until = self.pause.wheel().clock().now() + ACCEPT_BACKOFF;
        self.pause.sleep(until).await;
    }
}

fn accept_now(listener: &TcpListener) -> std::io::Result<(TcpStream, SocketAddr)> {
    let (socket, peer) = SockRef::from(listener).accept()?;
    socket.set_nonblocking(true)?;
    let peer = peer.as_socket().ok_or(ErrorKind::AddrNotAvailable)?;
    Ok((TcpStream::from_std(socket.into())?, peer))
}

/// The connection failed before it was accepted; the next may be fine. The list is that of
/// accept(2), which passes on network errors of the new connection, and of firewall rules.
fn is_one_connections(error: &Error) -> bool {
    let passed_on = [
        Errno::CONNABORTED,
        Errno::INTR,
        Errno::PERM,
        Errno::PROTO,
        Errno::NOPROTOOPT,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::OPNOTSUPP,
        Errno::CONNRESET,
        Errno::TIMEDOUT,
    ];
    passed_on
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
