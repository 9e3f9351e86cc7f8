//! What nests: in requests, in replies, in what a service tells of itself. Each of these has a limit, since what
//! walks it calls itself for every level, and a stack that is used up ends the process.

use super::*;
use crate::grpc_json::field::NAMES_MAX;

/// A message that holds its own type; the e2e tests use its set.
const NODE: &str = r#"
syntax = "proto3";
package t;
import "google/api/annotations.proto";
message Node { string s = 1; Node a = 2; repeated string many = 3; }
service Nodes {
  rpc Get(Node) returns (Node) { option (google.api.http) = { get: "/n" }; }
}
"#;

fn nodes(unknown: Unknown) -> Examples {
    let (rules, problems) = rules_of(&pool_of(NODE), false);
    assert_eq!(problems, []);
    let query = QueryRules {
        unknown,
        ..QueryRules::default()
    };
    Examples {
        rules,
        query,
        message_bytes_max: 1000,
    }
}

fn asks(names: usize) -> String {
    format!("GET /n?{}s=x", "a.".repeat(names - 1))
}

#[test]
fn a_query_parameter_names_fields_to_a_depth_and_no_deeper() {
    let all = nodes(Unknown::Reject);
    let whole = format!(
        "Get {}{}{}",
        r#"{"a":"#.repeat(NAMES_MAX - 1),
        r#"{"s":"x"}"#,
        "}".repeat(NAMES_MAX - 1)
    );
    all.gives(&asks(NAMES_MAX), "", &whole);
    let limit = "a field is at most 32 names deep, and it has more";
    for names in [NAMES_MAX + 1, 8 * 1024, 500_000] {
        all.refuses(&asks(names), "", limit);
        // It could name a field, so it is not left out as one that names none.
        nodes(Unknown::Ignore).refuses(&asks(names), "", limit);
    }
    // Short, so that a refusal is no larger than what it refuses.
    let error = all.ask(&asks(8 * 1024), vec![]).unwrap_err();
    assert!(error.contains("`a.a.a.a."), "{error}");
    assert!(error.len() < 200, "{error}");
}

#[test]
fn how_deep_a_parameter_is_counts_before_what_it_names() {
    let deep = format!("GET /n?{}=1", ["zz"; NAMES_MAX + 1].join("."));
    nodes(Unknown::Reject).refuses(&deep, "", "at most 32 names deep");
    let less = format!("GET /n?{}=1", ["zz"; NAMES_MAX].join("."));
    nodes(Unknown::Reject).refuses(&less, "", "t.Node has no field `zz`");
}

#[test]
fn a_variable_of_a_template_is_no_deeper_than_a_parameter() {
    let variable = |names: usize| format!("{}s", "a.".repeat(names - 1));
    let text = |names: usize| NODE.replace("\"/n\"", &format!("\"/n/{{{}}}\"", variable(names)));
    assert_eq!(problems_of(text(NAMES_MAX).leak(), false), [""; 0]);
    let problems = problems_of(text(NAMES_MAX + 1).leak(), false);
    assert!(
        problems[0].contains("at most 32 names deep"),
        "{problems:?}"
    );
}

#[test]
fn the_committed_set_of_nodes_is_what_its_proto_says() {
    let file = "/../../tests/e2e/tests/grpc_json/nodes.binpb";
    is_committed(
        &set_of(NODE),
        &format!("{}{file}", env!("CARGO_MANIFEST_DIR")),
    );
}
