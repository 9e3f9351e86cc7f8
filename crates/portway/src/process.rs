//! The running process, as operators see and change it.
//!
//! Must hold: one change at a time; a change that fails leaves what runs as it was and says why in the
//! log, in the metrics and in `/config/status`.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use portway_admin::{Operations, Readiness, ReloadOutcome, ReloadStatus};
use portway_config::{FilterSchema, Schema, Source as Text};
use portway_core::{Clock, Diagnostic, Mono};
use portway_filter::FilterKind;
use portway_plan::Plan;
use portway_proxy::{CertificateReport, Gateway, Snapshot};
use portway_telemetry::app_log::{AppLog, LogLevel, LogLevelError};
use portway_telemetry::metrics::{Namespace, Registry, ReloadResult, Subject};
use serde_json::Value;

use crate::reload::{Cause, Kept};
use crate::report;
use crate::source::{Print, Source};
use crate::told::Told;

/// The running process.
pub struct Process {
    /// What serves.
    pub gateway: Gateway,
    /// Where its config comes from.
    pub source: Source,
    /// The filters there are.
    pub kinds: Vec<FilterKind>,
    /// Time.
    pub clock: Clock,
    /// Its log.
    pub log: AppLog,
    /// Held for as long as a load lasts, services that do not answer included: never locked where others wait.
    attempt: Mutex<Attempt>,
    made_of: Mutex<MadeOf>,
    status: Mutex<ReloadStatus>,
    text: Mutex<Option<Text>>,
    kept: Kept,
    schema: OnceLock<Schema>,
}

/// The last time that the config was read.
struct Attempt {
    print: Print,
    ended: Mono,
}

/// What a config is made of.
#[derive(Clone, Debug, Default)]
pub struct MadeOf {
    /// The files.
    pub files: Vec<PathBuf>,
    /// The services that tell parts of it.
    pub services: Vec<Told>,
}

impl MadeOf {
    fn of(source: &Source, print: &Print) -> MadeOf {
        MadeOf {
            files: source.files(print),
            services: print.services().to_vec(),
        }
    }

    /// And of what these services tell, as soon as they do: a config that was refused may have waited for one of them.
    fn or_of(mut self, wanted: &[Told]) -> MadeOf {
        for told in wanted {
            if !self.services.iter().any(|known| known.is_of(&told.service)) {
                self.services.push(told.clone());
            }
        }
        self
    }
}

/// A file change and a signal for it come close together; the second of them finds its work done.
const SAME_CHANGE: Duration = Duration::from_secs(1);

/// A file that is empty is written by then, or meant to be empty.
const WRITE_WITHIN: Duration = Duration::from_millis(200);

impl Process {
    /// A process that serves since just now.
    pub fn new(gateway: Gateway, source: Source, log: AppLog, start: Started) -> Process {
        let clock = gateway.shared.clock.clone();
        let status = ReloadStatus {
            at: clock.wall(),
            generation: gateway.snapshot().generation,
            source: source.name(),
            diagnostics: start.warnings,
            ..ReloadStatus::default()
        };
        let process = Process {
            kept: Kept::of(&gateway.snapshot().plan),
            made_of: Mutex::new(MadeOf::of(&source, &start.print)),
            attempt: Mutex::new(Attempt {
                print: start.print,
                ended: clock.now(),
            }),
            status: Mutex::new(status),
            text: Mutex::new(start.text),
            schema: OnceLock::new(),
            kinds: start.kinds,
            gateway,
            source,
            clock,
            log,
        };
        process.adopt_metrics();
        process
    }

    /// Loads the config, unless nothing changed since it was last loaded. Blocks: files are read, and services
    /// asked.
    pub fn reload_for(&self, cause: Cause) -> ReloadStatus {
        if cause == Cause::Service && self.gateway.shared.drain.is_ending() {
            return self.reload_status(); // nobody asked for it, and nothing would come of it
        }
        let mut attempt = lock(&self.attempt);
        let recent = self.clock.now().since(attempt.ended) < SAME_CHANGE;
        let may_skip = match cause {
            Cause::File => true,
            Cause::Signal => recent,
            // Whoever says that a service has changed has compared.
            Cause::Service | Cause::Request => false,
        };
        if may_skip && self.source.is_still(&attempt.print) {
            tracing::debug!(cause = cause.as_str(), "the config is what it was");
            return self.reload_status();
        }
        if cause == Cause::File && self.source.read().is_ok_and(|text| text.is_empty()) {
            // Created or cut off, and not written yet.
            std::thread::sleep(WRITE_WITHIN);
        }
        let started = self.clock.now();
        let loaded = self.source.load(&self.kinds, &self.clock, &attempt.print);
        let result = match loaded.plan {
            Some(plan) => self.apply(plan, loaded.text).map_err(Some),
            None => Err(None),
        };
        let wanted = loaded.print.services().to_vec();
        attempt.print = match result {
            Ok(_) => loaded.print,
            // Files count as read, services not: what still runs is made of what they told before.
            Err(_) => loaded.print.with_services_of(&attempt.print),
        };
        *lock(&self.made_of) = MadeOf::of(&self.source, &attempt.print).or_of(&wanted);
        attempt.ended = self.clock.now();
        let status = ReloadStatus {
            outcome: if result.is_ok() {
                ReloadOutcome::Ok
            } else {
                ReloadOutcome::Failed
            },
            cause: cause.as_str(),
            at: self.clock.wall(),
            took: attempt.ended.since(started),
            generation: self.gateway.snapshot().generation,
            source: self.source.name(),
            diagnostics: loaded.diagnostics,
            error: result.as_ref().err().cloned().flatten(),
        };
        // First: who reads the log line and asks finds the status.
        *lock(&self.status) = status.clone();
        self.tell(&status, result.ok().as_deref());
        status
    }

