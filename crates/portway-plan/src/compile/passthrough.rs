//! Listeners that pass bytes (`tcp`, `tls`): where their connections go, and what cannot stand on them.
//!
//! Must hold: a route without `listeners` is on all HTTP listeners and on no other; a route of a `tls`
//! listener looks at nothing but the server name, since nothing else can be read; each key that would
//! silently do nothing is an error or a warning.

use portway_config::document::{Document, Listener, ListenerProtocol, Route, Target, Upstream};
use portway_config::{Scheme, Spanned, defaults, document};
use portway_core::{Diagnostics, ListenerId, UpstreamId};

use super::action::{find_upstream, in_words};
use super::filters::Globals;
use super::routes::Names;
use crate::plan::{ProxyHeader, Serves};

/// What becomes of a listener's connections.
pub(super) fn serves(
    listener: &Listener,
    names: &Names<'_>,
    globals: &Globals,
    problems: &mut Diagnostics,
) -> Serves {
    if speaks_http(listener) {
        refuse_on_http(listener, problems);
        return Serves::Http;
    }
    let name = &*listener.name;
    let protocol = listener.protocol.value().as_str();
    warn_of_http_keys(listener, globals, problems);
    let written = listener.upstream.value();
    let upstream =
        written.and_then(|u| find_upstream(u, &format!("listener `{name}`"), names, problems));
    if let (Some(id), Some(written)) = (upstream, written) {
        check_upstream(id, written, names.document, problems);
    }
    match listener.protocol.value() {
        ListenerProtocol::Tls => {
            let named = |route: &Route| route.listeners.iter().any(|l| **l == *name);
            if !listener.upstream.is_written() && !names.document.routes.iter().any(named) {
                problems.error(
                    listener.name.span(),
                    format!("the {protocol} listener `{name}` leads nowhere"),
                    format!("add `upstream`, or routes with `hosts` and `listeners: [{name}]`"),
                );
            }
            Serves::Tls(upstream)
        }
        _ => {
            if !listener.upstream.is_written() {
                problems.error(
                    listener.name.span(),
                    format!("the {protocol} listener `{name}` leads nowhere"),
                    "add `upstream`",
                );
            }
            // In the place of an upstream that is not there; the plan it is in is thrown away.
            Serves::Tcp(upstream.unwrap_or(UpstreamId(0)))
        }
    }
}

fn speaks_http(listener: &Listener) -> bool {
    match listener.protocol.value() {
        ListenerProtocol::Http | ListenerProtocol::Https => true,
        ListenerProtocol::Tcp | ListenerProtocol::Tls => false,
    }
}

fn refuse_on_http(listener: &Listener, problems: &mut Diagnostics) {
    if let Some(upstream) = listener.upstream.value() {
        problems.error(
            upstream.span(),
            "only tcp and tls listeners have an `upstream`",
            "write a route, or `protocol: tcp`",
        );
    }
    if let Some(filter) = listener.filters.first() {
        problems.error(
            filter.name.span(),
            "only tcp and tls listeners have `filters`",
            "move them to routes, or to global_filters",
        );
    }
}

fn warn_of_http_keys(listener: &Listener, globals: &Globals, problems: &mut Diagnostics) {
    let protocol = listener.protocol.value().as_str();
    let idle = |key: &str| format!("`{key}` does nothing on a {protocol} listener");
    if listener.http != defaults() {
        problems.warn(listener.protocol.span(), idle("http"), "remove it");
    }
    if let Some(page) = listener.expose.first() {
        problems.warn(page.span(), idle("expose"), "move it to an http listener");
    }
    let has_own = listener.filters.iter().any(|f| *f.name == *"ip_filter");
    if globals.has("ip_filter") && !has_own {
        problems.warn(
            listener.name.span(),
            format!("the global `ip_filter` does not guard the {protocol} listener"),
            "global filters are of routes: give the listener an ip_filter of its own",
        );
    }
}

/// What a balancer could look at in a request is not there on a connection.
fn check_upstream(
    id: UpstreamId,
    written: &Spanned<String>,
    document: &Document,
    problems: &mut Diagnostics,
) {
    let Some(upstream) = document.upstreams.get(id.index()) else {
        return;
    };
    let balance = &upstream.load_balance;
    let on_request = balance
        .hash_on
        .as_ref()
        .filter(|on| **on != document::HashOn::ClientIp);
    if let Some(on) = on_request {
        let what = format!(
            "connections to upstream `{}` have nothing to be placed by",
            **written
        );
        problems.error(
            on.span(),
            what,
            "use `hash_on: client_ip`, or another policy",
        );
    }
    if let Some(sticky) = &balance.sticky {
        let what = "`sticky` needs cookies, which a tcp or tls listener does not see";
        problems.warn(sticky.cookie.span(), what, "use `policy: ring_hash`");
    }
}

/// What connections must begin with.
pub(super) fn proxy_header(listener: &Listener, problems: &mut Diagnostics) -> Option<ProxyHeader> {
    let header = match listener.proxy_protocol.value() {
        document::ProxyProtocol::Off => None,
        document::ProxyProtocol::V1 => Some(ProxyHeader::V1),
        document::ProxyProtocol::V2 => Some(ProxyHeader::V2),
        document::ProxyProtocol::Auto => Some(ProxyHeader::Auto),
    };
    if header.is_some() && listener.trusted_proxies.is_empty() {
        problems.error(
            listener.proxy_protocol.span(),
            "nobody may send a PROXY header: every connection would be closed",
            "list the proxies in front in `trusted_proxies`",
        );
    }
    header
}

