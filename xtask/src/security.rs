//! Tests that docs/security.md names must be there: a rule whose test was renamed is a rule without one.

use std::collections::HashSet;
use std::path::Path;

use crate::File;

const PAGE: &str = "docs/security.md";

/// Notes names in the last column of the page's table that no function has.
pub fn check(root: &Path, files: &[File], complaints: &mut Vec<String>) -> Result<(), String> {
    let page = std::fs::read_to_string(root.join(PAGE)).map_err(|e| format!("{PAGE}: {e}"))?;
    let functions: HashSet<&str> = files
        .iter()
        .flat_map(|file| functions(&file.text))
        .collect();
    for (number, line) in page.lines().enumerate() {
        let Some(tests) = line
            .strip_suffix('|')
            .and_then(|row| row.rsplit('|').next())
        else {
            continue;
        };
        for name in tests.split('`').skip(1).step_by(2) {
            if !functions.contains(name) {
                let at = number + 1;
                complaints.push(format!("{PAGE}:{at}: there is no test `{name}`"));
            }
        }
    }
    Ok(())
}

/// The names of all functions in a text.
fn functions(text: &str) -> impl Iterator<Item = &str> {
    text.split("fn ").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))?;
        Some(&rest[..end])
    })
}
