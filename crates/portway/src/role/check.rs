//! `portway check`: every problem of a config.

use portway_core::Clock;

use crate::cli::ConfigArgs;
use crate::source::{Print, Source};
use crate::{Exit, report};

/// Compiles a config and prints what is wrong with it.
pub fn check(args: &ConfigArgs) -> Exit {
    let source = Source::choose(args.config.as_deref());
    let loaded = source.load(&portway_filters::all(), &Clock::system(), &Print::default());
    let counts = report::write(&mut std::io::stderr().lock(), &loaded.diagnostics);
    match loaded.plan {
        Some(plan) => {
            let (routes, upstreams) = (plan.routes.len(), plan.upstreams.len());
            println!(
                "{}: fine: {}, {}; {}",
                source.name(),
                report::counted(routes, "route"),
                report::counted(upstreams, "upstream"),
                report::in_words(counts)
            );
            Exit::Fine
        }
        None => {
            eprintln!("{}: {}", source.name(), report::in_words(counts));
            Exit::Problem
        }
    }
}
