//! What is allowed and yet most likely not meant.
//!
//! Must hold: only a sound document is looked at, and nothing here keeps it from being used.

use std::collections::HashSet;

use http::{HeaderMap, Method};
use portway_config::document::{self, Document, Listener, Process, Route};
use portway_core::{Diagnostics, ListenerId, RouteId};
use portway_route::{Found, Lookup, Params, RouteTable};

/// Notes it all.
pub(super) fn warn(document: &Document, table: &RouteTable, problems: &mut Diagnostics) {
    of_timeouts(&document.process, problems);
    for listener in &document.listeners {
        of_trust(listener, problems);
    }
    for (index, route) in document.routes.iter().enumerate() {
        of_loop(RouteId(index as u32), route, table, problems);
    }
    of_idle_upstreams(document, problems);
}

/// Targets that are looked up and checked for nobody.
fn of_idle_upstreams(document: &Document, problems: &mut Diagnostics) {
    let of_listeners = document.listeners.iter().filter_map(|l| l.upstream.value());
    let mut used: HashSet<&str> = of_listeners.map(|name| name.as_str()).collect();
    for route in &document.routes {
        match route.actions().0.first() {
            Some(document::Action::Upstream(name)) => {
                used.insert(name.as_str());
            }
            Some(document::Action::Split(shares)) => {
                used.extend(shares.iter().map(|share| share.upstream.as_str()));
            }
            _ => {}
        }
        used.extend(route.mirror.iter().map(|mirror| mirror.upstream.as_str()));
    }
    if used.is_empty() {
        return; // nothing goes anywhere, which has been said
    }
    let inline: HashSet<usize> = document.inline.iter().copied().flatten().collect();
    for (index, upstream) in document.upstreams.iter().enumerate() {
        if !inline.contains(&index) && !used.contains(upstream.name.as_str()) {
            problems.warn(
                upstream.name.span(),
                format!("nothing goes to upstream `{}`", *upstream.name),
                "name it in a route, or remove it",
            );
        }
    }
}

fn of_timeouts(process: &Process, problems: &mut Diagnostics) {
    let (header, read) = (&process.header_timeout, &process.read_timeout);
    if header.value() > read.value() {
        problems.warn(
            header.span(),
            "`header_timeout` is longer than `read_timeout`, which bounds the whole request",
            "make it shorter, or `read_timeout` longer",
        );
    }
}

fn of_trust(listener: &Listener, problems: &mut Diagnostics) {
    if let Some(all) = listener
        .trusted_proxies
        .iter()
        .find(|n| n.prefix_len() == 0)
    {
        problems.warn(
            listener.name.span(),
            format!(
                "listener `{}` trusts everybody ({all}): any client can say that it is another",
                *listener.name
            ),
            "name only the proxies in front in `trusted_proxies`",
        );
    }
}

/// A redirect to a path that the same route takes.
fn of_loop(id: RouteId, route: &Route, table: &RouteTable, problems: &mut Diagnostics) {
    let (usable, _) = route.actions();
    let Some(document::Action::Redirect(redirect)) = usable.first() else {
        return;
    };
    let conditions = [&route.headers.0, &route.query.0, &route.cookies.0];
    let is_plain = conditions.iter().all(|c| c.is_empty()) && route.listeners.is_empty();
    let path = redirect.to.split(['?', '#']).next().unwrap_or_default();
    if !is_plain || !path.starts_with('/') {
        return;
    }
    let host = route.hosts.first().map_or("", |host| host.as_str());
    let method = route.methods.first();
    let method = method.and_then(|m| Method::from_bytes(m.as_bytes()).ok());
    let lookup = Lookup {
        listener: ListenerId(0),
        host: &host.replace('*', "any"),
        path,
        query: None,
        method: &method.unwrap_or(Method::GET),
        headers: &HeaderMap::new(),
    };
    if table.find(&lookup, &mut Params::new()) == Found::Route(id) {
        problems.warn(
            redirect.to.span(),
            format!("route `{}` redirects to itself", *route.name),
            format!("choose another place than `{path}`, or give it a route of its own"),
        );
    }
}
