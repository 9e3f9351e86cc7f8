//! What a config file says, with the short form and the full form made one.
//!
//! Must hold: every key of the config reference that this version serves is a field here, and every
//! other one is refused by name; there is at least one listener; a route's inline targets have become
//! an upstream. Never: checks what two values mean together (portway-plan does).

mod acme;
mod filter;
mod listener;
mod normalize;
mod route;
mod server;
mod tls;
mod upstream;

pub use acme::{Acme, AcmeChallenge, ExternalAccount};
pub use filter::FilterEntry;
pub use listener::{
    Cleaning, DotSegments, EncodedSlashes, HttpOptions, Listener, ListenerProtocol, ProxyProtocol,
    Version,
};
pub use route::{
    Action, MirrorTo, PathMatch, Redirect, Respond, Rewrite, Route, RouteTimeouts, Share, Static,
    Wanted,
};
pub use server::{Admin, Exposed, Process, Workers};
pub use tls::{
    Certificate, ClientAuth, ClientAuthMode, ListenerTls, RedirectHttps, TlsVersion, UpstreamTls,
};
pub use upstream::{
    CheckType, CircuitBreaker, Discover, DnsRecord, DnsSource, FileSource, HashOn, HealthCheck,
    LoadBalance, OutlierDetection, Policy, Pool, SendProxy, Sticky, Target, TargetProtocol,
    Timeouts, Upstream,
};

use std::collections::HashSet;
use std::sync::Arc;

use portway_core::diagnostic::Diagnostics;

use crate::decode::{Decode, Each, Given};
use crate::env::Env;
use crate::spanned::Spanned;
use crate::substitute::{self, Hidden};
use crate::{Schema, config, defaults, yaml};

/// A whole config file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// What concerns the process as a whole.
    pub process: Process,
    /// The operators' API.
    pub admin: Admin,
    /// Where certificates come from that the gateway obtains by itself.
    pub acme: Given<Acme>,
    /// Where connections are accepted; the one that `server` describes comes first.
    pub listeners: Vec<Listener>,
    /// Groups of targets; the ones that routes brought with them come last.
    pub upstreams: Vec<Upstream>,
    /// Which exchanges, and what becomes of them.
    pub routes: Vec<Route>,
    /// For each route the position in `upstreams` of the one made of its inline targets.
    pub inline: Vec<Option<usize>>,
    /// Filters for every route.
    pub global_filters: Vec<FilterEntry>,
    /// The file and its text, for showing it.
    pub source: Source,
    /// What substitutions brought in, to keep it out of messages.
    pub hidden: Hidden,
    /// Whether nothing was wrong so far. If not, what is absent says little.
    pub sound: bool,
    /// What the file names, including things that could not be decoded.
    pub named: Named,
}

/// A config as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file as the user named it.
    pub file: Arc<str>,
    /// What it holds.
    pub text: Arc<str>,
}

/// The names that a file gives, so that one bad upstream is one problem and not one per route to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Named {
    /// Names of listeners that had problems.
    pub broken_listeners: HashSet<String>,
    /// Names of upstreams that had problems.
    pub broken_upstreams: HashSet<String>,
    /// Whether something that could have a name had none: then no name is certainly unknown.
    pub nameless: bool,
}

config! {
    /// Portway's configuration.
    #[later("redis", "tracing", "statsd")]
    pub(crate) struct Root {
        /// The version of this file's format.
        pub version: Option<Spanned<u32>>,
        /// One plain HTTP listener, and defaults for the process.
        pub server: Option<server::Server>,
        /// The operators' API: health, metrics, state.
        pub admin: Admin = defaults(),
        /// Certificates that the gateway obtains by itself.
        pub acme: Given<Acme>,
        /// Addresses that accept connections.
        pub listeners: Each<Listener> = Vec::new(),
        /// Named groups of targets.
        pub upstreams: Each<Upstream> = Vec::new(),
        /// Which requests go where. The best match wins, not the first.
        pub routes: Each<Route> = Vec::new(),
        /// Filters for every route, run before a route's own. Phases fix the order; inside a phase, the
        /// order written here.
        pub global_filters: Each<FilterEntry> = Vec::new(),
    }
}

/// Reads a config file. The document is `None` only if the text is not one YAML or JSON document, or
/// holds nothing; with problems it holds what could be read, to find more problems in, not to be run.
pub fn parse(file: &str, text: &str, env: &dyn Env) -> (Option<Document>, Diagnostics) {
    let mut problems = Diagnostics::new();
    let source = Source {
        file: file.into(),
        text: text.into(),
    };
    let Some(mut root) = yaml::read(&source.file, text, &mut problems) else {
        return (None, problems);
    };
    if root.is_null() {
        // Most likely cut off by whoever writes it, and nobody means a gateway of defaults by it.
        let hint = "write at least one route, like `routes: [ { name: ping, path: /ping, respond: { status: 204 } } ]`";
        problems.error(&root.span, "the file is empty", hint);
        return (None, problems);
    }
    let hidden = substitute::substitute(&mut root, env, &mut problems);
    let read = Root::decode(&root, &mut problems).unwrap_or_else(defaults);
    let mut document = normalize::normalize(read, &root, source, &mut problems);
    let problems = hidden.scrub(problems);
    document.hidden = hidden;
    document.sound = !problems.has_errors();
    (Some(document), problems)
}

/// The JSON schema of a config file, with the schemas of the filters it may name.
pub fn schema(filters: &[FilterSchema]) -> Schema {
    filter::compose(Root::schema(), filters)
}

/// A filter for the schema.
#[derive(Clone, Debug)]
pub struct FilterSchema {
    /// Its name.
    pub name: &'static str,
    /// One line of what it is for.
    pub summary: &'static str,
    /// The schema of its settings.
    pub schema: Schema,
}

#[cfg(test)]
mod tests;
