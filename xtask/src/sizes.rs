//! Sizes: a file of 800 lines and a function of 100 are refused.
//!
//! Must hold: lists (`all.rs`) are exempt. Braces in text and comments do not count; that is all that
//! is understood of the language.

use crate::File;

/// Lines of a file.
const FILE_LINES_MAX: usize = 800;
/// Lines of a function, from `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 100;

/// Complains about what is too long.
pub fn check(file: &File, complaints: &mut Vec<String>) {
    if file.path.file_name().is_some_and(|name| name == "all.rs") {
        return;
    }
    let path = file.path.display();
    let lines = file.text.lines().count();
    if lines > FILE_LINES_MAX {
        complaints.push(format!("{path}: {lines} lines, {FILE_LINES_MAX} at most"));
    }
    for (line, name, length) in functions(&file.text) {
        if length > FUNCTION_LINES_MAX {
            complaints.push(format!(
                "{path}:{line}: `{name}` has {length} lines, {FUNCTION_LINES_MAX} at most"
            ));
        }
    }
}

/// Every function with a body: its line, its name, and how many lines it has.
fn functions(text: &str) -> Vec<(usize, String, usize)> {
    let mut found = Vec::new();
    // Functions that are open: line, name, depth of their body; none before the body starts.
    let mut open: Vec<(usize, String, Option<usize>)> = Vec::new();
    let mut depth = 0usize;
    for (at, line) in bare(text).lines().enumerate() {
        if let Some(name) = function_name(line) {
            open.push((at + 1, name.to_owned(), None));
        }
        for octet in line.bytes() {
            match octet {
                b'{' => {
                    depth += 1;
                    if let Some((_, _, body @ None)) = open.last_mut() {
                        *body = Some(depth);
                    }
                }
                b'}' => {
                    if let Some((start, name, _)) = open.pop_if(|(_, _, body)| *body == Some(depth))
                    {
                        found.push((start, name, at + 2 - start));
                    }
                    depth = depth.saturating_sub(1);
                }
                // A declaration without a body.
                b';' => drop(open.pop_if(|(_, _, body)| body.is_none())),
                _ => {}
            }
        }
    }
    found
}

/// The name in a line that declares a function.
fn function_name(line: &str) -> Option<&str> {
    const BEFORE: &[&str] = &["pub", "async", "const", "unsafe", "extern", "default"];
    let mut words = line.split_whitespace();
    loop {
        match words.next()? {
            "fn" => break,
            word if BEFORE.contains(&word) || word.starts_with("pub(") => {}
            _ => return None,
        }
    }
    words.next()?.split(['(', '<']).next()
}

/// The text with everything blank that is a comment, a string or a character. Lines stay lines.
pub fn bare(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let end = at + span(&bytes[at..], at == 0 || !is_word(bytes[at - 1]));
        if end == at {
            out.push(bytes[at]);
            at += 1;
        } else {
            out.extend(
                bytes[at..end]
                    .iter()
                    .map(|b| if *b == b'\n' { b'\n' } else { b' ' }),
            );
            at = end;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn is_word(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet == b'_'
}

/// How long the comment, string or character is that starts here; 0 if none does.
fn span(rest: &[u8], word_starts: bool) -> usize {
    let until = |from: usize, what: &[u8]| {
        let found = rest
            .get(from..)
            .and_then(|tail| tail.windows(what.len()).position(|w| w == what));
        found.map_or(rest.len(), |found| from + found + what.len())
    };
    match rest {
        [b'/', b'/', ..] => rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => until(2, b"*/"),
        [b'r', b'"' | b'#', ..] if word_starts => raw(rest, 1),
        [b'b', b'r', b'"' | b'#', ..] if word_starts => raw(rest, 2),
        [b'"', ..] => quoted(rest, b'"'),
        [b'\'', b'\\', ..] => quoted(rest, b'\''),
        [b'\'', _, b'\'', ..] => 3,
        _ => 0,
    }
}

/// A raw string whose hashes start at `hashes`.
fn raw(rest: &[u8], hashes: usize) -> usize {
    let count = rest[hashes..].iter().take_while(|b| **b == b'#').count();
    if rest.get(hashes + count) != Some(&b'"') {
        return 0; // r#name
    }
    let mut end = vec![b'"'];
    end.resize(count + 1, b'#');
    let body = hashes + count + 1;
    let found = rest[body..].windows(end.len()).position(|w| w == end);
    found.map_or(rest.len(), |found| body + found + end.len())
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b if b == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_functions_and_not_what_looks_like_one() {
        let text = "fn a() {\n    let s = \"{\";\n    let c = '{'; // {\n}\n\npub(crate) async fn b<T>(\n    x: T,\n) {\n    if x {\n    }\n}\ntrait C {\n    fn d();\n}\n";
        let found = functions(text);
        assert_eq!(found, [(1, "a".to_owned(), 4), (6, "b".to_owned(), 6)]);
    }

    #[test]
    fn reads_over_raw_strings_and_lifetimes() {
        assert_eq!(bare("r#\"a\"{\"# {'a, '\\'' }").trim(), "{'a,      }");
        assert_eq!(bare("x // y\nz"), "x     \nz");
        assert_eq!(bare("/* { */}"), "       }");
    }
}
