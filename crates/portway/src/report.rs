//! Problems of a config, as people and scripts read them.
//!
//! Must hold: the first line of each is `file:line:col: error: what`; a hint is a line of its own.

use std::io::Write;

use portway_core::{Diagnostic, Severity};

/// Writes all problems to `out`. Returns how many are errors and how many warnings.
pub fn write(out: &mut impl Write, diagnostics: &[Diagnostic]) -> (usize, usize) {
    for found in diagnostics {
        // A reader that went away has seen enough.
        let _ = writeln!(out, "{found}");
    }
    count(diagnostics)
}

/// How many are errors and how many warnings.
pub fn count(diagnostics: &[Diagnostic]) -> (usize, usize) {
    let errors = diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .count();
    (errors, diagnostics.len() - errors)
}

/// `1 error, 2 warnings`.
pub fn in_words((errors, warnings): (usize, usize)) -> String {
    format!(
        "{}, {}",
        counted(errors, "error"),
        counted(warnings, "warning")
    )
}

/// `1 route`, `2 routes`.
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
