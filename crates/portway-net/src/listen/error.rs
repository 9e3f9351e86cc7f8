//! Why an address could not be listened on, in words an operator can act on.

use std::fmt;
use std::io::{Error, ErrorKind};

/// An address that could not be listened on.
#[derive(Debug)]
pub struct BindError {
    /// The address or path, as given.
    pub addr: String,
    /// What happened, e.g. `address already in use`.
    pub what: String,
    /// What to do about it; may be empty.
    pub hint: &'static str,
    source: Error,
}

impl BindError {
    pub(crate) fn new(addr: String, source: Error) -> BindError {
        let (what, hint) = explain(&source);
        BindError {
            addr,
            what: what.map_or_else(|| source.to_string(), str::to_owned),
            hint,
            source,
        }
    }

    /// The kind of the underlying error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.source.kind()
    }
}

fn explain(source: &Error) -> (Option<&'static str>, &'static str) {
    match source.kind() {
        ErrorKind::AddrInUse => (
            Some("address already in use"),
            "another process listens there; `ss -ltnp` names it",
        ),
        ErrorKind::PermissionDenied => (
            Some("permission denied"),
            "ports below 1024 need the capability CAP_NET_BIND_SERVICE; a socket file needs a \
             folder this user can write to",
        ),
        ErrorKind::AddrNotAvailable => (
            Some("no network interface has this address"),
            "use 0.0.0.0 or [::] for all, or one that `ip addr` lists",
        ),
        ErrorKind::NotFound => (Some("no such folder"), "create the socket's folder first"),
        _ if is_out_of_descriptors(source) => (
            Some("too many open files"),
            "raise `ulimit -n` (LimitNOFILE= of the service)",
        ),
        _ if source.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) => (
            Some("address family not supported"),
            "IPv6 is switched off here; use an IPv4 address",
        ),
        _ => (None, ""),
    }
}

/// `EMFILE` or `ENFILE`.
pub(super) fn is_out_of_descriptors(error: &Error) -> bool {
    use rustix::io::Errno;
    let code = error.raw_os_error();
    code == Some(Errno::MFILE.raw_os_error()) || code == Some(Errno::NFILE.raw_os_error())
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.addr, self.what)?;
        if !self.hint.is_empty() {
            write!(f, " ({})", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
