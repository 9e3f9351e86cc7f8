//! Where to connect to and where to listen.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use portway_core::Span;
use portway_core::diagnostic::Diagnostics;
use serde_json::Value;

use crate::Schema;
use crate::decode::{Decode, string_schema, wrong, wrong_with_hint};
use crate::node::Node;

/// The address of a target: `host:port`, alone or behind `http://`, `https://` and the other schemes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// What the target speaks, where the address says it.
    pub scheme: Option<Scheme>,
    /// A lower-case host name or an IP address; an IPv6 address without brackets.
    pub host: Box<str>,
    /// The port.
    pub port: u16,
}

/// What a target speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// HTTP/2 without TLS.
    H2c,
    /// gRPC without TLS.
    Grpc,
    /// gRPC over TLS.
    Grpcs,
    /// Not HTTP.
    Tcp,
}

impl Scheme {
    /// All of them.
    const ALL: [Scheme; 6] = [
        Scheme::Http,
        Scheme::Https,
        Scheme::H2c,
        Scheme::Grpc,
        Scheme::Grpcs,
        Scheme::Tcp,
    ];

    /// Whether it stands for TLS; `None` where it stands for neither.
    #[must_use]
    pub const fn is_secure(self) -> Option<bool> {
        match self {
            Scheme::Http | Scheme::H2c | Scheme::Grpc => Some(false),
            Scheme::Https | Scheme::Grpcs => Some(true),
            Scheme::Tcp => None,
        }
    }

    /// Whether it stands for HTTP/2 and nothing else.
    #[must_use]
    pub const fn is_http2(self) -> bool {
        matches!(self, Scheme::H2c | Scheme::Grpc | Scheme::Grpcs)
    }

    fn parse(text: &str) -> Option<Scheme> {
        Scheme::ALL
            .into_iter()
            .find(|scheme| text.eq_ignore_ascii_case(scheme.as_str()))
    }

    /// As it is written before `://`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::H2c => "h2c",
            Scheme::Grpc => "grpc",
            Scheme::Grpcs => "grpcs",
            Scheme::Tcp => "tcp",
        }
    }

    /// The port of an address that names none.
    const fn default_port(self) -> Option<u16> {
        match self {
            Scheme::Http | Scheme::H2c => Some(80),
            Scheme::Https => Some(443),
            // There is no usual one.
            Scheme::Grpc | Scheme::Grpcs | Scheme::Tcp => None,
        }
    }
}

impl Address {
    /// Reads an address where a string of the config must be one.
    ///
    /// # Errors
    /// Why it is none, in words that show nothing of it but its scheme: it may hold a password.
    pub fn read(text: &str) -> Result<Address, NoAddress> {
        parse(text).map_err(|refused| match refused {
            Refused::Scheme(scheme) => NoAddress {
                what: format!("`{scheme}://` is not a scheme"),
                hint: "use one that is known here",
            },
            Refused::Path => NoAddress {
                what: "an address has no path".to_owned(),
                hint: "end it after the port",
            },
            Refused::Credentials => NoAddress {
                what: "an address has no user or password".to_owned(),
                hint: "remove what is before `@`",
            },
            Refused::Form(hint) => NoAddress {
                what: "it is not an address".to_owned(),
                hint,
            },
        })
    }

    /// The address if the host is an IP address and needs no lookup.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.host.parse().ok()?;
        Some(SocketAddr::new(ip, self.port))
    }
}

impl fmt::Display for Address {
    /// `host:port`, with brackets around an IPv6 address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Decode for Address {
    type Plain = Address;

    fn from_plain(plain: Address, _: &Span) -> Address {
        plain
    }

    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<Address> {
        const EXPECTED: &str = "an address like http://127.0.0.1:8081";
        let Some(text) = node.text() else {
            wrong(node, EXPECTED, problems);
            return None;
        };
        match parse(text) {
            Ok(address) => Some(address),
            Err(Refused::Scheme(scheme)) if node.is_substituted() => {
                let _ = scheme;
                wrong(node, EXPECTED, problems);
                None
            }
            Err(Refused::Scheme(scheme)) => {
                let what = if scheme == "unix" {
                    format!("`{scheme}://` is not supported yet by this version")
                } else {
                    format!("`{scheme}://` is not a scheme of a target")
                };
                problems.error(
                    &node.span,
                    what,
                    "use http://host:port, https://host:port or tcp://host:port",
                );
                None
            }
            Err(Refused::Path) => {
                let hint = "end it after the port; a route's `rewrite` changes the path";
                problems.error(&node.span, "a target's address has no path", hint);
                None
            }
            Err(Refused::Credentials) => {
                let what = "a target's address has no user or password";
                problems.error(&node.span, what, "remove what is before `@`");
                None
            }
            Err(Refused::Form(hint)) => {
                wrong_with_hint(node, EXPECTED, hint, problems);
                None
            }
        }
    }

    fn schema() -> Schema {
        string_schema("", &["http://127.0.0.1:8081", "users.internal:8080"])
    }

