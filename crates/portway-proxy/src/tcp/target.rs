//! Joining a connection with a target: breaker around tries around balancing, as `forward` does for
//! exchanges.
//!
//! Must hold: a target that cannot be reached costs a try, not the connection, while there is another;
//! what is counted as under way is uncounted when the connection ends.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use portway_balance::{Outcome, PolicyKind, hash};
use portway_core::{Code, Mono, ProxyError, Retry};
use portway_net::Timer;
use portway_net::proxy_protocol::{self, Version};
use portway_upstream::connect::{Held, open};
use portway_upstream::spec::SendProxy;
use portway_upstream::{Attempt, WorkerUpstream};
use tokio::net::TcpStream;

use super::record::Record;
use crate::forward::Loaded;
use crate::worker::Worker;

/// So many times the upstream's connect timeout may be spent on all tries.
const CONNECT_TIMEOUTS_MAX: u32 = 3;

/// A target that was reached.
pub(super) struct Joined {
    pub(super) stream: TcpStream,
    /// What the target is to read first.
    pub(super) header: Vec<u8>,
    pub(super) idle: Duration,
    _load: Loaded,
    _held: (Option<Held>, Held),
}

/// Connects to a target of the upstream. `ends` are the client's address and the one it connected to.
pub(super) async fn join(
    worker: &Worker,
    upstream: &Rc<WorkerUpstream>,
    timer: &Timer,
    ends: (SocketAddr, SocketAddr),
    record: &mut Record,
) -> Result<Joined, ProxyError> {
    let shared = &upstream.shared;
    let spec = &shared.spec;
    record.upstream = Some(std::sync::Arc::clone(&spec.name));
    let clock = worker.wheel.clock();
    let permit = match &shared.breaker {
        Some(breaker) => Some(breaker.admit(worker.wheel.now()).map_err(|_| {
            let detail = format!("the breaker of {} is open", spec.name);
            ProxyError::new(Code::CircuitOpen, detail)
        })?),
        None => None,
    };
    let requests = match spec.limits.requests_max {
        0 => None,
        max => Some(
            Held::begin(shared, |u| &u.usage.requests, max).ok_or_else(|| {
                let detail = format!("max_requests of upstream {} is reached", spec.name);
                ProxyError::new(Code::UpstreamOverloaded, detail)
            })?,
        ),
    };
    let started = clock.now();
    let deadline = started + spec.timeouts.connect.saturating_mul(CONNECT_TIMEOUTS_MAX);
    let reached = try_targets(worker, upstream, timer, (ends.0, deadline), record).await;
    let now = clock.now();
    record.upstream_ns = u64::try_from(now.since(started).as_nanos()).unwrap_or(u64::MAX);
    // A limit of ours says nothing of the upstream.
    let judged = !matches!(&reached, Err(error) if error.kind == Code::UpstreamOverloaded);
    if let Some(permit) = permit.filter(|_| judged) {
        permit.record(reached.is_ok(), now);
    }
    let (stream, held, load) = reached?;
    let mut header = Vec::new();
    if let Some(version) = spec.proxy_protocol {
        let version = match version {
            SendProxy::V1 => Version::V1,
            SendProxy::V2 => Version::V2,
        };
        proxy_protocol::write(version, ends.0, ends.1, &mut header);
    }
    Ok(Joined {
        stream,
        header,
        idle: spec.timeouts.tunnel,
        _load: load,
        _held: (requests, held),
    })
}

/// Tries one target after the other, each once.
async fn try_targets(
    worker: &Worker,
    upstream: &Rc<WorkerUpstream>,
    timer: &Timer,
    (client, deadline): (SocketAddr, Mono),
    record: &mut Record,
) -> Result<(TcpStream, Held, Loaded), ProxyError> {
    let shared = &upstream.shared;
    let policy = shared.spec.balance.policy;
    let place =
        matches!(policy, PolicyKind::RingHash | PolicyKind::Maglev).then(|| match client.ip() {
            std::net::IpAddr::V4(ip) => hash(&ip.octets()),
            std::net::IpAddr::V6(ip) => hash(&ip.octets()),
        });
    let clock = worker.wheel.clock();
    let mut tried: Vec<u64> = Vec::new();
    let mut failed: Option<ProxyError> = None;
    loop {
        let now = clock.now();
        let picked = upstream.pick(place, None, &tried, now).filter(|picked| {
            !tried.contains(&picked.target().key) && (tried.is_empty() || now < deadline)
        });
        let Some(picked) = picked else {
            return Err(failed.unwrap_or_else(|| {
                let detail = format!("upstream {} has no healthy target", shared.spec.name);
                ProxyError::new(Code::NoHealthyTarget, detail)
            }));
        };
        record.target = Some(Rc::clone(picked.label()));
        record.tries += 1;
        let load = Loaded::begin(picked.clone());
        let attempt = Attempt {
            upstream: shared,
            part: upstream,
            picked: &picked,
            buffers: &worker.buffers,
            timer,
            deadline,
            keep_bytes_max: 0,
        };
        let opened = open(&attempt).await;
        let now_after = clock.now();
        match opened {
            Ok((stream, held)) => {
                let latency = now_after.since(now);
                upstream.done(&picked, Outcome { latency, ok: true }, now_after);
                shared.observe(picked.target(), true, now_after);
                return Ok((stream, held, load));
            }
            Err(error) if error.retry == Retry::Safe => {
                let latency = now_after.since(now);
                upstream.done(&picked, Outcome { latency, ok: false }, now_after);
                shared.observe(picked.target(), false, now_after);
                tried.push(picked.target().key);
                failed = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
}
