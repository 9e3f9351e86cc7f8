//! Filters: each kind compiles its own settings; here they are put in order and told apart.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use portway_config::document::FilterEntry;
use portway_core::Diagnostics;
use portway_core::diagnostic::nearest;
use portway_filter::{
    BreakerPolicy, Built, Chain, Compile, Entry, FilterKind, LogSpec, MetricsPolicy, RetryPolicy,
    Scope,
};

use super::Compiler;

/// What a list of filters compiles to.
#[derive(Clone, Default)]
pub(super) struct Compiled {
    /// Filters with hooks, in config order.
    pub(super) entries: Vec<Entry>,
    pub(super) retry: Option<RetryPolicy>,
    pub(super) breaker: Option<BreakerPolicy>,
    pub(super) log: Option<LogSpec>,
    pub(super) metrics: Option<MetricsPolicy>,
    /// Filters that are policy for later, of which a route has one each.
    policies: Vec<&'static str>,
    /// Filters that are switched off here.
    off: Vec<&'static str>,
}

/// The global filters.
pub(super) struct Globals {
    compiled: Compiled,
    pub(super) log: Option<LogSpec>,
    pub(super) metrics: MetricsPolicy,
}

/// Compiles the global filters.
pub(super) fn globals(
    compiler: &Compiler<'_>,
    entries: &[FilterEntry],
    problems: &mut Diagnostics,
) -> Globals {
    let compiled = compile_list(compiler, entries, Place::Global, problems);
    Globals {
        log: compiled.log.clone(),
        metrics: compiled.metrics.clone().unwrap_or_default(),
        compiled,
    }
}

impl Globals {
    /// The filters of exchanges that no route takes.
    pub(super) fn chain(&self) -> Chain {
        Chain::new(self.compiled.entries.clone())
    }

    /// Whether there is one of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.compiled.entries.iter().any(|e| e.name == name)
    }
}

/// Whose filters a list holds.
#[derive(Clone, Copy)]
enum Place<'a> {
    Global,
    Route(&'a str),
    Listener(&'a str),
}

impl<'a> Place<'a> {
    fn scope(self) -> Scope {
        match self {
            Place::Global => Scope::Global,
            Place::Route(_) => Scope::Route,
            Place::Listener(_) => Scope::Listener,
        }
    }

    fn route(self) -> Option<&'a str> {
        match self {
            Place::Route(name) => Some(name),
            Place::Global | Place::Listener(_) => None,
        }
    }

    fn name(self) -> Option<&'a str> {
        match self {
            Place::Route(name) | Place::Listener(name) => Some(name),
            Place::Global => None,
        }
    }
}

/// Compiles the filters of a listener that passes bytes.
pub(super) fn of_listener(
    compiler: &Compiler<'_>,
    entries: &[FilterEntry],
    listener: &str,
    problems: &mut Diagnostics,
) -> Chain {
    for entry in entries.iter().filter(|e| e.is_off()) {
        problems.error(
            entry.name.span(),
            "no filter is on here before the listener's own",
            "remove the line",
        );
    }
    Chain::new(compile_list(compiler, entries, Place::Listener(listener), problems).entries)
}

/// A route's filters: the global ones, then its own. A global one is left out where the route switches it
/// off, or has its own answer to a question that has only one.
pub(super) struct RouteFilters {
    pub(super) chain: Chain,
    pub(super) retry: Option<RetryPolicy>,
    pub(super) breaker: Option<BreakerPolicy>,
    pub(super) log: Option<LogSpec>,
}

/// Compiles a route's filters.
pub(super) fn of_route(
    compiler: &Compiler<'_>,
    globals: &Globals,
    entries: &[FilterEntry],
    route: &str,
    problems: &mut Diagnostics,
) -> RouteFilters {
    let own = compile_list(compiler, entries, Place::Route(route), problems);
    let global = &globals.compiled;
    let replaced = |e: &Entry| {
        own.off.contains(&e.name)
            || (e.phase.has_one_answer() && own.entries.iter().any(|o| o.name == e.name))
    };
    warn_of_idle_switches(entries, global, problems);
    let kept = global.entries.iter().filter(|e| !replaced(e)).cloned();
    let unless_off = |name: &str| !own.off.contains(&name);
    RouteFilters {
        chain: Chain::new(kept.chain(own.entries.iter().cloned()).collect()),
        retry: own
            .retry
            .or_else(|| global.retry.clone().filter(|_| unless_off("retry"))),
        breaker: own.breaker.or_else(|| {
            global
                .breaker
                .clone()
                .filter(|_| unless_off("circuit_breaker"))
        }),
        log: own
            .log
            .or_else(|| globals.log.clone().filter(|_| unless_off("logging"))),
    }
}

