use super::*;

fn parse(text: &str) -> Template {
    Template::parse(text).unwrap_or_else(|wrong| panic!("{text}: {wrong}"))
}

#[track_caller]
fn wrong(text: &str, what: &str) {
    let wrong = Template::parse(text).expect_err(text).to_string();
    assert!(wrong.contains(what), "{text}: {wrong}");
}

#[test]
fn reads_the_examples_of_http_proto() {
    for (text, shown) in [
        ("/v1/{name=messages/*}", "/v1/{name=messages/*}"),
        ("/v1/messages/{message_id}", "/v1/messages/{message_id=*}"),
        (
            "/v1/users/{user_id}/messages/{message_id}",
            "/v1/users/{user_id=*}/messages/{message_id=*}",
        ),
        (
            "/v1/{resource=**}:getIamPolicy",
            "/v1/{resource=**}:getIamPolicy",
        ),
        (
            "/v1/shelves/*/books/{book.id}",
            "/v1/shelves/*/books/{book.id=*}",
        ),
        ("/", "/"),
        ("/v1/%73helves/a%2fb", "/v1/shelves/a%2Fb"),
    ] {
        let template = parse(text);
        assert_eq!(template.to_string(), shown);
        assert_eq!(parse(&template.to_string()), template, "{text}");
    }
}

#[test]
fn tells_one_segment_from_several() {
    for (text, single) in [
        ("/{a}", true),
        ("/{a=*}", true),
        ("/{a=b}", true),
        ("/{a=b/*}", false),
        ("/{a=**}", false),
    ] {
        let template = parse(text);
        assert_eq!(template.is_single(&template.variables[0]), single, "{text}");
    }
}

#[test]
fn says_what_is_wrong_and_where() {
    wrong("", "begins with `/` (at octet 1)");
    wrong("v1", "begins with `/`");
    wrong("/v1/", "expected a segment");
    wrong("/v1//a", "expected a segment");
    wrong("/**/a", "`**` must be the last segment");
    wrong("/{a=**}/b", "`**` must be the last segment");
    wrong("/{a=**/b}", "`**` must be the last segment");
    wrong("/{a=b/{c}}", "cannot hold another one");
    wrong("/{a", "ends with `}`");
    wrong("/{}", "name of a field");
    wrong("/{1a}", "name of a field");
    wrong("/{a.}", "name of a field");
    wrong("/{a}/{a}", "bound twice");
    wrong("/a:", "expected a verb");
    wrong("/a:b:c", "a verb already");
    wrong("/a:b/c", "`/` cannot stand here (at octet 5)");
    wrong("/a*", "`*` cannot stand here");
    wrong("/a b", "percent-encode it");
    wrong("/a?b=c", "percent-encode it");
    wrong("/%zz", "two hexadecimal digits");
    wrong("/%+0", "two hexadecimal digits");
    wrong("/a/..", "dot segment");
    wrong(&"/a".repeat(65), "at most 64 segments");
}
