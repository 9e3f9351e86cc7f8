//! The gateway's own log: what it does and what went wrong, on standard error, for operators. The
//! rest of the code writes to it with the macros of `tracing`.
//!
//! Must hold: the level can change while everything runs; whoever logs never waits for whoever reads, and
//! what could not be written is counted and told of.
//! Never: reads the environment, or logs an exchange (that is the access log's).

use crate::access_log::{Batch, LogOutput, Output, Sink};
use portway_core::diagnostic::nearest;
use portway_core::limits::APP_LOG_QUEUE_MESSAGES_MAX;
use std::error::Error;
use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

/// How much is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What failed.
    Error,
    /// And what may fail next.
    Warn,
    /// And what changed.
    #[default]
    Info,
    /// And how it works.
    Debug,
    /// And every step.
    Trace,
}

impl LogLevel {
    /// Every level, from nothing to everything.
    pub const ALL: [LogLevel; 6] = [
        LogLevel::Off,
        LogLevel::Error,
        LogLevel::Warn,
        LogLevel::Info,
        LogLevel::Debug,
        LogLevel::Trace,
    ];

    /// The name, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            LogLevel::Off => "off",
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }

    fn filter(self) -> LevelFilter {
        match self {
            LogLevel::Off => LevelFilter::OFF,
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LogLevel {
    type Err = LogLevelError;

    fn from_str(name: &str) -> Result<LogLevel, LogLevelError> {
        LogLevel::ALL
            .into_iter()
            .find(|level| level.as_str().eq_ignore_ascii_case(name))
            .ok_or_else(|| LogLevelError::Unknown(name.to_owned()))
    }
}

/// What can go wrong with the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogLevelError {
    /// There is no such level.
    Unknown(String),
    /// The process has another log already, or lost this one.
    NotOurs,
    /// Standard error cannot be written to, or nobody could be started to do it.
    NoOutput(String),
}

impl fmt::Display for LogLevelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = LogLevel::ALL.map(LogLevel::as_str);
        match self {
            LogLevelError::Unknown(name) => {
                write!(f, "unknown log level `{}`", name.escape_default())?;
                match nearest(name, names) {
                    Some(known) => write!(f, ", did you mean `{known}`?"),
                    None => write!(f, "; the levels are {}", names.join(", ")),
                }
            }
            LogLevelError::NotOurs => f.write_str("the process has another log already"),
            LogLevelError::NoOutput(why) => write!(f, "cannot log to standard error: {why}"),
        }
    }
}

impl Error for LogLevelError {}

/// The log of this process. Clones share it.
#[derive(Clone, Debug)]
pub struct AppLog {
    filter: reload::Handle<LevelFilter, Registry>,
    lines: Lines,
}

/// Starts the log. Once per process, before the first message.
///
/// # Errors
/// [`LogLevelError::NotOurs`] if there is one already; [`LogLevelError::NoOutput`].
pub fn init_app_log(level: LogLevel) -> Result<AppLog, LogLevelError> {
    let lines = Lines::to_stderr().map_err(|error| LogLevelError::NoOutput(error.to_string()))?;
    let (filter, handle) = reload::Layer::new(level.filter());
    let written = lines.clone();
    let layer = tracing_subscriber::fmt::layer()
        .compact()
        .with_ansi(false)
        .with_target(false)
        .with_writer(move || written.clone());
    tracing_subscriber::registry()
        .with(filter)
        .with(layer)
        .try_init()
        .map_err(|_| LogLevelError::NotOurs)?;
    Ok(AppLog {
        filter: handle,
        lines,
    })
}

/// Takes messages to a thread of their own: a worker that logs must not wait for a reader that has stopped.
#[derive(Clone, Debug)]
struct Lines {
    sink: Sink,
    lost: Arc<AtomicU64>,
}

impl Lines {
    fn to_stderr() -> io::Result<Lines> {
        let lost = Arc::default();
        let output = Output::open(&LogOutput::Stderr)?;
        let name = LogOutput::Stderr.to_string();
        let sink = Sink::start(output, name, Arc::clone(&lost), APP_LOG_QUEUE_MESSAGES_MAX)?;
        Ok(Lines { sink, lost })
    }
}

impl io::Write for Lines {
    /// Takes a whole message.
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let mut bytes = Vec::with_capacity(message.len());
        if lost > 0 {
            // Counted again if this does not get through either.
            bytes.extend_from_slice(format!("[{lost} messages are missing here]\n").as_bytes());
        }
        bytes.extend_from_slice(message);
        let records = lost + 1;
        self.sink.hand_over(Batch { bytes, records });
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AppLog {
    /// Changes how much is told, from now on.
    ///
    /// # Errors
    /// [`LogLevelError::NotOurs`] if the log is gone.
    pub fn set_level(&self, level: LogLevel) -> Result<(), LogLevelError> {
        self.filter
            .modify(|filter| *filter = level.filter())
            .map_err(|_| LogLevelError::NotOurs)
    }

    /// Waits until what was told is written, but not for longer than `within`. To be called at the end.
    pub fn flush(&self, within: Duration) {
        // Nobody is left who could be told that it was not enough.
        let _ = self.lines.sink.flush(within);
    }

    /// How much is told now.
    #[must_use]
    pub fn level(&self) -> LogLevel {
        let filter = self.filter.clone_current().unwrap_or(LevelFilter::OFF);
        LogLevel::ALL
            .into_iter()
            .find(|level| level.filter() == filter)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_changes_at_run_time() {
        let log = init_app_log(LogLevel::Warn).unwrap();
        assert_eq!(log.level(), LogLevel::Warn);
        assert!(tracing::enabled!(tracing::Level::WARN));
        assert!(!tracing::enabled!(tracing::Level::DEBUG));
        log.set_level(LogLevel::Debug).unwrap();
        assert_eq!(log.level(), LogLevel::Debug);
        assert!(tracing::enabled!(tracing::Level::DEBUG));
        log.set_level(LogLevel::Off).unwrap();
        assert!(!tracing::enabled!(tracing::Level::ERROR));
        assert_eq!(
            init_app_log(LogLevel::Info).unwrap_err(),
            LogLevelError::NotOurs
        );
    }

    #[test]
    fn names_the_level_that_was_meant() {
        assert_eq!("INFO".parse(), Ok(LogLevel::Info));
        let error = "debgu".parse::<LogLevel>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown log level `debgu`, did you mean `debug`?"
        );
        let error = "7".parse::<LogLevel>().unwrap_err();
        assert!(error.to_string().ends_with("debug, trace"), "{error}");
    }
}
