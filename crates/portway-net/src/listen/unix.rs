//! Unix sockets, for operators on this host.
//!
//! Must hold: a file left by a process that died is replaced, a living one's is not unless asked;
//! the new socket appears under its path in one step. Only this user may connect.

use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::BindError;

/// What to do about a socket file whose process still answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present {
    /// It is an error.
    Refuse,
    /// Take its path: this process is its successor.
    Replace,
}

/// Listens on a socket file, non-blocking, with mode 0600. The file stays after the listener is
/// closed, since by then it may be the successor's.
///
/// # Errors
/// [`BindError`]: also if something other than a socket has the path.
pub fn bind_unix(path: &Path, present: Present) -> std::result::Result<UnixListener, BindError> {
    listen(path, present).map_err(|source| BindError::new(path.display().to_string(), source))
}

fn listen(path: &Path, present: Present) -> Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                "there is a file that is not a socket",
            ));
        }
        Ok(_) if present == Present::Refuse && UnixStream::connect(path).is_ok() => {
            return Err(ErrorKind::AddrInUse.into());
        }
        Ok(_) | Err(_) => {}
    }
    // Made under another name and moved: nobody finds the path without a listener, or with the
    // mode not yet set.
    let aside = aside(path);
    let _ = std::fs::remove_file(&aside);
    let listener = UnixListener::bind(&aside)?;
    let ready = std::fs::set_permissions(&aside, PermissionsExt::from_mode(0o600))
        .and_then(|()| listener.set_nonblocking(true))
        .and_then(|()| std::fs::rename(&aside, path));
    if ready.is_err() {
        let _ = std::fs::remove_file(&aside);
    }
    ready.map(|()| listener)
}

fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    PathBuf::from(name)
}
