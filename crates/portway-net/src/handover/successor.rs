//! The predecessor's side: starting a successor that has the listening sockets.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};
use tokio::io::AsyncReadExt;

use super::{READY, SOCKETS_VARIABLE};

/// A process that was started to take over.
#[derive(Debug)]
pub struct Successor {
    child: Child,
    ready: UnixStream,
}

/// Starts `program` with these listening sockets, which this process keeps until it drains. The
/// address is the one the socket has. Call it where a blocking fork and exec does no harm.
///
/// # Errors
/// If a socket's address cannot be read, or the program cannot be started.
pub fn spawn_successor(
    listeners: &[BorrowedFd<'_>],
    program: &OsStr,
    args: &[OsString],
) -> io::Result<Successor> {
    let (ready, theirs) = UnixStream::pair()?;
    let mut variable = String::new();
    let mut passed: Vec<OwnedFd> = Vec::with_capacity(listeners.len() + 1);
    for listener in listeners {
        let addr = addr_of(*listener)?;
        let copy = listener.try_clone_to_owned()?;
        let comma = if variable.is_empty() { "" } else { "," };
        let _ = write!(variable, "{comma}{addr}={}", copy.as_raw_fd());
        passed.push(copy);
    }
    let _ = write!(variable, ";ready={}", theirs.as_raw_fd());
    passed.push(theirs.into());

    let mut command = Command::new(program);
    command.args(args).env(SOCKETS_VARIABLE, variable);
    let keep_open = move || {
        for fd in &passed {
            fcntl_setfd(fd, FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes only fcntl system calls: it takes no lock and
    // allocates nothing (an error number becomes an `io::Error` without that). The descriptors are
    // open there, since the closure owns copies of them; clearing the mark in the child leaves the
    // parent's table of descriptors alone.
    unsafe { command.pre_exec(keep_open) };
    let child = command.spawn()?;
    Ok(Successor { child, ready })
}

fn addr_of(listener: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    let addr = socket2::SockRef::from(&listener.as_fd()).local_addr()?;
    addr.as_socket()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a TCP socket"))
}

impl Successor {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it says that it accepts. If it does not within `timeout`, or dies before that,
    /// it is ended and reaped, and this process goes on as if it had never been. Needs a tokio
    /// runtime with I/O and time.
    ///
    /// # Errors
    /// [`SuccessorError`]: what became of it.
    pub async fn wait_ready(mut self, timeout: Duration) -> Result<u32, SuccessorError> {
        match tokio::time::timeout(timeout, said_ready(&self.ready)).await {
            Ok(Ok(true)) => return Ok(self.child.id()),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "waiting for the successor"),
            Err(_) => {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return Err(SuccessorError::Late(timeout));
            }
        }
        // Its end of the socket is closed: it died, or gave up on us. Either way it must not serve.
        let status = tokio::task::spawn_blocking(move || {
            let ended = self.child.try_wait();
            if !matches!(ended, Ok(Some(_))) {
                // A moment between closing its files and being reapable.
                std::thread::sleep(Duration::from_millis(100));
                let _ = self.child.kill();
            }
            self.child.wait()
        });
        Err(SuccessorError::Gone(status.await.ok().and_then(Result::ok)))
    }
}

async fn said_ready(socket: &UnixStream) -> io::Result<bool> {
    let socket = socket.try_clone()?;
    socket.set_nonblocking(true)?;
    let mut socket = tokio::net::UnixStream::from_std(socket)?;
    let mut said = [0];
    Ok(socket.read(&mut said).await? == 1 && said[0] == READY)
}

/// A successor that did not take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuccessorError {
    /// Not ready within this time; ended.
    Late(Duration),
    /// It ended by itself, with this status if it could be read.
    Gone(Option<ExitStatus>),
}

impl fmt::Display for SuccessorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SuccessorError::Late(after) => {
                write!(f, "the new process was not ready within {after:?}")
            }
            SuccessorError::Gone(Some(status)) => {
                write!(f, "the new process ended before it was ready: {status}")
            }
            SuccessorError::Gone(None) => f.write_str("the new process ended before it was ready"),
        }
    }
}

impl std::error::Error for SuccessorError {}
