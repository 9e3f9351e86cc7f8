//! Upstreams: named groups of targets with balancing, health, breaker and connection pool, and the
//! attempt that sends one exchange to one of them.
//!
//! Must hold: what all workers must agree on (health, breaker, limits, load) is in padded atomics of
//! the shared [`Upstream`]; the rest (balancer state, pool) belongs to one worker's [`WorkerUpstream`].
//! Never: reads a config, knows a route.

pub mod attempt;
pub mod background;
pub mod breaker;
pub mod connect;
pub mod either;
#[cfg(test)]
mod fixture;
mod guard;
pub mod health;
pub mod multiplex;
pub mod pool;
pub mod report;
pub mod retry;
pub mod spec;
pub mod target;
pub mod upstream;
pub mod worker;

pub use attempt::{Attempt, Tried};
pub use breaker::{Breaker, BreakerState, Permit};
pub use guard::leads_to;
pub use spec::UpstreamSpec;
pub use target::{Target, Unfit};
pub use upstream::{TargetSet, Upstream};
pub use worker::{Picked, WorkerUpstream};
