//! `/routes`: every route with what it asks for, its filters, and where it goes.

use portway_plan::Plan;
use serde_json::{Map, Value, json};

use crate::explain;

/// What of a route as written says which exchanges it takes.
const CONDITIONS: &[&str] = &[
    "hosts",
    "listeners",
    "prefix",
    "path",
    "regex",
    "methods",
    "headers",
    "query",
    "cookies",
    "priority",
];

/// The routes, in the order of the file. `document` is the config as written, secrets hidden.
pub(crate) fn routes(plan: &Plan, document: &Value) -> Value {
    let written = document.get("routes").and_then(Value::as_array);
    // Only a list of the same length says the same routes.
    let written = written.filter(|written| written.len() == plan.routes.len());
    let routes: Vec<Value> = plan
        .routes
        .iter()
        .enumerate()
        .map(|(at, route)| {
            let filters: Vec<&str> = route
                .filters
                .entries()
                .iter()
                .map(|entry| entry.name)
                .collect();
            let upstreams: Vec<&str> = explain::upstreams(&route.action)
                .into_iter()
                .filter_map(|(id, _)| plan.upstreams.get(id.index()))
                .map(|spec| &*spec.name)
                .collect();
            json!({
                "name": &*route.name,
                "match": conditions(written.and_then(|written| written.get(at))),
                "action": explain::action(plan, &route.action),
                "upstreams": upstreams,
                "filters": filters,
                "retry": route.retry.is_some(),
                "circuit_breaker": route.breaker.is_some(),
            })
        })
        .collect();
    json!({ "routes": routes })
}

fn conditions(written: Option<&Value>) -> Value {
    let fields = CONDITIONS.iter().filter_map(|key| {
        let value = written?.get(key)?;
        Some(((*key).to_owned(), value.clone()))
    });
    Value::Object(fields.collect::<Map<_, _>>())
}
