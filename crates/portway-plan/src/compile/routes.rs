//! Routes: which exchanges, what becomes of them, and the table that finds them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use http::Method;
use http::header::HeaderName;
use portway_config::document::{Document, PathMatch, Route, Wanted};
use portway_config::{Spanned, Table};
use portway_core::{Diagnostics, ListenerId, Span, UpstreamId};
use portway_http::upgrade::{WEBSOCKET, is_name};
use portway_route::{BuildProblem, HostPattern, PathPattern, RouteSpec, RouteTable, ValueMatch};

use super::action::{action, in_words, mirror, warn_of_idle_keys};
use super::filters::{Globals, of_route};
use super::passthrough::{check_route, http_listeners};
use super::rewrite::rewrite;
use super::upstreams::positive;
use super::{Compiler, Names as Known};
use crate::plan::{RoutePlan, RouteTimeouts};

/// What routes refer to.
pub(super) struct Names<'a> {
    pub(super) listeners: &'a Known<ListenerId>,
    pub(super) upstreams: &'a Known<UpstreamId>,
    pub(super) document: &'a Document,
}

/// Metrics count exchanges without a route under this name.
const RESERVED_NAME: &str = "-";

/// The routes, and what the table is built from.
pub(super) fn routes(
    compiler: &Compiler<'_>,
    names: &Names<'_>,
    globals: &Globals,
    problems: &mut Diagnostics,
) -> (Vec<RoutePlan>, Vec<RouteSpec>) {
    let mut seen = Known::new("route");
    let count = names.document.routes.len();
    let (mut plans, mut specs) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for (index, route) in names.document.routes.iter().enumerate() {
        seen.add(&route.name, (), problems);
        if *route.name == *RESERVED_NAME {
            problems.error(
                route.name.span(),
                "`-` stands for \"no route\" in metrics",
                "choose another name",
            );
        }
        warn_of_idle_keys(route, problems);
        check_route(route, names, problems);
        let filters = of_route(compiler, globals, &route.filters, &route.name, problems);
        let name: Arc<str> = Arc::from(route.name.as_str());
        specs.push(spec(route, Arc::clone(&name), names, problems));
        let prefix = route.prefix.value().map(|p| p.to_string());
        plans.push(RoutePlan {
            name,
            conditions: conditions_hash(route),
            action: action(index, route, names, problems),
            filters: filters.chain,
            rewrite: rewrite(route, problems),
            redirect_https: super::tls::redirect_https(&route.redirect_https),
            upgrades: upgrades(route.upgrades.as_deref(), problems),
            timeouts: RouteTimeouts {
                request: route.timeouts.request.as_ref().map(|t| {
                    positive(t, problems);
                    t.value()
                }),
            },
            retry: filters.retry,
            breaker: filters.breaker,
            mirror: mirror(route, names, problems),
            log: filters.log,
            prefix,
        });
    }
    (plans, specs)
}

fn upgrades(names: Option<&[Spanned<String>]>, problems: &mut Diagnostics) -> Box<[Box<str>]> {
    let Some(names) = names else {
        return [Box::from(WEBSOCKET)].into();
    };
    for name in names.iter().filter(|name| !is_name(name)) {
        problems.error(
            name.span(),
            format!("`{}` is not a protocol that a connection may switch to", **name),
            "write names like websocket; other versions of HTTP, and TLS, go by listeners and upstreams",
        );
    }
    names.iter().map(|name| Box::from(name.as_str())).collect()
}

/// A hash of what decides which exchanges a route takes.
fn conditions_hash(route: &Route) -> u64 {
    let mut hasher = DefaultHasher::new();
    let (paths, _) = route.paths();
    (&route.hosts, &route.listeners, &route.methods, paths).hash(&mut hasher);
    (&route.headers, &route.query, &route.cookies, route.priority).hash(&mut hasher);
    hasher.finish()
}

fn spec(route: &Route, name: Arc<str>, names: &Names<'_>, problems: &mut Diagnostics) -> RouteSpec {
    RouteSpec {
        name,
        hosts: parse_all(
            &route.hosts,
            HostPattern::parse,
            "use api.example.com or *.example.com",
            problems,
        ),
        listeners: match route.listeners.as_slice() {
            [] => http_listeners(names.document),
            _ => Some(listeners(route, names, problems)),
        },
        path: path(route, problems),
        methods: parse_all(
            &route.methods,
            method,
            "use GET, POST and the like, in capitals",
            problems,
        ),
        headers: headers(&route.headers, problems),
        query: conditions(&route.query, problems),
        cookies: conditions(&route.cookies, problems),
        priority: route.priority,
    }
}

fn parse_all<T>(
    texts: &[Spanned<String>],
    parse: impl Fn(&str) -> Result<T, String>,
    hint: &str,
    problems: &mut Diagnostics,
) -> Vec<T> {
    let mut parsed = Vec::with_capacity(texts.len());
    for text in texts {
        match parse(text) {
            Ok(value) => parsed.push(value),
            Err(what) => note_sentence(text.span(), &what, hint, problems),
        }
    }
    parsed
}

/// Notes "what is wrong; what to do" as the two parts that it has.
fn note_sentence(span: &Span, sentence: &str, otherwise: &str, problems: &mut Diagnostics) {
    let (what, hint) = sentence.split_once("; ").unwrap_or((sentence, otherwise));
    problems.error(span, what, hint);
}

