//! What is said of a connection when it has ended: metrics and one line of the access log.
//!
//! Must hold: once per connection; names that a reload may take away are kept here, not looked up.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use portway_core::{Code, Mono, ProxyError};
use portway_net::relay::Passed;
use portway_telemetry::access_log::AccessRecord;
use portway_telemetry::metrics::ListenerHandle;

use crate::snapshot::Door;
use crate::worker::Worker;

/// What is known of a connection so far.
pub(super) struct Record {
    started: Mono,
    started_wall_ns: u64,
    client_ip: IpAddr,
    passed: Passed,
    /// As the log shows it.
    pub(super) protocol: &'static str,
    /// The server name of TLS; empty without.
    pub(super) host: String,
    pub(super) route: Option<Arc<str>>,
    pub(super) upstream: Option<Arc<str>>,
    pub(super) target: Option<Rc<str>>,
    pub(super) tries: u32,
    /// Until a target was reached, all tries.
    pub(super) upstream_ns: u64,
}

impl Record {
    pub(super) fn new(worker: &Worker, client_ip: IpAddr) -> Record {
        let started = worker.wheel.clock().now();
        Record {
            started,
            started_wall_ns: worker.wall_ns(started),
            client_ip: client_ip.to_canonical(),
            passed: Passed::default(),
            protocol: "TCP",
            host: String::new(),
            route: None,
            upstream: None,
            target: None,
            tries: 0,
            upstream_ns: 0,
        }
    }

    pub(super) fn passed(&mut self, new: Passed) {
        self.passed.up += new.up;
        self.passed.down += new.down;
    }

    /// Counts and logs the connection.
    pub(super) fn finish(
        self,
        worker: &Worker,
        door: &Door,
        counter: &ListenerHandle,
        error: Option<ProxyError>,
    ) {
        let now = worker.wheel.clock().now();
        let duration_ns = u64::try_from(now.since(self.started).as_nanos()).unwrap_or(u64::MAX);
        let code = error.as_ref().map(|error| error.kind);
        let retries = self.tries.saturating_sub(1);
        let snapshot = worker.snapshot();
        if snapshot.shared.plan.metrics.enabled {
            counter.ended(code, duration_ns);
            if let Some(upstream) = self.upstream.as_ref().filter(|_| retries > 0) {
                worker.shard.upstream(upstream).retried(u64::from(retries));
            }
        }
        let Some(log) = &snapshot.shared.log else {
            return;
        };
        let mut buffers = worker.log.borrow_mut();
        if !buffers.wants(log, duration_ns) {
            return;
        }
        let error = error.map(|error| error.to_string());
        let record = AccessRecord {
            time: Duration::from_nanos(self.started_wall_ns),
            method: "",
            host: self.host.as_bytes(),
            path: b"",
            protocol: self.protocol,
            status: code.map_or(200, Code::status),
            duration_ns,
            upstream_ns: self.upstream.as_ref().map(|_| self.upstream_ns),
            client_ip: Some(self.client_ip),
            route: Some(self.route.as_deref().unwrap_or(&door.name)),
            upstream: self.upstream.as_deref(),
            target: self.target.as_deref(),
            bytes_in: self.passed.up,
            bytes_out: self.passed.down,
            retries,
            code,
            error: error.as_deref(),
            ..AccessRecord::default()
        };
        buffers.write(log, &record);
    }
}
