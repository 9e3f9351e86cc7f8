//! Inputs shared by the micro benches and the programs of the harness.
//!
//! Must hold: the same number gives the same input, so that figures of two commits compare; and
//! look-ups go over many different keys, so that no figure comes from one warm cache line.
//! It never measures anything itself.

pub mod anyone;
pub mod balance;
pub mod documents;
pub mod filters;
pub mod routes;
pub mod serving;
