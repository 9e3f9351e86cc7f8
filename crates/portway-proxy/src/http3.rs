//! HTTP/3 on a listener's UDP sockets: handshakes are accepted, one task drives each connection, and one
//! task runs each of its streams' exchanges (`streams.rs`).
//!
//! Must hold: every wait has a deadline; a flood of handshakes costs its senders a round trip each; a
//! connection that ends in order lets its streams finish, which they have when the client has got all of
//! them, and one that floods is ended, counted and named.
//! A worker's socket stays open until no connection over UDP is left of its listener: with one socket less
//! the kernel would lead clients to other workers. Those over TCP are not waited for.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::net::{SocketAddr, UdpSocket};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use portway_core::{Code, Mono, limits};
use portway_http::Protocol;
use portway_http::h3::{Arrived, Confirmation, Connection, Endpoint, Greeted, Knock};
use portway_http::streams::Ended;
use portway_net::{Timer, with_deadline};
use portway_plan::ClientTimeouts;
use portway_telemetry::metrics::ListenerHandle;
use portway_tls::{HandshakeError, Session as Agreed};

use crate::accept::Counter;
use crate::secure::tell;
use crate::snapshot::Door;
use crate::streams::{self, Running, Session};
use crate::worker::Worker;

/// From the last exchange of a client that is to leave until it is told which was the last, and from there
/// until the connection is closed, at least: a few round trips, so that what it sent meanwhile is served,
/// and what it is told arrives.
const PART_AFTER: Duration = Duration::from_millis(100);
/// A socket that failed is left alone for this long.
const TAKE_UP_AFTER: Duration = Duration::from_secs(1);
/// The last words of connections are said within this time.
const CLOSE_WITHIN: Duration = Duration::from_millis(200);

/// Accepts on one socket of a listener until the listener or the process ends.
pub async fn listen(worker: Rc<Worker>, door: Arc<Door>, socket: UdpSocket) {
    let Some(mut endpoint) = endpoint_on(&socket, &door) else {
        return;
    };
    let mut counter = Counter::new(&worker, &door.name);
    let shaking = Rc::new(Cell::new(0));
    loop {
        let knock = tokio::select! {
            knock = endpoint.accept() => knock,
            () = door.drain.ending() => break,
            () = worker.shared.drain.ending() => break,
        };
        let Some(knock) = knock else {
            // It failed, and its connections with it. As long as `socket` is there, clients of other workers
            // stay with them.
            tracing::error!(listener = %door.name, "a UDP socket failed; it is taken up again");
            tokio::time::sleep(TAKE_UP_AFTER).await;
            match endpoint_on(&socket, &door) {
                Some(another) => endpoint = another,
                None => break,
            }
            continue;
        };
        counter.follow(&worker, &door);
        open(&worker, &door, &endpoint, &counter.handle, &shaking, knock);
    }
    endpoint.refuse_new();
    door.is_open_over_udp.store(false, Ordering::Relaxed);
    worker.wheel.wake_all(); // idle connections of this listener end now
    tokio::select! {
        () = door.over_udp.none_open() => {}
        () = door.drain.stopped() => {}
        () = worker.shared.drain.stopped() => {}
    }
    worker.wheel.wake_all();
    let timer = worker.wheel.timer();
    let within = |wait| worker.wheel.now() + wait;
    // Connections say why they end, and streams that they are cut.
    let cut = door.over_udp.none_open();
    let _ = with_deadline(&timer, within(CLOSE_WITHIN + CLOSE_WITHIN), cut).await;
    endpoint.close();
    // As long as the library has the socket, this has the listener: who wants the address waits for it.
    let _ = with_deadline(&timer, within(limits::H3_SILENCE_MAX), endpoint.idle()).await;
    drop((endpoint, socket));
    tokio::task::yield_now().await;
}

/// What accepts on a copy of the socket; `None` if HTTP/3 is not spoken, or if it cannot, which is logged.
fn endpoint_on(socket: &UdpSocket, door: &Door) -> Option<Rc<Endpoint>> {
    let acceptor = door.acceptor()?;
    let endpoint = socket
        .try_clone()
        .and_then(|copy| Endpoint::new(copy, &acceptor));
    match endpoint {
        Ok(endpoint) => endpoint.map(Rc::new),
        Err(error) => {
            tracing::error!(listener = %door.name, %error, "cannot accept HTTP/3");
            None
        }
    }
}

