//! What a reload has put aside, until nobody uses it.
//!
//! Must hold: no worker frees a snapshot; a listener that left and its last snapshot, which hold each other,
//! go together. Never: waits for a worker.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::snapshot::Snapshot;

/// Old snapshots, kept until no exchange uses them, so that no worker has to free one: 10,000 routes take
/// milliseconds.
#[derive(Clone, Default)]
pub(crate) struct Outgoing(Arc<Mutex<Vec<Arc<Snapshot>>>>);

impl Outgoing {
    /// How often it is looked whether one can go.
    const LOOK_EVERY: Duration = Duration::from_millis(200);

    /// Frees the snapshot on `runtime` as soon as it is not used any more.
    pub(crate) fn free(&self, snapshot: Arc<Snapshot>, runtime: &Handle) {
        let mut waiting = self.lock();
        waiting.push(snapshot);
        if waiting.len() == 1 {
            let outgoing = self.clone();
            runtime.spawn(async move {
                while !outgoing.look() {
                    tokio::time::sleep(Outgoing::LOOK_EVERY).await;
                }
            });
        }
    }

    /// Frees what can be freed, and says whether nothing is left.
    fn look(&self) -> bool {
        let mut waiting = self.lock();
        let (unused, used): (Vec<_>, _) = std::mem::take(&mut *waiting)
            .into_iter()
            .partition(Snapshot::is_unused);
        *waiting = used;
        let done = waiting.is_empty();
        drop(waiting);
        unused.into_iter().for_each(Snapshot::free);
        done
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Snapshot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
