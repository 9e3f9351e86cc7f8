//! `dns`: the addresses of a host, or the addresses and ports of a service (SRV, RFC 2782).
//!
//! Must hold: a TTL is respected between the spec's bounds; when the server fails, or denies the
//! name, the last answer stays in use and is asked for again after a growing, uneven wait. Of a
//! host's addresses IPv4 is used if there is any, else IPv6: a service that listens on both would
//! count twice, one that listens on IPv4 only would fail every other time.
//! Never: takes an empty answer for "no targets".

use crate::lookup::Lookup;
use crate::refresh::{Question, Refresh, Sets};
use crate::source::{BoxFuture, DnsSpec, NamedTarget, Source, SourceError, TargetSet};

/// See the module.
pub struct Dns {
    refresh: Refresh,
    sets: Sets,
}

impl Dns {
    /// What `spec` describes.
    #[must_use]
    pub fn new(spec: &DnsSpec) -> Dns {
        let question = if spec.srv {
            Question::Service(spec.name.clone())
        } else {
            Question::Hosts(vec![NamedTarget {
                host: spec.name.clone(),
                port: spec.port,
                weight: 1,
            }])
        };
        let lookup = Lookup::new(spec.resolver);
        Dns {
            refresh: Refresh::new(question, lookup, spec.refresh_min, spec.refresh_max),
            sets: Sets::default(),
        }
    }
}

impl Source for Dns {
    fn next(&mut self) -> BoxFuture<'_, Result<TargetSet, SourceError>> {
        Box::pin(self.refresh.next_set(&mut self.sets))
    }
}
