//! A connection whose bytes pass as they are: let in, told where to go, joined with a target, counted.
//!
//! Must hold: nothing of the client's is answered or changed; the target gets every byte that was looked
//! at; each connection is recorded once, whatever happened; a connection lives as long as its listener
//! and holds no snapshot while it lasts.

mod record;
mod target;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderMap, Method};
use portway_core::{Code, ListenerId, Mono, ProxyError, UpstreamId};
use portway_filter::Flow;
use portway_net::relay::Passed;
use portway_net::{Relay, Timer, with_deadline};
use portway_plan::{Action, Serves};
use portway_route::{Found, Lookup, Params};
use portway_telemetry::metrics::ListenerHandle;
use portway_tls::peek::Peek;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::relayed;
use crate::snapshot::{Door, WorkerSnapshot};
use crate::worker::Worker;
use record::Record;

/// Both ends of a client's connection, as far as trusted proxies tell.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// The client.
    pub client: SocketAddr,
    /// The address it connected to, if a proxy in front told.
    pub destination: Option<SocketAddr>,
}

struct Session<'a> {
    worker: &'a Rc<Worker>,
    door: &'a Arc<Door>,
    counter: &'a ListenerHandle,
    timer: Timer,
    ends: Ends,
}

/// What was read of a connection before it was known where it goes, and where that is.
struct Opening {
    upstream: UpstreamId,
    early: Vec<u8>,
}

/// Serves a client connection to its end.
pub async fn serve(
    worker: Rc<Worker>,
    door: Arc<Door>,
    counter: ListenerHandle,
    mut stream: TcpStream,
    ends: Ends,
) {
    let session = Session {
        timer: worker.wheel.timer(),
        worker: &worker,
        door: &door,
        counter: &counter,
        ends,
    };
    let mut record = Record::new(&worker, ends.client.ip());
    let served = session.serve(&mut stream, &mut record).await;
    if let Err(error) = &served {
        session.tell(error);
    }
    record.finish(&worker, &door, &counter, served.err());
}

