//! Words and files that the tree does not have.
//!
//! Must hold: a rule looks at code or at comments, and says which; test folders obey the same rules.

use crate::File;
use crate::sizes::bare;

/// The one crate that may say `unsafe`.
const UNSAFE_HOME: &str = "crates/portway-net/";

/// Complains about what should not be there.
pub fn check(file: &File, complaints: &mut Vec<String>) {
    let path = file.path.to_string_lossy();
    if file.path.file_name().is_some_and(|name| name == "mod.rs") {
        complaints.push(format!("{path}: `foo.rs` and `foo/`, never `mod.rs`"));
    }
    // Spelled so that this file does not complain about itself.
    let later = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("X", "XX"),
    ];
    for (at, line) in file.text.lines().enumerate() {
        if let Some(word) = later.iter().find(|word| has_word(line, word)) {
            complaints.push(format!("{path}:{}: `{word}`: do it, or file it", at + 1));
        }
    }
    for (at, line) in bare(&file.text).lines().enumerate() {
        let line_no = at + 1;
        if line.contains("todo!(") || line.contains("unimplemented!(") {
            complaints.push(format!("{path}:{line_no}: a placeholder that panics"));
        }
        if has_word(line, "unsafe") && !path.starts_with(UNSAFE_HOME) {
            complaints.push(format!("{path}:{line_no}: `unsafe` outside portway-net"));
        }
        if line.contains("#[ignore") {
            complaints.push(format!("{path}:{line_no}: a test that does not run"));
        }
    }
}

fn has_word(line: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(is_word);
        let after = line[at + word.len()..].chars().next().is_some_and(is_word);
        !before && !after
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> usize {
        let mut found = Vec::new();
        check(
            &File {
                path: path.into(),
                text: text.to_owned(),
            },
            &mut found,
        );
        found.len()
    }

    #[test]
    fn knows_where_unsafe_may_be() {
        assert_eq!(
            complaints("crates/portway-net/src/a.rs", "unsafe { x() }"),
            0
        );
        assert_eq!(
            complaints("crates/portway-http/src/a.rs", "unsafe { x() }"),
            1
        );
        assert_eq!(
            complaints(
                "crates/portway-http/src/a.rs",
                "// unsafe here\nlet s = \"unsafe\"; unsafe_code();"
            ),
            0
        );
    }

    #[test]
    fn finds_what_was_put_off() {
        assert_eq!(complaints("a.rs", concat!("// TO", "DO: later")), 1);
        assert_eq!(complaints("a.rs", "todo!()"), 1);
        assert_eq!(complaints("a/mod.rs", ""), 1);
    }
}
