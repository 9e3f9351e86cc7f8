use super::*;

fn path(pattern: PathPattern) -> Path {
    Path::compile(&pattern).unwrap()
}

fn prefix(text: &str) -> Path {
    path(PathPattern::Prefix(text.into()))
}

fn exact(text: &str) -> Path {
    path(PathPattern::Exact(text.into()))
}

#[test]
fn prefix_ends_on_a_segment_boundary() {
    let api = prefix("/api");
    assert!(api.matches(b"/api") && api.matches(b"/api/") && api.matches(b"/api/x"));
    assert!(!api.matches(b"/apix") && !api.matches(b"/ap") && !api.matches(b"/"));
    let below = prefix("/api/");
    assert!(below.matches(b"/api/") && below.matches(b"/api/x"));
    assert!(!below.matches(b"/api"));
    assert!(prefix("/").matches(b"/anything"));
    assert!(!prefix("/").matches(b"*"));
    assert!(path(PathPattern::Any).matches(b"*"));
}

#[test]
fn parameter_takes_one_whole_segment() {
    let user = exact("/users/{id}/posts");
    assert!(user.matches(b"/users/7/posts"));
    assert!(!user.matches(b"/users//posts") && !user.matches(b"/users/7/8/posts"));
    assert!(prefix("/users/{id}").matches(b"/users/7/posts"));
    assert!(!prefix("/users/{id}").matches(b"/users/"));
}

#[test]
fn rest_needs_at_least_one_octet() {
    let files = exact("/files/{*rest}");
    assert_eq!(files.kind, Kind::Rest);
    assert!(
        files.matches(b"/files/a") && files.matches(b"/files/a/b") && files.matches(b"/files//")
    );
    assert!(!files.matches(b"/files/") && !files.matches(b"/files"));
}

#[test]
fn pattern_is_brought_into_canonical_form() {
    assert_eq!(&*exact("/%61%2f%c3%a9%7e").key, b"/a%2F%C3%A9~");
}

#[test]
fn shape_orders_patterns_that_match_one_path() {
    let better = |a: &Path, b: &Path| assert!(a.shape() > b.shape(), "{} {}", a.text, b.text);
    better(&prefix("/a/b"), &prefix("/a"));
    better(&prefix("/a/"), &prefix("/a"));
    better(&prefix("/a/b"), &prefix("/a/{x}"));
    better(&prefix("/a/{x}"), &prefix("/a/{*x}"));
    better(&prefix("/a/{*x}"), &prefix("/a/"));
    better(&prefix("/a"), &prefix("/{long_name}/b"));
    better(&prefix("/"), &path(PathPattern::Any));
}

#[test]
fn refuses_what_no_canonical_path_can_match() {
    for bad in [
        "",
        "api",
        "/a?b",
        "/a#b",
        "/a b",
        "/é",
        "/%",
        "/%4",
        "/%zz",
        "/..",
        "/a/./b",
        "/%2e%2E/x",
        "/%00",
        "/%5c",
        "/a\\b",
        "/a\u{7f}",
        "/{",
        "/}",
        "/{}",
        "/{a}b",
        "/x{a}",
        "/{a b}",
        "/{*}",
        "/{*a}/b",
        "/{*a}/",
        "/{a}/{a}",
        "/{{a}}",
    ] {
        assert!(PathPattern::prefix(bad).is_err(), "{bad}");
        assert!(PathPattern::exact(bad).is_err(), "{bad}");
    }
    assert!(PathPattern::prefix(&format!("/{}", "a".repeat(PATTERN_BYTES_MAX))).is_err());
    let many: String = (0..=PARAMS_MAX).map(|n| format!("/{{p{n}}}")).collect();
    assert!(PathPattern::prefix(&many).is_err());
    assert!(PathPattern::regex("(").is_err());
}

#[test]
fn accepts_ordinary_patterns() {
    for good in [
        "/",
        "/a",
        "/a/",
        "/a//b",
        "/a:b@c;d=e,f!$&'()*+",
        "/{a}/{b-2}/c/{*d_e}",
        "/v1.0/~x",
    ] {
        assert!(PathPattern::prefix(good).is_ok(), "{good}");
        assert!(PathPattern::exact(good).is_ok(), "{good}");
    }
    assert!(PathPattern::regex("/v[12]/.*").is_ok());
}