impl Session<'_> {
    async fn serve(&self, stream: &mut TcpStream, record: &mut Record) -> Result<(), ProxyError> {
        let (mut joined, early) = {
            let gone = || ProxyError::new(Code::Drained, "the listener is gone");
            let (snapshot, id) = self.worker.snapshot_of(self.door).ok_or_else(gone)?;
            self.pass_filters(&snapshot, id).await?;
            let opening = self.open(&snapshot, id, stream, record).await?;
            let upstream = snapshot.upstream(self.worker, opening.upstream);
            let destination = self.ends.destination.or(stream.local_addr().ok());
            let ends = (self.ends.client, destination.unwrap_or(self.door.addr));
            let joined = target::join(self.worker, upstream, &self.timer, ends, record).await?;
            (joined, opening.early)
            // The snapshot is let go of here: a tunnel may last for days.
        };
        let mut early_up = std::mem::take(&mut joined.header);
        early_up.extend_from_slice(&early);
        let relay = Relay {
            pool: &self.worker.relays,
            timer: &self.timer,
            idle: joined.idle,
            early_up,
            early_down: Vec::new(),
        };
        let watch = |new: Passed| {
            record.passed(new);
            self.counter.passed(new.up, new.down);
            relayed::ending(self.worker, self.door).unwrap_or(Mono::NEVER)
        };
        let end = relay.run(stream, &mut joined.stream, watch).await;
        if end.is_broken() {
            // What was passed on so far must not pass for all there was.
            let _ = (stream.set_zero_linger(), joined.stream.set_zero_linger());
        }
        relayed::problem(end).map_or(Ok(()), Err)
    }

    /// The listener's own filters look at the client's address, in the form that they know it in.
    async fn pass_filters(
        &self,
        snapshot: &WorkerSnapshot,
        id: ListenerId,
    ) -> Result<(), ProxyError> {
        let filters = &snapshot.shared.gates[id.index()];
        if filters.entries().is_empty() {
            return Ok(());
        }
        let mut exchange = self.worker.take_exchange();
        exchange.client.peer = self.ends.client;
        exchange.client.ip = self.ends.client.ip();
        exchange.client.listener = id;
        exchange.started = self.worker.wheel.clock().now();
        let flow = filters.on_request(&mut exchange).await;
        let code = exchange.notes.code.unwrap_or(Code::Forbidden);
        self.worker.give_exchange(exchange);
        match flow {
            Flow::Continue => Ok(()),
            Flow::Stop(_) => Err(ProxyError::new(code, "a filter of the listener")),
        }
    }

    async fn open(
        &self,
        snapshot: &WorkerSnapshot,
        id: ListenerId,
        stream: &mut TcpStream,
        record: &mut Record,
    ) -> Result<Opening, ProxyError> {
        let listener = &snapshot.shared.plan.listeners[id.index()];
        let default = match listener.serves {
            Serves::Tls(default) => default,
            Serves::Tcp(upstream) => {
                return Ok(Opening {
                    upstream,
                    early: Vec::new(),
                });
            }
            Serves::Http => {
                return Err(ProxyError::new(Code::Internal, "the listener speaks HTTP"));
            }
        };
        record.protocol = "TLS";
        let deadline = self.worker.wheel.clock().now() + listener.timeouts.header;
        let mut early = Vec::new();
        let name = self.server_name(stream, deadline, &mut early).await?;
        let name = name.unwrap_or_default();
        let found = find_route(snapshot, id, &name);
        record.host = name;
        let upstream = match found {
            Some((route, upstream)) => {
                record.route = Some(route);
                Some(upstream)
            }
            None => default,
        };
        let upstream = upstream.ok_or_else(|| {
            let detail = format!("no route takes the server name `{}`", record.host);
            ProxyError::new(Code::NoRoute, detail)
        })?;
        Ok(Opening { upstream, early })
    }

    /// The name in the ClientHello; what was read goes to `early`.
    async fn server_name(
        &self,
        stream: &mut TcpStream,
        deadline: Mono,
        early: &mut Vec<u8>,
    ) -> Result<Option<String>, ProxyError> {
        let reading = async {
            let mut peek = Peek::default();
            loop {
                let had = early.len();
                early.reserve(HELLO_BYTES);
                match stream.read_buf(early).await {
                    Ok(1..) => {}
                    _ => return Err(gone_before("its ClientHello")),
                }
                match peek.feed(&early[had..]) {
                    Ok(None) => {}
                    Ok(Some(hello)) => return Ok(hello.server_name),
                    Err(why) => {
                        return Err(ProxyError::new(Code::BadClientHello, why.to_string()));
                    }
                }
            }
        };
        let late = |_| {
            let detail = "the ClientHello did not arrive in time";
            ProxyError::new(Code::RequestTimeout, detail)
        };
        with_deadline(&self.timer, deadline, reading)
            .await
            .map_err(late)?
    }

    /// Says in the process's log what a client of a closed connection cannot be told, now and then.
    fn tell(&self, error: &ProxyError) {
        let ours = matches!(
            error.kind,
            Code::NoHealthyTarget
                | Code::ConnectFailure
                | Code::ConnectTimeout
                | Code::CircuitOpen
                | Code::UpstreamOverloaded
        );
        if ours && self.door.may_warn(self.worker.wheel.now()) {
            tracing::warn!(listener = %self.door.name, %error, "connection closed: no target for it");
        }
    }
}

/// Room for one read of a ClientHello.
const HELLO_BYTES: usize = 4 * 1024;

fn gone_before(what: &str) -> ProxyError {
    ProxyError::new(Code::ClientGone, format!("the client closed before {what}"))
}

/// The route and upstream that a server name leads to.
fn find_route(
    snapshot: &WorkerSnapshot,
    listener: ListenerId,
    name: &str,
) -> Option<(Arc<str>, UpstreamId)> {
    let plan = &snapshot.shared.plan;
    let lookup = Lookup {
        listener,
        host: name,
        path: "/",
        query: None,
        method: &Method::GET,
        headers: &HeaderMap::new(),
    };
    let Found::Route(id) = plan.table.find(&lookup, &mut Params::new()) else {
        return None;
    };
    let route = &plan.routes[id.index()];
    match route.action {
        Action::Upstream(upstream) => Some((Arc::clone(&route.name), upstream)),
        _ => None, // refused when the config was compiled
    }
}
