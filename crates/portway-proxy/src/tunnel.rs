//! A tunnel, which is a WebSocket nearly always: both sides of an exchange, once its target has switched.
//!
//! Must hold: it holds no snapshot, so that it may last for days; it lasts as long as its listener and
//! its route are in the config; when it must go, both peers are told, and cut at the deadline. It is an
//! exchange like any other to limits, metrics and log, and is finished once, at its end. Whether a side
//! is a connection or a stream makes no difference here.

use std::sync::Arc;

use portway_core::{Code, Mono, ProxyError, RouteId, UpstreamId};
use portway_http::upgrade::{Leaving, Line, Parting, Side, Switched, Upgrade};
use portway_http::{Exchange, Protocol, Reply};
use portway_net::relay::{End, Passed};
use portway_net::{Relay, Timer};
use portway_plan::RoutePlan;
use portway_telemetry::metrics::ActiveRequest;
use tokio::sync::Notify;

use crate::finish::{finish, note};
use crate::forward::Kept;
use crate::http::Handled;
use crate::relayed;
use crate::snapshot::{Door, WorkerSnapshot};
use crate::worker::Worker;

/// Drops a switch that the route does not allow: the request goes on as any other. Over HTTP/2 it is
/// nothing but that switch.
#[cold]
pub fn check(plan: &RoutePlan, exchange: &mut Exchange) -> Result<(), Box<Reply>> {
    let asked = exchange.upgrade.asked();
    let allowed = asked.is_some_and(|asked| plan.upgrades.iter().any(|name| asked.is(name)));
    if allowed {
        return Ok(());
    }
    exchange.upgrade = Upgrade::No;
    if exchange.protocol == Protocol::Http2 {
        let detail = format!("route {} allows no WebSocket", plan.name);
        return Err(Box::new(exchange.refuse(Code::NotImplemented, &detail)));
    }
    Ok(())
}

/// To a client of HTTP/2 any 2xx says that its tunnel is open (RFC 8441, section 5), which this one is not.
#[cold]
pub fn refuse_false(exchange: &mut Exchange, handled: &mut Handled<'_>) {
    if exchange.protocol == Protocol::Http2 {
        let (code, detail) = match &handled.lease {
            Some(_) => (
                Code::UpstreamBadReply,
                "the target did not switch to WebSocket",
            ),
            None => (Code::NotImplemented, "there is no WebSocket here"),
        };
        handled.reply = exchange.refuse(code, detail);
    }
}

/// A tunnel that is about to begin.
pub struct Tunnel {
    switched: Switched,
    idle: std::time::Duration,
    /// The snapshot that its exchange ran under: its route may have gone while the target was asked.
    generation: u64,
    active: ActiveRequest,
    about: About,
}

/// What is to be said of it at its end, by names that outlive a snapshot.
struct About {
    /// What the client was told.
    status: u16,
    kept: Option<Kept>,
    route: Option<Arc<str>>,
    upstream: Option<Arc<str>>,
}

/// After both closing frames, peers get so long to close their connections.
const CLOSING: std::time::Duration = std::time::Duration::from_secs(1);
/// After goodbye without a drain's deadline (its route is gone), peers get so long.
const GOODBYE: std::time::Duration = std::time::Duration::from_secs(10);

impl Tunnel {
    /// What a tunnel of this exchange needs, taken from the snapshot that the exchange ran under.
    #[must_use]
    pub fn new(
        snapshot: &WorkerSnapshot,
        exchange: &Exchange,
        switched: Switched,
        status: u16,
        kept: Option<Kept>,
        active: ActiveRequest,
    ) -> Tunnel {
        let shared = &snapshot.shared;
        let spec = exchange
            .notes
            .upstream
            .map(|id| &shared.upstreams[id.index()].upstream.spec);
        let route = exchange
            .route
            .map(|id| &shared.plan.routes[id.index()].name);
        Tunnel {
            switched,
            idle: spec.map_or(portway_core::limits::TUNNEL_IDLE_TIMEOUT, |s| {
                s.timeouts.tunnel
            }),
            generation: shared.generation,
            active,
            about: About {
                status,
                kept,
                route: route.map(Arc::clone),
                upstream: spec.map(|s| Arc::clone(&s.name)),
            },
        }
    }

