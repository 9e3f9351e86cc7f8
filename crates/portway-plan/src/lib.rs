//! From a document to a plan: pure, and with all problems at once.
//!
//! Must hold: same document, same plan; nothing outside is touched.

pub mod plan;

pub use plan::*;
