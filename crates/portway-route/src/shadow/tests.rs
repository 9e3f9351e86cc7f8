use http::HeaderName;

use super::*;
use crate::{HostPattern, PathPattern, RouteSpec, ValueMatch};

fn spec(hosts: &[&str], path: PathPattern, edit: impl FnOnce(&mut RouteSpec)) -> RouteSpec {
    let mut spec = RouteSpec::any("r");
    spec.hosts = hosts
        .iter()
        .map(|text| HostPattern::parse(text).unwrap())
        .collect();
    spec.path = path;
    edit(&mut spec);
    spec
}

fn prefix(text: &str) -> PathPattern {
    PathPattern::prefix(text).unwrap()
}

fn exact(text: &str) -> PathPattern {
    PathPattern::exact(text).unwrap()
}

fn regex(text: &str) -> PathPattern {
    PathPattern::regex(text).unwrap()
}

/// Which of two routes is shadowed by the other.
fn shadowed(first: RouteSpec, second: RouteSpec) -> Option<u32> {
    let found = RouteTable::build(&[first, second]).unwrap().shadowed();
    assert!(found.len() < 2);
    found.first().map(|shadowed| shadowed.route.0)
}

fn paths(first: PathPattern, second: PathPattern) -> Option<u32> {
    shadowed(spec(&[], first, |_| ()), spec(&[], second, |_| ()))
}

#[test]
fn same_path_later_in_the_file() {
    assert_eq!(paths(prefix("/a"), prefix("/a")), Some(1));
    assert_eq!(paths(exact("/a/{x}"), exact("/a/{y}")), Some(1));
    assert_eq!(paths(prefix("/a/{*x}"), exact("/a/{*y}")), Some(1));
    assert_eq!(paths(regex("/a.*b"), regex("/a.*b")), Some(1));
    assert_eq!(paths(PathPattern::Any, PathPattern::Any), Some(1));
}

#[test]
fn longer_prefixes_go_first_and_live() {
    assert_eq!(paths(prefix("/a"), prefix("/a/b")), None);
    assert_eq!(paths(prefix("/a"), exact("/a")), None);
    assert_eq!(paths(prefix("/a/{x}"), prefix("/a/b")), None);
}

#[test]
fn a_regex_for_everything_takes_all_prefixes_below() {
    assert_eq!(paths(prefix("/a/b"), regex("/a/.*")), Some(0));
    assert_eq!(paths(prefix("/a"), regex("/a/.*")), None);
    assert_eq!(paths(exact("/a/b"), regex("/a/.*")), None);
    assert_eq!(paths(prefix("/a/b"), regex("/a/.+")), None);
}

#[test]
fn priority_lets_a_wider_route_take_all() {
    let above = |path| spec(&[], path, |r| r.priority = 1);
    let at = |path| spec(&["a.com"], path, |_| ());
    assert_eq!(shadowed(at(prefix("/a/b")), above(prefix("/a"))), Some(0));
    assert_eq!(
        shadowed(at(exact("/a/b")), above(prefix("/a/{x}"))),
        Some(0)
    );
    assert_eq!(
        shadowed(at(exact("/a/{y}")), above(prefix("/{x}"))),
        Some(0)
    );
    assert_eq!(shadowed(at(exact("/a/{y}")), above(prefix("/a/b"))), None);
    assert_eq!(
        shadowed(at(regex("/a/[0-9]+")), above(prefix("/a"))),
        Some(0)
    );
    assert_eq!(shadowed(at(regex("/a[0-9]+")), above(prefix("/a"))), None);
    assert_eq!(
        shadowed(at(exact("/a/b/{*x}")), above(exact("/a/{*y}"))),
        Some(0)
    );
    assert_eq!(shadowed(at(prefix("/a/")), above(exact("/a/{*y}"))), None);
    assert_eq!(shadowed(at(PathPattern::Any), above(prefix("/"))), None);
}

#[test]
fn hosts_must_all_be_covered() {
    let of = |hosts: &[&str]| spec(hosts, prefix("/"), |_| ());
    let high = |hosts: &[&str]| spec(hosts, prefix("/"), |r| r.priority = 1);
    assert_eq!(shadowed(of(&["a.c", "b.c"]), of(&["b.c"])), Some(1));
    assert_eq!(shadowed(of(&["b.c"]), of(&["a.c", "b.c"])), None);
    assert_eq!(shadowed(of(&["*.c"]), of(&["a.c"])), None);
    assert_eq!(shadowed(high(&["*.c"]), of(&["a.c", "*.b.c"])), Some(1));
    assert_eq!(shadowed(high(&["*.b.c"]), of(&["*.c"])), None);
    assert_eq!(shadowed(high(&["a.c"]), of(&[])), None);
}

#[test]
fn conditions_must_follow_from_those_of_the_shadowed() {
    let with = |wanted: Option<ValueMatch>, priority| {
        spec(&[], prefix("/"), |r| {
            let name = HeaderName::from_static("x");
            r.headers = wanted
                .into_iter()
                .map(|value| (name.clone(), value))
                .collect();
            r.priority = priority;
        })
    };
    let acme = || Some(ValueMatch::Exact("acme".into()));
    assert_eq!(shadowed(with(None, 0), with(acme(), 0)), None);
    assert_eq!(shadowed(with(None, 1), with(acme(), 0)), Some(1));
    assert_eq!(shadowed(with(acme(), 1), with(None, 0)), None);
    assert_eq!(
        shadowed(with(Some(ValueMatch::Present), 0), with(acme(), 0)),
        Some(1)
    );
    assert_eq!(
        shadowed(with(acme(), 0), with(Some(ValueMatch::Present), 0)),
        None
    );
    assert_eq!(
        shadowed(with(Some(ValueMatch::Absent), 1), with(acme(), 0)),
        None
    );
}

#[test]
fn methods_and_listeners_must_be_covered() {
    let methods = |methods: &[Method]| spec(&[], prefix("/"), |r| r.methods = methods.to_vec());
    assert_eq!(
        shadowed(methods(&[Method::GET]), methods(&[Method::HEAD])),
        Some(1)
    );
    assert_eq!(
        shadowed(methods(&[Method::HEAD]), methods(&[Method::GET])),
        None
    );
    assert_eq!(
        shadowed(
            methods(&[Method::GET]),
            methods(&[Method::GET, Method::POST])
        ),
        None
    );
    let on = |ids: Option<&[u32]>| {
        spec(&[], prefix("/"), |r| {
            r.listeners =
                ids.map(|ids| ids.iter().copied().map(portway_core::ListenerId).collect());
        })
    };
    assert_eq!(shadowed(on(None), on(Some(&[1]))), Some(1));
    assert_eq!(shadowed(on(Some(&[1])), on(None)), None);
    assert_eq!(shadowed(on(Some(&[1, 2])), on(Some(&[2]))), Some(1));
}

#[test]
fn says_who_takes_everything() {
    let high = spec(&[], prefix("/"), |r| r.priority = 7);
    let found = RouteTable::build(&[spec(&[], prefix("/a"), |_| ()), high])
        .unwrap()
        .shadowed();
    let wanted = Shadowed {
        route: RouteId(0),
        by: RouteId(1),
        why: "`r` takes all it matches and has priority 7".into(),
    };
    assert_eq!(found, [wanted]);
}
