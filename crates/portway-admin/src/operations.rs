//! What the operators' API needs of the process that it is part of.
//!
//! Must hold: every method answers at once, but for [`Operations::reload`] and [`Operations::config`],
//! which are called on a thread that may wait.

use std::sync::Arc;
use std::time::Duration;

use portway_core::{Diagnostic, Mono, Severity};
use portway_proxy::{CertificateReport, Snapshot};
use portway_telemetry::app_log::{LogLevel, LogLevelError};
use portway_telemetry::metrics::Registry;
use portway_telemetry::rfc3339;
use serde_json::{Value, json};

/// The process behind the API.
pub trait Operations: Send + Sync + 'static {
    /// What serves now.
    fn snapshot(&self) -> Arc<Snapshot>;
    /// Now.
    fn now(&self) -> Mono;
    /// The metrics.
    fn registry(&self) -> &Registry;
    /// Whether it wants requests.
    fn readiness(&self) -> Readiness;
    /// The config as it was written, without its secrets. May take as long as reading it does.
    fn config(&self) -> Value;
    /// Every certificate that listeners present.
    fn certificates(&self) -> Vec<CertificateReport>;
    /// What became of the last change of the config.
    fn reload_status(&self) -> ReloadStatus;
    /// Loads the config again, now. May take long.
    fn reload(&self) -> ReloadStatus;
    /// Begins to drain; the process ends when it is done.
    fn drain(&self);
    /// How much is told.
    fn log_level(&self) -> LogLevel;
    /// Changes how much is told.
    ///
    /// # Errors
    /// If the process has no log of its own.
    fn set_log_level(&self, level: LogLevel) -> Result<(), LogLevelError>;
}

/// Whether a process wants requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It does.
    Ready,
    /// No longer: it finishes what it has.
    Draining,
}

/// What became of the last change of the config.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReloadOutcome {
    /// There was none since the start.
    #[default]
    None,
    /// It serves.
    Ok,
    /// It was refused; what served before serves on.
    Failed,
}

impl ReloadOutcome {
    /// The name in `/config/status`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ReloadOutcome::None => "none",
            ReloadOutcome::Ok => "ok",
            ReloadOutcome::Failed => "failed",
        }
    }
}

/// The last change of the config, as `/config/status` tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReloadStatus {
    /// What became of it.
    pub outcome: ReloadOutcome,
    /// What asked for it: `file`, `signal` or `request`; empty if nothing did.
    pub cause: &'static str,
    /// When, since the Unix epoch; of the start if there was none.
    pub at: Duration,
    /// From reading the file to the swap.
    pub took: Duration,
    /// The generation that serves.
    pub generation: u64,
    /// Where the config came from, as the user named it.
    pub source: String,
    /// What was found in the file, errors and warnings.
    pub diagnostics: Vec<Diagnostic>,
    /// Why a config without an error could not be used (an address that is taken).
    pub error: Option<String>,
}

impl ReloadStatus {
    /// The answer of `/config/status`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let diagnostics: Vec<Value> = self.diagnostics.iter().map(diagnostic).collect();
        json!({
            "result": self.outcome.as_str(),
            "cause": self.cause,
            "time": rfc3339(self.at),
            "duration_ms": self.took.as_secs_f64() * 1000.0,
            "generation": self.generation,
            "source": self.source,
            "error": self.error,
            "diagnostics": diagnostics,
        })
    }
}

fn diagnostic(found: &Diagnostic) -> Value {
    json!({
        "severity": match found.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        "file": &*found.span.file,
        "line": found.span.line,
        "column": found.span.column,
        "what": found.what,
        "hint": found.hint,
    })
}
