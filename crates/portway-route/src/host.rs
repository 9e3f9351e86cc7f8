//! Host patterns of a route: `api.example.com` or `*.example.com`.
//!
//! Must hold: a pattern is lower case, has no port, and its labels could stand in a real authority.
//! `*.example.com` stands for one or more labels before `example.com`, never for `example.com`.
//! Never: looks a name up.

use std::fmt;
use std::net::Ipv6Addr;

/// Longest host name, bytes (RFC 1035, section 2.3.4, without the root dot).
const HOST_BYTES_MAX: usize = 253;
/// Longest label, bytes (RFC 1035, section 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// One exact host name, or every name below a suffix.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPattern {
    /// The whole name, or what follows `*.`.
    name: Box<str>,
    wildcard: bool,
}

impl HostPattern {
    /// Reads a pattern as written in a config.
    ///
    /// # Errors
    /// What is wrong and what to write instead, in one sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "*" {
            return Err("`*` is not a host; leave `hosts` out to match any host".into());
        }
        let (name, wildcard) = match text.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        if !wildcard && name.starts_with('[') {
            check_bracketed(name)?;
        } else {
            check_name(name)?;
        }
        Ok(Self {
            name: name.to_ascii_lowercase().into(),
            wildcard,
        })
    }

    /// Does this pattern stand for more than one name?
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// The exact name, or the suffix after `*.`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Does `host` (lower case, no port) belong to this pattern?
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        if !self.wildcard {
            return host == &*self.name;
        }
        host.strip_suffix(&*self.name)
            .and_then(|left| left.strip_suffix('.'))
            .is_some_and(|left| !left.is_empty())
    }

    /// Does every name of `other` belong to this pattern?
    pub(crate) fn covers(&self, other: &HostPattern) -> bool {
        if self.wildcard == other.wildcard && self.name == other.name {
            return true;
        }
        // `*.b.c` lies inside `*.c` exactly when the name `b.c` does.
        self.wildcard && self.matches(&other.name)
    }

    /// Larger is more specific: exact, then the longest suffix; any host is 0.
    pub(crate) fn specificity(&self) -> u16 {
        if self.wildcard {
            1 + u16::try_from(self.name.len()).unwrap_or(u16::MAX - 2)
        } else {
            u16::MAX
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.wildcard {
            f.write_str("*.")?;
        }
        f.write_str(&self.name)
    }
}

fn check_bracketed(name: &str) -> Result<(), String> {
    let inside = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .ok_or_else(|| format!("`{name}` must be an IPv6 address in brackets, without a port"))?;
    inside
        .parse::<Ipv6Addr>()
        .map(|_| ())
        .map_err(|_| format!("`{inside}` is not an IPv6 address"))
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("a host is missing; write a name such as `api.example.com`".into());
    }
    if name.contains("://") || name.contains('/') {
        return Err(format!(
            "`{name}` must be a host only, without scheme or path"
        ));
    }
    if name.contains(':') {
        return Err(format!(
            "`{name}` must not have a port; listeners decide about ports"
        ));
    }
    if name.contains('*') {
        return Err(format!(
            "`{name}`: `*` may only be the whole first label, as in `*.example.com`"
        ));
    }
    if !name.is_ascii() {
        return Err(format!("`{name}` must be ASCII; write its `xn--` form"));
    }
    if name.len() > HOST_BYTES_MAX {
        return Err(format!("the host is longer than {HOST_BYTES_MAX} bytes"));
    }
    name.split('.')
        .try_for_each(|label| check_label(name, label))
}

fn check_label(name: &str, label: &str) -> Result<(), String> {
    if label.is_empty() {
        return Err(format!("`{name}` has an empty label; remove the extra dot"));
    }
    if label.len() > LABEL_BYTES_MAX {
        return Err(format!("`{label}` is longer than {LABEL_BYTES_MAX} bytes"));
    }
    // The underscore is no host name character (RFC 952), yet container names have it.
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if let Some(bad) = label.chars().find(|c| !good(*c as u8)) {
        return Err(format!(
            "`{name}` has the character `{}`",
            bad.escape_default()
        ));
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(format!("the label `{label}` begins or ends with `-`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_cases_names() {
        let pattern = HostPattern::parse("API.Example.COM").unwrap();
        assert_eq!(pattern.to_string(), "api.example.com");
        assert!(pattern.matches("api.example.com"));
        assert!(!pattern.matches("x.api.example.com"));
    }

    #[test]
    fn wildcard_takes_one_or_more_labels_but_not_none() {
        let pattern = HostPattern::parse("*.example.com").unwrap();
        assert!(pattern.matches("a.example.com"));
        assert!(pattern.matches("a.b.example.com"));
        assert!(!pattern.matches("example.com"));
        assert!(!pattern.matches(".example.com"));
        assert!(!pattern.matches("badexample.com"));
    }

    #[test]
    fn refuses_what_no_authority_can_hold() {
        for bad in [
            "",
            "*",
            "*.",
            "a.*",
            "a*.com",
            "*.*.com",
            "a:80",
            "http://a",
            "a/b",
            "a..b",
            ".a",
            "a.",
            "-a.com",
            "a-.com",
            "a b",
            "bücher.example",
            "[::1",
            "[::1]:80",
            "[x]",
            "*.[::1]",
        ] {
            assert!(HostPattern::parse(bad).is_err(), "{bad}");
        }
        assert!(HostPattern::parse(&"a".repeat(64)).is_err());
        assert!(HostPattern::parse(&"a.".repeat(130)).is_err());
    }

    #[test]
    fn accepts_addresses_and_container_names() {
        for good in [
            "127.0.0.1",
            "[::1]",
            "my_service",
            "localhost",
            "*.com",
            "xn--bcher-kva.example",
        ] {
            assert!(HostPattern::parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn covers_what_lies_inside() {
        let parse = |text| HostPattern::parse(text).unwrap();
        assert!(parse("*.c").covers(&parse("*.b.c")));
        assert!(parse("*.c").covers(&parse("b.c")));
        assert!(!parse("*.b.c").covers(&parse("*.c")));
        assert!(!parse("*.c").covers(&parse("c")));
        assert!(!parse("b.c").covers(&parse("*.b.c")));
    }
}
