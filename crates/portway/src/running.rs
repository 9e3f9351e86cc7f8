//! A gateway process from its start to its end, for `run` and for `demo`.
//!
//! Must hold: it says what listens where once it does; the first SIGTERM or SIGINT drains, also where an
//! operator or a successor has begun that, the second ends at once; a successor is told that this process
//! accepts only when it does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portway_admin::{AdminListener, Operations};
use portway_core::Clock;
use portway_net::listen::Present;
use portway_net::{BindError, Inherited};
use portway_plan::{AdminBind, Plan, Serves};
use portway_proxy::gateway::STOP_WITHIN;
use portway_proxy::{Gateway, GatewayOptions};
use portway_telemetry::app_log::AppLog;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::process::{Process, Started};
use crate::reload::{self, CAUSES_MAX, Cause};
use crate::source::{Loaded, Source};
use crate::upgrade::Upgrade;
use crate::{gauges, services, watch};

/// Answers to operators get away in this time: `POST /drain` may end an idle process at once.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// A process that serves.
pub struct Running {
    /// Itself.
    pub process: Arc<Process>,
    admin: AdminListener,
    upgrade: Upgrade,
    signals: Signals,
}

/// What a process is started with.
pub struct Start {
    /// Where its config comes from.
    pub source: Source,
    /// What was read there.
    pub loaded: Loaded,
    /// The filters there are.
    pub kinds: Vec<portway_filter::FilterKind>,
    /// Time.
    pub clock: Clock,
    /// Its log.
    pub log: AppLog,
    /// Sockets of a predecessor.
    pub inherited: Inherited,
}

impl Running {
    /// Binds everything and starts to serve `plan`.
    ///
    /// # Errors
    /// What could not be bound or started, in words.
    pub fn start(start: Start, plan: Plan) -> Result<Running, String> {
        let mut inherited = start.inherited;
        // Before anything listens: who sees it listen may send a signal.
        let signals = Signals::new().map_err(|e| format!("cannot listen for signals: {e}"))?;
        // Now: the path leads to the new program when a new one has been put in its place.
        let upgrade =
            Upgrade::of_this_program().map_err(|e| format!("cannot find this program: {e}"))?;
        let token_text = if plan.admin.token.is_some() {
            " (with token)"
        } else {
            ""
        };
        let admin =
            admin(&plan.admin.bind, &mut inherited).map_err(|e| format!("operators' API: {e}"))?;
        let options = GatewayOptions {
            clock: Some(start.clock),
            inherited,
            operators: admin.addr(),
            ..GatewayOptions::default()
        };
        let gateway = Gateway::start(options, plan).map_err(|e| e.to_string())?;
        gauges::collect(&gateway.shared);
        for (plan, door) in gateway
            .snapshot()
            .plan
            .listeners
            .iter()
            .zip(&gateway.snapshot().listeners)
        {
            let scheme = match plan.serves {
                Serves::Http if plan.tls.is_some() => "https",
                Serves::Http => "http",
                Serves::Tcp(_) => "tcp",
                Serves::Tls(_) => "tls",
            };
            tracing::info!(
                "listening on {scheme}://{} (listener `{}`)",
                door.addr,
                plan.name
            );
        }
        tracing::info!("operators' API on {}{token_text}", admin.describe());
        let started = Started {
            kinds: start.kinds,
            text: start.loaded.text,
            print: start.loaded.print,
            warnings: start.loaded.diagnostics,
        };
        let process = Arc::new(Process::new(gateway, start.source, start.log, started));
        Ok(Running {
            process,
            admin,
            upgrade,
            signals,
        })
    }

    /// Serves until the process is told to end, and has ended what it had begun.
    pub fn serve(self) {
        let process = self.process;
        let runtime = process.gateway.background().clone();
        runtime.block_on(until_the_end(
            Arc::clone(&process),
            self.admin,
            self.upgrade,
            self.signals,
        ));
        process.gateway.stop();
        tracing::info!("ended");
    }
}

fn admin(bind: &AdminBind, inherited: &mut Inherited) -> Result<AdminListener, BindError> {
    let addr: SocketAddr = match bind {
        AdminBind::Tcp(addr) => *addr,
        AdminBind::Unix(path) if inherited.is_empty() => {
            return AdminListener::unix(path, Present::Refuse);
        }
        AdminBind::Unix(path) => return AdminListener::unix(path, Present::Replace),
    };
    match inherited.take(addr).pop() {
        Some(socket) => Ok(AdminListener::Tcp(socket)),
        None => AdminListener::tcp(addr),
    }
}

async fn until_the_end(
    process: Arc<Process>,
    admin: AdminListener,
    upgrade: Upgrade,
    mut signals: Signals,
) {
    let (causes, causes_out) = mpsc::channel(CAUSES_MAX);
    let upgrade = upgrade.with_admin(&admin);
    let token = process.gateway.snapshot().plan.admin.token.clone();
    let operations: Arc<dyn Operations> = Arc::clone(&process) as Arc<dyn Operations>;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        if let Err(error) = portway_admin::serve(admin, token, operations).await {
            tracing::error!(%error, "the operators' API ended");
        }
    });
    tasks.spawn(reload::obey(Arc::clone(&process), causes_out));
    tasks.spawn(watch::watch(Arc::clone(&process), causes.clone()));
    tasks.spawn(services::refresh(Arc::clone(&process), causes.clone()));
    if let Err(error) = process.gateway.ready() {
        tracing::warn!(%error, "the predecessor does not wait for this process any more");
    }
    let mut upgrading = JoinSet::new();
    let mut told_to_end = false;
    loop {
        let told = tokio::select! {
            () = process.gateway.drained() => break,
            told = signals.next() => told,
            Some(_) = upgrading.join_next(), if !upgrading.is_empty() => continue,
        };
        match told {
            Told::End if std::mem::replace(&mut told_to_end, true) => {
                tracing::warn!("told to end again: what still runs is cut");
                break;
            }
            // Kubernetes asks for the drain first (`preStop`), and signals when it has an answer.
            Told::End if process.gateway.shared.drain.is_ending() => {
                tracing::info!("told to end: draining already");
            }
            Told::End => process.drain(),
            Told::Reload => {
                process.gateway.shared.sinks.reopen();
                let _ = causes.try_send(Cause::Signal); // full means that a reload is due anyway
            }
            Told::Upgrade if upgrading.is_empty() => {
                upgrading.spawn(upgrade.clone().start(Arc::clone(&process)));
            }
            Told::Upgrade => tracing::warn!("an upgrade is under way already"),
        }
    }
    let late = process.gateway.open_connections();
    if late > 0 {
        tracing::warn!(connections = late, "cut at the end of the drain");
    }
    tokio::time::sleep(LAST_WORDS).await;
    // Whoever looks at a file that does not answer is left behind.
    let _ = tokio::time::timeout(STOP_WITHIN, tasks.shutdown()).await;
}

/// The signals that the process obeys.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    upgrade: Signal,
}

impl Signals {
    /// From now on none of them ends the process by itself.
    fn new() -> std::io::Result<Signals> {
        // Handlers belong to the process: they stay when this runtime goes, and the one that the
        // process runs on later tells of the signals.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let _inside = runtime.enter();
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            upgrade: signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::End,
            _ = self.interrupt.recv() => Told::End,
            _ = self.hangup.recv() => Told::Reload,
            _ = self.upgrade.recv() => Told::Upgrade,
        }
    }
}

/// What a signal means.
enum Told {
    /// SIGTERM, SIGINT.
    End,
    /// SIGHUP.
    Reload,
    /// SIGUSR2.
    Upgrade,
}
