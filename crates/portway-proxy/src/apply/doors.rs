//! The listeners of a snapshot and their sockets: who goes on, and who begins.
//!
//! Must hold: an address is never without a socket while a listener for it is in the config; sockets are
//! had before anything changes. Never: closes one.

use std::mem::discriminant;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwapOption;
use portway_net::listen::{bind_another, bind_workers};
use portway_net::{BindError, Connections, Drain, ListenOptions};
use portway_plan::ListenerPlan;
use tokio::runtime::Handle;

use super::{ApplyError, Parts};
use crate::datagrams::{self, Datagrams, Leaver};
use crate::gateway::{Changing, Shared};
use crate::snapshot::{Door, Snapshot};
use crate::worker::Command;

/// So often a port is chosen that must be free for TCP and UDP.
const BIND_TRIES: usize = 16;

/// A new listener with its sockets.
pub(crate) struct Opened {
    door: Arc<Door>,
    sockets: Vec<TcpListener>,
    datagrams: Datagrams,
}

/// The listeners of a plan, those of before where they can go on, and the new ones among them.
pub(super) fn listeners(
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
