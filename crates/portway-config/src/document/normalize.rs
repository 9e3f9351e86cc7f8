//! The short form becomes the full form: `server` a listener, inline targets an upstream.
//!
//! Must hold: what comes out has nothing of the short form left but the places in the file.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use portway_core::Span;
use portway_core::diagnostic::Diagnostics;

use super::server::{Process, Server};
use super::{Document, Listener, ListenerProtocol, Named, Root, Route, Source, Upstream};
use crate::decode::{Decode, Given, defaults};
use crate::node::{Entry, Kind, Node, Origin};
use crate::spanned::Spanned;
use crate::substitute::Hidden;

/// The version of the file format that this reads.
const VERSION: u32 = 1;
/// Where a gateway listens that does not say it.
const PORT: u16 = 8080;
/// The same, with TLS.
const TLS_PORT: u16 = 8443;
/// The name of the listener that `server` describes.
const LISTENER: &str = "default";

pub(super) fn normalize(
    root: Root,
    node: &Node,
    source: Source,
    problems: &mut Diagnostics,
) -> Document {
    if let Some(version) = root.version.filter(|v| v.value() != VERSION) {
        let what = format!("version {version} of the config format is not known");
        problems.error(version.span(), what, format!("write `version: {VERSION}`"));
    }
    let named = Named {
        broken_listeners: broken(
            node.find("listeners"),
            root.listeners.iter().map(|l| &l.name),
        ),
        broken_upstreams: broken(
            node.find("upstreams"),
            root.upstreams.iter().map(|u| &u.name),
        ),
        nameless: !root.listeners.complete && nameless(node.find("listeners"))
            || !root.upstreams.complete && nameless(node.find("upstreams")),
    };
    let server = root.server.unwrap_or_else(defaults);
    let wants_listener = server.port.is_some() || server.host.is_some() || server.tls.is_written();
    let has_others = !root.listeners.is_empty() || !root.listeners.complete;
    let mut listeners = root.listeners.items;
    if wants_listener || !has_others {
        let span = node.find("server").map_or(&node.span, |s| &s.span);
        listeners.insert(0, listener(&server, span));
    } else if let Some(page) = server.expose.first() {
        let what = "`expose` has no listener: `server` has neither host nor port here";
        problems.error(page.span(), what, "move `expose` to one of the `listeners`");
    }
    let mut upstreams = root.upstreams.items;
    let inline = inline_upstreams(&root.routes, &mut upstreams);
    Document {
        process: process(server),
        admin: root.admin,
        acme: root.acme,
        listeners,
        upstreams,
        routes: root.routes.items,
        inline,
        global_filters: root.global_filters.items,
        source,
        hidden: Hidden::default(),
        sound: true,
        named,
    }
}

fn process(server: Server) -> Process {
    Process {
        workers: server.workers,
        read_timeout: server.read_timeout,
        write_timeout: server.write_timeout,
        idle_timeout: server.idle_timeout,
        header_timeout: server.header_timeout,
        drain_timeout: server.drain_timeout,
    }
}

fn listener(server: &Server, span: &Span) -> Listener {
    let host = server.host.as_deref().copied();
    let port = server.port.as_deref().copied();
    let usual = if server.tls.is_written() {
        TLS_PORT
    } else {
        PORT
    };
    let bind = SocketAddr::new(
        host.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        port.unwrap_or(usual),
    );
    let place = server.port.as_ref().map(Spanned::span);
    let place = place
        .or(server.host.as_ref().map(Spanned::span))
        .unwrap_or(span);
    let mut listener: Listener = of_names(span, &[("name", LISTENER), ("bind", "0.0.0.0:0")]);
    listener.bind = Spanned::new(bind, place);
    listener.expose.clone_from(&server.expose);
    listener.tls.clone_from(&server.tls);
    if server.tls.is_written() {
        let place = server.tls.value().map_or(span, Spanned::span);
        listener.protocol = Spanned::new(ListenerProtocol::Https, place);
    }
    listener
}

/// A listener or upstream of defaults, from the keys that it must have.
fn of_names<T: Decode>(span: &Span, keys: &[(&str, &str)]) -> T {
    let entries = keys.iter().map(|(key, value)| Entry {
        key: (*key).into(),
        key_span: span.clone(),
        value: Node::string(span, value),
    });
    let node = Node {
        span: span.clone(),
        kind: Kind::Map(entries.collect()),
        origin: Origin::Written,
    };
    T::decode(&node, &mut Diagnostics::new()).expect("all keys it must have are given")
}

/// Makes an upstream of each route's inline targets and says which route has which.
fn inline_upstreams(routes: &[Route], upstreams: &mut Vec<Upstream>) -> Vec<Option<usize>> {
    if routes.iter().all(|r| r.targets.value().is_none()) {
        return vec![None; routes.len()];
    }
    let template: Upstream = of_names(&Span::file(""), &[("name", "")]);
    upstreams.reserve(routes.len());
    let taken: HashSet<String> = upstreams.iter().map(|u| u.name.to_string()).collect();
    let of_route = |route: &Route| {
        let targets = route.targets.value()?;
        // An upstream of the same name has nothing to do with the route: keep the two apart.
        let name = if taken.contains(route.name.as_str()) {
            format!("route:{}", *route.name)
        } else {
            route.name.to_string()
        };
        let mut upstream = template.clone();
        upstream.name = Spanned::new(name, route.name.span());
        upstream.targets = Given::Yes(targets.clone());
        upstreams.push(upstream);
        Some(upstreams.len() - 1)
    };
    routes.iter().map(of_route).collect()
}

fn items(list: Option<&Node>) -> &[Node] {
    list.and_then(Node::items).unwrap_or_default()
}

fn broken<'a>(
    list: Option<&Node>,
    good: impl Iterator<Item = &'a Spanned<String>>,
) -> HashSet<String> {
    let good: HashSet<&str> = good.map(|name| name.as_str()).collect();
    let names = items(list).iter().filter_map(|i| i.find("name")?.text());
    names
        .filter(|n| !good.contains(n))
        .map(str::to_owned)
        .collect()
}

/// Whether an item could have had a name that cannot be told.
fn nameless(list: Option<&Node>) -> bool {
    let named = |item: &Node| item.find("name").is_some_and(|name| name.text().is_some());
    list.is_some_and(|list| list.items().is_none()) || !items(list).iter().all(named)
}
