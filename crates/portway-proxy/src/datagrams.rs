//! The UDP sockets of a listener that speaks HTTP/3, on the address that it has over TCP.
//!
//! Must hold: they are opened all at once and with nobody else's beside them, since clients are spread over
//! all sockets of an address. So those of a predecessor process, or of a listener that drains, are waited
//! for; clients go on over TCP meanwhile, and are told of HTTP/3 when it is there. Never: handed to a successor, who knows none of the connections.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use portway_net::BindError;
use portway_net::listen::bind_datagrams;
use portway_plan::ListenerPlan;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::gateway::Shared;
use crate::snapshot::Door;
use crate::worker::Command;

/// How often it is tried to open sockets that somebody else has.
const TRY_EVERY: Duration = Duration::from_millis(100);
/// How long clients may believe that there is HTTP/3 here, in seconds: a day, as by default (RFC 7838,
/// section 3.1).
const BELIEVED_SECONDS: u32 = 86_400;

/// Sockets of a new listener.
pub(crate) enum Datagrams {
    /// It needs none.
    None,
    /// They are open.
    Open(Vec<UdpSocket>),
    /// They are to be opened on this address as soon as it is free.
    Later(SocketAddr, usize),
}

/// Whether somebody who has the address may be on the way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaver {
    None,
    Perhaps,
}

/// Opens a listener's sockets, one for each worker.
pub(crate) fn bind(
    plan: &ListenerPlan,
    addr: SocketAddr,
    workers: usize,
    leaver: Leaver,
) -> Result<Datagrams, BindError> {
    if !plan.versions.h3 {
        return Ok(Datagrams::None);
    }
    match bind_datagrams(addr, workers) {
        Ok(sockets) => Ok(Datagrams::Open(sockets)),
        // A stranger who has the port is told of at once, as over TCP.
        Err(error) if error.kind() == ErrorKind::AddrInUse && leaver == Leaver::Perhaps => {
            tracing::info!(listener = %plan.name, %addr, "HTTP/3 begins when its port is free");
            Ok(Datagrams::Later(addr, workers))
        }
        Err(error) => Err(error),
    }
}

/// What clients over TCP are told (RFC 7838, section 3).
pub(crate) fn alt_svc(plan: &ListenerPlan, door: &Door) -> Box<[u8]> {
    let port = match plan.h3_port {
        0 => door.addr.port(),
        port => port,
    };
    let value = format!("h3=\":{port}\"; ma={BELIEVED_SECONDS}");
    value.into_bytes().into()
}

impl Datagrams {
    /// Hands them to the workers.
    pub(crate) fn open(
        self,
        door: &Arc<Door>,
        workers: &[mpsc::Sender<Command>],
        shared: &Arc<Shared>,
        runtime: &Handle,
    ) {
        match self {
            Datagrams::None => {}
            Datagrams::Open(sockets) => hand_out(sockets, door, workers),
            Datagrams::Later(addr, count) => {
                let (door, workers) = (Arc::clone(door), workers.to_vec());
                let shared = Arc::clone(shared);
                runtime.spawn(async move {
                    tokio::select! {
                        () = door.drain.ending() => {}
                        () = shared.drain.ending() => {}
                        () = miss(&door, &shared) => {}
                        sockets = when_free(addr, count) => hand_out(sockets, &door, &workers),
                    }
                });
            }
        }
    }
}

/// Says so if the port is not free when everybody who was on the way out must have gone.
async fn miss(door: &Door, shared: &Shared) {
    let within = shared.current.load().plan.process.drain_timeout;
    tokio::time::sleep(within + TRY_EVERY * 10).await;
    tracing::warn!(
        listener = %door.name,
        addr = %door.addr,
        "there is no HTTP/3: somebody else has the UDP port, and it is tried again until it is free"
    );
    std::future::pending().await
}

/// Opens the sockets as soon as nobody else has the address.
async fn when_free(addr: SocketAddr, count: usize) -> Vec<UdpSocket> {
    loop {
        tokio::time::sleep(TRY_EVERY).await;
        if let Ok(sockets) = bind_datagrams(addr, count) {
            return sockets;
        }
    }
}

#[cfg(feature = "http3")]
fn hand_out(sockets: Vec<UdpSocket>, door: &Arc<Door>, workers: &[mpsc::Sender<Command>]) {
    door.is_open_over_udp
        .store(true, std::sync::atomic::Ordering::Relaxed);
    for (socket, worker) in sockets.into_iter().zip(workers) {
        let command = Command::ListenHttp3(Arc::clone(door), socket);
        if worker.try_send(command).is_err() {
            tracing::error!(listener = %door.name, "a worker did not take its UDP socket");
        }
    }
}

/// Without HTTP/3 no plan asks for it.
#[cfg(not(feature = "http3"))]
fn hand_out(_: Vec<UdpSocket>, _: &Arc<Door>, _: &[mpsc::Sender<Command>]) {}
