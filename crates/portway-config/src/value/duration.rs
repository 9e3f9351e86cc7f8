//! Durations: `250ms`, `30s`, `5m`, `1h`.

use std::time::Duration;

use portway_core::Span;
use portway_core::diagnostic::Diagnostics;
use serde_json::{Value, json};

use crate::Schema;
use crate::decode::{Decode, wrong, wrong_with_hint};
use crate::node::{Node, Scalar};

const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// 100 years: far beyond any use, and safe to add to a clock.
const MILLIS_MAX: u64 = 100 * 366 * 86_400_000;

impl Decode for Duration {
    type Plain = Duration;

    fn from_plain(plain: Duration, _: &Span) -> Duration {
        plain
    }

    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<Duration> {
        const EXPECTED: &str = "a duration like 250ms, 30s, 5m or 1h";
        match node.scalar() {
            Some(Scalar::Int(0)) => return Some(Duration::ZERO),
            Some(Scalar::Int(_) | Scalar::Float(_)) => {
                let hint = "add the unit, such as s for seconds";
                wrong_with_hint(node, EXPECTED, hint, problems);
                return None;
            }
            Some(Scalar::String(text)) => {
                if let Some(duration) = parse(text) {
                    return Some(duration);
                }
            }
            _ => {}
        }
        wrong(node, EXPECTED, problems);
        None
    }

    fn schema() -> Schema {
        json!({
            "type": ["string", "integer"],
            "maximum": 0,
            "minimum": 0,
            "pattern": r"^\s*(\d+(\.\d+)?(ms|s|m|h|d))+\s*$|\$\{.+\}",
            "examples": ["250ms", "30s", "5m", "1h"],
        })
    }

    fn to_json(&self) -> Value {
        show(*self).into()
    }
}

/// One or more numbers with units, as in `1m30s`; a fraction may be given, as in `1.5s`.
fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut millis = 0.0_f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number = &rest[..digits];
        if number.starts_with('.') || number.ends_with('.') {
            return None;
        }
        rest = &rest[digits..];
        let letters = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let (_, factor) = UNITS.iter().find(|(unit, _)| *unit == &rest[..letters])?;
        rest = &rest[letters..];
        #[allow(clippy::cast_precision_loss)] // at most 86,400,000
        let factor = *factor as f64;
        millis += number.parse::<f64>().ok()? * factor;
    }
    #[allow(clippy::cast_precision_loss)] // below 2^53
    let in_range = millis <= MILLIS_MAX as f64;
    in_range.then(|| Duration::from_secs_f64(millis / 1000.0))
}

fn show(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, factor) in UNITS.iter().rev().skip(1) {
        let factor = u128::from(*factor);
        if millis != 0 && millis.is_multiple_of(factor) {
            return format!("{}{unit}", millis / factor);
        }
    }
    "0ms".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_with_units() {
        let read = [
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("1m30s", 90_000),
            ("1.5s", 1500),
            ("0s", 0),
        ];
        for (text, millis) in read {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn refuses_what_could_be_misread() {
        for text in [
            "",
            "30",
            "s",
            "30 s",
            "30sec",
            "-1s",
            ".5s",
            "5.s",
            "1e9d",
            "99999999999999d",
            "1.2.3s",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn shows_the_largest_whole_unit() {
        assert_eq!(show(Duration::from_secs(30)), "30s");
        assert_eq!(show(Duration::from_secs(90)), "90s");
        assert_eq!(show(Duration::from_secs(3600)), "1h");
        assert_eq!(show(Duration::from_millis(250)), "250ms");
        assert_eq!(show(Duration::ZERO), "0ms");
    }
}
