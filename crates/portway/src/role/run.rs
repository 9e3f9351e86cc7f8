//! `portway run`: serve.

use portway_core::Clock;
use portway_net::Inherited;
use portway_proxy::gateway::STOP_WITHIN;
use portway_telemetry::app_log::{AppLog, init_app_log};

use crate::cli::RunArgs;
use crate::process::tell_diagnostic;
use crate::role::demo;
use crate::running::{Running, Start};
use crate::source::{Print, Source};
use crate::{Exit, report};

/// Serves until told to end.
pub fn run(args: &RunArgs) -> Exit {
    // First of all: what comes from a predecessor must be known before this process opens files.
    let inherited = Inherited::from_env();
    let log = match init_app_log(args.log_level) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("portway: {error}");
            return Exit::NotStarted;
        }
    };
    let exit = match inherited {
        Ok(inherited) => serve(args, log.clone(), inherited),
        Err(error) => {
            tracing::error!("{error}");
            Exit::NotStarted
        }
    };
    log.flush(STOP_WITHIN);
    exit
}

fn serve(args: &RunArgs, log: AppLog, inherited: Inherited) -> Exit {
    let source = Source::choose(args.config.config.as_deref());
    let _services = source.path().is_none().then(|| {
        tracing::info!(
            "no config was named and there is no ./portway.yaml: serving the {}",
            source.name()
        );
        let services = demo::services_for_the_built_in_config();
        services.inspect_err(|why| tracing::warn!("without its sample services: {why}"))
    });
    let (kinds, clock) = (portway_filters::all(), Clock::system());
    let mut loaded = source.load(&kinds, &clock, &Print::default());
    let Some(plan) = loaded.plan.take() else {
        log.flush(STOP_WITHIN); // what was told before stands before
        let counts = report::write(&mut std::io::stderr().lock(), &loaded.diagnostics);
        eprintln!("portway: {}: {}", source.name(), report::in_words(counts));
        return Exit::Problem;
    };
    loaded.diagnostics.iter().for_each(tell_diagnostic);
    tracing::info!(
        routes = plan.routes.len(),
        upstreams = plan.upstreams.len(),
        workers = plan
            .process
            .workers
            .unwrap_or_else(portway_net::worker_cpus),
        "portway {}, config {}",
        env!("CARGO_PKG_VERSION"),
        source.name(),
    );
    match Running::start(
        Start {
            source,
            loaded,
            kinds,
            clock,
            log,
            inherited,
        },
        plan,
    ) {
        Ok(running) => {
            running.serve();
            Exit::Fine
        }
        Err(why) => {
            tracing::error!("{why}");
            Exit::NotStarted
        }
    }
}