/// A handshake under way.
struct Shaking(Rc<Cell<usize>>);

impl Drop for Shaking {
    fn drop(&mut self) {
        self.0.update(|n| n - 1);
    }
}

/// What becomes of a client that asks for a connection.
fn open(
    worker: &Rc<Worker>,
    door: &Arc<Door>,
    endpoint: &Rc<Endpoint>,
    counter: &ListenerHandle,
    shaking: &Rc<Cell<usize>>,
    mut knock: Knock,
) {
    if shaking.get() >= limits::H3_UNPROVEN_HANDSHAKES_MAX {
        match knock.proven() {
            Some(proven) => knock = proven,
            None => return,
        }
    }
    let Some(open) = door.connections.open() else {
        counter.refused(Code::Overloaded);
        return knock.refuse(); // over max_connections
    };
    let open = (open, door.over_udp.open());
    shaking.update(|n| n + 1);
    let shaking = Shaking(Rc::clone(shaking));
    let counted = counter.connection_opened();
    let (worker, door) = (Rc::clone(worker), Arc::clone(door));
    let (endpoint, counter) = (Rc::clone(endpoint), counter.clone());
    tokio::task::spawn_local(async move {
        worker.quic_connections.update(|n| n + 1);
        let peer = knock.peer();
        match shake(&worker, &door, &endpoint, knock).await {
            Ok((greeted, agreed)) => {
                drop((shaking, endpoint));
                counter.shaken(agreed.kind());
                serve(Rc::clone(&worker), door, greeted, peer, agreed).await;
            }
            Err(Some(error)) => {
                counter.not_shaken(error.reason);
                tell(&worker, &door, peer, &error);
            }
            Err(None) => {}
        }
        worker.quic_connections.update(|n| n - 1);
        drop((open, counted));
    });
}

/// The handshake; no error if nobody is there any more to shake hands for.
async fn shake(
    worker: &Worker,
    door: &Door,
    endpoint: &Endpoint,
    knock: Knock,
) -> Result<(Greeted, Agreed), Option<HandshakeError>> {
    let acceptor = door.acceptor().ok_or(None)?;
    let timeout = {
        let (snapshot, listener) = worker.snapshot_of(door).ok_or(None)?;
        snapshot.shared.plan.listeners[listener.index()]
            .timeouts
            .header
    };
    poll_fn(|cx| worker.turns.poll(cx)).await;
    let greeting = endpoint.begin(knock, &acceptor)?;
    let timer = worker.wheel.timer();
    let deadline = worker.wheel.now() + timeout;
    match with_deadline(&timer, deadline, greeting.shake(&acceptor)).await {
        Ok(shaken) => Ok(shaken?),
        Err(_) => Err(Some(HandshakeError::timed_out())),
    }
}

/// Serves a client's connection to its end.
async fn serve(
    worker: Rc<Worker>,
    door: Arc<Door>,
    greeted: Greeted,
    peer: SocketAddr,
    agreed: Agreed,
) {
    let Some((snapshot, listener)) = worker.snapshot_of(&door) else {
        return;
    };
    let listener = &snapshot.shared.plan.listeners[listener.index()];
    let (head, timeouts) = (listener.head, listener.timeouts);
    drop(snapshot); // a long connection must not keep an old snapshot alive
    let timer = worker.wheel.timer();
    let opening = Connection::open(greeted, &worker.wheel, &head);
    let deadline = worker.wheel.now() + timeouts.header;
    let Ok(Ok(connection)) = with_deadline(&timer, deadline, opening).await else {
        return;
    };
    let session = Session::new(worker, door, peer, Some(Arc::new(agreed)));
    let mut driver = Driver {
        quiet_since: Some(session.worker.wheel.now()),
        session,
        connection,
        timer,
        timeouts,
        seen_request: false,
        cut_at: None,
    };
    let ended = poll_fn(|cx| driver.poll(cx)).await;
    driver.session.report(Protocol::Http3, &ended);
}

struct Driver {
    session: Rc<Session>,
    connection: Connection,
    timer: Timer,
    timeouts: ClientTimeouts,
    seen_request: bool,
    /// Since when no exchange runs, and the client has got all replies.
    quiet_since: Option<Mono>,
    /// When the drain's deadline was found to have passed.
    cut_at: Option<Mono>,
}

