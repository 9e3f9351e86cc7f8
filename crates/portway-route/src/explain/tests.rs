use http::{HeaderMap, HeaderName, Method};
use portway_core::ListenerId;

use super::*;
use crate::{HostPattern, PathPattern, RouteSpec, ValueMatch};

fn route(name: &str, edit: impl FnOnce(&mut RouteSpec)) -> RouteSpec {
    let mut spec = RouteSpec::any(name);
    edit(&mut spec);
    spec
}

fn prefix(name: &str, path: &str) -> RouteSpec {
    route(name, |r| r.path = PathPattern::prefix(path).unwrap())
}

fn explain(specs: &[RouteSpec], host: &str, path: &str) -> Explanation {
    let lookup = Lookup {
        listener: ListenerId(0),
        host,
        path,
        query: Some("beta=2"),
        method: &Method::POST,
        headers: &HeaderMap::new(),
    };
    RouteTable::build(specs).unwrap().explain(&lookup)
}

fn text(specs: &[RouteSpec], host: &str, path: &str) -> String {
    explain(specs, host, path).to_string()
}

#[test]
fn tells_by_which_rule_each_route_lost() {
    let specs = [
        prefix("short", "/api"),
        prefix("winner", "/api/v1"),
        prefix("later", "/api/v1"),
        prefix("param", "/api/{version}"),
        route("low", |r| {
            r.path = PathPattern::exact("/api/v1/users").unwrap();
            r.priority = -1;
        }),
    ];
    let wanted = "\
winner: won
short: lost, prefix /api is shorter than prefix /api/v1 of `winner`
later: lost, it comes after `winner` in the file
param: lost, prefix /api/{version} is less literal than prefix /api/v1 of `winner`
low: lost, priority -1 is below 0 of `winner`
";
    assert_eq!(text(&specs, "h", "/api/v1/users"), wanted);
}

#[test]
fn tells_hosts_classes_and_conditions() {
    let host = |text: &str| vec![HostPattern::parse(text).unwrap()];
    let specs = [
        route("exact", |r| {
            r.hosts = host("a.b.c");
            r.path = PathPattern::exact("/x").unwrap();
            r.methods = vec![Method::POST];
        }),
        route("bare", |r| {
            r.hosts = host("a.b.c");
            r.path = PathPattern::exact("/x").unwrap();
        }),
        route("regex", |r| {
            r.hosts = host("a.b.c");
            r.path = PathPattern::regex("/.*").unwrap();
        }),
        route("wild", |r| r.hosts = host("*.b.c")),
        RouteSpec::any("any"),
    ];
    let wanted = "\
exact: won
bare: lost, it has 0 conditions, `exact` has 1 condition
regex: lost, regex /.* goes after exact path /x of `exact`
wild: lost, host *.b.c is less specific than host a.b.c of `exact`
any: lost, any host is less specific than host a.b.c of `exact`
";
    assert_eq!(text(&specs, "a.b.c", "/x"), wanted);
}

#[test]
fn tells_what_a_route_wanted() {
    let specs = [
        route("header", |r| {
            let tenant = HeaderName::from_static("x-tenant-id");
            r.headers = vec![(tenant, ValueMatch::Exact("acme".into()))];
            r.query = vec![("beta".into(), ValueMatch::Exact("1".into()))];
        }),
        route("method", |r| r.methods = vec![Method::GET]),
        route("listener", |r| r.listeners = Some(vec![ListenerId(3)])),
        route("host", |r| {
            r.hosts = vec![HostPattern::parse("*.b").unwrap()]
        }),
        prefix("path", "/y"),
    ];
    let wanted = "\
header: no match, header x-tenant-id is absent, wanted `acme`; query beta is `2`, wanted `1`
method: no match, method is `POST`, wanted `GET`
listener: no match, listener is `0`, wanted `3`
host: no match, host is `h`, wanted `*.b`
path: no match, path is `/x`, wanted prefix /y
";
    let told = explain(&specs, "h", "/x");
    assert_eq!(told.to_string(), wanted);
    assert_eq!(told.winner, None);
    let allowed: Vec<&str> = told.allow.iter().map(Method::as_str).collect();
    assert_eq!(allowed, ["GET", "HEAD"]);
}

#[test]
fn bounds_the_list_and_counts_the_rest() {
    let mut specs: Vec<RouteSpec> = (0..100)
        .map(|n| prefix("far", &format!("/far{n}")))
        .collect();
    specs.extend((0..30).map(|_| prefix("near", "/x")));
    let told = explain(&specs, "h", "/x/y");
    assert_eq!(told.winner, Some(RouteId(100)));
    assert_eq!(told.candidates.len(), CANDIDATES_MAX);
    assert!(
        told.candidates
            .iter()
            .all(|candidate| &*candidate.name == "near")
    );
    assert_eq!((told.omitted, told.elsewhere), (10, 100));
    assert!(told.to_string().ends_with(
        "10 more on this host and path\n100 others do not match the host or the path\n"
    ));
}
