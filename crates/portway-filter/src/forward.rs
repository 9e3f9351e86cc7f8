//! Policy for the forward step: plain data that the `retry` and `circuit_breaker` filters compile to
//! and that portway-upstream acts on.

use std::time::Duration;

use portway_core::GrpcStatuses;

/// When a try counts as failed and another is due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryOn {
    /// Reply statuses, sorted.
    pub statuses: Vec<u16>,
    /// The connection could not be made.
    pub connect_failure: bool,
    /// The connection broke before the reply's head was complete.
    pub reset: bool,
    /// No reply head in time.
    pub timeout: bool,
    /// gRPC calls that ended with one of these before any message came.
    pub grpc: GrpcStatuses,
}

/// How often and when a request is tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Tries after the first.
    pub retries_max: u8,
    /// What is worth another try.
    pub on: RetryOn,
    /// Retries may be at most this share (0.0 to 1.0) of the requests in progress and recent ones;
    /// `None` for no budget.
    pub budget: Option<f64>,
    /// For each try, from its start to the reply's head; `None` leaves only the whole limit.
    pub per_try_timeout: Option<Duration>,
    /// The first pause; each next one doubles, with full jitter. Zero: at once.
    pub backoff_base: Duration,
    /// The longest pause.
    pub backoff_max: Duration,
    /// Also retry methods that are not idempotent (RFC 9110, 9.2.2) on failures after sending.
    pub non_idempotent: bool,
}

/// When a circuit opens and how it closes again.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerPolicy {
    /// Consecutive failures that open it; 0 for none.
    pub failure_threshold: u32,
    /// Share of failures (0.0 to 1.0) in the window that opens it.
    pub failure_rate: Option<f64>,
    /// Below so many requests in the window the rate says nothing.
    pub minimum_requests: u32,
    /// The window of the rate.
    pub window: Duration,
    /// How long it stays open before it lets probes through.
    pub open_for: Duration,
    /// Probes let through when half open; that many successes close it.
    pub half_open_requests: u32,
}
