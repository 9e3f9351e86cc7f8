use super::*;
use crate::testing::{chain, exchange, header, problems, request, response};

fn sent_on(yaml: &str, fields: &[(&'static str, &str)]) -> Vec<(String, String)> {
    let mut exchange = exchange(fields);
    exchange.client.ip = "192.0.2.1".parse().unwrap();
    assert!(request(&chain(kind(), yaml), &mut exchange).is_none());
    let text = |v: &HeaderValue| v.to_str().unwrap().to_owned();
    let fields = exchange.request.headers.iter();
    let mut fields: Vec<_> = fields.map(|(n, v)| (n.to_string(), text(v))).collect();
    fields.sort();
    fields
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(n, v): &(&str, &str)| ((*n).to_owned(), (*v).to_owned());
    pairs.iter().map(owned).collect()
}

#[test]
fn changes_the_request() {
    let yaml = "request: {set: {X-A: new}, add: {X-B: [two, three]}, remove: [X-C]}";
    let fields = [
        ("x-a", "old"),
        ("x-a", "older"),
        ("x-b", "one"),
        ("x-c", "gone"),
    ];
    let expected = [
        ("x-a", "new"),
        ("x-b", "one"),
        ("x-b", "three"),
        ("x-b", "two"),
    ];
    assert_eq!(sent_on(yaml, &fields), pairs(&expected));
}

#[test]
fn changes_the_reply_and_leaves_the_request() {
    let chain = chain(kind(), "response: {set: {X-A: '1'}, remove: [Server]}");
    let mut exchange = exchange(&[("server", "x")]);
    request(&chain, &mut exchange);
    assert_eq!(exchange.request.header("server"), Some("x"));
    let mut reply = Reply::new(http::StatusCode::OK, "");
    reply
        .headers
        .insert("server", HeaderValue::from_static("secret/1.0"));
    response(&chain, &mut exchange, &mut reply);
    assert_eq!(
        (header(&reply, "server"), header(&reply, "x-a")),
        (String::new(), "1".into())
    );
}

#[test]
fn removes_first_then_sets_then_adds() {
    let yaml = "request: {add: {X-A: b}, set: {X-A: a}, remove: [X-A]}";
    assert_eq!(
        sent_on(yaml, &[("x-a", "old")]),
        pairs(&[("x-a", "a"), ("x-a", "b")])
    );
}

#[test]
fn fills_in_facts_of_the_exchange() {
    let yaml = "request: {set: {X-Client: '{client_ip}'}}";
    assert_eq!(sent_on(yaml, &[]), pairs(&[("x-client", "192.0.2.1")]));
}

#[test]
fn lets_nothing_of_the_client_pass_for_a_fact_that_is_unknown() {
    let yaml = "request: {set: {X-Consumer: '{consumer}'}}";
    assert_eq!(sent_on(yaml, &[("x-consumer", "admin")]), pairs(&[]));
}

#[test]
fn leaves_the_fields_that_carry_the_message_alone() {
    for name in [
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "TE",
    ] {
        let found = problems(kind(), &format!("request: {{set: {{{name}: x}}}}"));
        let expected = format!("t.yaml:1:17: error: `{name}` cannot be changed here\n  hint: ");
        assert!(found.starts_with(&expected), "{found}");
    }
    assert!(problems(kind(), "response: {remove: [content-length]}").contains("cannot be changed"));
}

/// Writing them here would have no effect: the gateway writes its own in their place.
#[test]
fn leaves_the_fields_that_the_gateway_writes_to_targets_alone() {
    for name in [
        "X-Forwarded-Proto",
        "x-forwarded-for",
        "Forwarded",
        "X-Real-IP",
        "X-Request-ID",
    ] {
        for change in [format!("set: {{{name}: x}}"), format!("remove: [{name}]")] {
            let found = problems(kind(), &format!("request: {{{change}}}"));
            assert!(found.contains("cannot be changed here"), "{found}");
            assert!(problems(kind(), &format!("response: {{{change}}}")).is_empty());
        }
    }
    let found = problems(kind(), "request: {set: {X-Forwarded-Proto: https}}");
    assert!(found.contains("`trusted_proxies`"), "{found}");
    assert!(problems(kind(), "request: {set: {X-Forwarded-Prefix: /a}}").is_empty());
}

#[test]
fn a_clients_twin_does_not_stand_beside_what_is_set_or_removed() {
    let yaml = "request: {set: {X-User-Id: '7'}, remove: [X-Role]}";
    let forged = [
        ("x.user.id", "1"),
        ("x_user_id", "1"),
        ("x_role", "admin"),
        ("x-roles", "a"),
    ];
    assert_eq!(
        sent_on(yaml, &forged),
        pairs(&[("x-roles", "a"), ("x-user-id", "7")])
    );
}

#[test]
fn says_what_is_wrong_with_a_config() {
    assert_eq!(
        problems(
            kind(),
            "request:\n  set: {X-A: '{clientip}', 'X B': y}\nreply: {}"
        ),
        "t.yaml:2:14: error: unknown variable `{clientip}`\n  hint: did you mean `{client_ip}`? \
         For the text itself write `{{clientip}`\n\
         t.yaml:2:28: error: `X B` is not a header name\n  \
         hint: use letters, digits and `-`, as in X-Request-ID\n\
         t.yaml:3:1: error: unknown key `reply`\n  hint: use one of request, response"
    );
    let broken = problems(kind(), "response: {set: {X-A: \"a\\r\\nb\"}}");
    assert!(
        broken.contains("cannot hold control characters or line breaks"),
        "{broken}"
    );
}
