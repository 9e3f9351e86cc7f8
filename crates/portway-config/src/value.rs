//! Value types of the config language: what `30s`, `64KiB`, `50%` or `200-299` mean.
//!
//! Must hold: a value that decoded is valid; each type shows itself in the form it is written in.

mod address;
mod duration;
mod percent;
mod secret;
mod size;
mod status;

pub use address::{Address, Bind, NoAddress, Scheme};
pub use percent::Percent;
pub use secret::{SECRET_MARK, Secret};
pub use size::Size;
pub use status::StatusRange;