    /// Makes a plan serve. Returns what changed, in words.
    fn apply(&self, plan: Plan, text: Option<Text>) -> Result<String, String> {
        self.kept.warn(&plan);
        let old = self.gateway.snapshot();
        self.gateway
            .apply(plan)
            .map_err(|error| error.to_string())?;
        *lock(&self.text) = text;
        self.adopt_metrics();
        Ok(portway_plan::diff(&old.plan, &self.gateway.snapshot().plan).to_string())
    }

    /// What the plan says of metrics, and no series of names that are gone.
    fn adopt_metrics(&self) {
        let registry = self.registry();
        let snapshot = self.gateway.snapshot();
        let plan = &snapshot.plan;
        if let Some(namespace) = Namespace::parse(&plan.metrics.namespace) {
            registry.set_namespace(namespace);
        }
        let routes: HashSet<&str> = plan.routes.iter().map(|route| &*route.name).collect();
        let upstreams: HashSet<&str> = plan
            .upstreams
            .iter()
            .map(|upstream| &*upstream.name)
            .collect();
        registry.retain(|subject, name| match subject {
            Subject::Route => routes.contains(name) || name == portway_telemetry::metrics::NO_ROUTE,
            Subject::Upstream => upstreams.contains(name),
            Subject::Listener => plan
                .listeners
                .iter()
                .any(|listener| *listener.name == *name),
        });
    }

    fn tell(&self, status: &ReloadStatus, changes: Option<&str>) {
        let took_ms = status.took.as_millis();
        for found in &status.diagnostics {
            tell_diagnostic(found);
        }
        if let Some(changes) = changes {
            self.registry().config_reloaded(ReloadResult::Applied);
            tracing::info!(
                cause = status.cause,
                generation = status.generation,
                took_ms,
                "config reloaded: {changes}"
            );
            return;
        }
        self.registry().config_reloaded(ReloadResult::Refused);
        let why = status
            .error
            .clone()
            .unwrap_or_else(|| report::in_words(report::count(&status.diagnostics)));
        tracing::error!(
            cause = status.cause,
            generation = status.generation,
            "config refused, the old one stays: {why}"
        );
    }

    /// What the config is made of, as it was last loaded. Waits for no load.
    pub fn made_of(&self) -> MadeOf {
        lock(&self.made_of).clone()
    }
}

/// What a process is started with, besides its gateway.
pub struct Started {
    /// The filters there are.
    pub kinds: Vec<FilterKind>,
    /// The config's text.
    pub text: Option<Text>,
    /// What was read.
    pub print: Print,
    /// What the config can live with.
    pub warnings: Vec<Diagnostic>,
}

/// One line per problem, at its severity.
pub fn tell_diagnostic(found: &Diagnostic) {
    let text = found.to_string();
    match found.severity {
        portway_core::Severity::Error => tracing::error!("{text}"),
        portway_core::Severity::Warning => tracing::warn!("{text}"),
    }
}

/// The JSON schema of the config with these filters.
pub fn schema(kinds: &[FilterKind]) -> Schema {
    let filters: Vec<FilterSchema> = kinds
        .iter()
        .map(|kind| FilterSchema {
            name: kind.name,
            summary: kind.summary,
            schema: (kind.schema)(),
        })
        .collect();
    portway_config::schema(&filters)
}

impl Operations for Process {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.gateway.snapshot()
    }

    fn now(&self) -> Mono {
        self.clock.now()
    }

    fn registry(&self) -> &Registry {
        &self.gateway.shared.registry
    }

    fn readiness(&self) -> Readiness {
        if self.gateway.shared.drain.is_ending() {
            Readiness::Draining
        } else {
            Readiness::Ready
        }
    }

    fn config(&self) -> Value {
        let schema = self.schema.get_or_init(|| schema(&self.kinds));
        let text = lock(&self.text).clone();
        text.map_or(Value::Null, |text| portway_config::redacted(&text, schema))
    }

    fn certificates(&self) -> Vec<CertificateReport> {
        self.gateway.certificates()
    }

    fn reload_status(&self) -> ReloadStatus {
        lock(&self.status).clone()
    }

    fn reload(&self) -> ReloadStatus {
        self.reload_for(Cause::Request)
    }

    fn drain(&self) {
        let within = self.gateway.snapshot().plan.process.drain_timeout;
        tracing::info!(
            connections = self.gateway.open_connections(),
            "draining for {within:?} at most"
        );
        self.gateway.drain(within);
    }

    fn log_level(&self) -> LogLevel {
        self.log.level()
    }

    fn set_log_level(&self, level: LogLevel) -> Result<(), LogLevelError> {
        self.log.set_level(level)
    }
}

/// What is locked here is whole after every statement, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
