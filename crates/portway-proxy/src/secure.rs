//! The TLS handshake of an accepted connection.
//!
//! Must hold: it ends by the listener's header timeout; a failure is logged once, with the peer, the
//! listener and why, and never more often than a log can bear; who speaks plain HTTP to a TLS port is
//! told so in plain HTTP. Never: touches a connection that is open already when certificates change.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::ready;
use std::time::Duration;

use bytes::Bytes;
use portway_core::{HandshakeFailure, Mono};
use portway_http::h1::Io;
use portway_net::with_deadline;
use portway_telemetry::metrics::ListenerHandle;
use portway_tls::{Accepted, Acceptor, Alpn, HandshakeError};
use tokio::net::TcpStream;

use crate::http1;
use crate::http2;
use crate::snapshot::Door;
use crate::worker::Worker;

/// Failed handshakes that are logged in a second, per worker. A scanner must not fill the disk.
const LOGGED_PER_SECOND: u32 = 10;

/// What is sent to a client that speaks plain HTTP.
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n\
connection: close\r\ncontent-length: 114\r\n\r\n\
{\"type\":\"about:blank\",\"title\":\"This port speaks https\",\"status\":400,\"code\":\"bad_request\",\"detail\":\"use https://\"}\n";

/// Shakes hands, then serves what was agreed on.
pub async fn serve(
    worker: Rc<Worker>,
    door: Arc<Door>,
    counter: ListenerHandle,
    acceptor: Arc<Acceptor>,
    (tcp, peer): (TcpStream, SocketAddr),
) {
    // Without it the flights of the handshake wait for acknowledgements.
    let _ = tcp.set_nodelay(true);
    let timeout = {
        // Its listener may have left the config since it was accepted.
        let Some((snapshot, listener)) = worker.snapshot_of(&door) else {
            return;
        };
        snapshot.shared.plan.listeners[listener.index()]
            .timeouts
            .header
    };
    let timer = worker.wheel.timer();
    let deadline = worker.wheel.now() + timeout;
    let shaken = with_deadline(&timer, deadline, shake(&worker, &acceptor, tcp)).await;
    drop(timer);
    let stream = match shaken {
        Ok(Ok(Accepted::Client(stream))) => stream,
        Ok(Ok(Accepted::Check)) => return,
        Ok(Err((error, tcp))) => {
            counter.not_shaken(error.reason);
            tell(&worker, &door, peer, &error);
            if error.reason == HandshakeFailure::NotTls
                && let Some(tcp) = tcp
            {
                refuse_plain(&tcp);
            }
            return;
        }
        Err(_) => {
            counter.not_shaken(HandshakeFailure::TimedOut);
            return tell(&worker, &door, peer, &HandshakeError::timed_out());
        }
    };
    counter.shaken(stream.session().kind());
    drop(counter);
    match stream.session().alpn {
        Some(Alpn::H1 | Alpn::H3) | None => {
            http1::serve(worker, door, Io::Tls(Box::new(stream)), peer).await;
        }
        Some(Alpn::H2) => {
            let io = Io::Tls(Box::new(stream));
            Box::pin(http2::serve(worker, door, (io, Bytes::new()), peer)).await;
        }
    }
}

/// A look at the first octet tells a method from a record: after TLS has answered it is too late for
/// words that the client understands.
async fn shake(
    worker: &Worker,
    acceptor: &Acceptor,
    tcp: TcpStream,
) -> Result<Accepted, (HandshakeError, Option<TcpStream>)> {
    let mut first = [0];
    let peeked = tcp.peek(&mut first).await;
    if peeked.is_ok() && first[0].is_ascii_uppercase() {
        let error = HandshakeError::new(
            HandshakeFailure::NotTls,
            "plain HTTP was sent to a TLS port",
        );
        return Err((error, Some(tcp)));
    }
    let mut shaking = pin!(acceptor.accept(tcp));
    poll_fn(|cx| {
        ready!(worker.turns.poll(cx));
        shaking.as_mut().poll(cx)
    })
    .await
}

/// Best effort: no wait for a client that is in the wrong place.
fn refuse_plain(tcp: &TcpStream) {
    let mut request = [0; 4096];
    // What nobody has read would make the kernel reset the connection, and the answer with it.
    let _ = tcp.try_read(&mut request);
    let _ = tcp.try_write(PLAIN);
}

/// What a worker remembers of failed handshakes.
#[derive(Default)]
pub struct Failures {
    second: Cell<u64>,
    logged: Cell<u32>,
    silent: Cell<u64>,
}

impl Failures {
    /// Whether one more may be logged now; with the number of those that were not since the last.
    fn may_log(&self, now: Mono) -> Option<u64> {
        let second = now.nanos() / Duration::from_secs(1).as_nanos() as u64;
        if self.second.replace(second) != second {
            self.logged.set(0);
        }
        if self.logged.get() >= LOGGED_PER_SECOND {
            self.silent.set(self.silent.get() + 1);
            return None;
        }
        self.logged.set(self.logged.get() + 1);
        Some(self.silent.take())
    }
}

/// Logs a failure, if the log can bear one more.
pub(crate) fn tell(worker: &Worker, door: &Door, peer: SocketAddr, error: &HandshakeError) {
    let Some(silent) = worker.handshake_failures.may_log(worker.wheel.now()) else {
        return;
    };
    tracing::info!(
        listener = %door.name,
        %peer,
        reason = error.reason.as_str(),
        not_logged = silent,
        "TLS handshake failed: {error}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_failures_is_counted_not_logged() {
        let failures = Failures::default();
        let second = 5_000_000_000;
        let logged = (0..100).filter(|_| failures.may_log(Mono(second)).is_some());
        assert_eq!(logged.count(), 10);
        assert_eq!(failures.may_log(Mono(2 * second)), Some(90));
        assert_eq!(failures.may_log(Mono(2 * second)), Some(0));
    }

    #[test]
    fn the_answer_to_plain_http_is_as_long_as_it_says() {
        let text = std::str::from_utf8(PLAIN).unwrap();
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            text.contains(&format!("content-length: {}\r\n", body.len())),
            "{}",
            body.len()
        );
    }
}
