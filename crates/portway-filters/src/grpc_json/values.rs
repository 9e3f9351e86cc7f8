//! How many values a body of JSON has, and how deep: looked at before anything is made of them.
//!
//! Must hold: one pass over the text, without memory of its own; what is no JSON is counted somehow, since whoever
//! reads it finds that out. It stops the body of a few octets a value, each of which becomes a message of some
//! hundred octets (`[1,1,1,…]` in a `google.protobuf.ListValue`), and the one whose inside is gone through again for
//! every level around it (`google.protobuf.Any`, lists in lists).

/// The most values of a body whose message has a usual size: some 100 MiB of messages, and a tenth of a second.
const VALUES_USUAL: usize = 100_000;
/// Where messages are small, one value for so many octets of the largest: they take some 64 times as much.
const OCTETS_PER_VALUE: usize = 16;
/// Where they are larger than usual, one for so many: whoever lets in large arrays of numbers (vectors, series) has
/// memory for some 25 times the largest message.
const OCTETS_PER_VALUE_LARGE: usize = 42;
/// Always so many.
const VALUES_MIN: usize = 1000;
/// Levels for each of the most values, or of the usual ones, counted in all depths together.
const DEPTH_EACH: usize = 10;
/// What is deeper counts as a value alone: it is refused by whoever reads it, or left out.
const DEPTH_COUNTED: usize = 128;
/// A text counts as one value more for each, on each level: it is copied there.
const TEXT_OCTETS: usize = 1024;

/// Checks a body, whose message may have so many octets.
///
/// # Errors
/// Which limit it is past, in words.
pub fn check(text: &[u8], message_bytes_max: usize) -> Result<(), String> {
    let values_max = (message_bytes_max / OCTETS_PER_VALUE)
        .clamp(VALUES_MIN, VALUES_USUAL)
        .max(message_bytes_max / OCTETS_PER_VALUE_LARGE);
    let depths_max = values_max.max(VALUES_USUAL) * DEPTH_EACH;
    let (mut values, mut depths, mut depth) = (0, 0, 0_usize);
    // Whether something was opened, and nothing is in it yet.
    let mut opened = false;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        if byte.is_ascii_whitespace() {
            continue;
        }
        // A member or an element begins behind a comma, and as the first of what was opened.
        let closes = matches!(byte, b']' | b'}');
        if byte == b',' || (opened && !closes) {
            values += 1;
            depths += counted(depth);
        }
        opened = matches!(byte, b'[' | b'{');
        if opened {
            depth += 1;
        } else if closes {
            depth = depth.saturating_sub(1);
        } else if byte == b'"' {
            let octets = text_octets(&text[at..]);
            depths += octets / TEXT_OCTETS * counted(depth);
            at += octets;
        }
        if values > values_max {
            return Err(format!("it has more than {values_max} values"));
        }
        if depths > depths_max {
            let what = "its values are too deep: their depths are more than";
            return Err(format!("{what} {depths_max} in all"));
        }
    }
    Ok(())
}

fn counted(depth: usize) -> usize {
    if depth > DEPTH_COUNTED { 0 } else { depth }
}

/// The octets of a text up to and with the quote at its end.
fn text_octets(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += match byte {
            b'"' => return at + 1,
            b'\\' => 2,
            _ => 1,
        };
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> String {
        check(text.as_bytes(), 4 << 20).err().unwrap_or_default()
    }

    /// A list of so many.
    fn list(value: &str, times: usize) -> String {
        format!("[{}]", vec![value; times].join(","))
    }

    #[test]
    fn values_are_members_and_elements() {
        let limit = "it has more than 100000 values";
        for (value, each) in [
            ("1", 1),
            ("{}", 1),
            (" [ ] ", 1),
            ("[1]", 2),
            (r#"{"a":[]}"#, 2),
            (r#"{"a":1,"b":"x,[{\",y","\\":2}"#, 4),
        ] {
            assert_eq!(why(&list(value, VALUES_USUAL / each)), "", "{value}");
            assert_eq!(why(&list(value, VALUES_USUAL / each + 1)), limit, "{value}");
        }
    }

    #[test]
    fn the_limit_of_values_goes_with_the_largest_message() {
        for (bytes_max, values_max) in [
            (0, 1000),
            (64 << 10, 4096),
            (4 << 20, VALUES_USUAL),
            (42 << 20, 1 << 20),
        ] {
            let text = list("1", values_max);
            assert_eq!(check(text.as_bytes(), bytes_max), Ok(()));
            let why = check(list("1", values_max + 1).as_bytes(), bytes_max).unwrap_err();
            assert_eq!(why, format!("it has more than {values_max} values"));
        }
    }

    #[test]
    fn the_limit_of_depths_goes_with_the_largest_message() {
        let deep = format!("{}{}{}", "[".repeat(9), list("1", 1_000_000), "]".repeat(9));
        assert_eq!(check(deep.as_bytes(), 42 << 20), Ok(()));
        let deeper = deep.replace("[1", "[[[1");
        let why = check(deeper.as_bytes(), 42 << 20).unwrap_err();
        assert!(why.ends_with("more than 10485760 in all"), "{why}");
    }

    #[test]
    fn depths_count_together() {
        let deep =
            |inner: String, times| format!("{}{inner}{}", "[".repeat(times), "]".repeat(times));
        assert_eq!(why(&deep(list("1", 90_000), 9)), "");
        let limit = "its values are too deep: their depths are more than 1000000 in all";
        assert_eq!(why(&deep(list("1", 90_000), 12)), limit);
        assert_eq!(why(&deep(list("1", 9_000), 120)), limit);
        // A large text is copied on each level, and little else.
        assert_eq!(why(&deep(format!("\"{}\"", "x".repeat(4 << 20)), 120)), "");
        assert_eq!(
            why(&deep(format!("\"{}\"", "x".repeat(16 << 20)), 120)),
            limit
        );
    }

    #[test]
    fn what_is_no_json_is_counted_somehow() {
        for text in ["", "]]]]", "\"", "\"\\", "{,,", "[1,", "\\\"", "]["] {
            assert_eq!(why(text), "");
        }
    }
}
