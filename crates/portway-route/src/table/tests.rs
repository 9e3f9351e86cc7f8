use super::*;
use crate::{PathPattern, ValueMatch};

fn spec(path: PathPattern) -> RouteSpec {
    let mut spec = RouteSpec::any("r");
    spec.path = path;
    spec
}

fn find(table: &RouteTable, host: &str, path: &str, method: &Method) -> (Found, Params) {
    let mut params = Params::new();
    let headers = HeaderMap::new();
    let lookup = Lookup {
        listener: ListenerId(0),
        host,
        path,
        query: None,
        method,
        headers: &headers,
    };
    (table.find(&lookup, &mut params), params)
}

#[test]
fn tells_every_problem_of_every_route() {
    let specs = [
        spec(PathPattern::Prefix("api".into())),
        spec(PathPattern::Any),
        spec(PathPattern::Exact("/{a}/{a}".into())),
        spec(PathPattern::Regex("(".into())),
    ];
    let problems = RouteTable::build(&specs).unwrap_err();
    let places: Vec<_> = problems.iter().map(|p| (p.route, p.field)).collect();
    assert_eq!(places, [(0, "prefix"), (2, "path"), (3, "regex")]);
    assert_eq!(
        problems[0].to_string(),
        "route 0: prefix: `api` does not begin with `/`; write `/api`"
    );
}

#[test]
fn falls_through_to_wildcard_and_any_host() {
    let mut exact = spec(PathPattern::exact("/only").unwrap());
    exact.hosts = vec![HostPattern::parse("a.b.c").unwrap()];
    let mut wild = spec(PathPattern::prefix("/w").unwrap());
    wild.hosts = vec![HostPattern::parse("*.c").unwrap()];
    let table = RouteTable::build(&[spec(PathPattern::Any), wild, exact]).unwrap();
    let route = |path| find(&table, "a.b.c", path, &Method::GET).0;
    assert_eq!(route("/only"), Found::Route(RouteId(2)));
    assert_eq!(route("/w/x"), Found::Route(RouteId(1)));
    assert_eq!(route("/other"), Found::Route(RouteId(0)));
}

#[test]
fn names_the_methods_when_only_they_differ() {
    let mut get = spec(PathPattern::prefix("/a").unwrap());
    get.methods = vec![Method::GET];
    let mut put = spec(PathPattern::exact("/a/b").unwrap());
    put.methods = vec![Method::PUT, Method::GET];
    let mut hidden = spec(PathPattern::prefix("/a").unwrap());
    hidden.methods = vec![Method::DELETE];
    hidden.cookies = vec![("k".into(), ValueMatch::Present)];
    let table = RouteTable::build(&[get, put, hidden]).unwrap();
    let allowed = Methods::from_iter([Method::GET, Method::HEAD, Method::PUT]);
    assert_eq!(
        find(&table, "h", "/a/b", &Method::POST).0,
        Found::MethodNotAllowed(allowed)
    );
    assert_eq!(
        find(&table, "h", "/a/b", &Method::HEAD).0,
        Found::Route(RouteId(1))
    );
    assert_eq!(find(&table, "h", "/x", &Method::POST).0, Found::None);
}

#[test]
fn gives_parameters_by_name_and_place() {
    let table =
        RouteTable::build(&[spec(PathPattern::prefix("/u/{id}/f/{*path}").unwrap())]).unwrap();
    let path = "/u/7/f/a/b.txt";
    let (found, params) = find(&table, "h", path, &Method::GET);
    assert_eq!(found, Found::Route(RouteId(0)));
    assert_eq!(params.len(), 2);
    assert_eq!(params.get(&table, path, "id"), Some("7"));
    assert_eq!(params.get(&table, path, "path"), Some("a/b.txt"));
    assert_eq!(params.value(path, 1), Some("a/b.txt"));
    assert_eq!(params.get(&table, path, "none"), None);
    assert_eq!(params.get(&table, "/short", "path"), None);
    assert_eq!(
        table.param_names(RouteId(0)).collect::<Vec<_>>(),
        ["id", "path"]
    );
}

#[test]
fn empty_table_finds_nothing() {
    let table = RouteTable::build(&[]).unwrap();
    assert!(table.is_empty());
    assert_eq!(find(&table, "h", "/", &Method::GET).0, Found::None);
    assert!(table.shadowed().is_empty());
}

#[test]
fn deep_tables_fit_the_stack() {
    let mut path = String::new();
    let mut specs = Vec::new();
    while path.len() + 2 <= crate::PATTERN_BYTES_MAX {
        path.push_str("/a");
        specs.push(spec(PathPattern::prefix(&path).unwrap()));
        specs.push(spec(PathPattern::regex(&format!("{path}x?")).unwrap()));
    }
    let table = RouteTable::build(&specs).unwrap();
    let last = RouteId(u32::try_from(specs.len() - 1).unwrap());
    assert_eq!(find(&table, "h", &path, &Method::GET).0, Found::Route(last));
}

#[test]
fn ten_thousand_routes_stay_below_a_kibibyte_each() {
    let specs: Vec<RouteSpec> = (0..10_000)
        .map(|n| {
            let mut one = spec(PathPattern::exact(&format!("/api/v1/service-{n}/{{id}}")).unwrap());
            one.hosts = vec![HostPattern::parse(&format!("s{}.example.com", n % 100)).unwrap()];
            one
        })
        .collect();
    let table = RouteTable::build(&specs).unwrap();
    assert_eq!(table.len(), 10_000);
    assert!(table.memory_bytes() / table.len() < 1024);
}
