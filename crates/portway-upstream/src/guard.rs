//! The one address that no target may have: the operators' API of the same gateway.
//!
//! Must hold: what guards that API is that clients cannot reach it, so no source of targets may lead
//! them there (CVE-2022-24112), whatever a name resolves to. Never: takes away the other targets of a set.

use std::borrow::Cow;
use std::net::SocketAddr;

use portway_discovery::TargetSet;

/// Keeps the operators' API out of one upstream's target sets.
pub(crate) struct Guard {
    operators: Option<SocketAddr>,
    told: bool,
}

impl Guard {
    /// None to keep out if there is no address: a unix socket is no target.
    pub(crate) fn new(operators: Option<SocketAddr>) -> Guard {
        Guard {
            operators,
            told: false,
        }
    }

    /// The set without targets that lead to the operators' API. It is said once, until a set without
    /// them came.
    pub(crate) fn strip<'s>(&mut self, upstream: &str, set: &'s TargetSet) -> Cow<'s, TargetSet> {
        let leads = |addr| self.operators.is_some_and(|bind| leads_to(addr, bind));
        let Some(bad) = set.targets.iter().find(|t| leads(t.addr)) else {
            self.told = false;
            return Cow::Borrowed(set);
        };
        if !self.told {
            self.told = true;
            tracing::warn!(
                upstream,
                target = %bad.addr,
                "a target is the operators' API of this gateway: it is left out"
            );
        }
        let mut rest = set.clone();
        rest.targets.retain(|t| !leads(t.addr));
        Cow::Owned(rest)
    }
}

/// Whether a connection from this host to `addr` reaches what listens on `bind`.
#[must_use]
pub fn leads_to(addr: SocketAddr, bind: SocketAddr) -> bool {
    let (ip, on) = (addr.ip().to_canonical(), bind.ip().to_canonical());
    let everywhere = on.is_unspecified();
    let same_host = if ip.is_unspecified() {
        on.is_loopback() || everywhere
    } else {
        ip == on || (everywhere && ip.is_loopback())
    };
    same_host && addr.port() == bind.port()
}

#[cfg(test)]
mod tests {
    use portway_discovery::DiscoveredTarget;

    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn knows_the_ways_to_a_listener() {
        for (to, bind) in [
            ("127.0.0.1:9901", "127.0.0.1:9901"),
            ("0.0.0.0:9901", "127.0.0.1:9901"),
            ("[::]:9901", "[::1]:9901"),
            ("[::ffff:127.0.0.1]:9901", "127.0.0.1:9901"),
            ("127.0.0.2:9901", "0.0.0.0:9901"),
            ("10.0.0.1:9901", "10.0.0.1:9901"),
        ] {
            assert!(leads_to(addr(to), addr(bind)), "{to} {bind}");
        }
        for (to, bind) in [
            ("127.0.0.1:9902", "127.0.0.1:9901"),
            ("127.0.0.2:9901", "127.0.0.1:9901"),
            ("10.0.0.2:9901", "0.0.0.0:9901"),
            ("0.0.0.0:9901", "10.0.0.1:9901"),
        ] {
            assert!(!leads_to(addr(to), addr(bind)), "{to} {bind}");
        }
    }

    #[test]
    fn only_the_operators_api_is_left_out() {
        let set = |addrs: &[&str]| TargetSet {
            generation: 1,
            targets: addrs
                .iter()
                .map(|a| DiscoveredTarget {
                    addr: addr(a),
                    host: None,
                    weight: 1,
                })
                .collect(),
        };
        let mut guard = Guard::new(Some(addr("127.0.0.1:9901")));
        let mixed = set(&["127.0.0.1:80", "127.0.0.1:9901", "127.0.0.1:81"]);
        let rest = guard.strip("u", &mixed).into_owned();
        assert_eq!(rest, set(&["127.0.0.1:80", "127.0.0.1:81"]));
        assert!(guard.told);
        assert!(matches!(guard.strip("u", &rest), Cow::Borrowed(_)));
        assert!(!guard.told);
        assert_eq!(*Guard::new(None).strip("u", &mixed), mixed);
    }
}
