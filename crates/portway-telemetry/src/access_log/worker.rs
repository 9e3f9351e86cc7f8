//! A worker's end of the access log: formats records into its own memory and hands full buffers
//! over.
//!
//! Must hold: nothing here waits. A buffer is handed over when it is full or when the worker's tick
//! calls `flush`, so a record is at most one tick late.

use super::policy::{Dice, LogPolicy};
use super::record::AccessRecord;
use super::sink::{Batch, Sink};
use super::template::Template;
use super::{json, text};
use crate::stamp::Stamp;
use portway_core::limits::ACCESS_LOG_BUFFER_BYTES;

/// How a record is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// One line for people.
    Text,
    /// The user's own line.
    Template(Template),
}

/// One configured log: what is logged, how, and where to. Belongs to a snapshot.
#[derive(Clone, Debug)]
pub struct AccessLog {
    format: LogFormat,
    policy: LogPolicy,
    sink: Sink,
}

impl AccessLog {
    /// A log.
    #[must_use]
    pub fn new(format: LogFormat, policy: LogPolicy, sink: Sink) -> AccessLog {
        AccessLog {
            format,
            policy,
            sink,
        }
    }
}

/// One worker's buffers, one per output it has written to lately.
#[derive(Debug)]
pub struct WorkerLog {
    pending: Vec<Pending>,
    stamp: Stamp,
    dice: Dice,
}

#[derive(Debug)]
struct Pending {
    sink: Sink,
    bytes: Vec<u8>,
    records: u64,
    /// Flushes in a row that found nothing.
    idle_flushes: u32,
}

/// After this many idle flushes a worker lets go of an output, so that a writer nobody uses ends.
/// At a tick of 100 ms, 5 seconds.
const IDLE_FLUSHES_MAX: u32 = 50;

impl WorkerLog {
    /// No buffers yet.
    #[must_use]
    pub fn new() -> WorkerLog {
        WorkerLog {
            pending: Vec::new(),
            stamp: Stamp::new(),
            dice: Dice::new(),
        }
    }

    /// Whether an exchange that took this long is to be logged. Ask once for each: with a sample
    /// below 100 % the answer is random.
    #[must_use]
    #[inline]
    pub fn wants(&mut self, log: &AccessLog, duration_ns: u64) -> bool {
        log.policy.wants(&mut self.dice, duration_ns)
    }

    /// Logs a record, without asking whether it is wanted.
    pub fn write(&mut self, log: &AccessLog, record: &AccessRecord<'_>) {
        let at = match self.pending.iter().position(|p| p.sink.is(&log.sink)) {
            Some(at) => at,
            None => self.add(&log.sink),
        };
        let pending = &mut self.pending[at];
        if pending.bytes.capacity() == 0 {
            pending.bytes = log.sink.take_buffer();
        }
        let (out, stamp) = (&mut pending.bytes, &mut self.stamp);
        match &log.format {
            LogFormat::Json => json::push_json(out, stamp, record),
            LogFormat::Text => text::push_line(out, stamp, record),
            LogFormat::Template(template) => template.push(out, stamp, record),
        }
        pending.records += 1;
        if pending.bytes.len() >= ACCESS_LOG_BUFFER_BYTES {
            pending.hand_over();
        }
    }

    /// Hands over what there is. For the worker's tick, about every 100 ms, and its end.
    pub fn flush(&mut self) {
        self.pending.retain_mut(|pending| {
            if pending.records > 0 {
                pending.hand_over();
                pending.idle_flushes = 0;
            } else {
                pending.idle_flushes += 1;
            }
            pending.idle_flushes < IDLE_FLUSHES_MAX
        });
    }

    #[cold]
    fn add(&mut self, sink: &Sink) -> usize {
        self.pending.push(Pending {
            sink: sink.clone(),
            bytes: Vec::new(),
            records: 0,
            idle_flushes: 0,
        });
        self.pending.len() - 1
    }
}

impl Default for WorkerLog {
    fn default() -> WorkerLog {
        WorkerLog::new()
    }
}

impl Drop for WorkerLog {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Pending {
    fn hand_over(&mut self) {
        self.sink.hand_over(Batch {
            bytes: std::mem::take(&mut self.bytes),
            records: std::mem::take(&mut self.records),
        });
    }
}
