//! `cargo xtask check`: what the compiler does not check of the tree.
//!
//! Must hold: every complaint says the file, the line and the rule; all are told, not the first. It
//! runs in a second, so that nobody has a reason to skip it.

mod arrows;
mod rules;
mod security;
mod sizes;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Folders with Rust sources, from the root.
const FOLDERS: &[&str] = &["crates", "tests", "bench", "fuzz", "xtask"];
/// Folders that hold no source of ours.
const SKIPPED: &[&str] = &["target", "corpus", "artifacts"];

/// A Rust file of the tree.
pub struct File {
    /// From the root.
    pub path: PathBuf,
    /// What it holds.
    pub text: String,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args != ["check"] {
        eprintln!("usage: cargo xtask check");
        return ExitCode::from(1);
    }
    match check() {
        Ok(complaints) if complaints.is_empty() => ExitCode::SUCCESS,
        Ok(complaints) => {
            complaints
                .iter()
                .for_each(|complaint| eprintln!("{complaint}"));
            eprintln!("xtask check: {} complaints", complaints.len());
            ExitCode::from(1)
        }
        Err(error) => {
            eprintln!("xtask check: {error}");
            ExitCode::from(1)
        }
    }
}

fn check() -> Result<Vec<String>, String> {
    let root = root(std::env::var_os("CARGO_MANIFEST_DIR"))?;
    let mut files = Vec::new();
    for folder in FOLDERS {
        read(&root, Path::new(folder), &mut files)?;
    }
    let mut complaints = arrows::check(&root)?;
    for file in &files {
        sizes::check(file, &mut complaints);
        rules::check(file, &mut complaints);
    }
    security::check(&root, &files, &mut complaints)?;
    complaints.sort();
    Ok(complaints)
}

/// The workspace: the parent of this crate's folder, which cargo says when it runs this. Where it was built is
/// another checkout's if both build into one folder.
fn root(here: Option<OsString>) -> Result<PathBuf, String> {
    let here = here.ok_or("run it as `cargo xtask check`: cargo says where the sources are")?;
    let root = Path::new(&here)
        .parent()
        .unwrap_or(Path::new(""))
        .to_owned();
    if !root.join("Cargo.toml").is_file() {
        return Err(format!(
            "{} is not there, or holds no Cargo.toml",
            root.display()
        ));
    }
    Ok(root)
}

fn read(root: &Path, folder: &Path, files: &mut Vec<File>) -> Result<(), String> {
    let whole = root.join(folder);
    if !whole.is_dir() {
        return Ok(());
    }
    let at = |error: std::io::Error| format!("{}: {error}", whole.display());
    for entry in std::fs::read_dir(&whole).map_err(at)? {
        let entry = entry.map_err(at)?;
        let path = folder.join(entry.file_name());
        let kind = entry.file_type().map_err(at)?;
        let skipped = SKIPPED.iter().any(|skipped| entry.file_name() == *skipped);
        if kind.is_dir() && !skipped {
            read(root, &path, files)?;
        } else if kind.is_file() && path.extension().is_some_and(|ext| ext == "rs") {
            let text = std::fs::read_to_string(root.join(&path))
                .map_err(|e| format!("{}: {e}", path.display()))?;
            files.push(File { path, text });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_where_cargo_runs_and_says_so_if_it_is_gone() {
        let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
        let parent = Path::new(&here).parent().unwrap();
        assert_eq!(root(Some(here.clone())).unwrap(), parent);
        let error = root(Some("/nowhere/checkout/xtask".into())).unwrap_err();
        assert!(error.contains("/nowhere/checkout is not there"), "{error}");
        assert!(root(None).unwrap_err().contains("cargo xtask check"));
    }
}
