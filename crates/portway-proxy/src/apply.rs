//! From a plan to a snapshot: what can be kept is adopted, what is new is made, what is gone is let go.
//!
//! Must hold: everything that can fail (binding, opening logs) comes first and leaves no trace when it
//! fails; an unchanged listener or upstream is adopted, never rebuilt; a filter or breaker that did not
//! change keeps its state.

mod outgoing;

pub(crate) use outgoing::Outgoing;

use std::collections::HashMap;
use std::io;
use std::mem::discriminant;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwapOption;
use portway_acme::Keeper;
use portway_core::{Clock, Diagnostic, Mono};
use portway_filter::{Chain, LogSpec};
use portway_net::listen::{bind_another, bind_workers};
use portway_net::{BindError, Connections, Drain, ListenOptions};
use portway_plan::{ListenerPlan, Plan, RoutePlan};
use portway_telemetry::access_log::{AccessLog, LogSinks};
use portway_tls::Connector;
use portway_upstream::{Breaker, Upstream, UpstreamSpec, background};
use tokio::runtime::Handle;

use crate::datagrams::{self, Datagrams, Leaver};
use crate::gateway::{Changing, Shared};
use crate::material;
use crate::snapshot::{Door, LiveRoute, LiveUpstream, Snapshot};
use crate::worker::Command;

/// Why a plan could not be made to serve.
#[derive(Debug)]
pub enum ApplyError {
    /// A listener's address cannot be used.
    Bind(Arc<str>, BindError),
    /// Files that the config names cannot be used.
    Files(Vec<Diagnostic>),
    /// An access log cannot be opened.
    Log(String, io::Error),
    /// A thread or runtime could not be started.
    Thread(io::Error),
    /// The gateway is on its way out.
    Ending,
}

impl std::fmt::Display for ApplyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ApplyError::Bind(listener, error) => write!(f, "listener `{listener}`: {error}"),
            ApplyError::Files(problems) => {
                let lines: Vec<String> = problems.iter().map(Diagnostic::to_string).collect();
                f.write_str(&lines.join("\n"))
            }
            ApplyError::Log(output, error) => write!(f, "access log `{output}`: {error}"),
            ApplyError::Ending => f.write_str("the gateway is draining and takes no new config"),
            ApplyError::Thread(error) => write!(f, "cannot start a thread: {error}"),
        }
    }
}

impl std::error::Error for ApplyError {}

/// So often a port is chosen that must be free for TCP and UDP.
const BIND_TRIES: usize = 16;

/// What building a snapshot needs.
pub(crate) struct Parts<'a> {
    pub(crate) clock: &'a Clock,
    pub(crate) sinks: &'a LogSinks,
    /// Who obtains certificates.
    pub(crate) keeper: &'a Keeper,
    pub(crate) runtime: &'a Handle,
    pub(crate) workers: usize,
    /// Where the operators' API listens.
    pub(crate) operators: Option<SocketAddr>,
    /// Listeners that drain.
    pub(crate) leaving: &'a [Arc<Door>],
}

/// A snapshot that does not serve yet, with the sockets of its new listeners.
pub(crate) struct Built {
    pub(crate) snapshot: Snapshot,
    pub(crate) opened: Vec<Opened>,
}

/// A new listener with its sockets.
pub(crate) struct Opened {
    door: Arc<Door>,
    sockets: Vec<TcpListener>,
    datagrams: Datagrams,
}

