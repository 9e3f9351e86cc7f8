//! Routes that can never win, because another takes all they match and goes first.
//!
//! Must hold: whatever is reported is true. Not every dead route is found: a pair must tell it alone
//! (two routes that only together cover a third are not seen), regexes are compared by their text and
//! their literal beginning, and so many candidates are looked at per route.
//! Never: runs for an exchange.

use std::collections::HashSet;

use http::Method;
use portway_core::RouteId;

use crate::path::{Kind, PARAM, Path, match_key};
use crate::table::{Compiled, RouteTable};
use crate::tree::{Candidate, NONE, Visitor};

/// Candidates compared with one route: thousands of routes may share a host and a path and differ in
/// a header only, and all pairs of them would take minutes.
const COMPARED_MAX: usize = 256;

/// A route that can never be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadowed {
    pub route: RouteId,
    /// What takes everything it matches.
    pub by: RouteId,
    /// One sentence for people.
    pub why: String,
}

impl RouteTable {
    /// Every route of which it is certain that it can never match, in file order.
    #[must_use]
    pub fn shadowed(&self) -> Vec<Shadowed> {
        let shapes: Vec<Vec<u8>> = self.routes.iter().map(|route| route.path.shape()).collect();
        let mut found = Vec::new();
        for index in 0..self.routes.len() {
            let mut above = Above::default();
            self.walk_above(&self.routes[index], &mut above);
            let by = above
                .routes
                .into_iter()
                .find(|by| self.is_shadowed(index, *by as usize, &shapes));
            if let Some(by) = by {
                found.push(self.tell_shadowed(index, by));
            }
        }
        found
    }

    /// Shows the visitor the routes that may cover `route`, by walking the trees with its own pattern:
    /// the octet of a parameter follows parameters only, since no literal label holds it.
    fn walk_above(&self, route: &Compiled, above: &mut Above) {
        let mut path = route.path.key.to_vec();
        if route.path.kind == Kind::Rest {
            path.push(PARAM);
        }
        // What covers the route covers its first host, so that host's trees are enough.
        let Some(host) = route.hosts.first() else {
            if let Some(tree) = self.hosts.tree(None) {
                self.forest.walk(tree, &path, above);
            }
            return;
        };
        if host.is_wildcard() {
            let below = format!("*.{}", host.name());
            self.hosts.walk(&self.forest, &below, &path, above);
        } else {
            self.hosts.walk(&self.forest, host.name(), &path, above);
        }
    }

    fn is_shadowed(&self, index: usize, by: usize, shapes: &[Vec<u8>]) -> bool {
        if index == by {
            return false;
        }
        let (route, other) = (&self.routes[index], &self.routes[by]);
        goes_first(route, index, other, by, shapes)
            && covers_hosts(other, route)
            && covers_listeners(other, route)
            && covers_methods(other, route)
            && covers_conditions(other, route)
            && covers_path(&other.path, &route.path)
    }

    fn tell_shadowed(&self, index: usize, by: u32) -> Shadowed {
        let (route, other) = (&self.routes[index], &self.routes[by as usize]);
        let why = if other.priority == route.priority {
            format!("`{}` takes all it matches and goes first", other.name)
        } else {
            format!(
                "`{}` takes all it matches and has priority {}",
                other.name, other.priority
            )
        };
        Shadowed {
            // The table bounds its length far below u32.
            route: RouteId(u32::try_from(index).unwrap_or(NONE)),
            by: RouteId(by),
            why,
        }
    }
}

/// Gathers candidates without testing them.
#[derive(Default)]
struct Above {
    routes: Vec<u32>,
    seen: HashSet<u32>,
}

impl Visitor for Above {
    fn bound(&self) -> u32 {
        if self.routes.len() < COMPARED_MAX {
            NONE
        } else {
            0
        }
    }

    fn visit(&mut self, candidates: &[Candidate]) {
        let room = COMPARED_MAX.saturating_sub(self.routes.len());
        let new = candidates
            .iter()
            .map(|c| c.route)
            .filter(|route| self.seen.insert(*route));
        self.routes.extend(new.take(room));
    }
}

/// Does `other` go before `route` whenever both match?
fn goes_first(
    route: &Compiled,
    at: usize,
    other: &Compiled,
    by: usize,
    shapes: &[Vec<u8>],
) -> bool {
    if route.priority != other.priority {
        return other.priority > route.priority;
    }
    // With every host of the route among its own, the other's best host is never less specific.
    let same_hosts = if other.hosts.is_empty() {
        route.hosts.is_empty()
    } else {
        route.hosts.iter().all(|host| other.hosts.contains(host))
    };
    let (own, others) = (
        route.standing(at, None, &shapes[at]),
        other.standing(by, None, &shapes[by]),
    );
    same_hosts && others.cmp(&own).is_lt()
}

fn covers_hosts(other: &Compiled, route: &Compiled) -> bool {
    let covered = |host| other.hosts.iter().any(|pattern| pattern.covers(host));
    other.hosts.is_empty() || (!route.hosts.is_empty() && route.hosts.iter().all(covered))
}

fn covers_listeners(other: &Compiled, route: &Compiled) -> bool {
    match (&other.listeners, &route.listeners) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(others), Some(own)) => own.iter().all(|listener| others.contains(listener)),
    }
}

fn covers_methods(other: &Compiled, route: &Compiled) -> bool {
    if other.methods.is_empty() {
        return true;
    }
    let covered = |method: &Method| other.accepts_method(method);
    // `GET` in the route stands for `HEAD`, and so it does in the other.
    !route.methods.is_empty() && route.methods.iter().all(covered)
}

fn covers_conditions(other: &Compiled, route: &Compiled) -> bool {
    other.conditions.iter().all(|wanted| {
        let mut own = route.conditions.iter();
        own.any(|own| own.subject == wanted.subject && wanted.value.follows_from(&own.value))
    })
}

/// Does `other` match every path that `path` matches?
fn covers_path(other: &Path, path: &Path) -> bool {
    if let Some(regex) = &other.regex {
        let same = path.regex.as_ref() == Some(regex);
        let open = regex.is_open() && path.key.starts_with(&other.key);
        // The key is cut at a NUL or a limit: then it is not all that the regex asks for.
        return same || (open && regex.literal().len() == other.key.len());
    }
    let Some(end) = match_key(&other.key, &path.key) else {
        return false;
    };
    let (all, slash) = (end == path.key.len(), path.key.get(end) == Some(&b'/'));
    let bounded = matches!(other.key.last(), None | Some(b'/')) || slash;
    match (other.kind, path.kind) {
        (Kind::Exact, Kind::Exact) => all,
        (Kind::Exact, _) | (Kind::Regex, _) => false,
        (Kind::Prefix, Kind::Exact | Kind::Prefix | Kind::Rest) => all || bounded,
        // What follows a regex's literal is unknown.
        (Kind::Prefix, Kind::Regex) => bounded,
        (Kind::Rest, Kind::Rest) => true,
        (Kind::Rest, _) => !all,
    }
}

#[cfg(test)]
mod tests;
