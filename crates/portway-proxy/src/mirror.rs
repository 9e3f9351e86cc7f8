//! A copy of a request for another upstream, whose reply nobody waits for.
//!
//! Must hold: the real exchange is neither delayed nor failed by its copy: the copy leaves after the real
//! reply's head came, from octets that were kept anyway; a body too large to keep is not mirrored; no more
//! than a bounded number are on their way.

use std::rc::Rc;

use portway_core::limits;
use portway_http::{Body, Downstream, Exchange, Unsent};
use portway_plan::{Mirror, RoutePlan};
use portway_upstream::Attempt;

use crate::snapshot::WorkerSnapshot;
use crate::worker::Worker;

/// The route's mirror, if this request is among those it copies.
#[must_use]
pub fn wanted<'p>(worker: &Worker, plan: &'p RoutePlan) -> Option<&'p Mirror> {
    let mirror = plan.mirror.as_ref()?;
    (worker.random.borrow_mut().f64() < mirror.share).then_some(mirror)
}

/// Sends the copy.
pub fn send(
    worker: &Rc<Worker>,
    snapshot: &Rc<WorkerSnapshot>,
    mirror: &Mirror,
    exchange: &Exchange,
    sent: Unsent,
) {
    let whole = matches!(&sent.rest, body if body.is_empty());
    if !whole || worker.mirrors.get() >= limits::MIRRORS_IN_FLIGHT_MAX {
        worker.shard.mirror_dropped();
        return;
    }
    let mut copy = Exchange::blank();
    copy.request = exchange.request.clone();
    copy.client = exchange.client.clone();
    copy.protocol = exchange.protocol;
    copy.target_path = exchange.target_path.clone();
    copy.target_host = exchange.target_host.clone();
    copy.request_id = exchange.request_id;
    copy.request_id_header = exchange.request_id_header.clone();
    copy.downstream = Downstream::Detached;
    let (worker, snapshot, id) = (Rc::clone(worker), Rc::clone(snapshot), mirror.upstream);
    worker.mirrors.set(worker.mirrors.get() + 1);
    tokio::task::spawn_local(async move {
        let upstream = snapshot.upstream(&worker, id);
        let now = worker.wheel.clock().now();
        let unsent = Unsent {
            replay: sent.replay,
            rest: Body::Empty,
        };
        if let Some(picked) = upstream.pick(None, None, &[], now) {
            let timer = worker.wheel.timer();
            let attempt = Attempt {
                upstream: &upstream.shared,
                part: upstream,
                picked: &picked,
                buffers: &worker.buffers,
                timer: &timer,
                deadline: now + limits::MIRROR_TIMEOUT,
                keep_bytes_max: 0,
            };
            if let Ok(mut reply) = attempt.run(&mut copy, unsent).await.outcome {
                // Read to its end, so that the connection can be used again.
                let reading = async { while let Some(Ok(_)) = reply.body.frame().await {} };
                let _ = portway_net::with_deadline(&timer, attempt.deadline, reading).await;
            }
        }
        worker.mirrors.set(worker.mirrors.get() - 1);
    });
}
