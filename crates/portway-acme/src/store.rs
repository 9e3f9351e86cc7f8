//! What is kept on disk: the account, certificates with their keys, orders under way.
//!
//! Must hold: a file is whole or the one of before (written aside, synced, renamed); only the gateway's
//! user can read it (0600, folders 0700); one process at a time holds the folder's lock. Each server has a
//! folder of its own: what a server for tests issued is never presented as if it came from another. Blocks.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use portway_tls::Names;
use xxhash_rust::xxh64::xxh64;

/// The folder of one server.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    folder: PathBuf,
}

/// A file of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// Key and chain, PEM.
    Certificate,
    /// An order that is not over.
    Order,
}

/// The right to order for a folder; given back when dropped or when the process ends.
#[derive(Debug)]
pub(crate) struct Lead {
    _lock: File,
}

/// A file is no larger than this, bytes: a chain has a few KiB.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// What must fit on the disk before anything is ordered, bytes: an account, an order, a chain.
const ROOM_BYTES: usize = 64 * 1024;
const ACCOUNT: &str = "account.json";

impl Store {
    pub(crate) fn new(folder: &Path, directory: &str) -> Store {
        Store {
            folder: folder.join(folder_of(directory)),
        }
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether something could be kept now.
    pub(crate) fn check_room(&self) -> io::Result<()> {
        let path = self.folder.join("room");
        self.write(&path, &[0; ROOM_BYTES])?;
        fs::remove_file(path)
    }

    /// The lock; `None` if another process has it.
    pub(crate) fn try_lead(&self) -> io::Result<Option<Lead>> {
        self.make()?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.folder.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Lead { _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The account; `None` if there is none yet.
    pub(crate) fn account(&self) -> io::Result<Option<String>> {
        read(&self.folder.join(ACCOUNT))
    }

    pub(crate) fn keep_account(&self, text: &str) -> io::Result<()> {
        self.write(&self.folder.join(ACCOUNT), text.as_bytes())
    }

    /// Puts an account that cannot be used aside, where somebody may look at it.
    pub(crate) fn set_account_aside(&self) -> io::Result<PathBuf> {
        let aside = self.folder.join("account.broken");
        fs::rename(self.folder.join(ACCOUNT), &aside)?;
        Ok(aside)
    }

    pub(crate) fn path(&self, item: Item, names: &Names) -> PathBuf {
        let ending = match item {
            Item::Certificate => "pem",
            Item::Order => "order.json",
        };
        self.folder.join(format!("{}.{ending}", file_of(names)))
    }

    pub(crate) fn find(&self, item: Item, names: &Names) -> io::Result<Option<String>> {
        read(&self.path(item, names))
    }

    pub(crate) fn keep(&self, item: Item, names: &Names, text: &str) -> io::Result<()> {
        self.write(&self.path(item, names), text.as_bytes())
    }

    pub(crate) fn forget(&self, item: Item, names: &Names) {
        // Who finds it later sees that it is over.
        let _ = fs::remove_file(self.path(item, names));
    }

    /// When a file was last written; `None` if it is not there.
    pub(crate) fn stamp(&self, item: Item, names: &Names) -> Option<SystemTime> {
        fs::metadata(self.path(item, names)).ok()?.modified().ok()
    }

    fn make(&self) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.make()?;
        let aside = path.with_extension(format!("{}.new", std::process::id()));
        let written = self.write_aside(&aside, bytes);
        let renamed = written.and_then(|()| fs::rename(&aside, path));
        if renamed.is_err() {
            let _ = fs::remove_file(&aside);
        }
        renamed?;
        // The name is as much a part of it as the content.
        File::open(&self.folder)?.sync_all()
    }

    fn write_aside(&self, aside: &Path, bytes: &[u8]) -> io::Result<()> {
        match fs::remove_file(aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(aside)?;
        file.write_all(bytes)?;
        file.sync_all()
    }
}

/// Why nothing could be kept under this folder, in words; `None` if that cannot be said beforehand.
/// Makes nothing: it may be a check only.
#[must_use]
pub fn problem_of(folder: &Path) -> Option<String> {
    let there = folder.ancestors().find(|path| path.exists());
    match there {
        Some(there) if there != folder && !there.is_dir() => {
            Some(format!("`{}` is not a folder", there.display()))
        }
        Some(there) if there == folder && !there.is_dir() => Some("it is not a folder".to_owned()),
        _ => None,
    }
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::metadata(path) {
        Ok(meta) if meta.len() > FILE_BYTES_MAX => Err(io::Error::other("it is too large")),
        Ok(_) => fs::read_to_string(path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// `https://acme.example/directory` → `acme.example-directory`.
fn folder_of(directory: &str) -> String {
    let rest = directory
        .split_once("://")
        .map_or(directory, |(_, rest)| rest);
    let plain = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_' => c,
        _ => '-',
    };
    let name: String = rest.chars().map(plain).take(NAME_CHARS_MAX).collect();
    name.trim_matches(['.', '-']).to_owned()
}

/// The name that a certificate goes by; with a hash if it has others.
fn file_of(names: &Names) -> String {
    let mut all: Vec<&str> = names.iter().map(|name| &**name).collect();
    all.sort_unstable();
    let first = all.first().copied().unwrap_or_default();
    let first: String = first.chars().take(NAME_CHARS_MAX).collect();
    match all.len() {
        1 => first,
        _ => format!("{first}+{:016x}", xxh64(all.join(" ").as_bytes(), 0)),
    }
}

/// File systems take names of 255 bytes.
const NAME_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn names(names: &[&str]) -> Names {
        names.iter().map(|name| Box::from(*name)).collect()
    }

    #[test]
    fn servers_and_names_have_files_of_their_own() {
        assert_eq!(
            folder_of("https://acme.example/directory"),
            "acme.example-directory"
        );
        assert_eq!(
            folder_of("https://127.0.0.1:14000/../dir"),
            "127.0.0.1-14000-..-dir"
        );
        assert_eq!(file_of(&names(&["a.example"])), "a.example");
        let two = file_of(&names(&["a.example", "b.example"]));
        assert!(two.starts_with("a.example+"), "{two}");
        assert_eq!(two, file_of(&names(&["b.example", "a.example"])));
        assert_ne!(two, file_of(&names(&["a.example", "c.example"])));
    }

    #[test]
    fn what_is_kept_is_for_this_user_alone_and_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(&folder.path().join("new"), "https://acme.example/dir");
        let a = names(&["a.example"]);
        assert_eq!(store.find(Item::Certificate, &a).unwrap(), None);
        for text in ["one", "two"] {
            store.keep(Item::Certificate, &a, text).unwrap();
            assert_eq!(
                store.find(Item::Certificate, &a).unwrap().as_deref(),
                Some(text)
            );
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&store.path(Item::Certificate, &a)), 0o600);
        assert_eq!(mode(store.folder()), 0o700);
        store.check_room().unwrap();
        let files = fs::read_dir(store.folder()).unwrap().count();
        assert_eq!(files, 1, "nothing is left aside");
        store.forget(Item::Certificate, &a);
        assert_eq!(store.find(Item::Certificate, &a).unwrap(), None);
    }

    #[test]
    fn one_at_a_time_leads() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path(), "https://acme.example/dir");
        let lead = store.try_lead().unwrap();
        assert!(lead.is_some());
        assert!(store.try_lead().unwrap().is_none());
        drop(lead);
        assert!(store.try_lead().unwrap().is_some());
    }

    #[test]
    fn a_full_or_wrong_disk_is_an_error() {
        // Linux's own full disk, and a folder in which nobody may make files.
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let wrong = folder.path().join("file");
        assert!(problem_of(&wrong).is_some());
        assert!(problem_of(&wrong.join("deeper")).is_some());
        assert_eq!(problem_of(&folder.path().join("new/deep")), None);
        for path in [wrong.as_path(), Path::new("/proc/acme")] {
            let store = Store::new(path, "https://acme.example/dir");
            assert!(store.check_room().is_err(), "{}", path.display());
            assert!(store.try_lead().is_err(), "{}", path.display());
        }
    }
}
