use super::*;
use crate::document::{FilterSchema, schema};
use crate::{Decode, Secret, config};

fn read(text: &str) -> Node {
    let mut problems = Diagnostics::new();
    let node = yaml::read(&Arc::from("t"), text, &mut problems);
    node.unwrap_or_else(|| panic!("{:?}\n{text}", problems.sorted()))
}

#[test]
fn what_is_written_reads_back_as_the_same() {
    let texts = [
        "a: 1\nb: [x, \"y z\", {c: d}]\n",
        "- - 1\n  - 2\n- {}\n- []\n-\n- {a: {b: {c: }}}\n",
        "k: \"tab\\t quote\\\" back\\\\slash \\u0007 \u{2028} end\"\n",
        "text: |\n  two\n  lines\n",
        "\"odd key: #\": ${X:-1}\n'': 'single'\n",
        "plain: over\n  two lines\n",
        "[]",
        "just text",
    ];
    for text in texts {
        let node = read(text);
        let written = to_yaml(&node);
        let again = read(&written);
        assert_eq!(again, node, "{text}\n---\n{written}");
        assert_eq!(to_yaml(&again), written);
    }
}

#[test]
fn the_mini_gateway_keeps_its_shape() {
    let text = include_str!("../../tests/mini-gateway.yaml");
    let written = to_yaml(&read(text));
    assert!(written.starts_with("server:\n  port: 8080\n"), "{written}");
    assert!(
        written.contains("      - addr: http://127.0.0.1:8081\n        weight: 3\n"),
        "{written}"
    );
    assert!(written.contains("retry_on: [502, 503, 504]"), "{written}");
    assert!(written.contains("secret: ${JWT_SECRET}"), "{written}");
}

config! {
    /// A filter with a secret deep inside.
    struct Keys {
        /// The keys.
        keys: Vec<Key> = Vec::new(),
    }
}

config! {
    /// A key.
    struct Key {
        /// What is presented.
        key: Secret,
        /// Who has it.
        consumer: Option<String>,
    }
}

#[test]
fn hides_secrets_wherever_the_schema_has_them() {
    let filters = [FilterSchema {
        name: "apikey",
        summary: "Keys.",
        schema: Keys::schema(),
    }];
    let source = Source {
        file: "t".into(),
        text: "admin: {token: hunter2}\n\
               server: {port: \"${PORT:-8080}\"}\n\
               global_filters: [{apikey: {keys: [{key: hunter3, consumer: mobile}, {key: \"${K:-hunter4}\"}]}}]\n"
            .into(),
    };
    let shown = redacted(&source, &schema(&filters));
    assert_eq!(shown["admin"]["token"], "***");
    assert_eq!(shown["server"]["port"], "${PORT:-8080}");
    let keys = &shown["global_filters"][0]["apikey"]["keys"];
    assert_eq!(keys[0]["consumer"], "mobile");
    assert_eq!(keys[0]["key"], "***");
    assert!(!shown.to_string().contains("hunter"), "{shown}");
}

/// What a filter sets as a header has no type that says it is a secret; its name does.
#[test]
fn hides_what_goes_by_the_name_of_a_credential() {
    let filters = [FilterSchema {
        name: "headers",
        summary: "Headers.",
        schema: serde_json::json!({ "properties": { "set": { "additionalProperties": {} } } }),
    }];
    let text = "global_filters: [{headers: {set: {Authorization: Basic hunter2, X-Api-Key: [hunter3], \
                x_auth_token: hunter4, X-Tenant: acme, Cookie: , X-Keyboard: qwerty}}}]\n\
                routes: [{name: a, respond: {headers: {Set-Cookie: s=hunter5, Server: me}}}]\n";
    let source = Source {
        file: "t".into(),
        text: text.into(),
    };
    let shown = redacted(&source, &schema(&filters));
    let set = &shown["global_filters"][0]["headers"]["set"];
    for name in ["Authorization", "X-Api-Key", "x_auth_token"] {
        assert_eq!(set[name], "***", "{name}");
    }
    assert_eq!(
        (&set["X-Tenant"], &set["X-Keyboard"]),
        (&"acme".into(), &"qwerty".into())
    );
    assert!(set["Cookie"].is_null());
    assert_eq!(shown["routes"][0]["respond"]["headers"]["Server"], "me");
    assert!(!shown.to_string().contains("hunter"), "{shown}");
}
