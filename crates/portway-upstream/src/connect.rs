//! Opening a connection to a target, within the upstream's limits.
//!
//! Must hold: what is counted is uncounted when the connection is closed, however it ends; an idle
//! connection, whichever worker's and to whichever target, gives way to an exchange that needs one.

use std::sync::Arc;

use portway_core::{Code, HandshakeFailure, Mono, ProxyError, limits};
use portway_http::h1::{Conn, Io, Role};
use portway_net::timer::with_deadline;
use portway_tls::{Alpn, Connector, HandshakeError, Stream};
use tokio::net::TcpStream;

use crate::attempt::Attempt;
use crate::upstream::{Counter, Upstream};

/// Opens an HTTP/1 connection for a try. With TLS, `alpn` is offered in place of what the upstream speaks.
pub async fn connect(attempt: &Attempt<'_>, alpn: Option<Alpn>) -> Result<Conn, ProxyError> {
    let _pending = begin_pending(attempt.upstream)?;
    let deadline = connect_deadline(attempt);
    let open = match begin_connection(attempt) {
        Some(open) => open,
        None => wait_for_room(attempt, deadline).await?,
    };
    let io = open_stream(attempt, deadline, alpn).await?;
    let conn = Conn::new(io, Role::Target, attempt.buffers);
    conn.hold(Box::new(open));
    Ok(conn)
}

/// Opens a connection whose bytes are a client's own: without TLS of the gateway's. It counts as open while
/// the second part lives.
///
/// # Errors
/// If a limit of the upstream is reached, or the target cannot be reached in time.
pub async fn open(attempt: &Attempt<'_>) -> Result<(TcpStream, Held), ProxyError> {
    let _pending = begin_pending(attempt.upstream)?;
    let deadline = connect_deadline(attempt);
    let open = match begin_connection(attempt) {
        Some(open) => open,
        None => wait_for_room(attempt, deadline).await?,
    };
    Ok((open_tcp(attempt, deadline).await?, open))
}

/// Opens a connection to the target, with TLS if the upstream has it.
pub(crate) async fn open_stream(
    attempt: &Attempt<'_>,
    deadline: Mono,
    alpn: Option<Alpn>,
) -> Result<Io, ProxyError> {
    let stream = open_tcp(attempt, deadline).await?;
    match attempt.upstream.connector() {
        None => Ok(Io::Tcp(stream)),
        Some(connector) => secure(attempt, &connector, stream, deadline, alpn)
            .await
            .map(Io::Tls),
    }
}

async fn open_tcp(attempt: &Attempt<'_>, deadline: Mono) -> Result<TcpStream, ProxyError> {
    let spec = &attempt.upstream.spec;
    let target = attempt.picked.target();
    let connecting = TcpStream::connect(target.addr);
    let stream = match with_deadline(attempt.timer, deadline, connecting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            let detail = format!("{} of upstream {}", target.label, spec.name);
            return Err(ProxyError::new(Code::ConnectFailure, detail).with_source(error));
        }
        Err(_) => return Err(no_connection_in_time(attempt)),
    };
    // On one host, TCP's simultaneous open (RFC 9293, section 3.5) connects a socket to itself when the
    // port that nobody listens on happens to be the one it was given.
    if stream.local_addr().is_ok_and(|own| own == target.addr) {
        let detail = format!("{} of upstream {}: refused", target.label, spec.name);
        return Err(ProxyError::new(Code::ConnectFailure, detail));
    }
    // Untuned it is slower, and notices later that its peer has died; it works all the same.
    let _ = portway_net::listen::tune(&stream);
    Ok(stream)
}

/// A connection that is wanted now must be open by then.
pub(crate) fn connect_deadline(attempt: &Attempt<'_>) -> Mono {
    let now = attempt.timer.wheel().clock().now();
    (now + attempt.upstream.spec.timeouts.connect).min(attempt.deadline)
}

pub(crate) fn no_connection_in_time(attempt: &Attempt<'_>) -> ProxyError {
    let label = &attempt.picked.target().label;
    let name = &attempt.upstream.spec.name;
    let detail = format!("{label} of upstream {name}: no connection in time");
    ProxyError::new(Code::ConnectTimeout, detail)
}

/// Counts one more exchange that waits for a connection.
pub(crate) fn begin_pending(upstream: &Arc<Upstream>) -> Result<Held, ProxyError> {
    let max = upstream.spec.limits.pending_max;
    Held::begin(upstream, |u| &u.usage.pending, max).ok_or_else(|| full(upstream, "max_pending"))
}

/// Counts one more connection, if need be in place of an idle one of this worker.
pub(crate) fn begin_connection(attempt: &Attempt<'_>) -> Option<Held> {
    let max = attempt.upstream.spec.limits.connections_max;
    loop {
        let begun = Held::begin(attempt.upstream, |u| &u.usage.connections, max);
        if begun.is_some() || !attempt.part.evict() {
            return begun;
        }
    }
}

/// Waits until another worker has given up an idle connection; fails once there is none.
#[cold]
pub(crate) async fn wait_for_room(
    attempt: &Attempt<'_>,
    deadline: Mono,
) -> Result<Held, ProxyError> {
    let usage = &attempt.upstream.usage;
    let _wanted = Held::begin(attempt.upstream, |u| &u.usage.wanted, 0);
    loop {
        if let Some(open) = begin_connection(attempt) {
            return Ok(open);
        }
        let now = attempt.timer.wheel().clock().now();
        if usage.idle.now() == 0 || now >= deadline {
            return Err(full(attempt.upstream, "max_connections"));
        }
        attempt
            .timer
            .sleep((now + limits::TIMER_TICK).min(deadline))
            .await;
    }
}

/// The handshake; boxed, so that plain connections do not carry its state.
async fn secure(
    attempt: &Attempt<'_>,
    connector: &Connector,
    stream: TcpStream,
    deadline: Mono,
    alpn: Option<Alpn>,
) -> Result<Box<Stream>, ProxyError> {
    let target = attempt.picked.target();
    let shaking = Box::pin(connector.connect_by(stream, target.tls_name(), alpn));
    let error = match with_deadline(attempt.timer, deadline, shaking).await {
        Ok(Ok(stream)) => return Ok(Box::new(stream)),
        Ok(Err(error)) => error,
        Err(_) => HandshakeError::timed_out(),
    };
    let code = match error.reason {
        HandshakeFailure::TimedOut => Code::ConnectTimeout,
        HandshakeFailure::BadCertificate | HandshakeFailure::BadName => Code::UpstreamCertificate,
        _ => Code::UpstreamTls,
    };
    let name = &attempt.upstream.spec.name;
    let detail = format!("{} of upstream {name}: {error}", target.label);
    Err(ProxyError::new(code, detail))
}

fn full(upstream: &Upstream, limit: &str) -> ProxyError {
    ProxyError::new(
        Code::UpstreamOverloaded,
        format!("{limit} of upstream {} is reached", upstream.spec.name),
    )
}

/// One unit of an upstream's usage, counted while it is held.
pub struct Held {
    upstream: Arc<Upstream>,
    counter: fn(&Upstream) -> &Counter,
}

impl Held {
    /// Counts one more, unless that is over `max` (0: no limit).
    #[must_use]
    pub fn begin(
        upstream: &Arc<Upstream>,
        counter: fn(&Upstream) -> &Counter,
        max: u32,
    ) -> Option<Held> {
        counter(upstream).try_begin(max).then(|| Held {
            upstream: Arc::clone(upstream),
            counter,
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        (self.counter)(&self.upstream).end();
    }
}
