//! Decoding of the types that a single scalar holds and that Rust already has.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use portway_core::Span;
use portway_core::diagnostic::Diagnostics;
use serde_json::{Value, json};

use super::{Decode, string_schema, wrong, wrong_with_hint};
use crate::Schema;
use crate::node::{Kind, Node, Scalar};

/// What a number or switch may also be in the file: a string that a substitution replaces.
pub(crate) const SUBSTITUTION_PATTERN: &str = r"\$\{.+\}";

macro_rules! plain_is_self {
    () => {
        type Plain = Self;

        fn from_plain(plain: Self, _: &Span) -> Self {
            plain
        }
    };
}
pub(crate) use plain_is_self;

impl Decode for bool {
    plain_is_self!();

    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<bool> {
        match node.scalar() {
            Some(Scalar::Bool(value)) => Some(value),
            Some(Scalar::String("on" | "yes" | "off" | "no")) => {
                wrong_with_hint(node, "true or false", "write true or false", problems);
                None
            }
            _ => {
                wrong(node, "true or false", problems);
                None
            }
        }
    }

    fn schema() -> Schema {
        json!({ "type": ["boolean", "string"], "pattern": SUBSTITUTION_PATTERN })
    }

    fn to_json(&self) -> Value {
        (*self).into()
    }
}

impl Decode for String {
    plain_is_self!();

    /// Takes any scalar by its text: `2` is as good a header value as `"2"`.
    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<String> {
        if let Some(text) = node.text() {
            return Some(text.to_owned());
        }
        wrong(node, "a string", problems);
        None
    }

    fn schema() -> Schema {
        json!({ "type": ["string", "number", "boolean"] })
    }

    fn to_json(&self) -> Value {
        self.as_str().into()
    }
}

macro_rules! integers {
    ($($type:ident)*) => {$(
        impl Decode for $type {
            plain_is_self!();

            fn decode(node: &Node, problems: &mut Diagnostics) -> Option<$type> {
                let Some(Scalar::Int(value)) = node.scalar() else {
                    wrong(node, "a whole number", problems);
                    return None;
                };
                let checked = $type::try_from(value).ok();
                if checked.is_none() {
                    let (low, high) = ($type::MIN, $type::MAX);
                    wrong(node, &format!("a whole number from {low} to {high}"), problems);
                }
                checked
            }

            fn schema() -> Schema {
                json!({
                    "type": ["integer", "string"],
                    "minimum": $type::MIN,
                    "maximum": $type::MAX,
                    "pattern": SUBSTITUTION_PATTERN,
                })
            }

            fn to_json(&self) -> Value {
                (*self).into()
            }
        }
    )*};
}

integers!(u8 u16 u32 u64 usize i32 i64);

impl Decode for f64 {
    plain_is_self!();

    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<f64> {
        match node.scalar() {
            #[allow(clippy::cast_precision_loss)] // a config's numbers are far below 2^53
            Some(Scalar::Int(value)) => Some(value as f64),
            Some(Scalar::Float(value)) if value.is_finite() => Some(value),
            _ => {
                wrong(node, "a number", problems);
                None
            }
        }
    }

    fn schema() -> Schema {
        json!({ "type": ["number", "string"], "pattern": SUBSTITUTION_PATTERN })
    }

    fn to_json(&self) -> Value {
        (*self).into()
    }
}

impl Decode for IpNet {
    plain_is_self!();

    /// A bare address is the network of that one address.
    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<IpNet> {
        let text = node.text().unwrap_or_default();
        let net = text
            .parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .ok();
        let Some(net) = net else {
            wrong(
                node,
                "an address range like 10.0.0.0/8 or fd00::/8",
                problems,
            );
            return None;
        };
        if net.trunc() != net && !node.is_substituted() {
            let what = format!("{net} has bits set past its prefix length");
            let hint = format!("it covers {}", net.trunc());
            problems.warn(&node.span, what, hint);
        }
        Some(net.trunc())
    }

    fn schema() -> Schema {
        string_schema(
            "An address range; a bare address is the range of that one.",
            &["10.0.0.0/8", "fd00::/8"],
        )
    }

    fn to_json(&self) -> Value {
        self.to_string().into()
    }
}

macro_rules! parsed {
    ($($type:ident: $expected:literal, $example:literal;)*) => {$(
        impl Decode for $type {
            plain_is_self!();

            fn decode(node: &Node, problems: &mut Diagnostics) -> Option<$type> {
                let value = match &node.kind {
                    Kind::Plain(text) | Kind::Quoted(text) => text.parse().ok(),
                    Kind::List(_) | Kind::Map(_) => None,
                };
                if value.is_none() {
                    wrong(node, $expected, problems);
                }
                value
            }

            fn schema() -> Schema {
                string_schema("", &[$example])
            }

            fn to_json(&self) -> Value {
                self.to_string().into()
            }
        }
    )*};
}

parsed! {
    IpAddr: "an IP address like 0.0.0.0", "0.0.0.0";
    SocketAddr: "an address and port like 0.0.0.0:8080 or [::]:8080", "0.0.0.0:8080";
}