impl Driver {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            // A fresh connection may have been accepted on the promise to be served.
            if self.session.is_ending() && self.seen_request && !self.connection.is_leaving() {
                self.connection.leave();
                self.quiet_since = None;
            }
            if self.session.is_cut() && self.session.running() == 0 {
                return self.poll_cut(cx);
            }
            match self.connection.poll_next(cx) {
                Poll::Ready(Ok(arrived)) => {
                    self.start(arrived);
                    continue;
                }
                Poll::Ready(Err(ended)) => return Poll::Ready(ended),
                Poll::Pending => {}
            }
            let deadline = self.deadline();
            if self.timer.poll(cx, deadline).is_pending() {
                self.session.wake_when_none_runs(cx.waker());
                return Poll::Pending;
            }
            self.be_late();
        }
    }

    /// What ran has been cut; the client is told, if it can be.
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            let now = self.session.worker.wheel.now();
            let late = *self.cut_at.get_or_insert(now) + CLOSE_WITHIN;
            if self.connection.cut(now >= late) {
                return Poll::Ready(self.connection.verdict());
            }
            if self.timer.poll(cx, now + limits::TIMER_TICK).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn start(&mut self, arrived: Arrived) {
        self.seen_request = true;
        self.quiet_since = None;
        let Some(running) = self.session.run_another() else {
            return arrived.refuse();
        };
        tokio::task::spawn_local(request(running, arrived, self.timeouts));
    }

    /// Until when what is waited for now must have come.
    fn deadline(&mut self) -> Mono {
        if self.session.running() > 0 {
            self.quiet_since = None;
            return Mono::NEVER;
        }
        let now = self.session.worker.wheel.now();
        let wait = if self.connection.is_leaving() {
            self.connection.some_round_trips().max(PART_AFTER)
        } else if self.seen_request {
            self.timeouts.idle
        } else {
            self.timeouts.header
        };
        *self.quiet_since.get_or_insert(now) + wait
    }

    /// What was waited for has not come.
    fn be_late(&mut self) {
        self.quiet_since = None;
        if !self.connection.is_leaving() {
            self.connection.leave();
        } else if !self.connection.is_parting() {
            self.connection.part();
        } else {
            self.connection.abort();
        }
    }
}

/// Reads a request's head, runs its exchange, and waits until the client has got the reply.
async fn request(running: Running, arrived: Arrived, timeouts: ClientTimeouts) {
    let session = Rc::clone(&running.0);
    let confirmation = arrived.confirmation();
    let read = {
        let timer = session.worker.wheel.timer();
        let deadline = session.worker.wheel.now() + timeouts.header;
        let late = arrived.deadline();
        let mut reading = pin!(arrived.read());
        poll_fn(|cx| {
            if let Poll::Ready(read) = reading.as_mut().poll(cx) {
                return Poll::Ready(Some(read));
            }
            if session.is_cut() || timer.poll(cx, deadline).is_ready() {
                late.pass();
                return Poll::Ready(None);
            }
            Poll::Pending
        })
        .await
    };
    match read {
        Some(Ok(asked)) => {
            let running = streams::exchange(running, asked).await;
            confirmed(&running.0, &confirmation, timeouts.write).await;
        }
        Some(Err(error)) => tracing::debug!(
            listener = %session.door.name,
            peer = %session.peer,
            %error,
            "a request over HTTP/3 could not be read"
        ),
        None => {}
    }
}

/// Waits until the client has got the reply, or takes no more of it for `patience`, or the drain is over.
async fn confirmed(session: &Session, confirmation: &Confirmation, patience: Duration) {
    let wheel = &session.worker.wheel;
    let mut waiting = None;
    poll_fn(|cx| {
        loop {
            if confirmation.poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let (timer, deadline) = waiting.get_or_insert_with(|| {
                let _ = confirmation.has_got_on(); // from here
                (wheel.timer(), wheel.now() + patience)
            });
            let late = timer.poll(cx, *deadline).is_ready();
            if session.is_cut() || late && !confirmation.has_got_on() {
                confirmation.give_up();
                return Poll::Ready(());
            }
            if !late {
                return Poll::Pending;
            }
            *deadline = wheel.now() + patience;
        }
    })
    .await;
}