/// Makes the snapshot of a plan. On an error nothing has changed.
pub(crate) fn build(
    parts: &Parts<'_>,
    changing: &mut Changing,
    old: Option<&Snapshot>,
    plan: Plan,
) -> Result<Built, ApplyError> {
    let slots = parts.keeper.slots();
    let loaded = material::load(&plan, old, parts.clock, slots);
    let (material, _) = loaded.map_err(ApplyError::Files)?;
    let log = plan
        .log
        .as_ref()
        .map(|spec| open_log(parts.sinks, spec))
        .transpose()?;
    let logs = plan
        .routes
        .iter()
        .map(|route| route_log(parts.sinks, route, plan.log.as_ref(), log.as_ref()))
        .collect::<Result<Vec<_>, _>>()?;
    let (listeners, opened) = listeners(parts, changing, old, &plan.listeners)?;
    // From here on nothing fails. Certificates first: the first client is to get the one that was kept.
    parts.keeper.want(material.wanted);
    for (door, acceptor) in listeners.iter().zip(material.acceptors) {
        door.acceptor.store(acceptor);
    }
    let upstreams = upstreams(parts, old, &plan.upstreams, material.connectors);
    let routes = routes(old, &plan.routes, logs);
    let no_route = plan.no_route.adopt(old.map(|old| &old.no_route));
    let gates = gates(old, &plan.listeners);
    let alt_svc = plan.listeners.iter().zip(&listeners);
    let alt_svc = alt_svc
        .map(|(plan, door)| datagrams::alt_svc(plan, door))
        .collect();
    let generation = old.map_or(1, |old| old.generation + 1);
    Ok(Built {
        snapshot: Snapshot {
            generation,
            plan,
            alt_svc,
            listeners,
            gates,
            upstreams,
            routes,
            no_route,
            log,
        },
        opened,
    })
}

fn open_log(sinks: &LogSinks, spec: &LogSpec) -> Result<AccessLog, ApplyError> {
    let sink = sinks
        .open(&spec.output)
        .map_err(|error| ApplyError::Log(spec.output.to_string(), error))?;
    Ok(AccessLog::new(spec.format.clone(), spec.policy, sink))
}

fn route_log(
    sinks: &LogSinks,
    route: &RoutePlan,
    global: Option<&LogSpec>,
    log: Option<&AccessLog>,
) -> Result<Option<AccessLog>, ApplyError> {
    match &route.log {
        None => Ok(None),
        Some(spec) if Some(spec) == global => Ok(log.cloned()),
        Some(spec) => open_log(sinks, spec).map(Some),
    }
}

fn listeners(
    parts: &Parts<'_>,
    changing: &mut Changing,
    old: Option<&Snapshot>,
    plans: &[ListenerPlan],
) -> Result<(Vec<Arc<Door>>, Vec<Opened>), ApplyError> {
    let mut doors = Vec::new();
    let mut opened = Vec::new();
    for plan in plans {
        if let Some(door) = old.and_then(|old| find_door(old, plan)) {
            doors.push(Arc::clone(door));
            continue;
        }
        let (sockets, datagrams) = bind(parts, changing, old, plan)
            .map_err(|error| ApplyError::Bind(Arc::clone(&plan.name), error))?;
        let addr = addr_of(&sockets, plan);
        let door = Arc::new(Door::new(changing.next_door, plan, addr, &sockets));
        changing.next_door += 1;
        doors.push(Arc::clone(&door));
        opened.push(Opened {
            door,
            sockets,
            datagrams,
        });
    }
    Ok((doors, opened))
}

/// The address that was got, where the plan leaves the port open.
fn addr_of(sockets: &[TcpListener], plan: &ListenerPlan) -> SocketAddr {
    let first = sockets.first().and_then(|s| s.local_addr().ok());
    first.unwrap_or(plan.bind)
}

/// The open listener that this one goes on with. An address says which, except for those on a port that
/// the system chose: there may be several, so their names tell them apart. One for something else than
/// before begins anew: what is open goes on as what it was.
fn find_door<'o>(old: &'o Snapshot, plan: &ListenerPlan) -> Option<&'o Arc<Door>> {
    let named = |other: &ListenerPlan| plan.bind.port() != 0 || other.name == plan.name;
    // Connections of a listener that got TLS must not go on without it.
    let same_kind = |other: &ListenerPlan| {
        other.tls.is_some() == plan.tls.is_some()
            && other.versions.h3 == plan.versions.h3
            && discriminant(&other.serves) == discriminant(&plan.serves)
    };
    let mut known = old.plan.listeners.iter().zip(&old.listeners);
    let found =
        known.find(|(other, _)| other.bind == plan.bind && named(other) && same_kind(other));
    found.map(|(_, door)| door)
}

