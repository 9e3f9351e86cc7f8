//! Sockets and what a worker needs around them: timers, listeners, hand-over to a successor, drain,
//! passing bytes between two of them.
//!
//! Must hold: this is the only crate in which `unsafe` is allowed, and every block says why it is
//! sound. Never: knows a protocol's bytes but the header in which a proxy tells of the client, or waits
//! without the caller's deadline.

pub mod drain;
pub mod handover;
pub mod listen;
pub mod proxy_protocol;
pub mod relay;
pub mod stream;
pub mod timer;

pub use drain::{Connections, Drain, DrainState, Lingering, Open};
pub use handover::{Inherited, Successor, spawn_successor};
pub use listen::{Acceptor, BindError, ListenOptions};
pub use relay::{Relay, RelayPool};
pub use timer::{Expired, Timer, Wheel, with_deadline};

/// How many workers `auto` means: the processors this process may use. Honours the affinity mask
/// and, rounded down, the CPU quota of its control group; at least one.
#[must_use]
pub fn worker_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
