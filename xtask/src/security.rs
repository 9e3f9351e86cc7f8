//! Tests that docs/security.md names must be there: a rule whose test was renamed is a rule without one.

use std::collections::HashSet;
use std::path::Path;

use crate::File;

const PAGE: &str = "docs/security.md";

/// How tests are marked; those of `proptest!` as any other.
const MARKS: [&str; 2] = ["#[test]", "#[tokio::test"];

/// Notes names in the last column of the page's table that no test has.
pub fn check(root: &Path, files: &[File], complaints: &mut Vec<String>) -> Result<(), String> {
    let page = std::fs::read_to_string(root.join(PAGE)).map_err(|e| format!("{PAGE}: {e}"))?;
    let known: HashSet<&str> = files.iter().flat_map(|file| tests_in(&file.text)).collect();
    for (number, line) in page.lines().enumerate() {
        let Some(tests) = line
            .strip_suffix('|')
            .and_then(|row| row.rsplit('|').next())
        else {
            continue;
        };
        for name in tests.split('`').skip(1).step_by(2) {
            if !known.contains(name) {
                let at = number + 1;
                complaints.push(format!("{PAGE}:{at}: there is no test `{name}`"));
            }
        }
    }
    Ok(())
}

/// The names of the tests in a text: functions that begin a line, under a `#[test]` of one kind or another that
/// begins one too. Between the two stand other attributes and comments at most.
fn tests_in(text: &str) -> impl Iterator<Item = &str> {
    let mut is_test = false;
    text.lines().filter_map(move |line| {
        let line = line.trim_start();
        if MARKS.iter().any(|mark| line.starts_with(mark)) {
            is_test = true;
            return None;
        }
        if line.starts_with("#[") || line.starts_with("//") {
            return None;
        }
        let rest = line.strip_prefix("async ").unwrap_or(line);
        let name = rest.strip_prefix("fn ").filter(|_| is_test);
        is_test = false;
        let end = name?.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        name.map(|name| &name[..end.unwrap_or(name.len())])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_a_function_under_its_mark_and_nothing_else() {
        let text = "#[test]\nfn one() {\n    #[tokio::test(flavor = \"x\")]\n    #[cfg(unix)]\n    \
                    /// Why.\n    async fn two() {}\n#[test]\n#[should_panic]\nfn three(";
        assert_eq!(tests_in(text).collect::<Vec<_>>(), ["one", "two", "three"]);
        for none in [
            "fn helper() {}",
            "// #[test]\n// fn gone() {}",
            "//! #[test] fn gone() {}",
            "#[test]\nmod gone;\nfn helper() {}",
            "#[test]\n// fn gone() {}",
            "let text = \"#[test] fn gone() {}\";",
        ] {
            assert_eq!(tests_in(none).next(), None, "{none}");
        }
    }
}
