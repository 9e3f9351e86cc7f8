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

/// Sends the copy, if what was `sent` of the body is still there as a whole.
pub fn send(
    worker: &Rc<Worker>,
    snapshot: &Rc<WorkerSnapshot>,
    mirror: &Mirror,
    exchange: &Exchange,
    sent: Option<Unsent>,
) {
    let whole = sent.filter(|sent| sent.rest.is_empty());
    let (Some(sent), Some(in_flight)) = (whole, InFlight::begin(worker)) else {
        worker.shard.mirror_dropped();
        return;
    };
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
    tokio::task::spawn_local(async move {
        let _in_flight = in_flight;
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
    });
}

/// One of a worker's mirrored requests, counted while it is held.
struct InFlight(Rc<Worker>);

impl InFlight {
    /// `None` if there are too many.
    fn begin(worker: &Rc<Worker>) -> Option<InFlight> {
        let count = worker.mirrors.get();
        (count < limits::MIRRORS_IN_FLIGHT_MAX).then(|| {
            worker.mirrors.set(count + 1);
            InFlight(Rc::clone(worker))
        })
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.mirrors.set(self.0.mirrors.get() - 1);
    }
}
