//! A folder that goes away with its test.

use std::path::{Path, PathBuf};

/// An empty temporary folder, removed on drop.
pub struct Folder(tempfile::TempDir);

impl Default for Folder {
    fn default() -> Self {
        Folder::new()
    }
}

impl Folder {
    /// Makes one.
    ///
    /// # Panics
    /// If the system's temporary folder cannot be written to.
    #[must_use]
    pub fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a temporary folder"))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file, and the folders it lies in.
    ///
    /// # Panics
    /// If it cannot be written.
    #[track_caller]
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        let parent = path.parent().expect("under the folder");
        std::fs::create_dir_all(parent).expect("folders of the file");
        std::fs::write(&path, content).expect("the file");
        path
    }

    /// Puts a file in place the way editors do: written aside, then renamed over the old one.
    ///
    /// # Panics
    /// If it cannot be written or renamed.
    #[track_caller]
    pub fn replace(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let aside = self.write(&format!("{name}.aside"), content);
        let path = self.path().join(name);
        std::fs::rename(aside, &path).expect("renamed");
        path
    }
}
