//! What a limit counts apart.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use http::HeaderName;
use portway_config::decode::{string_schema, suggest, wrong};
use portway_config::{Decode, Node, Schema};
use portway_core::{Diagnostics, Mono, Span};
use portway_http::Exchange;
use serde_json::Value;

use super::{Quota, Table, Verdict};
use crate::ip_filter::caller;

/// What is counted apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// Nothing: all requests of the route.
    Route,
    /// The client's address, an IPv6 /64 as one.
    ClientIp,
    /// The values of a request header.
    Header(HeaderName),
    /// The caller that an auth filter established.
    Consumer,
    /// The canonical path.
    Path,
}

const WORDS: [&str; 5] = ["route", "client_ip", "consumer", "path", "header:NAME"];

impl Key {
    /// The word for it; a header's name is left out.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Key::Route => "route",
            Key::ClientIp => "client_ip",
            Key::Header(_) => "header",
            Key::Consumer => "consumer",
            Key::Path => "path",
        }
    }

    /// Takes a token from the bucket of whoever sent this.
    pub fn take(&self, table: &Table, quota: &Quota, exchange: &Exchange, now: Mono) -> Verdict {
        let request = &exchange.request;
        match self {
            Key::Path => return table.take((Kind::Named, request.path.as_bytes()), quota, now),
            Key::Consumer => {
                if let Some(consumer) = &exchange.consumer {
                    return table.take((Kind::Named, consumer.as_bytes()), quota, now);
                }
            }
            Key::Header(name) => {
                // Every value: a policy that looks at the first one only can be led astray by it.
                let values = || request.headers.get_all(name).iter().map(|v| v.as_bytes());
                let mut rest = values();
                match (rest.next(), rest.next()) {
                    (None, _) => {}
                    (Some(only), None) => return table.take((Kind::Named, only), quota, now),
                    _ => {
                        let all: Vec<&[u8]> = values().collect();
                        return table.take((Kind::Several, all), quota, now);
                    }
                }
            }
            Key::Route | Key::ClientIp => {}
        }
        table.take(Caller(caller(exchange.client.ip)), quota, now)
    }
}

/// Hashed before what is counted, so that one value and a list of values cannot pass for each other.
#[derive(Hash)]
enum Kind {
    Named,
    Several,
}

/// An address, hashed in fewer octets than a [`Kind`] takes with what follows it: so no header value
/// can pass for one. Only the network half of an IPv6 address is left in it.
struct Caller(IpAddr);

impl Hash for Caller {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.0 {
            IpAddr::V4(ip) => state.write_u32(ip.to_bits()),
            IpAddr::V6(ip) => state.write_u64((ip.to_bits() >> 64) as u64),
        }
    }
}

impl Decode for Key {
    type Plain = Key;

    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<Key> {
        let Some(text) = node.text() else {
            wrong(node, "what to count apart", problems);
            return None;
        };
        match text {
            "route" => return Some(Key::Route),
            "client_ip" => return Some(Key::ClientIp),
            "consumer" => return Some(Key::Consumer),
            "path" => return Some(Key::Path),
            _ => {}
        }
        if let Some(name) = text.strip_prefix("header:") {
            let name = HeaderName::from_bytes(name.trim().as_bytes()).ok();
            if name.is_none() {
                wrong(node, "a header's name, as in header:X-Tenant-ID", problems);
            }
            return name.map(Key::Header);
        }
        if text.starts_with("jwt:") {
            let what = "a key of `jwt:` is not supported yet by this version";
            problems.error(
                &node.span,
                what,
                "use `consumer`, which is the token's `sub`",
            );
            return None;
        }
        let what = format!(
            "{} is not something that can be counted apart",
            node.describe()
        );
        problems.error(&node.span, what, suggest(text, &WORDS));
        None
    }

    fn schema() -> Schema {
        let mut schema = string_schema("", &["route", "client_ip", "header:X-Tenant-ID"]);
        schema["pattern"] = r"^(route|client_ip|consumer|path|header:.+)$|\$\{.+\}".into();
        schema
    }

    fn from_plain(plain: Key, _: &Span) -> Key {
        plain
    }

    fn to_json(&self) -> Value {
        match self {
            Key::Header(name) => format!("header:{name}").into(),
            word => word.as_str().into(),
        }
    }
}
