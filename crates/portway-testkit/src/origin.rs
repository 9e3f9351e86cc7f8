//! A fake upstream that can misbehave at the byte level, and remembers what it was sent.
//!
//! Must hold: every byte that came is kept as it came (up to `RECORD_MAX` a connection, and the
//! last [`REQUESTS_MAX`] requests); its port stays its own while it is stopped; a panic of a handler
//! fails the test when the origin is dropped.
//! Never: is polite by itself. What is sent is what the handler sends.

mod conn;
pub mod replies;
mod seen;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

pub use conn::{OriginConn, RawRequest};
pub use seen::{REQUESTS_MAX, Seen};

use crate::ports::{self, Reserved};
use crate::wait::eventually;

/// What an origin does with a request.
pub type Handler = Arc<dyn Fn(&RawRequest, &mut OriginConn) + Send + Sync>;

/// A running (or stopped) fake upstream.
pub struct Origin {
    port: Reserved,
    shared: Arc<Shared>,
    running: Option<Running>,
}

struct Shared {
    handler: Mutex<Handler>,
    /// The handler reads the body itself.
    early: bool,
    seen: Mutex<Seen>,
    stopping: AtomicBool,
    /// Open connections by number, to be cut. Each is taken out by its own thread at its end: a
    /// copy left here would keep the socket open.
    open: Mutex<BTreeMap<u64, TcpStream>>,
}

struct Running {
    /// Gives the threads of its connections.
    accepting: JoinHandle<Vec<JoinHandle<()>>>,
}

impl Origin {
    /// Starts one that calls `handler` with each whole request. It says `100 Continue` by itself
    /// when asked to. After the handler the connection is kept, unless the handler ended it or the
    /// request said `close`.
    ///
    /// # Panics
    /// If it cannot listen.
    #[must_use]
    pub fn start(handler: impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static) -> Origin {
        Origin::run(Arc::new(handler), false)
    }

    /// Starts one that calls `handler` when the head is there; the body, if it is wanted, is read
    /// with [`OriginConn::read_body`].
    ///
    /// # Panics
    /// If it cannot listen.
    #[must_use]
    pub fn start_early(
        handler: impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static,
    ) -> Origin {
        Origin::run(Arc::new(handler), true)
    }

    fn run(handler: Handler, early: bool) -> Origin {
        let mut origin = Origin {
            port: ports::reserve(),
            shared: Arc::new(Shared {
                handler: Mutex::new(handler),
                early,
                seen: Mutex::default(),
                stopping: AtomicBool::new(false),
                open: Mutex::default(),
            }),
            running: None,
        };
        origin.restart();
        origin
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// Its address as a target of a config: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// Changes what it does with the next requests, on open connections too.
    pub fn set_handler(
        &self,
        handler: impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static,
    ) {
        *lock(&self.shared.handler) = Arc::new(handler);
    }

    /// What it has seen since it was made.
    #[must_use]
    pub fn seen(&self) -> Seen {
        lock(&self.shared.seen).clone()
    }

    /// The requests it has seen, in the order in which they were complete (their heads, if early).
    #[must_use]
    pub fn requests(&self) -> Vec<RawRequest> {
        let seen = lock(&self.shared.seen);
        seen.requests.iter().cloned().collect()
    }

    /// How many requests it has seen.
    #[must_use]
    pub fn request_count(&self) -> u64 {
        lock(&self.shared.seen).request_count
    }

    /// How many connections it has accepted.
    #[must_use]
    pub fn connection_count(&self) -> u64 {
        lock(&self.shared.seen).connection_count
    }

    /// The last request.
    ///
    /// # Panics
    /// If there was none.
    #[must_use]
    #[track_caller]
    pub fn last_request(&self) -> RawRequest {
        self.requests().pop().expect("the origin got a request")
    }

    /// Forgets requests, the bytes of connections and counts, but not which connections are open.
    pub fn forget(&self) {
        lock(&self.shared.seen).forget();
    }

    /// Waits until what it has seen is as told.
    ///
    /// # Panics
    /// After 5 s.
    #[track_caller]
    pub fn wait(&self, what: &str, is_so: impl Fn(&Seen) -> bool) {
        eventually(what, || is_so(&lock(&self.shared.seen)));
    }

    /// Stops listening and cuts every connection; the port refuses connections from now on.
    pub fn stop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        self.shared.stopping.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.addr()); // wakes `accept`
        let threads = running.accepting.join().unwrap_or_default();
        for stream in lock(&self.shared.open).values() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        for thread in threads {
            // A panic was counted by `ClosedOnDrop`.
            let _ = thread.join();
        }
    }

    /// Listens on the same port again. A running one is stopped first.
    ///
    /// # Panics
    /// If it cannot listen.
    pub fn restart(&mut self) {
        self.stop();
        self.shared.stopping.store(false, Ordering::Release);
        let listener = self.port.listen().expect("the port is reserved");
        let shared = Arc::clone(&self.shared);
        let accepting = std::thread::spawn(move || accept(&listener, &shared));
        self.running = Some(Running { accepting });
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop();
        let panics = lock(&self.shared.seen).panics;
        if panics > 0 && !std::thread::panicking() {
            panic!("{panics} of the origin's handlers panicked");
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) -> Vec<JoinHandle<()>> {
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    loop {
        let accepted = listener.accept();
        if shared.stopping.load(Ordering::Acquire) {
            return threads;
        }
        let Ok((stream, peer)) = accepted else {
            continue;
        };
        let Ok(to_cut) = stream.try_clone() else {
            continue;
        };
        let (number, bytes) = lock(&shared.seen).accepted(peer);
        lock(&shared.open).insert(number, to_cut);
        let closed = ClosedOnDrop(Arc::clone(shared), number);
        let thread = std::thread::Builder::new()
            .name(format!("origin-{number}"))
            .stack_size(512 * 1024)
            .spawn(move || conn::serve(stream, number, bytes, &closed.0));
        threads.retain(|thread| !thread.is_finished());
        threads.extend(thread);
    }
}

/// Counts a connection as closed once it is.
struct ClosedOnDrop(Arc<Shared>, u64);

impl Drop for ClosedOnDrop {
    fn drop(&mut self) {
        lock(&self.0.open).remove(&self.1);
        lock(&self.0.seen).closed(std::thread::panicking());
    }
}

/// A handler that panicked has done so outside these locks, or its test has failed already.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
