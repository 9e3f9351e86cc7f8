//! Where substitutions come from: the environment and files.
//!
//! Must hold: this is the only door from a config to the outside, and whoever loads a config holds it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Answers to `${NAME}` and `${file:PATH}`.
pub trait Env {
    /// The value of a variable; `None` if it is not set.
    fn variable(&self, name: &str) -> Option<String>;

    /// The text of a file, as it is.
    ///
    /// # Errors
    /// Why it could not be read, in words for the user.
    fn file(&self, path: &str) -> Result<String, String>;
}

/// Largest file that a substitution reads, bytes. Certificates chains are near 10 KiB.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The environment of this process and its files.
#[derive(Clone, Debug, Default)]
pub struct ProcessEnv {
    base: PathBuf,
}

impl ProcessEnv {
    /// Relative paths start at `base`: the folder of the config file.
    #[must_use]
    pub fn new(base: &Path) -> ProcessEnv {
        ProcessEnv { base: base.into() }
    }
}

impl Env for ProcessEnv {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> Result<String, String> {
        let path = self.base.join(path);
        let meta = std::fs::metadata(&path).map_err(|e| e.to_string())?;
        if !meta.is_file() {
            return Err("it is not a file".into());
        }
        if meta.len() > FILE_BYTES_MAX {
            return Err(format!("it is larger than {FILE_BYTES_MAX} bytes"));
        }
        std::fs::read_to_string(&path).map_err(|e| e.to_string())
    }
}

/// Variables and files given one by one: for tests, fuzzing and examples.
#[derive(Clone, Debug, Default)]
pub struct FixedEnv {
    variables: HashMap<String, String>,
    files: HashMap<String, String>,
}

impl FixedEnv {
    /// Neither variables nor files.
    #[must_use]
    pub fn new() -> FixedEnv {
        FixedEnv::default()
    }

    /// The same with a variable set.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> FixedEnv {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// The same with a file.
    #[must_use]
    pub fn with_file(mut self, path: &str, text: &str) -> FixedEnv {
        self.files.insert(path.into(), text.into());
        self
    }
}

impl Env for FixedEnv {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn file(&self, path: &str) -> Result<String, String> {
        let text = self.files.get(path).cloned();
        text.ok_or_else(|| "there is no such file".into())
    }
}
