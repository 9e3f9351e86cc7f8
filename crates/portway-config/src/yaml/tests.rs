use super::*;

fn read_text(text: &str) -> (Option<Node>, Vec<String>) {
    let mut problems = Diagnostics::new();
    let node = read(&Arc::from("t.yaml"), text, &mut problems);
    let shown = problems
        .sorted()
        .iter()
        .map(|p| format!("{}: {}", p.span, p.what))
        .collect();
    (node, shown)
}

#[test]
fn knows_the_place_of_every_key_and_value() {
    let (node, problems) = read_text("server:\n  port: 8080\nroutes:\n  - name: a\n");
    let node = node.expect("valid");
    assert!(problems.is_empty());
    let entries = node.entries().expect("a map");
    assert_eq!(entries[1].key_span.to_string(), "t.yaml:3:1");
    let port = node
        .find("server")
        .and_then(|s| s.find("port"))
        .expect("there");
    assert_eq!(port.span.to_string(), "t.yaml:2:9");
}

#[test]
fn takes_json_as_it_is() {
    let (node, problems) = read_text("{\"a\": [1, \"two\", null], \"b\": {\"c\": true}}");
    assert!(problems.is_empty());
    assert_eq!(
        node.expect("valid")
            .find("a")
            .and_then(Node::items)
            .map(<[Node]>::len),
        Some(3)
    );
}

#[test]
fn an_empty_text_is_nothing() {
    for text in ["", "# nothing\n", "\u{feff}", "---\n", " \n\n"] {
        let (node, problems) = read_text(text);
        assert!(problems.is_empty());
        assert!(node.expect("valid").is_null(), "{text:?}");
    }
}

#[test]
fn reports_a_repeated_key_at_its_second_place() {
    let (node, problems) = read_text("a: 1\nb: 2\na: 3\n");
    assert!(node.is_some(), "the rest can still be checked");
    assert_eq!(problems, ["t.yaml:3:1: `a` is written twice in this map"]);
}

#[test]
fn finds_repeated_keys_in_large_maps() {
    let mut text: String = (0..500).map(|n| format!("k{n}: 1\n")).collect();
    text.push_str("k7: 2\n");
    let (_, problems) = read_text(&text);
    assert_eq!(
        problems,
        ["t.yaml:501:1: `k7` is written twice in this map"]
    );
}

#[test]
fn reports_broken_syntax_at_its_place() {
    let (node, problems) = read_text("a: 1\nb: [1, 2\nc: 3\n");
    assert!(node.is_none());
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("t.yaml:3:"), "{problems:?}");
}

#[test]
fn refuses_a_second_document() {
    let (node, problems) = read_text("a: 1\n---\nb: 2\n");
    assert!(node.is_none());
    assert_eq!(problems, ["t.yaml:2:1: a second document in the file"]);
}

#[test]
fn copies_what_an_alias_names() {
    let (node, problems) = read_text("base: &b {x: 1}\ncopy: *b\n");
    assert!(problems.is_empty());
    let node = node.expect("valid");
    assert!(node.find("copy").and_then(|c| c.find("x")).is_some());
}

#[test]
fn stops_a_bomb_of_aliases() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..12 {
        let refs = vec![format!("*a{}", n - 1); 10].join(", ");
        text.push_str(&format!("a{n}: &a{n} [{refs}]\n"));
    }
    let (node, problems) = read_text(&text);
    assert!(node.is_none());
    assert!(problems[0].contains("aliases"), "{problems:?}");
}

#[test]
fn stops_at_a_depth() {
    let (node, problems) = read_text(&format!("a: {}{}", "[".repeat(5000), "]".repeat(5000)));
    assert!(node.is_none());
    assert_eq!(problems.len(), 1);
}
