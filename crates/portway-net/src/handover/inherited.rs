//! The successor's side: which sockets came from the predecessor.

use std::fmt;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use socket2::SockRef;

use super::{READY, SOCKETS_VARIABLE};

/// What this process got from its predecessor; empty if it has none.
#[derive(Debug, Default)]
pub struct Inherited {
    listeners: Vec<(SocketAddr, TcpListener)>,
    ready: Option<UnixStream>,
}

impl Inherited {
    /// Takes what [`SOCKETS_VARIABLE`] names. To be called once, before anything else opens files;
    /// a second call finds nothing to take and fails, since by then the sockets are this process's.
    ///
    /// # Errors
    /// [`InheritedError`] if the variable is not as a predecessor writes it, or a descriptor is not
    /// the listening socket it is said to be. What was taken before that is closed.
    pub fn from_env() -> Result<Inherited, InheritedError> {
        match std::env::var(SOCKETS_VARIABLE) {
            Ok(text) => Inherited::parse(&text),
            Err(std::env::VarError::NotPresent) => Ok(Inherited::default()),
            Err(std::env::VarError::NotUnicode(_)) => Err(wrong("it is not text")),
        }
    }

    fn parse(text: &str) -> Result<Inherited, InheritedError> {
        let (sockets, ready) = text
            .split_once(";ready=")
            .ok_or_else(|| wrong("`;ready=` is missing"))?;
        let ready = UnixStream::from(take(descriptor(ready)?)?);
        if ready.peer_addr().is_err() {
            return Err(wrong("`ready` is not a connected socket"));
        }
        let mut inherited = Inherited {
            ready: Some(ready),
            ..Inherited::default()
        };
        for socket in sockets.split(',').filter(|socket| !socket.is_empty()) {
            let (addr, fd) = socket
                .rsplit_once('=')
                .ok_or_else(|| wrong(format!("`{socket}` is not ADDRESS=DESCRIPTOR")))?;
            let addr: SocketAddr = addr
                .parse()
                .map_err(|_| wrong(format!("`{addr}` is not an address")))?;
            let listener = listening(take(descriptor(fd)?)?, addr)?;
            inherited.listeners.push((addr, listener));
        }
        Ok(inherited)
    }

    /// There was no predecessor, or all it gave has been taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.listeners.is_empty()
    }

    /// The addresses of sockets not taken yet, each once.
    #[must_use]
    pub fn addrs(&self) -> Vec<SocketAddr> {
        let mut addrs = Vec::new();
        for (addr, _) in &self.listeners {
            if !addrs.contains(addr) {
                addrs.push(*addr);
            }
        }
        addrs
    }

    /// All sockets that listen on `addr`, non-blocking, in the order in which they were handed
    /// over. Each must be accepted from: connections keep coming to every one of them.
    #[must_use]
    pub fn take(&mut self, addr: SocketAddr) -> Vec<TcpListener> {
        let (taken, left) = std::mem::take(&mut self.listeners)
            .into_iter()
            .partition(|(known, _)| *known == addr);
        self.listeners = left;
        taken.into_iter().map(|(_, listener)| listener).collect()
    }

    /// Tells the predecessor that this process accepts, so that it stops; sockets not taken are
    /// closed. Without a predecessor nothing happens.
    ///
    /// # Errors
    /// If the predecessor is gone or no longer waits; this process may serve all the same.
    pub fn ready(self) -> std::io::Result<()> {
        match self.ready {
            Some(mut ready) => ready.write_all(&[READY]),
            None => Ok(()),
        }
    }
}

fn descriptor(text: &str) -> Result<RawFd, InheritedError> {
    match text.parse::<RawFd>() {
        Ok(fd) if fd > 2 => Ok(fd),
        _ => Err(wrong(format!("`{text}` is not a file descriptor past 2"))),
    }
}

/// Makes an inherited descriptor this process's own.
fn take(fd: RawFd) -> Result<OwnedFd, InheritedError> {
    // SAFETY: `descriptor` lets no negative number through, so it is not the reserved -1; borrowed
    // for two fcntl calls, which do no harm to a descriptor that is closed or somebody else's: the
    // first only reads, and the second is made only for one that nobody in this process has.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let flags = fcntl_getfd(borrowed).map_err(|_| wrong(format!("descriptor {fd} is not open")))?;
    // What this process opened itself closes on exec, as the standard library and tokio see to.
    // Without that mark it came through exec and has no owner yet.
    if flags.contains(FdFlags::CLOEXEC) {
        return Err(wrong(format!("descriptor {fd} was not inherited")));
    }
    fcntl_setfd(borrowed, FdFlags::CLOEXEC)
        .map_err(|error| wrong(format!("descriptor {fd}: {error}")))?;
    // SAFETY: open, as the calls above showed, and without an owner: it came through exec, and the
    // mark just set keeps a second `take` of the same number from getting here.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn listening(fd: OwnedFd, addr: SocketAddr) -> Result<TcpListener, InheritedError> {
    let socket = SockRef::from(&fd);
    let local = socket.local_addr().ok().and_then(|local| local.as_socket());
    if local != Some(addr) || !socket.is_listener().unwrap_or(false) {
        return Err(wrong(format!(
            "the socket for {addr} does not listen there"
        )));
    }
    // Shared with the predecessor, which has it non-blocking too.
    socket
        .set_nonblocking(true)
        .map_err(|error| wrong(format!("the socket for {addr}: {error}")))?;
    Ok(TcpListener::from(fd))
}

