//! From a plan to a snapshot: what can be kept is adopted, what is new is made, what is gone is let go.
//!
//! Must hold: everything that can fail (binding, opening logs) comes first and leaves no trace when it
//! fails; an unchanged listener or upstream is adopted, never rebuilt; a filter or breaker that did not
//! change keeps its state.

mod doors;
mod outgoing;

use doors::listeners;
pub(crate) use doors::{Opened, open};
pub(crate) use outgoing::Outgoing;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use portway_acme::Keeper;
use portway_core::{Clock, Diagnostic, Mono};
use portway_filter::{Chain, LogSpec};
use portway_net::BindError;
use portway_plan::{ListenerPlan, Plan, RoutePlan};
use portway_telemetry::access_log::{AccessLog, LogSinks};
use portway_tls::Connector;
use portway_upstream::{Breaker, Upstream, UpstreamSpec, background};
use tokio::runtime::Handle;

use crate::datagrams;
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