    fn to_json(&self) -> Value {
        let scheme = self.scheme.unwrap_or(Scheme::Http);
        format!("{}://{self}", scheme.as_str()).into()
    }
}

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAddress {
    /// What is wrong with it.
    pub what: String,
    /// What to do.
    pub hint: &'static str,
}

#[derive(Debug, PartialEq, Eq)]
enum Refused {
    Scheme(String),
    Path,
    Credentials,
    Form(&'static str),
}

fn parse(text: &str) -> Result<Address, Refused> {
    let (scheme, rest) = match text.split_once("://") {
        None => (None, text),
        Some((scheme, rest)) => match Scheme::parse(scheme) {
            Some(scheme) => (Some(scheme), rest),
            None => return Err(Refused::Scheme(scheme.to_ascii_lowercase())),
        },
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains('@') {
        return Err(Refused::Credentials); // which must not be shown
    }
    if authority.contains(['/', '?', '#']) {
        return Err(Refused::Path);
    }
    let (host, port) = split_port(authority)?;
    let Some(port) = port.or(scheme.and_then(Scheme::default_port)) else {
        return Err(Refused::Form("add the port"));
    };
    if host.is_empty() {
        return Err(Refused::Form("the host is missing"));
    }
    if !host.contains(':') && !is_host_name(host) {
        return Err(Refused::Form("the host is not a name or an IP address"));
    }
    Ok(Address {
        scheme,
        host: host.to_ascii_lowercase().into(),
        port,
    })
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), Refused> {
    let number = |text: &str| match text.parse::<u16>() {
        Ok(port) if port != 0 && !text.starts_with('+') => Ok(Some(port)),
        _ => Err(Refused::Form("the port is not a number from 1 to 65535")),
    };
    if let Some(rest) = authority.strip_prefix('[') {
        let Some((host, rest)) = rest.split_once(']') else {
            return Err(Refused::Form("the `]` is missing"));
        };
        if host.parse::<Ipv6Addr>().is_err() {
            return Err(Refused::Form("what is in [ ] is not an IPv6 address"));
        }
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, number(port)?)),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(Refused::Form("after `]` comes `:` and the port")),
        };
    }
    match authority.split_once(':') {
        None => Ok((authority, None)),
        Some((_, port)) if port.contains(':') => Err(Refused::Form("put an IPv6 address in [ ]")),
        Some((host, port)) => Ok((host, number(port)?)),
    }
}

/// RFC 1123, section 2.1, and the underscore that container names use.
fn is_host_name(host: &str) -> bool {
    host.len() <= 253
        && host
            .strip_suffix('.')
            .unwrap_or(host)
            .split('.')
            .all(|label| {
                (1..=63).contains(&label.len())
                    && label
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            })
}

/// Where the operators' API listens: `127.0.0.1:9901`, or the path of a unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Bind {
    /// An address and port.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bind::Tcp(addr) => addr.fmt(f),
            Bind::Unix(path) => path.display().fmt(f),
        }
    }
}

impl Decode for Bind {
    type Plain = Bind;

    fn from_plain(plain: Bind, _: &Span) -> Bind {
        plain
    }

    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<Bind> {
        let text = node.text().unwrap_or_default();
        let path = text.strip_prefix("unix:").unwrap_or(text);
        if path.contains('/') {
            return Some(Bind::Unix(path.into()));
        }
        let addr = text.parse().map(Bind::Tcp).ok();
        if addr.is_none() {
            let expected = "an address and port like 127.0.0.1:9901, or the path of a socket";
            wrong(node, expected, problems);
        }
        addr
    }

    fn schema() -> Schema {
        string_schema("", &["127.0.0.1:9901", "/run/portway/admin.sock"])
    }

    fn to_json(&self) -> Value {
        self.to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hosts_with_and_without_a_scheme() {
        let read = [
            ("http://127.0.0.1:8081", "127.0.0.1:8081"),
            ("http://127.0.0.1:8081/", "127.0.0.1:8081"),
            ("HTTP://Users.Internal", "users.internal:80"),
            ("users_1:8080", "users_1:8080"),
            ("http://[::1]:9000", "[::1]:9000"),
            ("http://[::1]", "[::1]:80"),
            ("https://users.internal", "users.internal:443"),
            ("h2c://users.internal", "users.internal:80"),
            ("grpc://users.internal:50051", "users.internal:50051"),
            ("GRPCS://users.internal:443", "users.internal:443"),
            ("tcp://db.internal:5432", "db.internal:5432"),
        ];
        for (text, shown) in read {
            assert_eq!(parse(text).expect(text).to_string(), shown);
        }
    }

    #[test]
    fn refuses_what_is_no_address() {
        for text in [
            "",
            ":80",
            "http://",
            "host",
            "host:0",
            "host:70000",
            "host:+80",
            "a b:80",
            "::1:80",
            "[::1:80",
            "[x]:80",
            "[::1]80",
            "http://u:p@h:80",
            "http://h:80/path",
            "ftp://h",
            "grpc://h",
            "tcp://h",
            "h:80?x",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
