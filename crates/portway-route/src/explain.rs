//! Why a request takes the route it takes, and what keeps every other from it.
//!
//! Must hold: the winner is the one [`RouteTable::find`] gives. The list is bounded: the routes that
//! came nearest are told, the others are counted.
//! Never: runs for an exchange. It looks at every route, one by one.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use portway_core::RouteId;

use crate::condition::Condition;
use crate::host::HostPattern;
use crate::params::Params;
use crate::path::Kind;
use crate::rank::specificity;
use crate::table::{Compiled, Found, Lookup, Methods, RouteTable};

/// Routes told in one explanation: what fits a screen.
const CANDIDATES_MAX: usize = 20;

/// Which route wins, and why the others do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub winner: Option<RouteId>,
    /// Methods of the routes that only the method keeps from matching, if no route matches.
    pub allow: Methods,
    /// The winner, then those it beat, then those that did not match, the nearest first.
    pub candidates: Vec<Candidate>,
    /// Routes left out that match the host and the path too.
    pub omitted: usize,
    /// Routes left out that do not match the host or the path.
    pub elsewhere: usize,
}

/// One route and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub route: RouteId,
    pub name: Arc<str>,
    pub verdict: Verdict,
}

/// What became of a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Won,
    /// It matches, and the winner goes first.
    Lost {
        reason: String,
    },
    /// It does not match.
    NotMatched {
        reason: String,
    },
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Candidate { name, verdict, .. } in &self.candidates {
            match verdict {
                Verdict::Won => writeln!(f, "{name}: won")?,
                Verdict::Lost { reason } => writeln!(f, "{name}: lost, {reason}")?,
                Verdict::NotMatched { reason } => writeln!(f, "{name}: no match, {reason}")?,
            }
        }
        if self.omitted > 0 {
            writeln!(f, "{} more on this host and path", self.omitted)?;
        }
        if self.elsewhere > 0 {
            writeln!(
                f,
                "{} others do not match the host or the path",
                self.elsewhere
            )?;
        }
        Ok(())
    }
}

/// How near a route came; smaller is nearer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Nearness {
    Matched,
    /// Host and path match.
    Condition,
    Listener,
    /// The path matches.
    Host,
    /// The host matches; the more of the path does, the nearer.
    Path(Reverse<usize>),
    Nothing,
}

impl Nearness {
    fn of(route: &Compiled, lookup: &Lookup<'_>) -> Self {
        let path = route.path.matches(lookup.path.as_bytes());
        match (matching_host(route, lookup.host), path) {
            (None, false) => Self::Nothing,
            (None, true) => Self::Host,
            (Some(_), false) => Self::Path(Reverse(common_octets(route, lookup.path))),
            _ if !route.accepts_listener(lookup.listener) => Self::Listener,
            _ if !route.accepts_method(lookup.method) => Self::Condition,
            _ if failed_condition(route, lookup).is_some() => Self::Condition,
            _ => Self::Matched,
        }
    }

    fn is_elsewhere(self) -> bool {
        self >= Self::Host
    }
}

impl RouteTable {
    /// Tells what [`RouteTable::find`] answers, and why.
    #[must_use]
    pub fn explain(&self, lookup: &Lookup<'_>) -> Explanation {
        let found = self.find(lookup, &mut Params::new());
        let winner = match found {
            Found::Route(route) => Some(route),
            _ => None,
        };
        let mut near: Vec<(bool, Nearness, usize)> = (self.routes.iter().enumerate())
            .map(|(index, route)| {
                let won = winner.is_some_and(|winner| winner.index() == index);
                (!won, Nearness::of(route, lookup), index)
            })
            .collect();
        near.sort_unstable();
        let left_out = near.split_off(near.len().min(CANDIDATES_MAX));
        let elsewhere = left_out
            .iter()
            .filter(|(_, near, _)| near.is_elsewhere())
            .count();
        let best = winner.and_then(|winner| self.route(winner)).zip(winner);
        let candidates = near
            .iter()
            .map(|&(_, near, index)| self.tell(index, near, best, lookup));
        Explanation {
            winner,
            candidates: candidates.collect(),
            allow: match found {
                Found::MethodNotAllowed(methods) => methods,
                _ => Methods::new(),
            },
            omitted: left_out.len() - elsewhere,
            elsewhere,
        }
    }

