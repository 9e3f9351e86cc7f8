//! Accepting connections: the first hop.
//!
//! Must hold: a listener over its connection limit closes what is over it at once and counts it, and
//! keeps accepting; a listener that ends stops accepting before its connections are told, and what of
//! them is left at the deadline is cut.

use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;

use portway_core::Code;
use portway_http::h1::Io;
use portway_net::{Acceptor, DrainState};
use portway_plan::{ProxyHeader, Serves};
use portway_telemetry::metrics::ListenerHandle;
use tokio::net::TcpStream;

use crate::http1;
use crate::introduce::introduce;
use crate::secure;
use crate::snapshot::Door;
use crate::tcp::{self, Ends};
use crate::worker::Worker;

/// Accepts on one socket of a listener until the listener or the process ends.
pub async fn accept(worker: Rc<Worker>, door: Arc<Door>, socket: TcpListener) {
    let mut acceptor = match Acceptor::new(socket, &worker.wheel) {
        Ok(acceptor) => acceptor,
        Err(error) => {
            tracing::error!(listener = %door.name, %error, "cannot accept connections");
            return;
        }
    };
    let mut counter = Counter::new(&worker, &door.name);
    loop {
        let accepted = tokio::select! {
            accepted = acceptor.accept() => accepted,
            () = door.drain.ending() => break,
            () = worker.shared.drain.ending() => break,
        };
        serve(&worker, &door, &mut counter, accepted);
    }
    // What the kernel has already accepted for us is still ours to serve.
    while let Some(accepted) = acceptor.try_accept() {
        serve(&worker, &door, &mut counter, accepted);
    }
    drop(acceptor);
    worker.wheel.wake_all(); // idle connections of this listener end now
    // The process as a whole has its own deadline.
    if let DrainState::Draining { deadline } = door.drain.state() {
        worker.wheel.timer().sleep(deadline).await;
        let left = door.connections.count();
        if left > 0 && !door.drain.is_stopped() {
            tracing::warn!(listener = %door.name, connections = left, "cut at the end of the drain");
        }
        door.drain.stop();
        worker.wheel.wake_all();
    }
}

fn serve(
    worker: &Rc<Worker>,
    door: &Arc<Door>,
    counter: &mut Counter,
    (stream, peer): (TcpStream, SocketAddr),
) {
    let Some((serves, header)) = counter.follow(worker, door) else {
        return; // nothing says what the listener is for
    };
    let counter = &counter.handle;
    let Some(open) = door.connections.open() else {
        counter.refused(Code::Overloaded);
        return; // over max_connections: closing at once is the quickest answer
    };
    let counted = counter.connection_opened();
    let (worker, door) = (Rc::clone(worker), Arc::clone(door));
    if serves != Serves::Http || header.is_some() {
        let counter = counter.clone();
        tokio::task::spawn_local(async move {
            worker.connections.update(|n| n + 1);
            introduced(Rc::clone(&worker), door, counter, stream, peer, header).await;
            worker.connections.update(|n| n - 1);
            drop((open, counted));
        });
        return;
    }
    let Some(acceptor) = door.acceptor() else {
        tokio::task::spawn_local(async move {
            worker.connections.update(|n| n + 1);
            http1::serve(Rc::clone(&worker), door, Io::Tcp(stream), peer).await;
            worker.connections.update(|n| n - 1);
            drop((open, counted));
        });
        return;
    };
    let counter = counter.clone();
    tokio::task::spawn_local(async move {
        worker.connections.update(|n| n + 1);
        secure::serve(Rc::clone(&worker), door, counter, acceptor, (stream, peer)).await;
        worker.connections.update(|n| n - 1);
        drop((open, counted));
    });
}

/// A listener's counters, under the name that it has now: a reload may rename it while it stays open.
pub(crate) struct Counter {
    name: Arc<str>,
    pub(crate) handle: ListenerHandle,
}

impl Counter {
    pub(crate) fn new(worker: &Worker, name: &Arc<str>) -> Counter {
        Counter {
            name: Arc::clone(name),
            handle: worker.shard.listener(name), // it takes a lock: not for each connection
        }
    }

    /// Looks at the listener's name, and returns what it is for.
    pub(crate) fn follow(
        &mut self,
        worker: &Worker,
        door: &Door,
    ) -> Option<(Serves, Option<ProxyHeader>)> {
        let (snapshot, id) = worker.snapshot_of(door)?;
        let plan = &snapshot.shared.plan.listeners[id.index()];
        if plan.name != self.name {
            *self = Counter::new(worker, &plan.name);
        }
        Some((plan.serves, plan.proxy_header))
    }
}

/// What the listener is for, in the current snapshot.
fn kind(worker: &Worker, door: &Door) -> Option<Serves> {
    let (snapshot, id) = worker.snapshot_of(door)?;
    Some(snapshot.shared.plan.listeners[id.index()].serves)
}

/// A connection that may have to say first who it speaks for.
async fn introduced(
    worker: Rc<Worker>,
    door: Arc<Door>,
    counter: ListenerHandle,
    mut stream: TcpStream,
    peer: SocketAddr,
    header: Option<ProxyHeader>,
) {
    let mut ends = Ends {
        client: SocketAddr::new(peer.ip().to_canonical(), peer.port()),
        destination: None,
    };
    if let Some(header) = header {
        match introduce(&worker, &door, header, &mut stream, ends).await {
            Ok(told) => ends = told,
            Err(code) => return counter.refused(code),
        }
    }
    match kind(&worker, &door) {
        None => {}
        Some(Serves::Http) => match door.acceptor() {
            Some(acceptor) => {
                let client = (stream, ends.client);
                secure::serve(worker, door, counter, acceptor, client).await;
            }
            None => http1::serve(worker, door, Io::Tcp(stream), ends.client).await,
        },
        Some(Serves::Tcp(_) | Serves::Tls(_)) => {
            tcp::serve(worker, door, counter, stream, ends).await;
        }
    }
}
