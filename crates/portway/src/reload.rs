//! Changing the config of a running process.
//!
//! Must hold: causes that come close together are one reload; what only a restart can change is said,
//! not silently left.

use std::sync::Arc;
use std::time::Duration;

use portway_plan::{AdminBind, Plan};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::process::Process;

/// Why the config is to be loaded again; the later, the stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Its file may have changed.
    File,
    /// SIGHUP.
    Signal,
    /// A service tells other descriptors.
    Service,
    /// An operator asked.
    Request,
}

impl Cause {
    /// Its name in the log and in `/config/status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::File => "file",
            Cause::Signal => "signal",
            Cause::Service => "service",
            Cause::Request => "request",
        }
    }
}

/// Causes that may wait; more are the same change.
pub const CAUSES_MAX: usize = 16;
/// A writer is done when it has been quiet for so long. Editors write, rename and touch in a burst.
const QUIET: Duration = Duration::from_millis(20);
/// So many causes in one burst at most: a file that never rests is loaded all the same.
const BURST_MAX: usize = 25;

/// Reloads for as long as causes can come.
pub async fn obey(process: Arc<Process>, mut causes: mpsc::Receiver<Cause>) {
    while let Some(first) = causes.recv().await {
        let cause = quiet(first, &mut causes).await;
        let process = Arc::clone(&process);
        let reloading = tokio::task::spawn_blocking(move || process.reload_for(cause));
        if let Err(error) = reloading.await {
            tracing::error!(%error, "a reload failed; the old config stays");
        }
    }
}

/// The strongest cause of a burst, when it is over.
async fn quiet(first: Cause, causes: &mut mpsc::Receiver<Cause>) -> Cause {
    let mut strongest = first;
    for _ in 0..BURST_MAX {
        match timeout(QUIET, causes.recv()).await {
            Ok(Some(cause)) => strongest = strongest.max(cause),
            Ok(None) | Err(_) => break,
        }
    }
    strongest
}

/// What a process keeps until it is started again.
pub struct Kept {
    workers: Option<usize>,
    admin: AdminBind,
    token: Option<portway_config::Secret>,
}

impl Kept {
    /// Of the plan that it started with.
    pub fn of(plan: &Plan) -> Kept {
        Kept {
            workers: plan.process.workers,
            admin: plan.admin.bind.clone(),
            token: plan.admin.token.clone(),
        }
    }

    /// Says what of `plan` has no effect yet.
    pub fn warn(&self, plan: &Plan) {
        let changed = [
            (plan.process.workers != self.workers, "server.workers"),
            (plan.admin.bind != self.admin, "admin.bind"),
            (plan.admin.token != self.token, "admin.token"),
        ];
        for (_, key) in changed.iter().filter(|(changed, _)| *changed) {
            tracing::warn!(
                "`{key}` changed: it takes effect when the process is started again (or on SIGUSR2)"
            );
        }
    }
}
