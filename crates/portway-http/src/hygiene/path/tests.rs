use super::*;
use proptest::prelude::*;

const KEEP: PathRules = PathRules {
    dot_segments: DotSegments::Resolve,
    merge_slashes: true,
    encoded_slashes: EncodedSlashes::Keep,
};
const NO_MERGE: PathRules = PathRules {
    merge_slashes: false,
    ..KEEP
};

fn with(raw: &str, rules: PathRules) -> Result<String, Code> {
    let mut out = String::from("old");
    canonicalize(raw.as_bytes(), rules, &mut out)
        .map(|()| out)
        .map_err(|e| e.kind)
}

fn canonical(raw: &str) -> String {
    with(raw, PathRules::default()).unwrap_or_else(|code| panic!("{raw}: {code}"))
}

fn refusal(raw: &str) -> Code {
    with(raw, PathRules::default()).expect_err(raw)
}

#[test]
fn copies_an_ordinary_path() {
    for path in [
        "/",
        "/api/v1/users",
        "/a.b/c-d_e~f",
        "/a;v=1/b@c:d",
        "/a!$&'()*+,=",
        "/.well-known/x",
    ] {
        assert_eq!(canonical(path), path);
    }
}

#[test]
fn decodes_what_means_the_same_and_upper_cases_the_rest() {
    assert_eq!(canonical("/%61%2d%2E%5f%7e%30"), "/a-._~0");
    assert_eq!(canonical("/%c3%a9%3a%20"), "/%C3%A9%3A%20");
    assert_eq!(canonical("/%3f%23%25"), "/%3F%23%25");
}

#[test]
fn decodes_once_only() {
    assert_eq!(canonical("/%252e%252e%252f"), "/%252e%252e%252f");
    assert_eq!(canonical("/%2561"), "/%2561");
}

#[test]
fn escapes_what_clients_should_have_escaped() {
    assert_eq!(
        canonical("/a{b}|c^`\"<>[]"),
        "/a%7Bb%7D%7Cc%5E%60%22%3C%3E%5B%5D"
    );
}

#[test]
fn resolves_dot_segments_however_spelled() {
    for (raw, expected) in [
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/b/..", "/a/"),
        ("/a/.", "/a/"),
        ("/.", "/"),
        ("/a/..", "/"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/.%2e/b", "/b"),
        ("/a/%2e/b", "/a/b"),
        ("/a/b/c/../../d", "/a/d"),
        ("/a/.../b", "/a/.../b"),
        ("/a/..b/.c/d../e.", "/a/..b/.c/d../e."),
    ] {
        assert_eq!(canonical(raw), expected, "{raw}");
    }
}

#[test]
fn merges_slashes_before_it_resolves() {
    assert_eq!(canonical("//a///b//"), "/a/b/");
    assert_eq!(canonical("/a//../b"), "/b");
    assert_eq!(canonical("/a/.//b"), "/a/b");
    assert_eq!(canonical("//"), "/");
}

#[test]
fn keeps_empty_segments_when_told_to() {
    assert_eq!(with("/a//b/", NO_MERGE).unwrap(), "/a//b/");
    assert_eq!(with("/a//../b", NO_MERGE).unwrap(), "/a/b");
    assert_eq!(with("//..", NO_MERGE).unwrap(), "/");
    assert_eq!(with("/a/.//b", NO_MERGE).unwrap(), "/a//b");
}

#[test]
fn refuses_to_leave_the_root() {
    for raw in [
        "/..",
        "/../a",
        "/a/../..",
        "/%2e%2e/a",
        "/./..",
        "//..",
        "/a/../../b",
    ] {
        assert_eq!(refusal(raw), Code::AmbiguousPath, "{raw}");
    }
}

#[test]
fn refuses_dot_segments_when_told_to() {
    let rules = PathRules {
        dot_segments: DotSegments::Reject,
        ..PathRules::default()
    };
    for raw in ["/a/../b", "/a/.", "/./", "/a/%2e%2e"] {
        assert_eq!(with(raw, rules), Err(Code::AmbiguousPath), "{raw}");
    }
    assert_eq!(with("/.well-known/...", rules).unwrap(), "/.well-known/...");
}

#[test]
fn refuses_an_encoded_slash() {
    assert_eq!(refusal("/a%2fb"), Code::AmbiguousPath);
    assert_eq!(refusal("/a%2F"), Code::AmbiguousPath);
}

#[test]
fn keeps_an_encoded_slash_encoded_when_told_to() {
    assert_eq!(with("/a%2fb/c", KEEP).unwrap(), "/a%2Fb/c");
    assert_eq!(with("/a%2f%2fb", KEEP).unwrap(), "/a%2F%2Fb");
    assert_eq!(with("/a%2f/../b", KEEP).unwrap(), "/b");
}

#[test]
fn refuses_dots_that_a_decoded_slash_would_bring_to_life() {
    for raw in [
        "/a%2f..",
        "/a%2f../b",
        "/..%2fb",
        "/a/.%2fb",
        "/a%2f.%2fb",
        "/a%2F%2e%2e/b",
        "/a%2f..;x",
    ] {
        assert_eq!(with(raw, KEEP), Err(Code::AmbiguousPath), "{raw}");
    }
    assert_eq!(with("/a%2f.b%2f..c", KEEP).unwrap(), "/a%2F.b%2F..c");
}

#[test]
fn refuses_backslashes_nul_and_control_characters() {
    for raw in [
        "/a\\b",
        "/a%5cb",
        "/a%5C..%5cb",
        "/a%00",
        "/a%0d%0ab",
        "/a%7f",
        "/%1f",
    ] {
        assert_eq!(refusal(raw), Code::AmbiguousPath, "{raw}");
    }
    for raw in [
        "/a\0", "/a\r\n", "/a\tb", "/a\x7f", "/a b", "/é", "/a#b", "/a?b",
    ] {
        assert_eq!(refusal(raw), Code::BadRequest, "{raw:?}");
    }
}

#[test]
fn refuses_path_parameters_on_dot_segments() {
    for raw in [
        "/a/..;/b",
        "/a/.;x=1/b",
        "/..;",
        "/a/%2e%2e;/b",
        "/a/..%3bx",
        "/a/.%3B",
    ] {
        assert_eq!(refusal(raw), Code::AmbiguousPath, "{raw}");
    }
    assert_eq!(canonical("/a;x/...;y"), "/a;x/...;y");
}

#[test]
fn refuses_overlong_utf8() {
    for raw in [
        "/%c0%ae%c0%ae/",
        "/%C0%AF",
        "/%c1%9c",
        "/%e0%80%af",
        "/%f0%80%80%af",
    ] {
        assert_eq!(refusal(raw), Code::AmbiguousPath, "{raw}");
    }
    assert_eq!(canonical("/%c0a%ae"), "/%C0a%AE");
    assert_eq!(canonical("/%c0/%ae"), "/%C0/%AE");
}

#[test]
fn refuses_broken_escapes_and_paths_without_a_slash() {
    for raw in [
        "/%", "/%1", "/%zz", "/a%2", "/%+1", "/%u002e", "", "a", "*", "%2f",
    ] {
        assert_eq!(refusal(raw), Code::BadRequest, "{raw}");
    }
}

#[test]
fn says_what_is_wrong_and_where() {
    let mut out = String::new();
    let error = canonicalize(b"/a%2Fb", PathRules::default(), &mut out).unwrap_err();
    assert_eq!(&*error.detail, "an encoded slash, at octet 2 of the path");
}

fn rules() -> impl Strategy<Value = PathRules> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(reject, merge_slashes, keep)| {
        PathRules {
            dot_segments: if reject {
                DotSegments::Reject
            } else {
                DotSegments::Resolve
            },
            merge_slashes,
            encoded_slashes: if keep {
                EncodedSlashes::Keep
            } else {
                EncodedSlashes::Reject
            },
        }
    })
}

