//! From a document to a plan: pure, and with all problems at once.
//!
//! Must hold: same document, same plan; nothing outside is touched. A plan has no error in it: what
//! could be wrong was found here, with its place in the file.

mod compile;
pub mod diff;
pub mod plan;

pub use compile::{compile, compile_with};
pub use diff::{Report, diff};
pub use plan::*;
