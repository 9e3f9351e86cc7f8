//! The route table: built once per snapshot, then only read.
//!
//! Must hold: building tells every problem of every route, or gives a table whose answers equal a
//! linear scan in the order of [`crate::rank`].
//! Never: changes after it is built; a reload builds another one.

use std::sync::Arc;

use http::{HeaderMap, Method};
use portway_core::{ListenerId, RouteId};
use smallvec::SmallVec;

use crate::by_header::ByHeader;
use crate::condition::Condition;
use crate::host::HostPattern;
use crate::hosts::Hosts;
use crate::params::{ParamSlots, Params};
use crate::path::Path;
use crate::rank::{Standing, specificity};
use crate::search::{Allowed, Best, listeners_mask, methods_mask};
use crate::spec::{BuildProblem, RouteSpec};
use crate::tree::{Candidate, Forest, Item};

/// Pairs of a route and one of its hosts in one table: a table this large would take gigabytes.
const ENTRIES_MAX: usize = 1 << 24;

/// What an exchange is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'a> {
    /// Where it was accepted.
    pub listener: ListenerId,
    /// Canonical: lower case, no port.
    pub host: &'a str,
    /// Canonical: begins with `/`, or is `*`.
    pub path: &'a str,
    /// What follows `?`, still encoded.
    pub query: Option<&'a str>,
    pub method: &'a Method,
    pub headers: &'a HeaderMap,
}

/// Methods for an `Allow` header, sorted by name.
pub type Methods = SmallVec<[Method; 4]>;

/// The answer to a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Route(RouteId),
    /// Some routes match but for their methods, which are these. `HEAD` is listed with `GET`.
    MethodNotAllowed(Methods),
    None,
}

/// A checked route.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    pub(crate) name: Arc<str>,
    pub(crate) hosts: Box<[HostPattern]>,
    pub(crate) listeners: Option<Box<[ListenerId]>>,
    pub(crate) path: Path,
    pub(crate) methods: Box<[Method]>,
    pub(crate) conditions: Box<[Condition]>,
    pub(crate) priority: i32,
}

impl Compiled {
    fn new(spec: &RouteSpec, path: Path) -> Self {
        let mut hosts = spec.hosts.clone();
        hosts.sort_unstable();
        hosts.dedup();
        Self {
            name: Arc::clone(&spec.name),
            hosts: hosts.into(),
            listeners: spec.listeners.as_deref().map(Box::from),
            path,
            methods: spec.methods.as_slice().into(),
            conditions: Condition::of(spec),
            priority: spec.priority,
        }
    }

    pub(crate) fn accepts_listener(&self, listener: ListenerId) -> bool {
        self.listeners
            .as_ref()
            .is_none_or(|list| list.contains(&listener))
    }

    pub(crate) fn accepts_method(&self, method: &Method) -> bool {
        let listed = |wanted: &Method| self.methods.contains(wanted);
        self.methods.is_empty()
            || listed(method)
            || (*method == Method::HEAD && listed(&Method::GET))
    }

    /// The hosts as the trees know them: each, or the one "any".
    pub(crate) fn host_entries(&self) -> impl Iterator<Item = Option<&HostPattern>> {
        let any = self.hosts.is_empty().then_some(None);
        self.hosts.iter().map(Some).chain(any)
    }

    pub(crate) fn condition_count(&self) -> u32 {
        let count = self.conditions.len() + usize::from(!self.methods.is_empty());
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    fn memory_bytes(&self) -> usize {
        let hosts: usize = self
            .hosts
            .iter()
            .map(|h| size_of_val(h) + h.name().len())
            .sum();
        let listeners = self
            .listeners
            .as_ref()
            .map_or(0, |list| size_of_val(&**list));
        let conditions: usize = self.conditions.iter().map(Condition::memory_bytes).sum();
        size_of::<Self>()
            + self.name.len()
            + hosts
            + listeners
            + self.path.memory_bytes()
            + size_of_val(&*self.methods)
            + conditions
    }
}

/// Finds the route of an exchange.
#[derive(Clone, Debug)]
pub struct RouteTable {
    pub(crate) routes: Box<[Compiled]>,
    pub(crate) hosts: Hosts,
    pub(crate) forest: Forest,
    by_header: ByHeader,
    slots: ParamSlots,
}

/// One route under one host, on its way into the trees.
struct Entry<'a> {
    host: Option<&'a HostPattern>,
    standing: Standing<'a>,
}

impl RouteTable {
    /// Builds a table; the position of a spec becomes its [`RouteId`].
    ///
    /// # Errors
    /// Every problem of every route.
    pub fn build(specs: &[RouteSpec]) -> Result<Self, Vec<BuildProblem>> {
        let routes = compile(specs)?;
        let shapes: Vec<Vec<u8>> = routes.iter().map(|route| route.path.shape()).collect();
        let mut entries: Vec<Entry<'_>> = Vec::with_capacity(routes.len());
        for (index, (route, shape)) in routes.iter().zip(&shapes).enumerate() {
            for host in route.host_entries() {
                let standing = route.standing(index, host, shape);
                entries.push(Entry { host, standing });
            }
        }
        entries.sort_unstable_by(|a, b| a.standing.cmp(&b.standing));
        let (hosts, forest) = plant(&routes, specs, &entries);
        Ok(Self {
            by_header: ByHeader::of(&routes, forest.groups()),
            slots: ParamSlots::of_routes(&routes),
            routes,
            hosts,
            forest,
        })
    }

