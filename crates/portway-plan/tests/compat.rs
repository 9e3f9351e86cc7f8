//! Configs that must load as they are.

use portway_config::{FixedEnv, Node, parse};
use portway_core::{Clock, UpstreamId};
use portway_filter::Phase;
use portway_plan::{Action, Plan, compile, diff};

const MINI: &str = include_str!("compat/mini-gateway.yaml");
const REFERENCE: &str = include_str!("compat/reference.yaml");

fn plan(text: &str) -> Plan {
    let env = FixedEnv::new().with("JWT_SECRET", "a-secret-of-the-length-that-hs256-asks-for");
    let (document, problems) = parse("t.yaml", text, &env);
    assert!(problems.is_empty(), "{:#?}", problems.sorted());
    let (clock, _) = Clock::manual();
    let (plan, problems) = compile(
        &document.expect("no problems"),
        &portway_filters::all(),
        &clock,
    );
    assert!(problems.is_empty(), "{:#?}", problems.sorted());
    plan.expect("no problems")
}

#[test]
fn the_mini_gateway_compiles_as_it_is() {
    let plan = plan(MINI);
    assert_eq!(plan.listeners.len(), 1);
    assert_eq!(plan.listeners[0].bind.to_string(), "0.0.0.0:8080");
    assert_eq!(plan.upstreams.len(), 2);
    let users = &plan.routes[0];
    assert_eq!(&*users.name, "user-service");
    assert!(matches!(users.action, Action::Upstream(UpstreamId(0))));
    assert_eq!(users.rewrite.strip_prefix.as_deref(), Some("/api/v1/users"));
    assert_eq!(users.retry.as_ref().map(|r| r.retries_max), Some(2));
    assert_eq!(users.breaker.as_ref().map(|b| b.failure_threshold), Some(5));
    let names: Vec<&str> = users.filters.entries().iter().map(|e| e.name).collect();
    assert_eq!(
        names,
        ["cors", "auth", "rate_limit"],
        "in the order of the phases"
    );
    let phases: Vec<Phase> = users.filters.entries().iter().map(|e| e.phase).collect();
    assert!(phases.is_sorted());
    assert!(plan.log.is_some() && plan.metrics.enabled);
}

/// The upstream's and the filter's mean the same.
#[test]
fn a_breaker_of_an_upstream_is_what_the_filters_would_be() {
    let both = |settings: &str| {
        let plan = plan(&format!(
            "upstreams: [{{name: u, targets: [{{addr: \"h:1\"}}], circuit_breaker: {settings}}}]\n\
             routes: [{{name: a, prefix: /, upstream: u, filters: [{{circuit_breaker: {settings}}}]}}]\n"
        ));
        (
            plan.upstreams[0].breaker.clone(),
            plan.routes[0].breaker.clone(),
        )
    };
    for settings in [
        "{}",
        "{failure_rate: 50%}",
        "{failure_rate: 50%, failure_threshold: 9, minimum_requests: 0}",
        "{open_for: 1s, window: 2s, half_open_requests: 1}",
    ] {
        let (upstream, filter) = both(settings);
        assert!(upstream.is_some(), "{settings}");
        assert_eq!(upstream, filter, "{settings}");
    }
    let limits = "upstreams: [{name: u, targets: [{addr: \"h:1\"}], circuit_breaker: {max_connections: 9}}]\n\
                  routes: [{name: a, prefix: /, upstream: u}]\n";
    assert_eq!(plan(limits).upstreams[0].breaker, None);
}

#[test]
fn the_same_file_changes_nothing() {
    let report = diff(&plan(MINI), &plan(MINI));
    assert!(report.is_empty(), "{report}");
    assert_eq!(report.routes.unchanged, 2);
}

#[test]
fn a_changed_file_says_what_it_changes() {
    let changed = MINI
        .replace("qps: 500", "qps: 501")
        .replace("weight: 3", "weight: 4")
        .replace("port: 8080", "port: 8090");
    let report = diff(&plan(MINI), &plan(&changed));
    assert_eq!(report.listeners.changed.len(), 1);
    assert_eq!(
        report
            .upstreams
            .changed
            .iter()
            .map(|n| &**n)
            .collect::<Vec<_>>(),
        ["user-service"]
    );
    assert_eq!(
        report
            .routes
            .changed
            .iter()
            .map(|n| &**n)
            .collect::<Vec<_>>(),
        ["order-service"]
    );
    assert_eq!(report.routes.unchanged, 1);
}

#[test]
fn a_route_that_allows_other_upgrades_is_changed() {
    let text = |upgrades: &str| {
        plan(&format!(
            "upstreams: [{{name: u, targets: [{{addr: \"h:1\"}}]}}]\n\
             routes: [{{name: a, prefix: /, upstream: u, upgrades: [{upgrades}]}}]\n"
        ))
    };
    let report = diff(&text("websocket"), &text(""));
    assert_eq!(report.to_string(), "routes: 1 changed");
}

