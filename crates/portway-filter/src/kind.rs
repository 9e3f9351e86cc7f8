//! What a filter looks like to the config compiler: its name, phase, schema, and the function that
//! turns its checked config into the thing that runs.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use portway_config::{Node, Schema, Spanned};
use portway_core::{Clock, Diagnostics, Span};
use portway_telemetry::access_log::{LogFormat, LogOutput, LogPolicy};

use crate::{BreakerPolicy, Files, Filter, Phase, RetryPolicy, Service};

/// Where a filter was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In `global_filters`.
    Global,
    /// In a route's `filters`.
    Route,
    /// In the `filters` of a listener that passes bytes: only what needs no more than the client's address.
    Listener,
}

/// A kind of filter.
#[derive(Clone, Copy)]
pub struct FilterKind {
    /// Its name: config key, file, docs page and metric label.
    pub name: &'static str,
    /// One line of what it is for.
    pub summary: &'static str,
    /// When it runs.
    pub phase: Phase,
    /// Where it may be written; empty means globally and in routes.
    pub scopes: &'static [Scope],
    /// The JSON schema of its config.
    pub schema: fn() -> Schema,
    /// Checks its config and makes it. `None` after an error was noted.
    pub compile: fn(&Node, &mut Compile<'_>) -> Option<Built>,
}

/// What compiling a filter's config gives.
pub enum Built {
    /// Hooks to run.
    Filter(Arc<dyn Filter>),
    /// Policy for the forward step.
    Retry(RetryPolicy),
    /// Policy for the forward step.
    Breaker(BreakerPolicy),
    /// Policy for the access log.
    Log(LogSpec),
    /// Policy for the metrics.
    Metrics(MetricsPolicy),
}

/// An access log: what is logged, how, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSpec {
    /// How a record is written.
    pub format: LogFormat,
    /// Which exchanges are logged.
    pub policy: LogPolicy,
    /// Where it goes.
    pub output: Spanned<LogOutput>,
}

/// What of an exchange is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsPolicy {
    /// Whether exchanges are counted at all.
    pub enabled: bool,
    /// The prefix of every metric's name.
    pub namespace: Arc<str>,
}

impl Default for MetricsPolicy {
    fn default() -> MetricsPolicy {
        MetricsPolicy {
            enabled: true,
            namespace: Arc::from("portway"),
        }
    }
}

/// What a filter's compile step can use.
pub struct Compile<'a> {
    /// Where problems go.
    pub diagnostics: &'a mut Diagnostics,
    /// Global, route or listener.
    pub scope: Scope,
    /// The route's name; `None` for other filters.
    pub route: Option<&'a str>,
    /// Where the filter's name stands.
    pub span: &'a Span,
    /// For filters that measure time between exchanges.
    pub clock: &'a Clock,
    /// For filters that are made of files.
    pub files: &'a dyn Files,
    /// A hash of all files that were read: part of what makes a filter the same one after a reload.
    pub files_read: u64,
}

impl Compile<'_> {
    /// The octets of a file; `what` is what it should hold. `None` after a problem was noted.
    pub fn read(&mut self, path: &Spanned<String>, what: &str, bytes_max: u64) -> Option<Vec<u8>> {
        match self.files.read(Path::new(path.as_str()), bytes_max) {
            Ok(octets) => Some(self.count(octets)),
            Err(why) => {
                let hint = "paths start where the gateway is started; is it there, and readable for the gateway's user?";
                let problem = format!("cannot read {what} {}: {why}", **path);
                self.error(path.span(), problem, hint);
                None
            }
        }
    }

    /// The descriptor set that a service tells of itself; `name` is how the config writes it. `None` after a
    /// problem was noted.
    pub fn ask(&mut self, name: &Spanned<String>, service: &Service) -> Option<Vec<u8>> {
        match self.files.ask(service) {
            Ok(octets) => Some(self.count(octets)),
            Err(why) => {
                let hint = "does it run, and offer server reflection? A file of descriptors does without that";
                let problem = format!("no descriptors from {}: {why}", **name);
                self.error(name.span(), problem, hint);
                None
            }
        }
    }

    /// Makes octets part of what the filter is made of.
    fn count(&mut self, octets: Vec<u8>) -> Vec<u8> {
        let mut hasher = DefaultHasher::new();
        (self.files_read, &octets).hash(&mut hasher);
        self.files_read = hasher.finish();
        octets
    }

    /// Notes an error at a place, with what to do about it.
    pub fn error(&mut self, span: &Span, what: impl Into<String>, hint: impl Into<String>) {
        self.diagnostics.error(span, what, hint);
    }

    /// Notes a warning at a place.
    pub fn warn(&mut self, span: &Span, what: impl Into<String>, hint: impl Into<String>) {
        self.diagnostics.warn(span, what, hint);
    }
}
