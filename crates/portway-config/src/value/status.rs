//! Sets of HTTP statuses: `200`, `200-299`, `2xx`.

use portway_core::Span;
use portway_core::diagnostic::Diagnostics;
use serde_json::{Value, json};

use crate::Schema;
use crate::decode::{Decode, wrong};
use crate::node::Node;

/// Statuses from the first to the last, both included; each 100 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StatusRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl StatusRange {
    /// Whether the status is in the range.
    #[must_use]
    pub const fn contains(self, status: u16) -> bool {
        self.first <= status && status <= self.last
    }
}

impl Decode for StatusRange {
    type Plain = StatusRange;

    fn from_plain(plain: StatusRange, _: &Span) -> StatusRange {
        plain
    }

    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<StatusRange> {
        let range = node.text().and_then(parse);
        if range.is_none() {
            wrong(node, "a status like 200, 200-299 or 2xx", problems);
        }
        range
    }

    fn schema() -> Schema {
        json!({
            "type": ["string", "integer"],
            "minimum": 100,
            "maximum": 599,
            "pattern": r"^[1-5](\d\d(\s*-\s*[1-5]\d\d)?|xx)$|\$\{.+\}",
            "examples": [200, "200-299", "2xx"],
        })
    }

    fn to_json(&self) -> Value {
        if self.first == self.last {
            self.first.into()
        } else {
            format!("{}-{}", self.first, self.last).into()
        }
    }
}

fn parse(text: &str) -> Option<StatusRange> {
    if let Some(class) = text.strip_suffix("xx") {
        let class: u16 = class.parse().ok()?;
        return (1..=5).contains(&class).then_some(StatusRange {
            first: class * 100,
            last: class * 100 + 99,
        });
    }
    let status = |t: &str| {
        let t = t.trim();
        let digits = t.len() == 3 && t.bytes().all(|b| b.is_ascii_digit());
        let status = t.parse().ok().filter(|_| digits)?;
        (100..=599).contains(&status).then_some(status)
    };
    let (first, last) = match text.split_once('-') {
        None => (status(text)?, status(text)?),
        Some((first, last)) => (status(first)?, status(last)?),
    };
    (first <= last).then_some(StatusRange { first, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_single_statuses_ranges_and_classes() {
        let range = |first, last| Some(StatusRange { first, last });
        assert_eq!(parse("200"), range(200, 200));
        assert_eq!(parse("200-299"), range(200, 299));
        assert_eq!(parse("5xx"), range(500, 599));
    }

    #[test]
    fn refuses_what_is_no_status() {
        for text in [
            "", "20", "600", "0200", "+200", "299-200", "6xx", "xx", "200-",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
