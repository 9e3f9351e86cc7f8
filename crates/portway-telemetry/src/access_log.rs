//! The access log: one record for each exchange, in the format and to the output the config names.
//!
//! Must hold: logging never makes a worker wait; a record that cannot be kept is counted. What a
//! client sent is escaped in every format, so that no request can write a second line or command a
//! terminal. Whole lines only.
//! Never: logs a header other than the few named fields, or a query.

mod escape;
mod json;
mod policy;
mod record;
mod sink;
mod template;
mod text;
mod value;
mod worker;
mod writer;

pub use policy::LogPolicy;
pub use record::AccessRecord;
pub use sink::{LogOutput, LogSinks, Sink};
pub use template::{Template, TemplateError};
pub use worker::{AccessLog, LogFormat, WorkerLog};

pub(crate) use sink::Batch;
pub(crate) use writer::Output;

#[cfg(test)]
mod tests;
