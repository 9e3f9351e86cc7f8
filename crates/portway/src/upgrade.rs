//! Binary upgrade: a new process takes over the listening sockets (SIGUSR2).
//!
//! Must hold: this process serves until its successor has said that it does; a successor that fails
//! changes nothing.

use std::ffi::OsString;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use portway_admin::{AdminListener, Operations};
use portway_net::{Successor, spawn_successor};

use crate::process::Process;

/// A successor must serve by then. A config of 10,000 routes takes a second where all is slow.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// What a successor is started from.
#[derive(Clone)]
pub struct Upgrade {
    program: PathBuf,
    args: Vec<OsString>,
    admin: Option<Arc<TcpListener>>,
}

impl Upgrade {
    /// The same program with the same arguments.
    pub fn of_this_program() -> std::io::Result<Upgrade> {
        let args = std::env::args_os().skip(1).collect();
        Ok(Upgrade {
            program: std::env::current_exe()?,
            args,
            admin: None,
        })
    }

    /// Hands over the operators' socket too. A unix socket is not handed over: its path is taken.
    pub fn with_admin(mut self, listener: &AdminListener) -> Upgrade {
        if let AdminListener::Tcp(socket) = listener {
            self.admin = socket.try_clone().ok().map(Arc::new);
        }
        self
    }

    /// Starts the successor, and drains when it serves.
    pub async fn start(self, process: Arc<Process>) {
        tracing::info!(program = %self.program.display(), "starting a successor");
        let snapshot = process.gateway.snapshot();
        let sockets: Vec<TcpListener> = snapshot
            .listeners
            .iter()
            .flat_map(|door| door.share_sockets())
            .collect();
        let spawned = tokio::task::spawn_blocking(move || self.spawn(&sockets)).await;
        let successor = match spawned {
            Ok(Ok(successor)) => successor,
            Ok(Err(error)) => {
                return tracing::error!(%error, "the successor cannot be started; this process goes on");
            }
            Err(error) => {
                return tracing::error!(%error, "the successor cannot be started; this process goes on");
            }
        };
        match successor.wait_ready(READY_WITHIN).await {
            Ok(pid) => {
                tracing::info!(pid, "the successor serves");
                process.drain();
            }
            Err(error) => tracing::error!("{error}; this process goes on"),
        }
    }

    fn spawn(&self, sockets: &[TcpListener]) -> std::io::Result<Successor> {
        let mut all: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
        all.extend(self.admin.as_deref().map(AsFd::as_fd));
        spawn_successor(&all, self.program.as_os_str(), &self.args)
    }
}
