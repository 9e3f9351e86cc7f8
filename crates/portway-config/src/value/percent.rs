//! Shares: `50%`.

use portway_core::Span;
use portway_core::diagnostic::Diagnostics;
use serde_json::{Value, json};

use crate::Schema;
use crate::decode::{Decode, wrong, wrong_with_hint};
use crate::node::{Node, Scalar};

/// A share of a whole, from 0 to 100 percent.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Percent(f64);

impl Percent {
    /// A share in percent; held to 0 to 100.
    #[must_use]
    pub const fn new(percent: f64) -> Percent {
        Percent(percent.clamp(0.0, 100.0))
    }

    /// The share as a fraction, 0.0 to 1.0.
    #[must_use]
    pub fn fraction(self) -> f64 {
        self.0 / 100.0
    }

    /// The share in percent, 0.0 to 100.0.
    #[must_use]
    pub const fn percent(self) -> f64 {
        self.0
    }
}

impl Decode for Percent {
    type Plain = Percent;

    fn from_plain(plain: Percent, _: &Span) -> Percent {
        plain
    }

    /// `50%` or `50`. A bare fraction is refused: `0.5` could be a half or half a percent.
    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<Percent> {
        const EXPECTED: &str = "a share like 50%";
        #[allow(clippy::cast_precision_loss)] // out of range anyway when it matters
        let percent = match node.scalar() {
            Some(Scalar::Int(percent)) => Some(percent as f64),
            Some(Scalar::Float(fraction)) if fraction > 0.0 && fraction < 1.0 => {
                let hint = format!("write {}% or {fraction}%", fraction * 100.0);
                wrong_with_hint(node, EXPECTED, &hint, problems);
                return None;
            }
            Some(Scalar::Float(percent)) => Some(percent),
            Some(Scalar::String(text)) => text
                .strip_suffix('%')
                .filter(|number| number.starts_with(|c: char| c.is_ascii_digit()))
                .and_then(|number| number.trim_end().parse().ok()),
            _ => None,
        };
        let percent = percent.filter(|p| (0.0..=100.0).contains(p));
        if percent.is_none() {
            wrong(node, "a share from 0% to 100%", problems);
        }
        percent.map(Percent)
    }

    fn schema() -> Schema {
        json!({
            "type": ["string", "number"],
            "minimum": 0,
            "maximum": 100,
            "pattern": r"^\d+(\.\d+)?\s*%$|\$\{.+\}",
            "examples": ["50%"],
        })
    }

    fn to_json(&self) -> Value {
        format!("{}%", self.0).into()
    }
}
