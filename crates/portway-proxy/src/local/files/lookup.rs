//! From what follows the prefix in a request's path to an open file below the root.
//!
//! Must hold: a name is decoded once; no segment of it is hidden, goes up or holds a separator; and
//! whatever symlinks do, the file found lies below the root. Whoever may write below the root decides
//! what is served from it.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

/// What the client asked for, relative to the root.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// Plain names only; empty for the root itself.
    names: PathBuf,
    /// Whether it ended in a slash: a file has none.
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Folder,
    Either,
}

impl Asked {
    /// From the rest of a canonical path: empty, or from a slash on. `None` if no file may have it.
    pub(super) fn parse(rest: &str) -> Option<Asked> {
        let Some(rest) = rest.strip_prefix('/') else {
            return rest.is_empty().then(|| Asked {
                names: PathBuf::new(),
                kind: Kind::Either,
            });
        };
        let (rest, kind) = match rest.strip_suffix('/') {
            Some(folder) => (folder, Kind::Folder),
            None if rest.is_empty() => {
                return Some(Asked {
                    names: PathBuf::new(),
                    kind: Kind::Folder,
                });
            }
            None => (rest, Kind::Either),
        };
        let mut names = PathBuf::new();
        for segment in rest.split('/') {
            names.push(name(segment)?);
        }
        Some(Asked { names, kind })
    }

    /// The last name, unless it is a folder that was asked for.
    pub(super) fn file_name(&self) -> Option<&Path> {
        match self.kind {
            Kind::Folder => None,
            Kind::Either => self.names.file_name().map(Path::new),
        }
    }
}

/// One decoded segment. The path was made canonical on entry; this does not rely on it.
fn name(segment: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            plain => plain,
        });
    }
    // Of the encodings that a disk may use, the one that has no two spellings of a slash.
    let name = String::from_utf8(octets).ok()?;
    let refused = name.is_empty()
        // `.`, `..`, and what its owner hides: `.git`, `.env`, `.htpasswd`.
        || name.starts_with('.')
        || name.contains(|c: char| matches!(c, '/' | '\\') || c.is_control());
    (!refused).then_some(name)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// What is there.
#[derive(Debug)]
pub(super) enum Found {
    /// A regular file, open for reading.
    File(File, Metadata),
    /// A folder that was asked for without its slash.
    Folder,
    /// No file to serve; why, for the log.
    Nothing(String),
}

/// Looks below `root`; for a folder, at its `index`. Blocks.
///
/// # Errors
///
/// The root cannot be read, or the process has no room for another open file.
pub(super) fn find(root: &Path, index: &str, asked: &Asked) -> io::Result<Found> {
    // Each time anew: a deployment may point the root, a symlink, at another folder.
    let root = root
        .canonicalize()
        .map_err(|error| io::Error::new(error.kind(), format!("the root folder: {error}")))?;
    let found = look(&root, &asked.names).and_then(|(place, metadata)| {
        match (metadata.is_dir(), asked.kind) {
            (true, Kind::Either) => Ok(None),
            (true, Kind::Folder) => {
                // Relative to the root again: the folder may have been reached through a symlink.
                let folder = place.strip_prefix(&root).unwrap_or(Path::new(""));
                look(&root, &folder.join(index)).map(Some)
            }
            (false, Kind::Folder) => Err("a file was asked for as if it were a folder".to_owned()),
            (false, Kind::Either) => Ok(Some((place, metadata))),
        }
    });
    match found {
        Ok(Some((place, metadata))) => open(&place, &metadata),
        Ok(None) => Ok(Found::Folder),
        Err(why) => Ok(Found::Nothing(why)),
    }
}

/// Where `names` really leads, if that is below the root.
fn look(root: &Path, names: &Path) -> Result<(PathBuf, Metadata), String> {
    let place = root
        .join(names)
        .canonicalize()
        .map_err(|error| error.to_string())?;
    if !place.starts_with(root) {
        return Err("a symlink leads out of the root folder".to_owned());
    }
    let metadata = fs::metadata(&place).map_err(|error| error.to_string())?;
    Ok((place, metadata))
}

fn open(place: &Path, metadata: &Metadata) -> io::Result<Found> {
    // Before it is opened: opening a pipe waits for its other end.
    if !metadata.is_file() {
        return Ok(Found::Nothing(
            "neither a regular file nor a folder".to_owned(),
        ));
    }
    match File::open(place) {
        Ok(file) => {
            // The open file's, which may be a newer one than looked at.
            let metadata = file.metadata()?;
            Ok(Found::File(file, metadata))
        }
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
            ) =>
        {
            Ok(Found::Nothing(error.to_string()))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
