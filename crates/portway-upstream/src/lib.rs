//! Upstreams: named groups of targets with balancing, health, breaker and connection pool, and the
//! attempt that sends one exchange to one of them.
//!
//! Must hold: what all workers must agree on (health, breaker, limits, load) is in padded atomics of
//! the shared [`Upstream`]; the rest (balancer state, pool) belongs to one worker's [`WorkerUpstream`].
//! Never: reads a config, knows a route.

pub mod spec;
