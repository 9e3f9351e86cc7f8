//! Which origins may read replies: exact ones, any subdomain of a host, or any at all.
//!
//! Must hold: an origin is compared as the browser serializes it (HTML standard, "ASCII
//! serialization of an origin"): lower case, no default port, nothing after the port. A wildcard
//! stands for whole labels of a host name only, never for part of a label, a port or a scheme.

use std::fmt;

/// One entry of `allow_origins` other than `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This origin.
    Exact(Box<str>),
    /// `scheme://` and `.host[:port]`: any host that ends so.
    Subdomains(Box<str>, Box<str>),
}

/// Why an entry is not an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// No `scheme://`.
    NoScheme,
    /// Something after host and port.
    HasPath,
    /// `*` elsewhere than as the whole first label.
    Wildcard,
    /// Not a host with an optional port.
    Host,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wrong::NoScheme => "an origin starts with its scheme",
            Wrong::HasPath => "an origin ends after its host and port",
            Wrong::Wildcard => "`*` can only be the whole first label of the host",
            Wrong::Host => "this is not a host with an optional port",
        })
    }
}

impl Origin {
    /// Reads one entry; `null` is the origin of sandboxed and local documents.
    pub fn parse(text: &str) -> Result<Origin, Wrong> {
        let text = text.to_ascii_lowercase();
        if text == "null" {
            return Ok(Origin::Exact(text.into()));
        }
        let (scheme, rest) = text.split_once("://").ok_or(Wrong::NoScheme)?;
        let scheme_ok = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
        if scheme.is_empty() || !scheme.bytes().all(scheme_ok) {
            return Err(Wrong::NoScheme);
        }
        if rest.contains(['/', '?', '#']) {
            return Err(Wrong::HasPath);
        }
        let rest = match scheme {
            "http" => rest.strip_suffix(":80").unwrap_or(rest),
            "https" => rest.strip_suffix(":443").unwrap_or(rest),
            _ => rest,
        };
        let (host, wildcard) = match rest.strip_prefix("*.") {
            Some(host) => (host, true),
            None => (rest, false),
        };
        if host.contains('*') {
            return Err(Wrong::Wildcard);
        }
        if !is_host_and_port(host) {
            return Err(Wrong::Host);
        }
        Ok(if wildcard {
            Origin::Subdomains(format!("{scheme}://").into(), format!(".{host}").into())
        } else {
            Origin::Exact(format!("{scheme}://{rest}").into())
        })
    }

    /// Whether an `Origin` header's value is this origin, or one of these.
    #[must_use]
    pub fn matches(&self, origin: &[u8]) -> bool {
        match self {
            Origin::Exact(exact) => exact.as_bytes() == origin,
            Origin::Subdomains(scheme, suffix) => origin
                .strip_prefix(scheme.as_bytes())
                .and_then(|rest| rest.strip_suffix(suffix.as_bytes()))
                .is_some_and(is_host_labels),
        }
    }
}

fn is_host_and_port(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port_ok = port.is_none_or(|p| p.parse::<u16>().is_ok_and(|n| n != 0));
    let v6 = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host_ok = match v6 {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_host_labels(host.as_bytes()),
    };
    port_ok && host_ok
}

fn is_host_labels(text: &[u8]) -> bool {
    let label_byte = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(b);
    text.split(|&b| b == b'.')
        .all(|label| !label.is_empty() && label.iter().all(label_byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(entry: &str, origin: &str) -> bool {
        Origin::parse(entry).unwrap().matches(origin.as_bytes())
    }

    #[test]
    fn compares_whole_origins() {
        assert!(matches("https://a.example.com", "https://a.example.com"));
        assert!(!matches("https://a.example.com", "http://a.example.com"));
        assert!(!matches(
            "https://a.example.com",
            "https://a.example.com:8443"
        ));
        assert!(!matches(
            "https://a.example.com",
            "https://a.example.com.evil.net"
        ));
        assert!(matches("null", "null"));
    }

    #[test]
    fn reads_entries_as_a_browser_would_write_them() {
        assert!(matches(
            "HTTPS://A.Example.com:443",
            "https://a.example.com"
        ));
        assert!(matches("http://localhost:80", "http://localhost"));
        assert!(matches("http://[::1]:3000", "http://[::1]:3000"));
    }

    #[test]
    fn lets_a_wildcard_stand_for_whole_labels_only() {
        let entry = "https://*.example.com";
        assert!(matches(entry, "https://a.example.com"));
        assert!(matches(entry, "https://a.b.example.com"));
        assert!(!matches(entry, "https://example.com"));
        assert!(!matches(entry, "https://evilexample.com"));
        assert!(!matches(entry, "https://.example.com"));
        assert!(!matches(entry, "https://evil.net/.example.com"));
        assert!(!matches(entry, "https://evil.net:1@x.example.com"));
        assert!(!matches(entry, "https://a.example.com:8443"));
        assert!(matches(
            "https://*.example.com:8443",
            "https://a.example.com:8443"
        ));
    }

    #[test]
    fn says_why_an_entry_is_not_an_origin() {
        assert_eq!(Origin::parse("example.com"), Err(Wrong::NoScheme));
        assert_eq!(Origin::parse("https://example.com/"), Err(Wrong::HasPath));
        assert_eq!(
            Origin::parse("https://a*.example.com"),
            Err(Wrong::Wildcard)
        );
        assert_eq!(Origin::parse("https://a.*.com"), Err(Wrong::Wildcard));
        assert_eq!(Origin::parse("https://"), Err(Wrong::Host));
        assert_eq!(Origin::parse("https://a b"), Err(Wrong::Host));
        assert_eq!(Origin::parse("https://a:99999"), Err(Wrong::Host));
    }
}