#[test]
fn what_is_neither_listener_nor_upstream_nor_route_is_told_too() {
    let text = |server: &str, filters: &str| {
        plan(&format!(
            "server: {{port: 8080{server}}}\nglobal_filters: [{filters}]\n\
             routes: [{{name: a, prefix: /, respond: {{}}, filters: [{{logging: off}}, {{cors: off}}]}}]\n"
        ))
    };
    let before = text("", "logging: {sample: 50%}, cors: {}");
    assert!(diff(&before, &text("", "logging: {sample: 50%}, cors: {}")).is_empty());
    let workers = diff(
        &before,
        &text(", workers: 2", "logging: {sample: 50%}, cors: {}"),
    );
    assert_eq!(workers.to_string(), "server changed");
    for filters in [
        "logging: {sample: 51%}, cors: {}",
        "logging: {sample: 50%}, cors: {max_age: 1m}",
    ] {
        let report = diff(&before, &text("", filters));
        assert_eq!(report.to_string(), "global_filters changed", "{filters}");
    }
}

#[test]
fn a_route_that_takes_others_is_changed_and_one_whose_upstream_moved_is_not() {
    let text = |hosts: &str, first: &str| {
        let last = match first {
            "" => "",
            _ => "- {name: c, path: /c, upstream: new}\n",
        };
        format!(
            "upstreams:\n{first}- {{name: u, targets: [{{addr: \"h:1\"}}]}}\n\
             routes:\n- {{name: a, hosts: [{hosts}], path: /a, upstream: u, mirror: {{upstream: u}}}}\n\
             - {{name: b, path: /b, split: [{{upstream: u}}]}}\n{last}"
        )
    };
    let before = plan(&text("x.example", ""));
    let moved = plan(&text(
        "x.example",
        "- {name: new, targets: [{addr: \"h:2\"}]}\n",
    ));
    let report = diff(&before, &moved);
    assert_eq!(
        (report.upstreams.added.len(), report.routes.unchanged),
        (1, 2)
    );
    let report = diff(&before, &plan(&text("y.example", "")));
    assert_eq!(
        report
            .routes
            .changed
            .iter()
            .map(|n| &**n)
            .collect::<Vec<_>>(),
        ["a"]
    );
}

#[test]
fn a_route_switches_a_global_filter_off() {
    let text = "global_filters: [{cors: {}}, {security_headers: {}}, {logging: {}}]\n\
                routes:\n\
                - {name: a, path: /a, respond: {}, filters: [{cors: off}, {logging: off}]}\n\
                - {name: b, path: /b, respond: {}}\n";
    let plan = plan(text);
    let names = |at: usize| {
        plan.routes[at]
            .filters
            .entries()
            .iter()
            .map(|e| e.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(0), ["security_headers"]);
    assert!(plan.routes[0].log.is_none());
    assert_eq!(names(1), ["cors", "security_headers"]);
    assert!(plan.routes[1].log.is_some());
}

#[test]
fn moving_lines_in_the_file_keeps_the_filters() {
    let shifted = format!("# a line more\n\n{MINI}");
    let (a, b) = (plan(MINI), plan(&shifted));
    let marks = |p: &Plan| {
        p.routes[0]
            .filters
            .entries()
            .iter()
            .map(|e| e.fingerprint)
            .collect::<Vec<_>>()
    };
    assert_eq!(marks(&a), marks(&b));
}

#[test]
fn the_reference_compiles_and_names_every_key_there_is() {
    let compiled = plan(REFERENCE);
    assert_eq!((compiled.listeners.len(), compiled.upstreams.len()), (5, 5));
    let file = "reference.yaml";
    let mut problems = portway_core::Diagnostics::new();
    let node = portway_config::parse_node(file, REFERENCE, &FixedEnv::new(), &mut problems);
    let mut unused = Vec::new();
    let schema = portway_config::schema(&[]);
    find_unused(&schema, &[&node.expect("valid YAML")], "", &mut unused);
    assert!(
        unused.is_empty(),
        "keys that the reference does not show: {unused:?}"
    );
}

/// Collects the keys of the schema that none of the nodes it describes has.
fn find_unused(
    schema: &portway_config::Schema,
    nodes: &[&Node],
    path: &str,
    unused: &mut Vec<String>,
) {
    let properties = schema.get("properties").and_then(|p| p.as_object());
    for (key, below) in properties.into_iter().flatten() {
        let values: Vec<&Node> = nodes.iter().filter_map(|n| n.find(key)).collect();
        if values.is_empty() {
            unused.push(format!("{path}.{key}"));
        }
        find_unused(below, &values, &format!("{path}.{key}"), unused);
    }
    for choice in schema
        .get("anyOf")
        .and_then(|c| c.as_array())
        .into_iter()
        .flatten()
    {
        find_unused(choice, nodes, path, unused);
    }
    if let Some(items) = schema.get("items") {
        let values: Vec<&Node> = nodes.iter().filter_map(|n| n.items()).flatten().collect();
        find_unused(items, &values, &format!("{path}[]"), unused);
    }
    if let Some(below) = schema.get("additionalProperties").filter(|a| a.is_object()) {
        let entries = nodes.iter().filter_map(|n| n.entries()).flatten();
        let values: Vec<&Node> = entries.map(|e| &e.value).collect();
        find_unused(below, &values, &format!("{path}.*"), unused);
    }
}