/// The sockets of a listener. Those for datagrams may have to come later, if somebody who leaves has them.
fn bind(
    parts: &Parts<'_>,
    changing: &mut Changing,
    old: Option<&Snapshot>,
    plan: &ListenerPlan,
) -> Result<(Vec<TcpListener>, Datagrams), BindError> {
    let ours = old.iter().flat_map(|old| &old.listeners);
    let has_it = ours
        .chain(parts.leaving)
        .any(|door| door.has_udp(plan.bind));
    // Whether the predecessor speaks HTTP/3 there is not told.
    let leaver = match has_it || changing.inherited.addrs().contains(&plan.bind) {
        true => Leaver::Perhaps,
        false => Leaver::None,
    };
    let mut tries = BIND_TRIES;
    loop {
        let sockets = bind_tcp(parts, changing, old, plan)?;
        let addr = addr_of(&sockets, plan);
        tries -= 1;
        match datagrams::bind(plan, addr, parts.workers, leaver) {
            Ok(Datagrams::Later(..)) | Err(_) if plan.bind.port() == 0 && tries > 0 => {
                // The port that the system chose is free for TCP; another is for both.
            }
            bound => return bound.map(|datagrams| (sockets, datagrams)),
        }
    }
}

/// The sockets of a predecessor process, of a listener that has the address now, or new ones.
fn bind_tcp(
    parts: &Parts<'_>,
    changing: &mut Changing,
    old: Option<&Snapshot>,
    plan: &ListenerPlan,
) -> Result<Vec<TcpListener>, BindError> {
    let mut inherited = changing.inherited.take(plan.bind);
    if !inherited.is_empty() {
        // A successor may have more workers than its predecessor had.
        while inherited.len() < parts.workers {
            match bind_another(plan.bind, ListenOptions::default()) {
                Ok(socket) => inherited.push(socket),
                Err(error) => {
                    tracing::warn!(listener = %plan.name, %error, "not every worker accepts");
                    break;
                }
            }
        }
        return Ok(inherited);
    }
    let same_address = old.and_then(|old| old.listeners.iter().find(|door| door.addr == plan.bind));
    if let Some(door) = same_address {
        return Ok(door.share_sockets());
    }
    bind_workers(plan.bind, parts.workers, ListenOptions::default())
}

fn upstreams(
    parts: &Parts<'_>,
    old: Option<&Snapshot>,
    specs: &[UpstreamSpec],
    connectors: Vec<Option<Arc<Connector>>>,
) -> Vec<Arc<LiveUpstream>> {
    let known: HashMap<&str, &Arc<LiveUpstream>> = old
        .iter()
        .flat_map(|old| &old.upstreams)
        .map(|live| (&*live.upstream.spec.name, live))
        .collect();
    specs
        .iter()
        .zip(connectors)
        .map(|(spec, connector)| match known.get(&*spec.name) {
            Some(live) if live.upstream.spec == *spec => {
                live.upstream.set_connector(connector);
                Arc::clone(live)
            }
            before => {
                let mut upstream = Upstream::new(spec.clone());
                upstream.set_connector(connector);
                if let Some(before) = before {
                    upstream.inherit(&before.upstream);
                }
                let upstream = Arc::new(upstream);
                let tasks = background::spawn(
                    Arc::clone(&upstream),
                    parts.clock.clone(),
                    parts.runtime,
                    parts.operators,
                );
                Arc::new(LiveUpstream {
                    upstream,
                    retired: AtomicBool::new(false),
                    tasks: Mutex::new(Some(tasks)),
                })
            }
        })
        .collect()
}

/// The filters of listeners, with the state of those that did not change.
fn gates(old: Option<&Snapshot>, plans: &[ListenerPlan]) -> Vec<Chain> {
    let before = |name: &str| {
        let old = old?;
        let at = old.plan.listeners.iter().position(|l| *l.name == *name)?;
        old.gates.get(at)
    };
    let adopted = |plan: &ListenerPlan| plan.filters.adopt(before(&plan.name));
    plans.iter().map(adopted).collect()
}

