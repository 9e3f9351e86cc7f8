//! The end of every exchange: counted, logged, exactly once, whatever happened.
//!
//! Must hold: nothing here waits, allocates per exchange in the steady state, or can fail.

use std::time::Duration;

use portway_core::{Code, GrpcStatus, ProxyError};
use portway_http::Exchange;
use portway_telemetry::access_log::AccessRecord;
use portway_telemetry::metrics::{MethodLabel, Observation};

use crate::forward::Lease;
use crate::snapshot::WorkerSnapshot;
use crate::worker::Worker;

/// Routes that no plan names are counted under this name.
const NO_ROUTE: &str = "-";

/// Notes why an exchange broke after its reply had begun; an earlier reason stands.
pub fn note(exchange: &mut Exchange, error: &ProxyError) {
    if exchange.notes.code.is_none() {
        exchange.notes.code = Some(error.kind);
        exchange.notes.error = Some(error.to_string().into());
    }
}

/// Counts and logs an exchange, and ends its share of a target. `status` is what was sent, or 499 where
/// nothing could be.
pub fn finish(
    worker: &Worker,
    snapshot: &WorkerSnapshot,
    exchange: &Exchange,
    status: u16,
    lease: Option<Lease<'_>>,
) {
    let now = worker.wheel.clock().now();
    if let Some(lease) = lease {
        lease.end(exchange.notes.code, grpc_status(exchange), now);
    }
    let duration_ns = u64::try_from(now.since(exchange.started).as_nanos()).unwrap_or(u64::MAX);
    if snapshot.shared.plan.metrics.enabled {
        count(worker, snapshot, exchange, status, duration_ns);
    }
    log(worker, snapshot, exchange, status, duration_ns);
}

/// How a gRPC call ended; one that does not say it ended in an unknown way.
fn grpc_status(exchange: &Exchange) -> Option<GrpcStatus> {
    let ending = exchange.notes.grpc.as_ref()?;
    let by_gateway = exchange.notes.code.map(Code::grpc_status);
    ending
        .get()
        .or(by_gateway.and_then(GrpcStatus::from_code))
        .or(Some(GrpcStatus::UNKNOWN))
}

fn count(
    worker: &Worker,
    snapshot: &WorkerSnapshot,
    exchange: &Exchange,
    status: u16,
    duration_ns: u64,
) {
    let shared = &snapshot.shared;
    let notes = &exchange.notes;
    let (slot, name) = match exchange.route {
        Some(route) => (route.index(), &*shared.plan.routes[route.index()].name),
        None => (shared.routes.len(), NO_ROUTE),
    };
    if let Some(route) = snapshot
        .route_counters
        .find(slot, || worker.shard.route(name))
    {
        let seen = Observation {
            method: MethodLabel::of(&exchange.request.method),
            status,
            duration_ns,
            bytes_in: notes.bytes_in,
            bytes_out: notes.bytes_out,
        };
        worker.shard.observe(route, seen);
        if let Some(status) = grpc_status(exchange) {
            route.grpc_ended(status);
        }
        if let Some(code) = notes.code {
            route.error(code);
            if code == Code::RateLimited {
                route.rate_limit_hit();
            }
        }
    }
    let Some(id) = notes.upstream else { return };
    let name = &*shared.upstreams[id.index()].upstream.spec.name;
    if let Some(upstream) = snapshot
        .upstream_counters
        .find(id.index(), || worker.shard.upstream(name))
    {
        if let Some(ns) = notes.upstream_ns {
            upstream.observe(ns);
        }
        if notes.retries > 0 {
            upstream.retried(u64::from(notes.retries));
        }
    }
}

fn log(
    worker: &Worker,
    snapshot: &WorkerSnapshot,
    exchange: &Exchange,
    status: u16,
    duration_ns: u64,
) {
    let shared = &snapshot.shared;
    let of_route = exchange.route.map(|r| &shared.routes[r.index()]);
    let Some(log) = of_route.map_or(shared.log.as_ref(), |r| r.log.as_ref()) else {
        return;
    };
    let mut buffers = worker.log.borrow_mut();
    if !buffers.wants(log, duration_ns) {
        return;
    }
    let (request, notes) = (&exchange.request, &exchange.notes);
    let record = AccessRecord {
        time: Duration::from_nanos(exchange.started_wall_ns),
        method: request.method.as_str(),
        host: request.host.as_bytes(),
        path: request.path.as_bytes(),
        protocol: exchange.protocol.as_str(),
        status,
        duration_ns,
        upstream_ns: notes.upstream_ns,
        client_ip: Some(exchange.client.ip),
        route: exchange.route.map(|r| &*shared.plan.routes[r.index()].name),
        upstream: notes
            .upstream
            .map(|id| &*shared.upstreams[id.index()].upstream.spec.name),
        target: notes.target.as_deref(),
        request_id: (!exchange.request_id.is_none()).then(|| exchange.request_id.as_bytes()),
        trace_id: None,
        bytes_in: notes.bytes_in,
        bytes_out: notes.bytes_out,
        user_agent: request
            .headers
            .get(http::header::USER_AGENT)
            .map(|v| v.as_bytes()),
        retries: u32::from(notes.retries),
        grpc_status: grpc_status(exchange),
        code: notes.code,
        error: notes.error.as_deref(),
    };
    buffers.write(log, &record);
}
