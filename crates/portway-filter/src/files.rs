//! Files that filters are made of: descriptor sets and the like.
//!
//! Must hold: compiling stays pure, for what a file holds comes from whoever compiles; what was read counts
//! among a filter's settings, so that a reload with another file makes another filter.

use std::path::Path;

/// Where the files that a config names come from.
pub trait Files {
    /// The octets of a file, if there are no more than so many.
    ///
    /// # Errors
    /// Why it could not be read, in words for the user.
    fn read(&self, path: &Path, bytes_max: u64) -> Result<Vec<u8>, String>;
}

/// No files at all: for configs that name none.
#[derive(Clone, Copy, Debug)]
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &Path, _: u64) -> Result<Vec<u8>, String> {
        Err("no files are read here".to_owned())
    }
}