/// Paths made of the pieces that normalization is about.
fn path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("/"),
        Just("//"),
        Just("."),
        Just(".."),
        Just("%2e"),
        Just("%2E."),
        Just("%2f"),
        Just("%2F"),
        Just(";"),
        Just("%3b"),
        Just("a"),
        Just("b.c"),
        Just("%61"),
        Just("%25"),
        Just("2e"),
        Just("2f"),
        Just("%C0"),
        Just("%ae"),
        Just("%e9"),
        Just("{"),
        Just("%7b"),
        Just("+"),
        Just("\\"),
        Just("%5c"),
        Just("%00"),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn canonical_paths_stay_as_they_are(raw in path(), rules in rules()) {
        if let Ok(once) = with(&raw, rules) {
            prop_assert_eq!(with(&once, rules), Ok(once.clone()));
        }
    }

    #[test]
    fn nothing_is_left_that_could_be_read_in_two_ways(raw in path(), rules in rules()) {
        let Ok(path) = with(&raw, rules) else { return Ok(()) };
        prop_assert!(path.starts_with('/'));
        prop_assert!(path.is_ascii() && !path.contains('\\'));
        prop_assert!(!(rules.merge_slashes && path.contains("//")));
        // Also after somebody behind the gateway has decoded it once more.
        let decoded = path.replace("%2F", "/").replace("%3B", ";");
        for segment in decoded.split('/') {
            let name = segment.split(';').next().unwrap_or_default();
            prop_assert!(name != "." && name != "..", "{} from {}", path, raw);
        }
    }

    #[test]
    fn the_short_way_and_the_long_way_agree(raw in path(), rules in rules()) {
        if is_canonical(raw.as_bytes(), rules) {
            let mut out = String::new();
            prop_assert!(Writer::new(raw.as_bytes(), rules, &mut out).run().is_ok());
            prop_assert_eq!(out, raw);
        }
    }

    #[test]
    fn no_octets_make_it_panic(raw in proptest::collection::vec(any::<u8>(), 0..64), rules in rules()) {
        let mut out = String::new();
        let _ = canonicalize(&raw, rules, &mut out);
        let mut slashed = vec![b'/'];
        slashed.extend(raw);
        let _ = canonicalize(&slashed, rules, &mut out);
    }
}
