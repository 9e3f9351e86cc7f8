//! What a new plan changes: for the log line of a reload and for `/config/status`.
//!
//! Must hold: pure. Things are the same if they have the same name and the same settings.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use portway_core::UpstreamId;
use portway_filter::Chain;

use crate::plan::{Action, ListenerPlan, Plan, RoutePlan, Serves};

/// What became of one kind of thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Names that are new.
    pub added: Vec<Arc<str>>,
    /// Names whose settings changed.
    pub changed: Vec<Arc<str>>,
    /// Names that are gone.
    pub removed: Vec<Arc<str>>,
    /// How many stayed as they were.
    pub unchanged: usize,
}

/// What a new plan changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Of listeners.
    pub listeners: Changes,
    /// Of upstreams.
    pub upstreams: Changes,
    /// Of routes.
    pub routes: Changes,
    /// Keys of the file that changed and are none of the above.
    pub settings: Vec<&'static str>,
}

/// Compares two plans.
#[must_use]
pub fn diff(old: &Plan, new: &Plan) -> Report {
    Report {
        listeners: changes(
            &old.listeners,
            &new.listeners,
            |l| &l.name,
            |a, b| same_listener((old, a), (new, b)),
        ),
        upstreams: changes(&old.upstreams, &new.upstreams, |u| &u.name, |a, b| a == b),
        routes: changes(
            &old.routes,
            &new.routes,
            |r| &r.name,
            |a, b| same_route((old, a), (new, b)),
        ),
        settings: settings(old, new),
    }
}

fn settings(old: &Plan, new: &Plan) -> Vec<&'static str> {
    let (a, b) = (&old.admin, &new.admin);
    let filters = marks(&old.no_route) == marks(&new.no_route)
        && old.log == new.log
        && old.metrics == new.metrics;
    let same = [
        ("server", old.process == new.process),
        ("admin", a.bind == b.bind && a.token == b.token),
        ("acme", old.acme == new.acme),
        ("global_filters", filters),
    ];
    let changed = same.iter().filter(|(_, same)| !same);
    changed.map(|(key, _)| *key).collect()
}

/// What tells the filters of a chain from others.
fn marks(chain: &Chain) -> Vec<u64> {
    chain.entries().iter().map(|e| e.fingerprint).collect()
}

fn changes<T>(
    old: &[T],
    new: &[T],
    name: impl Fn(&T) -> &Arc<str>,
    same: impl Fn(&T, &T) -> bool,
) -> Changes {
    let mut before: HashMap<&str, &T> = old.iter().map(|t| (&**name(t), t)).collect();
    let mut found = Changes::default();
    for thing in new {
        match before.remove(&**name(thing)) {
            None => found.added.push(Arc::clone(name(thing))),
            Some(was) if same(was, thing) => found.unchanged += 1,
            Some(_) => found.changed.push(Arc::clone(name(thing))),
        }
    }
    found.removed = old
        .iter()
        .map(name)
        .filter(|n| before.contains_key(&***n))
        .map(Arc::clone)
        .collect();
    found
}

/// A route with the plan that gives its ids a meaning.
type Of<'a, T> = (&'a Plan, &'a T);

fn same_listener((old, a): Of<'_, ListenerPlan>, (new, b): Of<'_, ListenerPlan>) -> bool {
    let to = |plan: &Plan, l: &ListenerPlan| match l.serves {
        Serves::Http => (0, None),
        Serves::Tcp(id) => (1, name_of(plan, id)),
        Serves::Tls(id) => (2, id.and_then(|id| name_of(plan, id))),
    };
    // Ids differ between plans where names do not.
    let same_ids = ListenerPlan {
        serves: a.serves,
        ..b.clone()
    };
    to(old, a) == to(new, b) && *a == same_ids
}

/// Whether a route takes the same exchanges and does the same with them. An upstream's own change is
/// reported as such.
fn same_route((old, a): Of<'_, RoutePlan>, (new, b): Of<'_, RoutePlan>) -> bool {
    let rewritten = |r: &RoutePlan| {
        let path = r.rewrite.path.as_ref();
        path.map(|(pattern, with)| (pattern.as_str().to_owned(), with.clone()))
    };
    let mirror = |plan: &Plan, r: &RoutePlan| {
        let mirror = r.mirror.as_ref();
        mirror.map(|m| (name_of(plan, m.upstream), m.share.to_bits()))
    };
    a.conditions == b.conditions
        && a.prefix == b.prefix
        && same_action((old, &a.action), (new, &b.action))
        && marks(&a.filters) == marks(&b.filters)
        && a.retry == b.retry
        && a.breaker == b.breaker
        && a.timeouts == b.timeouts
        && a.redirect_https == b.redirect_https
        && a.upgrades == b.upgrades
        && a.rewrite.strip_prefix == b.rewrite.strip_prefix
        && a.rewrite.host == b.rewrite.host
        && rewritten(a) == rewritten(b)
        && mirror(old, a) == mirror(new, b)
        && a.log == b.log
}

fn same_action((old, a): Of<'_, Action>, (new, b): Of<'_, Action>) -> bool {
    match (a, b) {
        (Action::Upstream(a), Action::Upstream(b)) => name_of(old, *a) == name_of(new, *b),
        (Action::Split(a), Action::Split(b)) => {
            let named = |(a, b): (&(UpstreamId, u32), &(UpstreamId, u32))| {
                a.1 == b.1 && name_of(old, a.0) == name_of(new, b.0)
            };
            a.parts.len() == b.parts.len()
                && a.parts.iter().zip(&b.parts).all(named)
                && a.sticky_by == b.sticky_by
        }
        (Action::Redirect(a), Action::Redirect(b)) => a == b,
        (Action::Respond(a), Action::Respond(b)) => {
            a.status == b.status && a.headers == b.headers && a.body == b.body
        }
        (Action::Static(a), Action::Static(b)) => a == b,
        _ => false,
    }
}

/// Ids differ between plans where names do not.
fn name_of(plan: &Plan, id: UpstreamId) -> Option<Arc<str>> {
    let upstream = plan.upstreams.get(id.index());
    upstream.map(|u| Arc::clone(&u.name))
}

impl Report {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let things = [&self.listeners, &self.upstreams, &self.routes];
        things.iter().all(|c| c.is_empty()) && self.settings.is_empty()
    }
}

impl Changes {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}

impl fmt::Display for Report {
    /// `routes: 1 added, 2 changed; upstreams: 1 removed; global_filters changed`, or `nothing changed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            ("listeners", &self.listeners),
            ("upstreams", &self.upstreams),
            ("routes", &self.routes),
        ];
        let mut parts: Vec<String> = kinds
            .iter()
            .filter(|(_, changes)| !changes.is_empty())
            .map(|(kind, changes)| format!("{kind}: {}", changes.in_words()))
            .collect();
        if !self.settings.is_empty() {
            parts.push(format!("{} changed", self.settings.join(", ")));
        }
        if parts.is_empty() {
            f.write_str("nothing changed")
        } else {
            f.write_str(&parts.join("; "))
        }
    }
}

impl Changes {
    fn in_words(&self) -> String {
        let counts = [
            (self.added.len(), "added"),
            (self.changed.len(), "changed"),
            (self.removed.len(), "removed"),
        ];
        let parts: Vec<_> = counts
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, word)| format!("{n} {word}"))
            .collect();
        parts.join(", ")
    }
}
