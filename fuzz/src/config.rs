//! Config files: whatever the text, `parse` answers, points into the text, and tells no secret.

use portway_config::{FixedEnv, parse};

/// The name and value of the secret that seeds refer to.
const SECRET: (&str, &str) = ("SECRET", "correct-horse-battery-staple");

/// Checks one file.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let env = FixedEnv::new()
        .with(SECRET.0, SECRET.1)
        .with("PORT", "8080")
        .with_file("/run/secret", SECRET.1);
    let (document, problems) = parse("fuzz.yaml", text, &env);
    assert!(
        document.is_some() || problems.has_errors(),
        "nothing comes of the file, and nobody says why"
    );
    let lines = u32::try_from(
        text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'])
            .count(),
    );
    let lines = lines.expect("the fuzzer's texts are short");
    let quotes_it = text.contains(SECRET.1);
    for problem in problems.sorted() {
        // What is missing at the end is reported just past it.
        assert!(
            problem.span.line <= lines + 1,
            "{problem:?} is not in a file of {lines} lines"
        );
        assert!(!problem.what.is_empty(), "{problem:?}");
        let tells = problem.what.contains(SECRET.1) || problem.hint.contains(SECRET.1);
        assert!(!tells || quotes_it, "a secret shows in {problem:?}");
    }
}