/// The listeners of a route that names none: all, as long as all speak HTTP.
pub(super) fn http_listeners(document: &Document) -> Option<Vec<ListenerId>> {
    if document.listeners.iter().all(speaks_http) {
        return None;
    }
    let all = document.listeners.iter().enumerate();
    let http = all.filter(|(_, l)| speaks_http(l));
    Some(http.map(|(at, _)| ListenerId(at as u32)).collect())
}

/// Whether a route and its listeners fit each other.
pub(super) fn check_route(route: &Route, names: &Names<'_>, problems: &mut Diagnostics) {
    let protocol_of = |name: &Spanned<String>| {
        let id = names.listeners.find(name)?;
        let listener = names.document.listeners.get(id.index())?;
        Some(listener.protocol.value())
    };
    let (mut tls, mut http) = (None, None);
    for name in &route.listeners {
        match protocol_of(name) {
            Some(ListenerProtocol::Tcp) => problems.error(
                name.span(),
                format!("the tcp listener `{}` has no routes", **name),
                "set the listener's `upstream`",
            ),
            Some(ListenerProtocol::Tls) => tls = Some(name),
            Some(ListenerProtocol::Http | ListenerProtocol::Https) => http = Some(name),
            None => {}
        }
    }
    match (tls, http) {
        (Some(tls), Some(http)) => problems.error(
            tls.span(),
            format!(
                "`{}` passes TLS and `{}` speaks HTTP: one route cannot be on both",
                **tls, **http
            ),
            "write a route for each",
        ),
        (Some(tls), None) => check_tls_route(route, tls, problems),
        (None, _) => refuse_tcp_targets(route, names, problems),
    }
}

fn check_tls_route(route: &Route, listener: &Spanned<String>, problems: &mut Diagnostics) {
    let written = [
        (route.prefix.is_written(), "prefix"),
        (route.path.is_written(), "path"),
        (route.regex.is_written(), "regex"),
        (!route.methods.is_empty(), "methods"),
        (!route.headers.0.is_empty(), "headers"),
        (!route.query.0.is_empty(), "query"),
        (!route.cookies.0.is_empty(), "cookies"),
        (route.strip_prefix.value(), "strip_prefix"),
        (route.rewrite.is_some(), "rewrite"),
        (route.split.is_written(), "split"),
        (route.redirect.is_written(), "redirect"),
        (route.respond.is_written(), "respond"),
        (route.files.is_written(), "static"),
        (route.mirror.is_some(), "mirror"),
        (route.sticky_by.is_some(), "sticky_by"),
        (route.timeouts.request.is_some(), "timeouts"),
        (route.upgrades.is_some(), "upgrades"),
        (!route.filters.is_empty(), "filters"),
    ];
    let there = written.iter().filter(|(there, _)| *there);
    let keys: Vec<&str> = there.map(|(_, key)| *key).collect();
    if !keys.is_empty() {
        problems.error(
            route.name.span(),
            format!(
                "route `{}` is on the tls listener `{}`, which can read only the server name, and has {}",
                *route.name,
                **listener,
                in_words(&keys)
            ),
            "keep name, hosts, listeners, priority, and upstream or targets",
        );
    }
}

/// HTTP cannot be spoken with a target of which the file says that it speaks something else.
fn refuse_tcp_targets(route: &Route, names: &Names<'_>, problems: &mut Diagnostics) {
    if let Some(targets) = route.targets.value() {
        refuse_tcp_target(route, targets, problems);
    }
    let shares = route.split.value().into_iter().flat_map(|s| s.iter());
    let mirror = route.mirror.as_ref().map(|mirror| &mirror.upstream);
    let all = route.upstream.value().into_iter();
    let all = all.chain(shares.map(|share| &share.upstream)).chain(mirror);
    let mut seen: Vec<UpstreamId> = Vec::new();
    for id in all.filter_map(|name| names.upstreams.find(name)) {
        if seen.contains(&id) {
            continue; // one place is enough to be told of
        }
        seen.push(id);
        if let Some(upstream) = names.document.upstreams.get(id.index()) {
            refuse_for_http(route, upstream, problems);
        }
    }
}

fn refuse_for_http(route: &Route, upstream: &Upstream, problems: &mut Diagnostics) {
    if let Some(targets) = upstream.targets.value() {
        refuse_tcp_target(route, targets, problems);
    }
    if upstream.proxy_protocol.value() != document::SendProxy::Off {
        problems.error(
            upstream.proxy_protocol.span(),
            format!(
                "route `{}` sends HTTP to upstream `{}`, where clients share connections",
                *route.name, *upstream.name
            ),
            "remove it: HTTP targets learn of the client from X-Forwarded-For and Forwarded",
        );
    }
}

fn refuse_tcp_target(route: &Route, targets: &[Target], problems: &mut Diagnostics) {
    let mut not_http = targets
        .iter()
        .filter(|target| target.addr.scheme == Some(Scheme::Tcp));
    if let Some(target) = not_http.next() {
        problems.error(
            target.addr.span(),
            format!(
                "route `{}` sends HTTP to tcp://{}",
                *route.name, *target.addr
            ),
            "write `http://`, or use the upstream in a tcp listener",
        );
    }
}