fn routes(
    old: Option<&Snapshot>,
    plans: &[RoutePlan],
    logs: Vec<Option<AccessLog>>,
) -> Vec<LiveRoute> {
    let known: HashMap<&str, &LiveRoute> = old
        .iter()
        .flat_map(|old| old.plan.routes.iter().zip(&old.routes))
        .map(|(plan, live)| (&*plan.name, live))
        .collect();
    plans
        .iter()
        .zip(logs)
        .map(|(plan, log)| {
            let before = known.get(&*plan.name);
            // A route may be new, or have switched a filter on, that others had all along.
            let from = before.map(|b| &b.filters).into_iter();
            let filters = plan.filters.adopt(from.chain(old.map(|old| &old.no_route)));
            let kept = before
                .and_then(|b| b.breaker.as_ref())
                .filter(|b| Some(b.policy()) == plan.breaker.as_ref());
            let breaker = kept
                .cloned()
                .or_else(|| plan.breaker.clone().map(|p| Arc::new(Breaker::new(p))));
            LiveRoute {
                filters,
                breaker,
                log,
            }
        })
        .collect()
}

/// Hands new listening sockets to the workers, round robin where there are more or fewer than workers.
pub(crate) fn open(
    changing: &Changing,
    opened: Vec<Opened>,
    shared: &Arc<Shared>,
    runtime: &Handle,
) {
    for listener in opened {
        let door = listener.door;
        let datagrams = listener.datagrams;
        datagrams.open(&door, &changing.commands, shared, runtime);
        for (at, socket) in listener.sockets.into_iter().enumerate() {
            let worker = &changing.commands[at % changing.commands.len()];
            if worker
                .try_send(Command::Listen(Arc::clone(&door), socket))
                .is_err()
            {
                tracing::error!(listener = %door.name, "a worker did not take its listening socket");
            }
        }
    }
}

/// Makes `new` the snapshot that serves, in place of `old`; gives the listeners that it has no more. They
/// know the last snapshot that had them before the new one can be seen: a worker finds one of the two.
pub(crate) fn publish(shared: &Shared, old: &Arc<Snapshot>, new: Snapshot) -> Vec<Arc<Door>> {
    let mut left = old.listeners.clone();
    left.retain(|door| !new.listeners.iter().any(|n| n.key == door.key));
    for door in &left {
        door.last.store(Some(Arc::clone(old))); // a door leaves once
    }
    let generation = new.generation;
    shared.current.store(Arc::new(new));
    shared.generation.store(generation, Ordering::Release);
    shared.registry.set_config_generation(generation);
    left
}

/// Ends what `old` had and `new` has not: the listeners that left drain from now on.
pub(crate) fn leave(new: &Snapshot, old: &Snapshot, left: &[Arc<Door>], deadline: Mono) {
    for (plan, door) in new.plan.listeners.iter().zip(&new.listeners) {
        door.connections.set_max(plan.connections_max);
    }
    for door in left {
        door.drain.start(deadline);
        door.close();
    }
    let kept: std::collections::HashSet<_> = new.upstreams.iter().map(Arc::as_ptr).collect();
    for live in &old.upstreams {
        if !kept.contains(&Arc::as_ptr(live)) {
            live.retire();
        }
    }
}

/// Tells the workers.
pub(crate) fn refresh(changing: &Changing) {
    for worker in &changing.commands {
        // A worker too busy to listen finds the new snapshot at its next exchange.
        let _ = worker.try_send(Command::Refresh);
    }
}

impl Door {
    /// Whether it may be why somebody else does not get this address for datagrams.
    fn has_udp(&self, addr: SocketAddr) -> bool {
        let (own, other) = (self.addr.ip(), addr.ip());
        let same_ip = own == other || own.is_unspecified() || other.is_unspecified();
        self.wants_udp && self.addr.port() == addr.port() && same_ip
    }

    fn new(key: u64, plan: &ListenerPlan, addr: SocketAddr, sockets: &[TcpListener]) -> Door {
        let copies = sockets.iter().filter_map(|s| s.try_clone().ok()).collect();
        Door {
            key,
            name: Arc::clone(&plan.name),
            addr,
            drain: Drain::new(),
            acceptor: ArcSwapOption::empty(),
            connections: Connections::new(plan.connections_max),
            over_udp: Connections::new(usize::MAX),
            wants_udp: plan.versions.h3,
            is_open_over_udp: AtomicBool::new(false),
            warned_ms: AtomicU64::new(0),
            last: ArcSwapOption::empty(),
            sockets: Mutex::new(copies),
        }
    }
}
