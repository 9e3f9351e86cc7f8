//! Which target of an upstream takes the next exchange: one file per policy, listed in [`all`].
//!
//! Must hold: a pick takes no lock and never panics, and allocates nothing unless its view is a new
//! one; a target that is not usable is never picked; every worker owns its balancers, so state is
//! plain and only [`Load`] is shared.
//! Never: opens a socket, reads a clock, decides about health. The caller hands in what is usable,
//! what each target weighs now, and what the time is.

pub mod all;
pub mod balancer;
mod choose;
pub mod ewma;
pub mod least_connections;
pub mod load;
pub mod maglev;
pub mod p2c;
pub mod panic_threshold;
pub mod random;
pub mod ring_hash;
mod rng;
pub mod round_robin;
mod sampler;
pub mod slow_start;
pub mod weighted_round_robin;

pub use all::{NAMES, PolicyKind, build};
pub use balancer::{
    Balancer, Outcome, TargetInfo, View, WEIGHT_MAX, WEIGHT_SCALE, hash, target_key,
};
pub use load::{Load, SideBySide};
pub use panic_threshold::{Usable, usable};
pub use slow_start::slow_start_weight;