fn wrong(what: impl Into<String>) -> InheritedError {
    InheritedError { what: what.into() }
}

/// The variable of inherited sockets is not what a predecessor would have written.
#[derive(Debug)]
pub struct InheritedError {
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for InheritedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{SOCKETS_VARIABLE} cannot be used: {} (unset it, unless a running process set it)",
            self.what
        )
    }
}

impl std::error::Error for InheritedError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses, and gives the complaint.
    fn complaint(text: &str) -> String {
        Inherited::parse(text).unwrap_err().what
    }

    #[test]
    fn refuses_what_no_predecessor_writes() {
        assert_eq!(complaint(""), "`;ready=` is missing");
        assert_eq!(
            complaint("127.0.0.1:80=5;ready=x"),
            "`x` is not a file descriptor past 2"
        );
        assert_eq!(
            complaint(";ready=-1"),
            "`-1` is not a file descriptor past 2"
        );
        assert_eq!(complaint(";ready=1"), "`1` is not a file descriptor past 2");
        assert_eq!(complaint(";ready=999999"), "descriptor 999999 is not open");
    }

    #[test]
    fn refuses_descriptors_that_this_process_opened_itself() {
        use std::os::fd::AsRawFd;
        let (ours, _other) = UnixStream::pair().unwrap();
        let fd = ours.as_raw_fd();
        assert_eq!(
            complaint(&format!(";ready={fd}")),
            format!("descriptor {fd} was not inherited")
        );
    }

    /// Gives up a descriptor in the state in which exec would have left it.
    fn through_exec(fd: impl Into<OwnedFd>) -> RawFd {
        use std::os::fd::IntoRawFd;
        let fd = fd.into();
        fcntl_setfd(&fd, FdFlags::empty()).unwrap();
        fd.into_raw_fd()
    }

    #[test]
    fn takes_listening_sockets_by_address_and_says_ready() {
        use std::io::Read;
        let (ready, mut predecessor) = UnixStream::pair().unwrap();
        let sockets = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let addrs = [0, 1, 2].map(|n: usize| sockets[n].local_addr().unwrap());
        let fds = sockets.map(through_exec);
        let [a, b, _] = addrs;
        let second_a = {
            // SAFETY: `through_exec` gave this descriptor up and nothing has taken it yet.
            let first_a = unsafe { BorrowedFd::borrow_raw(fds[0]) };
            through_exec(first_a.try_clone_to_owned().unwrap())
        };
        let text = format!(
            "{a}={},{b}={},{a}={second_a};ready={}",
            fds[0],
            fds[1],
            through_exec(ready)
        );
        let mut inherited = Inherited::parse(&text).unwrap();
        assert_eq!(inherited.addrs(), [a, b]);
        assert_eq!(inherited.take(a).len(), 2);
        assert_eq!(inherited.take(a).len(), 0);
        inherited.ready().unwrap();
        let mut said = Vec::new();
        predecessor.read_to_end(&mut said).unwrap();
        assert_eq!(said, [READY]);
        std::net::TcpStream::connect(b).expect_err("not taken, so closed");
    }

    #[test]
    fn refuses_a_socket_that_does_not_listen_where_it_is_said_to() {
        let complaint_about = |socket: OwnedFd, addr: SocketAddr| {
            let (ready, _predecessor) = UnixStream::pair().unwrap();
            let (socket, ready) = (through_exec(socket), through_exec(ready));
            complaint(&format!("{addr}={socket};ready={ready}"))
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let client = std::net::TcpStream::connect(addr).unwrap();
        let said = complaint_about(
            client.try_clone().unwrap().into(),
            client.local_addr().unwrap(),
        );
        assert!(said.ends_with("does not listen there"), "{said}");
        let elsewhere = SocketAddr::from(([127, 0, 0, 1], 1));
        let said = complaint_about(listener.into(), elsewhere);
        assert_eq!(said, "the socket for 127.0.0.1:1 does not listen there");
    }
}
