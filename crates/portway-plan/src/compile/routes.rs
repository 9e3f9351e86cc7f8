//! Routes: which exchanges, what becomes of them, and the table that finds them.

use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use portway_config::document::{self, Document, PathMatch, Route, Wanted};
use portway_config::{Spanned, Table};
use portway_core::{Diagnostics, ListenerId, Span, UpstreamId};
use portway_route::{BuildProblem, HostPattern, PathPattern, RouteSpec, RouteTable, ValueMatch};

use super::filters::{Globals, of_route};
use super::upstreams::{hash_on, positive};
use super::{Compiler, Names as Known};
use crate::plan::{
    Action, Mirror, Redirect, Respond, Rewrite, RoutePlan, RouteTimeouts, Split, StaticFiles,
};

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
        let filters = of_route(compiler, globals, &route.filters, &route.name, problems);
        let name: Arc<str> = Arc::from(route.name.as_str());
        specs.push(spec(route, Arc::clone(&name), names, problems));
        let prefix = route.prefix.value().map(|p| p.to_string());
        plans.push(RoutePlan {
            name,
            action: action(index, route, names, problems),
            filters: filters.chain,
            rewrite: rewrite(route, problems),
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

fn spec(route: &Route, name: Arc<str>, names: &Names<'_>, problems: &mut Diagnostics) -> RouteSpec {
    RouteSpec {
        name,
        hosts: parse_all(
            &route.hosts,
            HostPattern::parse,
            "use api.example.com or *.example.com",
            problems,
        ),
        listeners: (!route.listeners.is_empty()).then(|| listeners(route, names, problems)),
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
            Err(what) => problems.error(text.span(), what, hint),
        }
    }
    parsed
}

fn method(name: &str) -> Result<Method, String> {
    let wrong_case = name.bytes().any(|b| b.is_ascii_lowercase());
    match Method::from_bytes(name.as_bytes()) {
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
        Some(PathMatch::Regex(text)) => (text, PathPattern::regex(text)),
    };
    parsed.unwrap_or_else(|what| {
        problems.error(text.span(), what, "");
        PathPattern::Any
    })
}

fn in_words(keys: &[&str]) -> String {
    let quoted: Vec<_> = keys.iter().map(|k| format!("`{k}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
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
                problems.error(wanted.span(), what, "");
                None
            }
        },
    }
}

fn action(index: usize, route: &Route, names: &Names<'_>, problems: &mut Diagnostics) -> Action {
    /// Stands in for an action with a problem; the plan it is in is thrown away.
    const BROKEN: Action = Action::Upstream(UpstreamId(0));
    const ONE_OF: &str = "write one of upstream, targets, split, redirect, respond, static";
    let (usable, written) = route.actions();
    let name = &*route.name;
    if written.len() != 1 {
        let what = match written.as_slice() {
            [] => format!("route `{name}` does nothing with its requests"),
            several => format!("route `{name}` has {}", in_words(several)),
        };
        problems.error(route.name.span(), what, ONE_OF);
        return BROKEN;
    }
    let sticks = matches!(usable.first(), Some(document::Action::Split(_)));
    if let Some(sticky) = route
        .sticky_by
        .as_ref()
        .filter(|_| !sticks && !usable.is_empty())
    {
        problems.warn(
            sticky.span(),
            "`sticky_by` does nothing without `split`",
            "remove it, or split the route",
        );
    }
    match usable.first() {
        None => BROKEN,
        Some(document::Action::Upstream(upstream)) => {
            find_upstream(upstream, name, names, problems).map_or(BROKEN, Action::Upstream)
        }
        Some(document::Action::Targets(_)) => {
            let at = names.document.inline.get(index).copied().flatten();
            at.map_or(BROKEN, |at| Action::Upstream(UpstreamId(at as u32)))
        }
        Some(document::Action::Split(shares)) => split(shares, route, names, problems),
        Some(document::Action::Redirect(to)) => {
            redirect(to, problems).map_or(BROKEN, Action::Redirect)
        }
        Some(document::Action::Respond(with)) => {
            respond(with, problems).map_or(BROKEN, Action::Respond)
        }
        Some(document::Action::Static(files)) => {
            Action::Static(static_files(files, route, problems))
        }
    }
}

fn find_upstream(
    name: &Spanned<String>,
    route: &str,
    names: &Names<'_>,
    problems: &mut Diagnostics,
) -> Option<UpstreamId> {
    let found = names.upstreams.find(name);
    let named = &names.document.named;
    let excused = named.nameless || named.broken_upstreams.contains(name.as_str());
    if found.is_none() && !excused {
        let what = format!("route `{route}` names the unknown upstream `{}`", **name);
        problems.error(name.span(), what, names.upstreams.hint(name));
    }
    found
}

fn split(
    shares: &Spanned<portway_config::Each<document::Share>>,
    route: &Route,
    names: &Names<'_>,
    problems: &mut Diagnostics,
) -> Action {
    let mut parts = Vec::new();
    for share in shares.iter() {
        if let Some(id) = find_upstream(&share.upstream, &route.name, names, problems) {
            parts.push((id, share.weight.value()));
        }
    }
    if shares.complete && shares.iter().all(|s| s.weight.value() == 0) {
        let (what, hint) = if shares.is_empty() {
            (
                "the split has no upstreams",
                "add at least two `{ upstream: …, weight: … }`",
            )
        } else {
            (
                "all weights of the split are 0",
                "give at least one upstream a weight of 1 or more",
            )
        };
        problems.error(shares.span(), what, hint);
    }
    Action::Split(Split {
        parts,
        sticky_by: route.sticky_by.as_ref().map(|on| hash_on(on, problems)),
    })
}

