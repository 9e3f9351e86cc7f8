use super::*;
use proptest::prelude::*;

fn tree(templates: &[&str]) -> Tree<String> {
    let mut tree = Tree::default();
    for text in templates {
        let (method, path) = text.split_once(' ').unwrap();
        let template = Template::parse(path).unwrap();
        tree.insert(method, &template, (*text).to_owned()).unwrap();
    }
    tree
}

#[track_caller]
fn finds(tree: &Tree<String>, request: &str, template: &str) {
    let (method, path) = request.split_once(' ').unwrap();
    let found = tree.find(method, path, &mut Vec::new());
    assert_eq!(found, Found::Value(&template.to_owned()), "{request}");
}

#[test]
fn a_literal_goes_before_a_star_and_a_star_before_two() {
    let tree = tree(&[
        "GET /v1/shelves/{shelf}",
        "GET /v1/shelves/new",
        "GET /v1/{name=**}",
        "GET /v1/shelves/{shelf}/books/{book}",
        "GET /v1/*/index",
    ]);
    finds(&tree, "GET /v1/shelves/new", "GET /v1/shelves/new");
    finds(&tree, "GET /v1/shelves/7", "GET /v1/shelves/{shelf}");
    finds(&tree, "GET /v1/shelves/7/books", "GET /v1/{name=**}");
    finds(&tree, "GET /v1/shelves", "GET /v1/{name=**}");
    finds(&tree, "GET /v1", "GET /v1/{name=**}");
    let book = "GET /v1/shelves/{shelf}/books/{book}";
    finds(&tree, "GET /v1/shelves/new/books/1", book);
    finds(&tree, "GET /v1/other/index", "GET /v1/*/index");
    finds(&tree, "GET /v1/shelves/index", "GET /v1/shelves/{shelf}");
    let found = tree.find("GET", "/v2", &mut Vec::new());
    assert_eq!(found, Found::Nothing);
}

#[test]
fn a_colon_is_a_verb_only_where_a_template_has_it() {
    let tree = tree(&[
        "GET /v1/{name=shelves/*}",
        "POST /v1/{name=shelves/*}:move",
        "POST /v1/shelves:clear",
        "POST /v1/{resource=**}:watch",
    ]);
    finds(
        &tree,
        "POST /v1/shelves/7:move",
        "POST /v1/{name=shelves/*}:move",
    );
    finds(&tree, "POST /v1/shelves:clear", "POST /v1/shelves:clear");
    finds(&tree, "GET /v1/shelves/a:b", "GET /v1/{name=shelves/*}");
    finds(&tree, "GET /v1/shelves/a:move", "GET /v1/{name=shelves/*}");
    finds(
        &tree,
        "POST /v1/a/b/c:watch",
        "POST /v1/{resource=**}:watch",
    );
    finds(&tree, "POST /v1/:watch", "POST /v1/{resource=**}:watch");
    let found = tree.find("POST", "/v1/shelves/7:lend", &mut Vec::new());
    assert_eq!(found, Found::OtherMethods(vec!["GET"]));
}

#[test]
fn other_methods_are_told_and_every_method_is_the_last_choice() {
    let tree = tree(&["GET /a", "PUT /a", "GET /b", "* /b", "* /*"]);
    finds(&tree, "GET /b", "GET /b");
    finds(&tree, "LINK /b", "* /b");
    finds(&tree, "PATCH /a", "* /*");
    let tree = tree_of_two();
    let found = tree.find("PATCH", "/a", &mut Vec::new());
    assert_eq!(found, Found::OtherMethods(vec!["GET", "PUT"]));
}

fn tree_of_two() -> Tree<String> {
    tree(&["PUT /a", "GET /a", "GET /{x}"])
}

#[test]
fn templates_that_match_the_same_paths_are_one() {
    let mut tree = tree(&["GET /v1/{a}/x"]);
    let other = Template::parse("/v1/{b.c=*}/x").unwrap();
    let there = tree.insert("GET", &other, String::new());
    assert_eq!(there, Err(&"GET /v1/{a}/x".to_owned()));
    assert!(tree.insert("PUT", &other, String::new()).is_ok());
    let verb = Template::parse("/v1/{a}/x:y").unwrap();
    assert!(tree.insert("GET", &verb, String::new()).is_ok());
}

#[test]
fn a_single_segment_is_decoded_whole_and_several_keep_their_escaped_slashes() {
    assert_eq!(capture(&["a%2Fb%20c"], true).unwrap(), "a/b c");
    assert_eq!(capture(&["x", "a%2fb%20c"], false).unwrap(), "x/a%2fb c");
    assert_eq!(capture(&["%C3%A9"], true).unwrap(), "é");
    assert_eq!(capture(&["100%", "%zz"], false).unwrap(), "100%/%zz");
    assert_eq!(capture(&["a+b"], true).unwrap(), "a+b");
    assert!(capture(&["%C3"], true).is_err());
    assert_eq!(capture(&[], false).unwrap(), "");
}

/// What the tree does, one template after the other.
fn matches(template: &Template, path: &str) -> bool {
    let mut path = path;
    if let Some(verb) = &template.verb {
        let Some((before, found)) = path.rsplit_once(':') else {
            return false;
        };
        if found != &**verb || found.contains('/') {
            return false;
        }
        path = before.strip_suffix('/').unwrap_or(before);
    }
    let mut segments = path.split('/').skip(1);
    for segment in &template.segments {
        let next = match segment {
            Segment::Rest => return true,
            _ => segments.next(),
        };
        let fits = match (segment, next) {
            (Segment::Literal(text), Some(next)) => **text == *next,
            (_, Some(next)) => !next.is_empty(),
            (_, None) => false,
        };
        if !fits {
            return false;
        }
    }
    segments.next().is_none()
}

proptest! {
    #[test]
    fn finds_something_wherever_a_template_matches(
        templates in prop::collection::vec("(/(a|b|\\*|\\{f=a/\\*\\}|\\{g\\})){1,4}(/\\*\\*)?(:v)?", 1..12),
        path in "(/(a|b|c|d)){1,6}(:v|:w)?",
    ) {
        let mut tree = Tree::default();
        let parsed: Vec<Template> =
            templates.iter().filter_map(|t| Template::parse(t).ok()).collect();
        for (at, template) in parsed.iter().enumerate() {
            let _ = tree.insert("GET", template, at);
        }
        let expected: Vec<usize> = (0..parsed.len()).filter(|at| matches(&parsed[*at], &path)).collect();
        match tree.find("GET", &path, &mut Vec::new()) {
            Found::Value(at) => prop_assert!(expected.contains(at), "{path} {:?}", parsed[*at]),
            _ => prop_assert!(expected.is_empty(), "{path}: {:?}", parsed[expected[0]]),
        }
    }
}
