//! Filters made from their config, as the gateway makes them.
//!
//! Must hold: a bench goes through the filter's hook and not around it, so that it counts what an
//! exchange pays.

use std::sync::Arc;

use portway_config::{FixedEnv, parse_node};
use portway_core::{Clock, Diagnostics, Span};
use portway_filter::{Built, Compile, Filter, Scope};

/// The filter of this name with this config.
///
/// # Panics
/// If there is no such filter or its config has a problem: the bench would measure something else.
#[must_use]
pub fn filter(name: &str, yaml: &str) -> Arc<dyn Filter> {
    let kinds = portway_filters::all();
    let kind = kinds.iter().find(|kind| kind.name == name);
    let kind = kind.expect("a filter of this name");
    let mut problems = Diagnostics::new();
    let node = parse_node("bench.yaml", yaml, &FixedEnv::new(), &mut problems).expect("YAML");
    let clock = Clock::system();
    let mut cx = Compile {
        diagnostics: &mut problems,
        scope: Scope::Route,
        route: Some("bench"),
        span: &Span::file("bench.yaml"),
        clock: &clock,
        files: &portway_filter::NoFiles,
        files_read: 0,
    };
    match (kind.compile)(&node, &mut cx) {
        Some(Built::Filter(filter)) => filter,
        _ => panic!("{name} is no filter with hooks, or: {problems:?}"),
    }
}
