//! What is done with every request that arrives, whatever its protocol.
//!
//! Must hold: who the client is comes from the socket, or from a trusted proxy's word; nothing here
//! waits or reads.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::ALT_SVC;
use portway_core::ListenerId;
use portway_http::hygiene::forwarded::client_ip;
use portway_http::hygiene::intake::Peer;
use portway_http::{Exchange, Protocol};
use portway_plan::ListenerPlan;
use portway_tls::Session;

use crate::snapshot::{Door, Snapshot};
use crate::worker::Worker;

/// Where a request comes from.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) door: &'a Door,
    pub(crate) id: ListenerId,
    pub(crate) listener: &'a ListenerPlan,
    pub(crate) peer: SocketAddr,
    pub(crate) tls: Option<&'a Arc<Session>>,
}

/// Begins an exchange: its time, its deadline, its client as far as the socket tells.
pub(crate) fn begin(worker: &Worker, exchange: &mut Exchange, from: Origin<'_>) {
    exchange.started = worker.wheel.clock().now();
    exchange.seen_at = exchange.started;
    exchange.started_wall_ns = worker.wall_ns(exchange.started);
    exchange.read_deadline = exchange.started + from.listener.timeouts.read;
    let client = &mut exchange.client;
    client.peer = from.peer;
    client.ip = from.peer.ip();
    client.trusted = from.listener.trusted.contains(from.peer.ip());
    client.listener = from.id;
    client.local_port = from.door.addr.port();
    client.secure = from.tls.is_some();
    client.tls = from.tls.map(Arc::clone);
    client.told = None; // of the client this exchange served before
}

/// Whether the client's word on who it is counts.
pub(crate) fn peer(exchange: &Exchange) -> Peer {
    if exchange.client.trusted {
        Peer::Trusted
    } else {
        Peer::Unknown
    }
}

/// Goes on when the head has been read: what the listener allows, and who a trusted proxy says it is.
pub(crate) fn accept_head(exchange: &mut Exchange, listener: &ListenerPlan) {
    exchange.body_bytes_max = listener.body_bytes_max;
    if exchange.client.trusted {
        let peer = exchange.client.peer.ip();
        exchange.client.ip = client_ip(&exchange.request.headers, peer, &listener.trusted);
    }
}

/// Tells a client of a listener with HTTP/3 about it (RFC 7838), unless it knows, or somebody else still has
/// the port, or the listener is on its way out.
#[inline]
pub(crate) fn announce(snapshot: &Snapshot, listener: &ListenerPlan, exchange: &mut Exchange) {
    if listener.versions.h3 && exchange.protocol != Protocol::Http3 {
        let at = exchange.client.listener.index();
        let door = &snapshot.listeners[at];
        if door.is_open_over_udp.load(Ordering::Relaxed) && !door.drain.is_ending() {
            exchange.own_fields.set(&ALT_SVC, &[&snapshot.alt_svc[at]]);
        }
    }
}
