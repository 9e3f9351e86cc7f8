//! The sources against a DNS server of our own on loopback and against real files.

mod dns;
mod file;
mod server;

use std::time::Duration;

use portway_discovery::{Source, SourceError, TargetSet};

/// The next thing a source says; a source that says nothing fails the test.
async fn next(source: &mut dyn Source) -> Result<TargetSet, SourceError> {
    let said = tokio::time::timeout(Duration::from_secs(20), source.next()).await;
    said.expect("the source says something")
}

/// Whether a source stays silent for a while.
async fn is_silent(source: &mut dyn Source) -> bool {
    let wait = Duration::from_millis(150);
    tokio::time::timeout(wait, source.next()).await.is_err()
}

fn addresses(set: &TargetSet) -> Vec<String> {
    set.targets.iter().map(|t| t.addr.to_string()).collect()
}
