//! What the command can be asked to do, one file each.

pub mod check;
pub mod convert;
pub mod demo;
pub mod explain;
pub mod run;
pub mod schema;
