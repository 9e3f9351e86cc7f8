//! Who is fit to be picked: active checks ask, passive ones watch the exchanges.
//!
//! Must hold: a verdict is one atomic flag on the target; every worker sees it at its next pick.

pub(crate) mod active;
pub mod outlier;
mod probe;
