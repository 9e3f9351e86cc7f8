//! Files that filters are made of: descriptor sets and the like.
//!
//! Must hold: compiling stays pure, for what a file holds comes from whoever compiles; what was read counts
//! among a filter's settings, so that a reload with another file makes another filter.

use std::path::Path;
use std::time::Duration;

use portway_config::Address;
use portway_tls::ConnectSpec;

/// A gRPC service that tells its descriptors by server reflection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Where it is.
    pub at: Address,
    /// The TLS towards it; `None` for none.
    pub tls: Option<ConnectSpec>,
    /// From one question to the next, whether it tells something else by now.
    pub refresh: Duration,
}

/// Where the files that a config names come from.
pub trait Files {
    /// The octets of a file, if there are no more than so many.
    ///
    /// # Errors
    /// Why it could not be read, in words for the user.
    fn read(&self, path: &Path, bytes_max: u64) -> Result<Vec<u8>, String>;

    /// The descriptor set that a service tells of itself.
    ///
    /// # Errors
    /// Why it told none, in words for the user.
    fn ask(&self, _service: &Service) -> Result<Vec<u8>, String> {
        Err("no services are asked here".to_owned())
    }
}

/// No files at all: for configs that name none.
#[derive(Clone, Copy, Debug)]
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &Path, _: u64) -> Result<Vec<u8>, String> {
        Err("no files are read here".to_owned())
    }
}