fn method(name: &str) -> Result<Method, String> {
    let wrong_case = name.bytes().any(|b| b.is_ascii_lowercase());
    match Method::from_bytes(name.as_bytes()) {
        Ok(Method::TRACE) => Err("`TRACE` is never passed on; remove it".to_owned()),
        Ok(method) if !wrong_case => Ok(method),
        Ok(_) => Err(format!(
            "methods are case-sensitive: `{name}` is not `{}`",
            name.to_ascii_uppercase()
        )),
        Err(_) => Err(format!("`{name}` is not a method")),
    }
}

fn listeners(route: &Route, names: &Names<'_>, problems: &mut Diagnostics) -> Vec<ListenerId> {
    let named = &names.document.named;
    let mut ids = Vec::new();
    for name in &route.listeners {
        match names.listeners.find(name) {
            Some(id) => ids.push(id),
            None if named.nameless || named.broken_listeners.contains(name.as_str()) => {}
            None => {
                let what = format!(
                    "route `{}` names the unknown listener `{}`",
                    *route.name, **name
                );
                problems.error(name.span(), what, names.listeners.hint(name));
            }
        }
    }
    ids
}

fn path(route: &Route, problems: &mut Diagnostics) -> PathPattern {
    let (usable, written) = route.paths();
    if written.len() > 1 {
        problems.error(
            route.name.span(),
            format!("route `{}` has {}", *route.name, in_words(&written)),
            "keep one of prefix, path and regex",
        );
        return PathPattern::Any;
    }
    let (text, parsed) = match usable.first() {
        None | Some(PathMatch::Any) => return PathPattern::Any,
        Some(PathMatch::Prefix(text)) => (text, PathPattern::prefix(text)),
        Some(PathMatch::Exact(text)) => (text, PathPattern::exact(text)),
        Some(PathMatch::Regex(text)) => {
            let parsed = PathPattern::regex(text);
            let told = parsed.map_err(|what| format!("the regex does not compile: {what}"));
            (text, told)
        }
    };
    parsed.unwrap_or_else(|what| {
        note_sentence(text.span(), &what, "", problems);
        PathPattern::Any
    })
}

fn headers(
    table: &Table<Spanned<Wanted>>,
    problems: &mut Diagnostics,
) -> Vec<(HeaderName, ValueMatch)> {
    let mut list = Vec::new();
    for (name, wanted) in &table.0 {
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(header) => list.extend(value_match(wanted, problems).map(|value| (header, value))),
            Err(_) => problems.error(
                name.span(),
                format!("`{}` is not a header name", **name),
                "use letters, digits and `-`",
            ),
        }
    }
    list
}

fn conditions(
    table: &Table<Spanned<Wanted>>,
    problems: &mut Diagnostics,
) -> Vec<(String, ValueMatch)> {
    let named = |(name, wanted): &(Spanned<String>, Spanned<Wanted>)| {
        value_match(wanted, problems).map(|value| (name.to_string(), value))
    };
    table.0.iter().filter_map(named).collect()
}

fn value_match(wanted: &Spanned<Wanted>, problems: &mut Diagnostics) -> Option<ValueMatch> {
    match &**wanted {
        Wanted::Exact(text) => Some(ValueMatch::Exact(text.clone())),
        Wanted::Prefix(text) => Some(ValueMatch::Prefix(text.clone())),
        Wanted::Present => Some(ValueMatch::Present),
        Wanted::Absent => Some(ValueMatch::Absent),
        Wanted::Regex(text) => match ValueMatch::regex(text) {
            Ok(value) => Some(value),
            Err(what) => {
                let what = format!("the regex does not compile: {what}");
                problems.error(wanted.span(), what, "check its brackets and escapes");
                None
            }
        },
    }
}

/// Says what the table could not be built from.
pub(super) fn note_table_problems(
    document: &Document,
    wrong: &[BuildProblem],
    problems: &mut Diagnostics,
) {
    for problem in wrong {
        if let Some(route) = document.routes.get(problem.route) {
            problems.error(
                span_of(route, problem.field),
                problem.what.clone(),
                problem.hint.clone(),
            );
        }
    }
}

fn span_of<'r>(route: &'r Route, field: &str) -> &'r Span {
    let given = match field {
        "prefix" => route.prefix.value().map(Spanned::span),
        "path" => route.path.value().map(Spanned::span),
        "regex" => route.regex.value().map(Spanned::span),
        "hosts" => route.hosts.first().map(Spanned::span),
        "methods" => route.methods.first().map(Spanned::span),
        _ => None,
    };
    given.unwrap_or_else(|| route.name.span())
}

/// Two routes that can never both match: the lower-ranked one is dead.
pub(super) fn warn_of_shadows(document: &Document, table: &RouteTable, problems: &mut Diagnostics) {
    for shadow in table.shadowed() {
        let (Some(route), Some(by)) = (
            document.routes.get(shadow.route.index()),
            document.routes.get(shadow.by.index()),
        ) else {
            continue;
        };
        problems.warn(
            route.name.span(),
            format!(
                "route `{}` can never match: `{}` takes all its requests",
                *route.name, *by.name
            ),
            format!(
                "{}; change its conditions or its priority, or remove it",
                shadow.why
            ),
        );
    }
}
