//! Opening a connection to a target, within the upstream's limits.
//!
//! Must hold: what is counted is uncounted when the connection is closed, however it ends.

use std::sync::Arc;

use portway_core::{Code, ProxyError};
use portway_http::h1::{Conn, Io, Role};
use portway_net::timer::with_deadline;
use tokio::net::TcpStream;

use crate::attempt::Attempt;
use crate::upstream::{Counter, Upstream};

/// Opens a connection for a try.
pub async fn connect(attempt: &Attempt<'_>) -> Result<Conn, ProxyError> {
    let upstream = attempt.upstream;
    let spec = &upstream.spec;
    let open = Held::begin(
        upstream,
        |u| &u.usage.connections,
        spec.limits.connections_max,
    )
    .ok_or_else(|| full(upstream, "max_connections"))?;
    let _pending = Held::begin(upstream, |u| &u.usage.pending, spec.limits.pending_max)
        .ok_or_else(|| full(upstream, "max_pending"))?;
    let target = attempt.picked.target();
    let now = attempt.timer.wheel().clock().now();
    let deadline = (now + spec.timeouts.connect).min(attempt.deadline);
    let connecting = TcpStream::connect(target.addr);
    let stream = match with_deadline(attempt.timer, deadline, connecting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            let detail = format!("{} of upstream {}", target.label, spec.name);
            return Err(ProxyError::new(Code::ConnectFailure, detail).with_source(error));
        }
        Err(_) => {
            let detail = format!(
                "{} of upstream {}: no connection in time",
                target.label, spec.name
            );
            return Err(ProxyError::new(Code::ConnectTimeout, detail));
        }
    };
    // Without it small writes wait for acknowledgements; failing to set it costs only time.
    let _ = stream.set_nodelay(true);
    let conn = Conn::new(Io::Tcp(stream), Role::Target, attempt.buffers);
    conn.hold(Box::new(open));
    Ok(conn)
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
