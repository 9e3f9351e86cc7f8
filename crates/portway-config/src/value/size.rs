//! Sizes in bytes: `64KiB`, `10MiB`; a plain number is bytes.

use portway_core::Span;
use portway_core::diagnostic::Diagnostics;
use serde_json::{Value, json};

use crate::Schema;
use crate::decode::{Decode, wrong};
use crate::node::{Node, Scalar};

const UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("kB", 1000),
];

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

impl Size {
    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory.
    #[must_use]
    pub fn len(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Whether it is no bytes at all.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Decode for Size {
    type Plain = Size;

    fn from_plain(plain: Size, _: &Span) -> Size {
        plain
    }

    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<Size> {
        let bytes = match node.scalar() {
            Some(Scalar::Int(bytes)) => u64::try_from(bytes).ok(),
            Some(Scalar::String(text)) => parse(text),
            _ => None,
        };
        if bytes.is_none() {
            wrong(node, "a size like 64KiB or 10MiB", problems);
        }
        bytes.map(Size)
    }

    fn schema() -> Schema {
        json!({
            "type": ["string", "integer"],
            "minimum": 0,
            "pattern": r"^\s*\d+\s*(B|[KMGT]iB|[kKMG]B)?\s*$|\$\{.+\}",
            "examples": ["64KiB", "10MiB"],
        })
    }

    fn to_json(&self) -> Value {
        for (unit, factor) in UNITS[1..5].iter().rev() {
            if self.0 != 0 && self.0.is_multiple_of(*factor) {
                return format!("{}{unit}", self.0 / factor).into();
            }
        }
        self.0.into()
    }
}

fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let unit = text[digits..].trim_start();
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_binary_and_decimal_units() {
        assert_eq!(parse("64KiB"), Some(65_536));
        assert_eq!(parse("10 MiB"), Some(10 << 20));
        assert_eq!(parse("10MB"), Some(10_000_000));
        assert_eq!(parse("1B"), Some(1));
    }

    #[test]
    fn refuses_unknown_units_and_overflow() {
        for text in ["10M", "KiB", "1.5MiB", "-1B", "99999999999999999TiB", ""] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn shows_the_largest_whole_unit() {
        assert_eq!(Size(65_536).to_json(), "64KiB");
        assert_eq!(Size(1000).to_json(), 1000);
        assert_eq!(Size(0).to_json(), 0);
    }
}