    fn tell(
        &self,
        index: usize,
        near: Nearness,
        best: Option<(&Compiled, RouteId)>,
        lookup: &Lookup<'_>,
    ) -> Candidate {
        let route = &self.routes[index];
        // The table bounds its length far below u32.
        let id = RouteId(u32::try_from(index).unwrap_or(u32::MAX));
        let verdict = match best {
            Some((_, winner)) if winner == id => Verdict::Won,
            Some((winner, _)) if near == Nearness::Matched => Verdict::Lost {
                reason: why_lost(route, winner, lookup.host),
            },
            _ => Verdict::NotMatched {
                reason: why_not(route, lookup),
            },
        };
        Candidate {
            route: id,
            name: Arc::clone(&route.name),
            verdict,
        }
    }
}

/// The most specific host of a route that `host` belongs to; `Some(None)` if it takes any.
fn matching_host<'a>(route: &'a Compiled, host: &str) -> Option<Option<&'a HostPattern>> {
    route
        .host_entries()
        .filter(|pattern| pattern.is_none_or(|pattern| pattern.matches(host)))
        .max_by_key(|pattern| specificity(*pattern))
}

fn failed_condition<'a>(route: &'a Compiled, lookup: &Lookup<'_>) -> Option<&'a Condition> {
    let mut scratch = Vec::new();
    route
        .conditions
        .iter()
        .find(|condition| !condition.holds(lookup, &mut scratch))
}

fn common_octets(route: &Compiled, path: &str) -> usize {
    let pairs = route.path.key.iter().zip(path.as_bytes());
    pairs.take_while(|(a, b)| a == b).count()
}

fn why_not(route: &Compiled, lookup: &Lookup<'_>) -> String {
    let Lookup {
        listener,
        host,
        path,
        method,
        ..
    } = lookup;
    let mut reasons = Vec::new();
    if matching_host(route, host).is_none() {
        reasons.push(format!("host is `{host}`, wanted {}", either(&route.hosts)));
    }
    if !route.path.matches(path.as_bytes()) {
        reasons.push(format!("path is `{path}`, wanted {}", route.path.text));
    }
    if !reasons.is_empty() {
        return reasons.join("; ");
    }
    if !route.accepts_listener(*listener) {
        let listeners = route.listeners.as_deref().unwrap_or_default();
        reasons.push(match listeners {
            [] => "it is on no listener".into(),
            some => format!("listener is `{listener}`, wanted {}", either(some)),
        });
    }
    if !route.accepts_method(method) {
        reasons.push(format!(
            "method is `{method}`, wanted {}",
            either(&route.methods)
        ));
    }
    let mut scratch = Vec::new();
    let failed = route
        .conditions
        .iter()
        .filter(|c| !c.holds(lookup, &mut scratch));
    reasons.extend(failed.map(|condition| condition.why_not(lookup)));
    reasons.join("; ")
}

fn either<T: fmt::Display>(all: &[T]) -> String {
    // Enough to recognize the list; a route may have hundreds of hosts.
    const SHOWN_MAX: usize = 5;
    let shown: Vec<String> = all
        .iter()
        .take(SHOWN_MAX)
        .map(|one| format!("`{one}`"))
        .collect();
    let more = if all.len() > SHOWN_MAX {
        " or others"
    } else {
        ""
    };
    shown.join(" or ") + more
}

/// The first rule by which `winner` goes before `route`.
fn why_lost(route: &Compiled, winner: &Compiled, host: &str) -> String {
    let name = &winner.name;
    if route.priority != winner.priority {
        return format!(
            "priority {} is below {} of `{name}`",
            route.priority, winner.priority
        );
    }
    let (own, best) = (
        matching_host(route, host).flatten(),
        matching_host(winner, host).flatten(),
    );
    if specificity(own) != specificity(best) {
        let text =
            |host: Option<&HostPattern>| host.map_or("any host".into(), |h| format!("host {h}"));
        return format!(
            "{} is less specific than {} of `{name}`",
            text(own),
            text(best)
        );
    }
    let (own, best) = (&route.path, &winner.path);
    if own.class() != best.class() {
        return format!("{} goes after {} of `{name}`", own.text, best.text);
    }
    if own.shape() != best.shape() {
        let literal = own.params.is_empty() && best.params.is_empty();
        let how = match own.kind {
            Kind::Prefix | Kind::Rest if literal => "is shorter than",
            _ => "is less literal than",
        };
        return format!("{} {how} {} of `{name}`", own.text, best.text);
    }
    let (own, best) = (route.condition_count(), winner.condition_count());
    if own != best {
        let count = |n| {
            if n == 1 {
                "1 condition".into()
            } else {
                format!("{n} conditions")
            }
        };
        return format!("it has {}, `{name}` has {}", count(own), count(best));
    }
    format!("it comes after `{name}` in the file")
}

#[cfg(test)]
mod tests;
