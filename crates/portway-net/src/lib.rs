//! (being built)
pub mod timer;