fn redirect(config: &document::Redirect, problems: &mut Diagnostics) -> Option<Redirect> {
    let allowed = [301, 302, 303, 307, 308];
    let status = config.status.value();
    if !allowed.contains(&status) {
        problems.error(
            config.status.span(),
            format!("{status} is not a redirect"),
            "use 301, 302, 303, 307 or 308 (308 is permanent and keeps the method)",
        );
    }
    let to = config.to.as_str();
    let absolute = to.starts_with("http://") || to.starts_with("https://");
    let local = to.starts_with('/') && !to.starts_with("//");
    if !(absolute || local) || HeaderValue::from_str(to).is_err() {
        problems.error(
            config.to.span(),
            format!("`{to}` is neither a path nor an http URL"),
            "write a path like /new, or a URL like https://example.com/new",
        );
        return None;
    }
    Some(Redirect {
        to: to.to_owned(),
        status: StatusCode::from_u16(status).ok()?,
    })
}

fn respond(config: &document::Respond, problems: &mut Diagnostics) -> Option<Respond> {
    let status = config.status.value();
    if !(200..=599).contains(&status) {
        problems.error(
            config.status.span(),
            format!("{status} is not the status of a final reply"),
            "use a status from 200 to 599",
        );
        return None;
    }
    let mut headers = HeaderMap::new();
    for (name, value) in &config.headers.0 {
        match (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(value),
        ) {
            (Ok(name), Ok(value)) => {
                headers.append(name, value);
            }
            (Err(_), _) => problems.error(
                name.span(),
                format!("`{}` is not a header name", **name),
                "use letters, digits and `-`",
            ),
            (_, Err(_)) => problems.error(
                value.span(),
                "a header value has a control character",
                "remove it",
            ),
        }
    }
    let status = StatusCode::from_u16(status).ok()?;
    Some(Respond {
        status,
        headers,
        body: bytes::Bytes::from(config.body.clone()),
    })
}

fn static_files(
    config: &document::Static,
    route: &Route,
    problems: &mut Diagnostics,
) -> StaticFiles {
    if config.index.contains('/') {
        problems.error(
            config.index.span(),
            format!("`{}` is not a file name", *config.index),
            "name a file, like index.html",
        );
    }
    StaticFiles {
        root: config.root.as_str().into(),
        index: config.index.to_string(),
        prefix: route
            .prefix
            .value()
            .map(|p| p.to_string())
            .unwrap_or_default(),
    }
}

fn mirror(route: &Route, names: &Names<'_>, problems: &mut Diagnostics) -> Option<Mirror> {
    let config = route.mirror.as_ref()?;
    let upstream = find_upstream(&config.upstream, &route.name, names, problems)?;
    Some(Mirror {
        upstream,
        share: config.percent.fraction(),
    })
}

fn rewrite(route: &Route, problems: &mut Diagnostics) -> Rewrite {
    let mut rewrite = Rewrite::default();
    if route.strip_prefix.value() {
        match route.prefix.value() {
            Some(prefix) if !prefix.contains('{') => {
                rewrite.strip_prefix = Some(prefix.to_string())
            }
            Some(prefix) => problems.error(
                prefix.span(),
                "a prefix with a parameter cannot be stripped",
                "use `rewrite: { path: \"^/[^/]+(/.*)$ => $1\" }` instead",
            ),
            None if route.prefix.is_written() => {}
            None => problems.error(
                route.strip_prefix.span(),
                format!("route `{}` has no prefix to strip", *route.name),
                "add `prefix`, or remove `strip_prefix`",
            ),
        }
    }
    let Some(config) = &route.rewrite else {
        return rewrite;
    };
    if let Some(path) = &config.path {
        rewrite.path = path_rewrite(path, problems);
    }
    if let Some(host) = &config.host {
        let mut canonical = String::new();
        match portway_http::hygiene::host::parse_authority(host.as_bytes(), &mut canonical) {
            Ok(port) => {
                let port = port.map_or(String::new(), |p| format!(":{p}"));
                rewrite.host = Some(Arc::from(format!("{canonical}{port}")));
            }
            Err(error) => problems.error(
                host.span(),
                format!("`{}` is not a host: {}", **host, error.detail),
                "write a name like users.internal, with a port if needed",
            ),
        }
    }
    rewrite
}

fn path_rewrite(
    text: &Spanned<String>,
    problems: &mut Diagnostics,
) -> Option<(regex::Regex, String)> {
    let Some((pattern, replacement)) = text.split_once("=>") else {
        problems.error(
            text.span(),
            format!("`{}` has no `=>`", **text),
            "write a pattern and what replaces it: \"^/v1/(.*)$ => /$1\"",
        );
        return None;
    };
    match regex::RegexBuilder::new(pattern.trim())
        .size_limit(1 << 20)
        .build()
    {
        Ok(pattern) => Some((pattern, replacement.trim().to_owned())),
        Err(error) => {
            let reason = error.to_string();
            let reason = reason
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .to_owned();
            problems.error(
                text.span(),
                format!("the pattern does not compile: {reason}"),
                "check its brackets and escapes",
            );
            None
        }
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
