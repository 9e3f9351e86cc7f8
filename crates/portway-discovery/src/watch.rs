//! Notices that a file's content has changed, however it was changed.
//!
//! Must hold: watches the folder, because editors and Kubernetes replace files instead of writing
//! them, or the nearest folder above that there is; compares content, because a folder says much that does not matter; looks every two seconds
//! as well, because some file systems say nothing.
//! Never: reads more than [`FILE_BYTES_MAX`].

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::io::AsyncReadExt;
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};

/// The longest file that is read, bytes: 100,000 targets and more, yet bounded.
pub(crate) const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// From one look without an event to the next.
const POLL: Duration = Duration::from_secs(2);
/// From an event to the look: a file is often written in several steps.
const SETTLE: Duration = Duration::from_millis(30);

pub(crate) struct Watch {
    path: PathBuf,
    /// What the last look found, as a hash or a reason.
    seen: Option<Result<u64, String>>,
    events: Arc<Notify>,
    /// `None` if the folder cannot be watched: then the slow look has to do.
    watcher: Option<RecommendedWatcher>,
    /// When to look next; `None` at once. Kept here, so that a dropped future does not lose it.
    next: Option<Pin<Box<Sleep>>>,
    /// An event came, and `next` is the end of the short wait after it.
    settling: bool,
}

impl Watch {
    pub(crate) fn new(path: &Path) -> Watch {
        Watch {
            path: path.to_owned(),
            seen: None,
            events: Arc::default(),
            watcher: None,
            next: None,
            settling: false,
        }
    }

    /// The content when it next differs from what was seen before, or why it cannot be read, when
    /// that reason is new.
    pub(crate) async fn changed(&mut self) -> Result<String, String> {
        loop {
            if let Some(next) = &mut self.next {
                tokio::select! {
                    () = next.as_mut() => {}
                    () = self.events.notified(), if !self.settling => {
                        self.next = Some(Box::pin(sleep(SETTLE)));
                        self.settling = true;
                        continue;
                    }
                }
            }
            if self.watcher.is_none() {
                self.watcher = watch(&self.path, Arc::clone(&self.events));
            }
            let mut found = read(&self.path).await;
            if found.is_err() {
                // The folder may have gone, and the watch with it; or may be there now. Read again:
                // what came before the new watch was not told.
                self.watcher = watch(&self.path, Arc::clone(&self.events));
                found = read(&self.path).await;
            }
            self.next = Some(Box::pin(sleep(POLL)));
            self.settling = false;
            let seen = found.as_ref().map(hash).map_err(String::clone);
            if self.seen.as_ref() != Some(&seen) {
                self.seen = Some(seen);
                return found;
            }
        }
    }
}

fn watch(path: &Path, events: Arc<Notify>) -> Option<RecommendedWatcher> {
    let on_event = move |event: notify::Result<Event>| {
        let matters = event.is_ok_and(|e| match e.kind {
            // Our own reading is an access too.
            EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
            _ => true,
        });
        if matters {
            events.notify_one();
        }
    };
    let mut watcher = notify::recommended_watcher(on_event).ok()?;
    let mut above = path.ancestors().skip(1).map(|folder| {
        if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        }
    });
    let watched = above.any(|folder| watcher.watch(folder, RecursiveMode::NonRecursive).is_ok());
    watched.then_some(watcher)
}

async fn read(path: &Path) -> Result<String, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut text = String::new();
    let mut limited = file.take(FILE_BYTES_MAX + 1);
    limited.read_to_string(&mut text).await.map_err(failed)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        let path = path.display();
        return Err(format!("{path}: larger than {FILE_BYTES_MAX} bytes"));
    }
    Ok(text)
}

/// Within one process only, so the standard hasher will do.
fn hash(text: &String) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
