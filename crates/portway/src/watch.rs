//! Watching the files of a config.
//!
//! Must hold: a file that is replaced by a rename is noticed, and so is a folder that is swapped by a
//! symlink, as Kubernetes does (`..data`); folders are watched, since a watch on a file dies with it.
//! What no event tells (a network file system) a slow look tells. Never: reads the files.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::process::Process;
use crate::reload::Cause;

/// From one slow look to the next.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What a change of a file shows in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    modified: Option<SystemTime>,
    bytes: u64,
}

/// Watches for as long as it runs.
pub async fn watch(process: Arc<Process>, causes: mpsc::Sender<Cause>) {
    if process.source.path().is_none() {
        return;
    }
    let names: Arc<Mutex<BTreeSet<OsString>>> = Arc::default();
    let mut watcher = watcher(Arc::clone(&names), causes.clone());
    let mut folders = BTreeSet::new();
    let (mut seen, mut told) = (None, None);
    let mut every = tokio::time::interval(LOOK_EVERY);
    loop {
        every.tick().await;
        let files = process.made_of().files;
        *names.lock().unwrap_or_else(PoisonError::into_inner) = names_of(&files);
        if let Some(watcher) = &mut watcher {
            follow(watcher, &mut folders, &files);
        }
        let stamps: Vec<Stamp> = files.iter().map(|path| stamp(path)).collect();
        let stamps = Some(stamps);
        // The first look counts: the file may have changed since it was read; whoever is told compares
        // what the files hold. Later ones count when two are alike: a write may be under way.
        if told != stamps && (told.is_none() || seen == stamps) {
            // Full means that a reload is due anyway.
            let _ = causes.try_send(Cause::File);
            told.clone_from(&stamps);
        }
        seen = stamps;
    }
}

fn watcher(
    names: Arc<Mutex<BTreeSet<OsString>>>,
    causes: mpsc::Sender<Cause>,
) -> Option<RecommendedWatcher> {
    let on_event = move |event: notify::Result<Event>| {
        let names = names.lock().unwrap_or_else(PoisonError::into_inner);
        if event.is_ok_and(|event| concerns(&event, &names)) {
            let _ = causes.try_send(Cause::File);
        }
    };
    match notify::recommended_watcher(on_event) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(%error, "changes of the config are noticed after {LOOK_EVERY:?} only");
            None
        }
    }
}

fn concerns(event: &Event, names: &BTreeSet<OsString>) -> bool {
    let changes = match event.kind {
        // The end of a write, not each of its steps: half a file could be a config too.
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        // Renames, new links.
        EventKind::Modify(ModifyKind::Name(_)) | EventKind::Create(_) => true,
        _ => false,
    };
    let named = |path: &PathBuf| path.file_name().is_some_and(|name| names.contains(name));
    event.need_rescan() || (changes && event.paths.iter().any(named))
}

/// Every name under which a change of these files can show.
fn names_of(files: &[PathBuf]) -> BTreeSet<OsString> {
    let mut names = BTreeSet::from([OsString::from("..data")]);
    for file in files {
        let target = file.canonicalize().ok();
        let both = [Some(file.as_path()), target.as_deref()];
        names.extend(
            both.into_iter()
                .flatten()
                .filter_map(Path::file_name)
                .map(OsString::from),
        );
    }
    names
}

/// Watches the folders of these files, and the folders that symlinks lead to; no others.
fn follow(watcher: &mut RecommendedWatcher, watched: &mut BTreeSet<PathBuf>, files: &[PathBuf]) {
    let mut wanted = BTreeSet::new();
    for file in files {
        wanted.insert(folder(file));
        wanted.extend(file.canonicalize().ok().map(|file| folder(&file)));
    }
    for gone in watched.difference(&wanted) {
        let _ = watcher.unwatch(gone); // fails if the folder itself is gone
    }
    let mut now = BTreeSet::new();
    for folder in wanted {
        if watched.contains(&folder) || watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok()
        {
            now.insert(folder);
        }
    }
    *watched = now;
}

fn folder(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn stamp(path: &Path) -> Stamp {
    let meta = std::fs::metadata(path).ok();
    Stamp {
        path: path.canonicalize().unwrap_or_else(|_| path.to_owned()),
        modified: meta.as_ref().and_then(|meta| meta.modified().ok()),
        bytes: meta.map_or(0, |meta| meta.len()),
    }
}
