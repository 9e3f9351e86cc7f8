//! `/upstreams`: every upstream with its breaker, what is under way, and its targets with health and
//! load.

use portway_core::{Mono, UpstreamId};
use portway_proxy::Snapshot;
use portway_upstream::report::report;
use serde_json::{Value, json};

/// All upstreams.
pub(crate) fn upstreams(snapshot: &Snapshot, now: Mono) -> Value {
    let all: Vec<_> = snapshot
        .upstreams
        .iter()
        .map(|live| report(&live.upstream, now))
        .collect();
    json!({ "upstreams": all })
}

/// One upstream by its id.
pub(crate) fn upstream_by_id(snapshot: &Snapshot, id: UpstreamId, now: Mono) -> Value {
    let live = snapshot.upstreams.get(id.index());
    live.map_or(Value::Null, |live| json!(report(&live.upstream, now)))
}
