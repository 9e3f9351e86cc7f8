use super::*;
use http::header::HeaderName;

const SECOND_NS: i128 = 1_000_000_000;
/// `Sun, 06 Nov 1994 08:49:37 GMT` and a bit.
const MODIFIED_NS: i128 = 784_111_777 * SECOND_NS + 500;
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

fn settled() -> Version {
    Version {
        length: 10,
        modified_ns: MODIFIED_NS,
        now_ns: MODIFIED_NS + 100 * SECOND_NS,
    }
}

fn fresh() -> Version {
    Version {
        now_ns: MODIFIED_NS + SECOND_NS,
        ..settled()
    }
}

fn decide_for(method: Method, version: &Version, fields: &[(HeaderName, &str)]) -> Verdict {
    let mut request = Request::blank();
    request.method = method;
    for (name, value) in fields {
        request
            .headers
            .append(name, HeaderValue::from_str(value).unwrap());
    }
    Conditions::of(&request).decide(version)
}

fn decide(version: &Version, fields: &[(HeaderName, &str)]) -> Verdict {
    decide_for(Method::GET, version, fields)
}

const PART: Verdict = Verdict::Part {
    first: 2,
    length: 3,
};

#[test]
fn without_conditions_all_of_it_is_sent() {
    assert_eq!(decide(&settled(), &[]), Verdict::Whole);
}

#[test]
fn if_none_match_compares_weakly_and_reads_lists() {
    let tag = settled().opaque_tag();
    let known = [
        tag.clone(),
        format!("W/{tag}"),
        format!("\"a\", {tag}"),
        format!("\"a,b\",W/\"c\" ,\t{tag}"),
        format!(", {tag}"),
        "*".into(),
        " * ".into(),
    ];
    for value in known {
        for version in [settled(), fresh()] {
            assert_eq!(
                decide(&version, &[(IF_NONE_MATCH, &value)]),
                Verdict::NotModified,
                "{value}"
            );
        }
    }
    let unquoted = tag.trim_matches('"').to_owned();
    let unknown = [
        "\"a\"".into(),
        unquoted,
        format!("x {tag}"),
        "\"".into(),
        String::new(),
        format!("w/{tag}"),
    ];
    for value in unknown {
        assert_eq!(
            decide(&settled(), &[(IF_NONE_MATCH, &value)]),
            Verdict::Whole,
            "{value}"
        );
    }
    let two_fields = [(IF_NONE_MATCH, "\"a\""), (IF_NONE_MATCH, tag.as_str())];
    assert_eq!(decide(&settled(), &two_fields), Verdict::NotModified);
}

#[test]
fn if_none_match_outweighs_if_modified_since() {
    let fields = [(IF_NONE_MATCH, "\"a\""), (IF_MODIFIED_SINCE, LATER)];
    assert_eq!(decide(&settled(), &fields), Verdict::Whole);
    let malformed = [(IF_NONE_MATCH, "a"), (IF_MODIFIED_SINCE, LATER)];
    assert_eq!(decide(&settled(), &malformed), Verdict::Whole);
}

#[test]
fn if_modified_since_compares_whole_seconds() {
    for (date, expected) in [
        (DATE, Verdict::NotModified),
        (LATER, Verdict::NotModified),
        (EARLIER, Verdict::Whole),
        ("not a date", Verdict::Whole),
    ] {
        assert_eq!(
            decide(&settled(), &[(IF_MODIFIED_SINCE, date)]),
            expected,
            "{date}"
        );
        assert_eq!(
            decide_for(Method::HEAD, &settled(), &[(IF_MODIFIED_SINCE, date)]),
            expected,
            "{date}"
        );
    }
    let twice = [(IF_MODIFIED_SINCE, DATE), (IF_MODIFIED_SINCE, DATE)];
    assert_eq!(decide(&settled(), &twice), Verdict::Whole);
}

#[test]
fn if_match_compares_strongly() {
    let tag = settled().opaque_tag();
    assert_eq!(decide(&settled(), &[(IF_MATCH, &tag)]), Verdict::Whole);
    assert_eq!(decide(&settled(), &[(IF_MATCH, "*")]), Verdict::Whole);
    assert_eq!(
        decide(&settled(), &[(IF_MATCH, &format!("W/{tag}"))]),
        Verdict::Failed
    );
    assert_eq!(decide(&settled(), &[(IF_MATCH, "\"a\"")]), Verdict::Failed);
    assert_eq!(decide(&fresh(), &[(IF_MATCH, &tag)]), Verdict::Failed);
}

#[test]
fn if_unmodified_since_counts_only_without_if_match() {
    assert_eq!(
        decide(&settled(), &[(IF_UNMODIFIED_SINCE, EARLIER)]),
        Verdict::Failed
    );
    assert_eq!(
        decide(&settled(), &[(IF_UNMODIFIED_SINCE, DATE)]),
        Verdict::Whole
    );
    assert_eq!(
        decide(&settled(), &[(IF_UNMODIFIED_SINCE, "never")]),
        Verdict::Whole
    );
    let both = [(IF_MATCH, "*"), (IF_UNMODIFIED_SINCE, EARLIER)];
    assert_eq!(decide(&settled(), &both), Verdict::Whole);
}

#[test]
fn a_range_gives_a_part_to_get_alone() {
    assert_eq!(decide(&settled(), &[(RANGE, "bytes=2-4")]), PART);
    assert_eq!(decide(&fresh(), &[(RANGE, "bytes=2-4")]), PART);
    assert_eq!(
        decide_for(Method::HEAD, &settled(), &[(RANGE, "bytes=2-4")]),
        Verdict::Whole
    );
    assert_eq!(
        decide(&settled(), &[(RANGE, "bytes=10-")]),
        Verdict::Unsatisfiable
    );
    let twice = [(RANGE, "bytes=2-4"), (RANGE, "bytes=5-6")];
    assert_eq!(decide(&settled(), &twice), Verdict::Whole);
}

#[test]
fn a_condition_outweighs_a_range() {
    let tag = settled().opaque_tag();
    let known = [(IF_NONE_MATCH, tag.as_str()), (RANGE, "bytes=99-")];
    assert_eq!(decide(&settled(), &known), Verdict::NotModified);
}

#[test]
fn if_range_keeps_parts_of_two_versions_apart() {
    let tag = settled().opaque_tag();
    let weak = format!("W/{tag}");
    let ask = |version: &Version, value: &str| {
        decide(version, &[(RANGE, "bytes=2-4"), (IF_RANGE, value)])
    };
    assert_eq!(ask(&settled(), &tag), PART);
    assert_eq!(ask(&settled(), DATE), PART);
    for other in ["\"a\"", &weak, EARLIER, LATER, "*", "nonsense"] {
        assert_eq!(ask(&settled(), other), Verdict::Whole, "{other}");
    }
    for doubtful in [tag.as_str(), DATE] {
        assert_eq!(ask(&fresh(), doubtful), Verdict::Whole, "{doubtful}");
    }
    let outside = [(RANGE, "bytes=99-"), (IF_RANGE, "\"a\"")];
    assert_eq!(decide(&settled(), &outside), Verdict::Whole);
}