    /// Passes bytes until one of the two is done, then finishes the exchange.
    pub async fn run(
        self,
        worker: &Worker,
        door: &Door,
        timer: &Timer,
        client: Line,
        exchange: &mut Exchange,
    ) {
        let leaving = Leaving::default();
        let mask = worker.random.borrow_mut().u32(..).to_be_bytes();
        let Tunnel {
            switched: Switched { to, target },
            idle,
            generation: mut seen,
            active,
            about,
        } = self;
        let mut client_side = Side::client(client, &to, &leaving);
        let mut target_side = Side::target(target, &to, &leaving, mask);
        let relay = Relay {
            pool: &worker.relays,
            timer,
            idle,
            early_up: Vec::new(),
            early_down: Vec::new(),
        };
        let mut total = Passed::default();
        let mut cut = Mono::NEVER;
        // A side says goodbye when it is polled next, for which nothing else need happen.
        let again = Notify::new();
        let leave = || {
            if leaving.ask() {
                again.notify_one();
            }
        };
        let watch = |new: Passed| {
            total.up += new.up;
            total.down += new.down;
            if seen != worker.generation() {
                seen = worker.generation();
                if !about.has_route(&worker.snapshot()) {
                    leave();
                    cut = cut.min(worker.wheel.now() + GOODBYE);
                }
            }
            if let Some(deadline) = relayed::ending(worker, door) {
                leave();
                cut = cut.min(deadline);
            }
            if leaving.is_over() {
                cut = Mono(0);
            } else if leaving.is_agreed() {
                // It is over but for the closing of connections, for which no peer is waited for long.
                cut = cut.min(worker.wheel.now() + CLOSING);
            }
            cut
        };
        let passing = relay.run(&mut client_side, &mut target_side, watch);
        let woken = async {
            loop {
                tokio::select! {
                    () = worker.refreshed.notified() => {}
                    () = again.notified() => {}
                }
            }
        };
        let end = tokio::select! {
            biased; // whoever is to be woken must wait already when the watch says so, the first time too
            end = woken => end,
            end = passing => end,
        };
        // Whoever was told that it ends may break off: browsers close without TLS's own goodbye, or reset
        // their stream. And at a drain's deadline a connection that others use too may break first.
        let end = match end {
            End::Client(_) if client_side.was_told() => End::Closed,
            End::Target(_) if target_side.was_told() => End::Closed,
            end if end.is_broken() && worker.wheel.now() >= cut => End::Cut,
            end => end,
        };
        let how = match end.is_broken() {
            true => Parting::Broken,
            false => Parting::InOrder,
        };
        client_side.part(how);
        target_side.part(how);
        exchange.notes.bytes_in = total.up;
        exchange.notes.bytes_out = total.down;
        if let Some(error) = problem(end, leaving.is_agreed()) {
            note(exchange, &error);
        }
        about.finish(worker, exchange);
        drop(active);
    }
}

impl About {
    fn has_route(&self, snapshot: &WorkerSnapshot) -> bool {
        self.find_route(snapshot).is_some() || self.route.is_none()
    }

    fn find_route(&self, snapshot: &WorkerSnapshot) -> Option<RouteId> {
        let name = self.route.as_ref()?;
        let mut routes = snapshot.shared.plan.routes.iter();
        let at = routes.position(|route| route.name == *name)?;
        u32::try_from(at).ok().map(RouteId)
    }

    /// Ids of the snapshot of then mean nothing now; names do, as long as they are there.
    fn finish(self, worker: &Worker, exchange: &mut Exchange) {
        let snapshot = worker.snapshot();
        exchange.route = self.find_route(&snapshot);
        exchange.notes.upstream = self.upstream.as_ref().and_then(|name| {
            let mut upstreams = snapshot.shared.upstreams.iter();
            let at = upstreams.position(|live| live.upstream.spec.name == *name)?;
            u32::try_from(at).ok().map(UpstreamId)
        });
        finish(worker, &snapshot, exchange, self.status, None);
        drop(self.kept);
    }
}

/// A tunnel that both peers agreed to end may be cut.
fn problem(end: End, agreed: bool) -> Option<ProxyError> {
    match end {
        End::Cut if agreed => None,
        end => relayed::problem(end),
    }
}