    /// The best route for `lookup`. On [`Found::Route`], `params` holds the values of its parameters;
    /// otherwise it is empty.
    pub fn find(&self, lookup: &Lookup<'_>, params: &mut Params) -> Found {
        params.clear();
        let path = lookup.path.as_bytes();
        let mut best = Best::new(&self.routes, &self.by_header, lookup, &mut params.scratch);
        self.hosts.walk(&self.forest, lookup.host, path, &mut best);
        let method_missed = best.method_missed();
        if let Some(route) = best.found() {
            let id = RouteId(route);
            params.fill(id, self.slots.of(id), path);
            return Found::Route(id);
        }
        if !method_missed {
            return Found::None;
        }
        self.find_allowed(lookup, params)
    }

    #[cold]
    fn find_allowed(&self, lookup: &Lookup<'_>, params: &mut Params) -> Found {
        let mut allowed = Allowed::new(&self.routes, lookup, &mut params.scratch);
        self.hosts.walk(
            &self.forest,
            lookup.host,
            lookup.path.as_bytes(),
            &mut allowed,
        );
        if allowed.methods.is_empty() {
            return Found::None;
        }
        Found::MethodNotAllowed(allowed.methods)
    }

    /// Routes in this table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// The name of a route of this table.
    #[must_use]
    pub fn name(&self, route: RouteId) -> Option<&Arc<str>> {
        self.route(route).map(|route| &route.name)
    }

    /// The parameter names of a route, from left to right.
    pub fn param_names(&self, route: RouteId) -> impl Iterator<Item = &str> {
        let params = self.route(route).map(|route| &route.path.params);
        params.into_iter().flatten().map(|param| &*param.name)
    }

    /// About how many bytes the table takes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let routes: usize = self.routes.iter().map(Compiled::memory_bytes).sum();
        size_of::<Self>()
            + routes
            + self.slots.memory_bytes()
            + self.hosts.memory_bytes()
            + self.forest.memory_bytes()
            + self.by_header.memory_bytes()
    }

    pub(crate) fn route(&self, id: RouteId) -> Option<&Compiled> {
        self.routes.get(id.index())
    }
}

impl Compiled {
    /// This route's place in the order when it matches through `host`.
    pub(crate) fn standing<'a>(
        &self,
        index: usize,
        host: Option<&HostPattern>,
        shape: &'a [u8],
    ) -> Standing<'a> {
        Standing {
            priority: self.priority,
            host: specificity(host),
            class: self.path.class(),
            shape,
            conditions: self.condition_count(),
            // `compile` bounds the number of routes.
            route: u32::try_from(index).unwrap_or(u32::MAX),
        }
    }
}

fn compile(specs: &[RouteSpec]) -> Result<Box<[Compiled]>, Vec<BuildProblem>> {
    let entries: usize = specs.iter().map(|spec| spec.hosts.len().max(1)).sum();
    if entries > ENTRIES_MAX {
        return Err(vec![BuildProblem {
            route: 0,
            field: "routes",
            what: format!("there are {entries} pairs of a route and a host"),
            hint: format!("stay within {ENTRIES_MAX}; use wildcard hosts"),
        }]);
    }
    let mut problems = Vec::new();
    let mut routes = Vec::with_capacity(specs.len());
    for (index, spec) in specs.iter().enumerate() {
        match Path::compile(&spec.path) {
            Ok(path) => routes.push(Compiled::new(spec, path)),
            Err(problem) => problems.push(BuildProblem {
                route: index,
                field: spec.path.field(),
                what: problem.what,
                hint: problem.hint,
            }),
        }
    }
    if problems.is_empty() {
        Ok(routes.into())
    } else {
        Err(problems)
    }
}

/// Grows one tree per host from entries in the order of their ranks.
fn plant(routes: &[Compiled], specs: &[RouteSpec], entries: &[Entry<'_>]) -> (Hosts, Forest) {
    let mut items: Vec<(Option<&HostPattern>, Item<'_>)> = (0..)
        .zip(entries)
        .map(|(rank, entry)| {
            let route = entry.standing.route;
            let spec = &specs[route as usize];
            let compiled = &routes[route as usize];
            let candidate = Candidate {
                rank,
                route,
                listeners: listeners_mask(spec),
                methods: methods_mask(spec),
                conditional: !compiled.conditions.is_empty(),
                regex: compiled.path.regex.is_some(),
            };
            let item = Item {
                key: &compiled.path.key,
                kind: compiled.path.kind,
                candidate,
            };
            (entry.host, item)
        })
        .collect();
    items.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.order().cmp(&b.1.order())));
    let groups = || items.chunk_by(|a, b| a.0 == b.0);
    let is_wildcard = |host: Option<&HostPattern>| host.is_some_and(HostPattern::is_wildcard);
    let wildcards = groups().filter(|group| is_wildcard(group[0].0)).count();
    let exact = groups().filter(|group| group[0].0.is_some()).count() - wildcards;

    let mut hosts = Hosts::with_capacity(exact, wildcards);
    let mut forest = Forest::default();
    let mut group_items = Vec::new();
    for group in groups() {
        group_items.clear();
        group_items.extend(group.iter().map(|(_, item)| *item));
        hosts.insert(group[0].0, forest.grow(&group_items));
    }
    forest.finish();
    (hosts, forest)
}

#[cfg(test)]
mod tests;
