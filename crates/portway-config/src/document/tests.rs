use super::*;
use crate::FixedEnv;

fn read(text: &str) -> (Document, Vec<String>) {
    let env = FixedEnv::new()
        .with("JWT_SECRET", "s3cret")
        .with("PORT", "9000");
    let (document, problems) = parse("t.yaml", text, &env);
    let shown = problems.sorted().iter().map(ToString::to_string).collect();
    (document.expect("valid YAML"), shown)
}

fn good(text: &str) -> Document {
    let (document, problems) = read(text);
    assert_eq!(problems, [""; 0]);
    document
}

const MINI: &str = include_str!("../../tests/mini-gateway.yaml");

#[test]
fn the_mini_gateway_file_loads_as_it_is() {
    let document = good(MINI);
    assert_eq!(document.listeners[0].bind.to_string(), "0.0.0.0:8080");
    assert_eq!(document.upstreams.len(), 2);
    assert_eq!(&*document.upstreams[0].name, "user-service");
    let targets = document.upstreams[0].targets.value().expect("inline");
    assert_eq!(targets[0].weight.value(), 3);
    assert_eq!(targets[0].addr.to_string(), "127.0.0.1:8081");
    assert_eq!(document.inline, [Some(0), Some(1)]);
    assert_eq!(document.routes[0].filters.len(), 4);
    assert_eq!(document.global_filters.len(), 3);
}

#[test]
fn a_gateway_listens_where_it_is_expected() {
    let document = good("{}");
    assert_eq!(document.listeners[0].bind.to_string(), "0.0.0.0:8080");
    assert_eq!(document.admin.bind.to_string(), "127.0.0.1:9901");
}

#[test]
fn a_file_without_content_is_no_gateway_of_defaults() {
    for text in ["", "\n", "# routes: []\n", "---\n# nothing\n", "~\n"] {
        let (document, problems) = parse("t.yaml", text, &FixedEnv::new());
        assert!(document.is_none(), "{text:?}");
        let shown: Vec<String> = problems.sorted().iter().map(|p| p.what.clone()).collect();
        assert_eq!(shown, ["the file is empty"], "{text:?}");
    }
}

#[test]
fn server_makes_no_listener_beside_others_unless_it_has_an_address() {
    let list = "listeners: [{name: a, bind: \"127.0.0.1:1\"}]\n";
    let document = good(&format!("server: {{read_timeout: 5s}}\n{list}"));
    assert_eq!(document.listeners.len(), 1);
    let document = good(&format!("server: {{port: \"${{PORT}}\"}}\n{list}"));
    let names: Vec<&str> = document.listeners.iter().map(|l| l.name.as_str()).collect();
    assert_eq!(names, ["default", "a"]);
    let (_, problems) = read(&format!("server: {{expose: [health]}}\n{list}"));
    assert!(
        problems[0].contains("`expose` has no listener"),
        "{problems:?}"
    );
}

#[test]
fn inline_targets_and_an_upstream_of_the_same_name_stay_apart() {
    let text = "upstreams: [{name: a, targets: [{addr: \"h:1\"}]}]\n\
                routes: [{name: a, prefix: /, targets: [{addr: \"h:2\"}]}]\n";
    let document = good(text);
    let names: Vec<&str> = document.upstreams.iter().map(|u| u.name.as_str()).collect();
    assert_eq!(names, ["a", "route:a"]);
    assert_eq!(document.inline, [Some(1)]);
}

#[test]
fn remembers_the_names_of_what_was_broken() {
    let (document, problems) = read(
        "upstreams:\n  - name: a\n    targets: [{addr: x}]\n  - name: [b]\n  - {name: c, targets: [{addr: \"h:1\", weight: -1}]}\n",
    );
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert_eq!(
        document.upstreams.len(),
        2,
        "a bad target does not lose the upstream"
    );
    assert!(
        !document.upstreams[0]
            .targets
            .value()
            .expect("a list")
            .complete
    );
    assert!(document.named.nameless);
}

#[test]
fn what_this_version_does_not_serve_is_refused_by_name() {
    let text = "redis: {url: x}\n\
                tracing: {}\n\
                listeners:\n\
                - {name: a, bind: \"0.0.0.0:1\", protocol: udp, http: {versions: [h1, h2]}}\n\
                upstreams:\n\
                - {name: v, discover: {consul: {}}}\n";
    let (_, problems) = read(text);
    assert_eq!(problems.len(), 4, "{problems:#?}");
    for problem in &problems {
        assert!(
            problem.contains("is not supported yet by this version"),
            "{problem}"
        );
    }
}

#[test]
fn filters_come_in_three_forms() {
    let document = good("global_filters: [security_headers, {cors: off}, {headers: {a: 1}}]\n");
    let filters = &document.global_filters;
    assert_eq!(&*filters[0].name, "security_headers");
    assert!(filters[0].body.entries().is_some());
    assert!(filters[1].is_off());
    assert!(filters[2].body.find("a").is_some());
    let (_, problems) = read("global_filters:\n  - cors: {}\n    logging: {}\n");
    assert!(
        problems[0].starts_with("t.yaml:3:5: error: `logging` is a second filter"),
        "{problems:?}"
    );
}

#[test]
fn the_schema_is_closed_and_names_the_filters() {
    let filters = [FilterSchema {
        name: "cors",
        summary: "Answers preflights.",
        schema: serde_json::json!({}),
    }];
    let schema = schema(&filters);
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(
        schema["properties"]["global_filters"]["items"]["$ref"],
        "#/$defs/filter"
    );
    assert_eq!(schema["$defs"]["filter"]["anyOf"][0]["enum"][0], "cors");
    let route = &schema["properties"]["routes"]["items"];
    assert_eq!(route["required"][0], "name");
    assert_eq!(
        route["properties"]["static"]["properties"]["index"]["default"],
        "index.html"
    );
}
