//! Metrics: one shard per worker, summed when somebody asks.
//!
//! Must hold: counting one exchange takes no lock, allocates nothing and writes no cache line that
//! another worker writes. Numbers owned by others (health, breakers) are asked for at scrape time.
//! Never: takes a label value from a client; a request can name a method or a status, and both
//! lists are closed.

mod encode;
mod gather;
mod name;
mod process;
mod registry;
mod series;
mod shard;
mod tally;

pub use encode::Format;
pub use gather::Gather;
pub use name::{Kind, Metric};
pub use registry::{Namespace, Registry, ReloadResult, Subject};
pub use series::MethodLabel;
pub use shard::{
    ActiveRequest, ListenerHandle, Observation, OpenConnection, RouteHandle, Slots, UpstreamHandle,
    WorkerShard,
};

/// The `route` label of exchanges that found no route. Not a name a config can give.
pub const NO_ROUTE: &str = "-";

#[cfg(test)]
mod tests;