fn compile_list(
    compiler: &Compiler<'_>,
    entries: &[FilterEntry],
    place: Place<'_>,
    problems: &mut Diagnostics,
) -> Compiled {
    let scope = place.scope();
    let mut compiled = Compiled::default();
    for entry in entries {
        let Some(kind) = find_kind(compiler.kinds, entry, problems) else {
            continue;
        };
        if entry.is_off() {
            compiled.off.push(kind.name);
            continue;
        }
        if !stands(kind, scope) {
            note_misplaced(kind, scope, entry, problems);
            continue;
        }
        let mut cx = Compile {
            diagnostics: problems,
            scope,
            route: place.route(),
            span: entry.name.span(),
            clock: compiler.clock,
            files: compiler.files,
            files_read: 0,
        };
        let built = (kind.compile)(&entry.body, &mut cx);
        let files_read = cx.files_read;
        match built {
            Some(_) if compiled.policies.contains(&kind.name) => problems.error(
                entry.name.span(),
                format!("`{}` stands in this list twice", kind.name),
                "keep one of the two",
            ),
            Some(built) => compiled.add(kind, entry, (place.name(), files_read), built),
            // A filter that is silently not there could be the one that keeps strangers out.
            None if compiler.sound && !problems.has_errors() => problems.error(
                entry.name.span(),
                format!("`{}` cannot be made of these settings", kind.name),
                "",
            ),
            None => {}
        }
    }
    compiled
}

/// Whether a kind of filter may stand in such a list.
fn stands(kind: &FilterKind, scope: Scope) -> bool {
    match kind.scopes {
        [] => scope != Scope::Listener,
        scopes => scopes.contains(&scope),
    }
}

fn note_misplaced(
    kind: &FilterKind,
    scope: Scope,
    entry: &FilterEntry,
    problems: &mut Diagnostics,
) {
    let (here, hint) = match scope {
        Scope::Route => ("a route's filters", "move it to global_filters"),
        Scope::Global => ("global_filters", "move it to a route's filters"),
        Scope::Listener => (
            "a listener's filters: it needs HTTP",
            "remove it; a tcp or tls listener takes ip_filter and rate_limit",
        ),
    };
    let what = format!("`{}` cannot stand in {here}", kind.name);
    problems.error(entry.name.span(), what, hint);
}

/// Switching off what is not on is harmless, and most likely a mistake.
fn warn_of_idle_switches(entries: &[FilterEntry], global: &Compiled, problems: &mut Diagnostics) {
    let is_on = |name: &str| {
        global.entries.iter().any(|e| e.name == name) || global.policies.contains(&name)
    };
    for entry in entries.iter().filter(|e| e.is_off()) {
        if !is_on(&entry.name) && !problems.has_errors() {
            problems.warn(
                entry.name.span(),
                format!("there is no global `{}` to switch off", *entry.name),
                "remove the line",
            );
        }
    }
}

impl Compiled {
    fn add(
        &mut self,
        kind: &FilterKind,
        entry: &FilterEntry,
        owner: (Option<&str>, u64),
        built: Built,
    ) {
        if !matches!(built, Built::Filter(_)) {
            self.policies.push(kind.name);
        }
        match built {
            Built::Filter(filter) => {
                let nth = self.entries.iter().filter(|e| e.name == kind.name).count();
                let fingerprint = fingerprint(kind.name, entry, owner, nth);
                self.entries.push(Entry {
                    name: kind.name,
                    phase: kind.phase,
                    fingerprint,
                    filter: Arc::clone(&filter),
                });
            }
            Built::Retry(policy) => self.retry = Some(policy),
            Built::Breaker(policy) => self.breaker = Some(policy),
            Built::Log(spec) => self.log = Some(spec),
            Built::Metrics(policy) => self.metrics = Some(policy),
        }
    }
}

/// A hash of what makes a filter the same one after a reload: its kind, where it stands, its settings and
/// the files it was made of.
fn fingerprint(name: &str, entry: &FilterEntry, owner: (Option<&str>, u64), nth: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    (name, owner, nth).hash(&mut hasher);
    entry.body.hash(&mut hasher);
    hasher.finish()
}

fn find_kind<'k>(
    kinds: &'k [FilterKind],
    entry: &FilterEntry,
    problems: &mut Diagnostics,
) -> Option<&'k FilterKind> {
    let name = entry.name.as_str();
    let found = kinds.iter().find(|kind| kind.name == name);
    if found.is_none() {
        let (what, hint) = match name {
            "compression" | "cache" | "fault" => (
                format!("the filter `{name}` is not supported yet by this version"),
                "remove it".to_owned(),
            ),
            _ => (
                format!("unknown filter `{name}`"),
                match nearest(name, kinds.iter().map(|k| k.name)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => {
                        let known: Vec<_> = kinds.iter().map(|k| k.name).collect();
                        format!("known filters: {}", known.join(", "))
                    }
                },
            ),
        };
        problems.error(entry.name.span(), what, hint);
    }
    found
}
