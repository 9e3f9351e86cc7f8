//! Finding and explaining against a linear scan written from the rules alone, over random tables.
//!
//! Must hold: nothing here uses the crate's own matching or ranking.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use http::{HeaderMap, HeaderName, Method};
use portway_core::{ListenerId, RouteId};
use portway_route::{
    Found, HostPattern, Lookup, Params, PathPattern, RouteSpec, RouteTable, ValueMatch,
};
use proptest::prelude::*;

const REGEXES: &[&str] = &[
    "/a.*",
    "/a/[ab]+",
    ".*b",
    "/(a|ab)/.*",
    "/.*",
    "/b",
    "/a/b/[^/]*",
    r"\*",
];

#[derive(Clone, Debug)]
struct Request {
    listener: ListenerId,
    host: String,
    path: String,
    query: Option<String>,
    method: Method,
    headers: HeaderMap,
}

impl Request {
    fn lookup(&self) -> Lookup<'_> {
        Lookup {
            listener: self.listener,
            host: &self.host,
            path: &self.path,
            query: self.query.as_deref(),
            method: &self.method,
            headers: &self.headers,
        }
    }
}

mod scan {
    use super::*;

    /// Better is larger.
    type Key = (i32, usize, u8, Vec<u8>, usize, Reverse<usize>);

    pub fn find(specs: &[RouteSpec], request: &Request) -> Found {
        let mut best: Option<Key> = None;
        let mut allowed = BTreeSet::new();
        for (index, spec) in specs.iter().enumerate() {
            let Some(host) = host_rank(spec, &request.host) else {
                continue;
            };
            if !listener_fits(spec, request)
                || !path_fits(&spec.path, &request.path)
                || !rest_fits(spec, request)
            {
                continue;
            }
            if !method_fits(spec, &request.method) {
                allowed.extend(spec.methods.iter().map(|m| m.to_string()));
                if spec.methods.contains(&Method::GET) {
                    allowed.insert("HEAD".into());
                }
                continue;
            }
            let conditions = usize::from(!spec.methods.is_empty())
                + spec.headers.len()
                + spec.query.len()
                + spec.cookies.len();
            let (class, shape) = path_rank(&spec.path);
            let key = (
                spec.priority,
                host,
                class,
                shape,
                conditions,
                Reverse(index),
            );
            best = best.max(Some(key));
        }
        match best {
            Some(key) => Found::Route(RouteId(u32::try_from(key.5.0).unwrap())),
            None if allowed.is_empty() => Found::None,
            None => Found::MethodNotAllowed(allowed.iter().map(|m| m.parse().unwrap()).collect()),
        }
    }

    fn host_rank(spec: &RouteSpec, host: &str) -> Option<usize> {
        if spec.hosts.is_empty() {
            return Some(0);
        }
        let fits = |pattern: &HostPattern| {
            let text = pattern.to_string();
            match text.strip_prefix('*') {
                Some(dotted) => {
                    (host.len() > dotted.len() && host.ends_with(dotted)).then_some(dotted.len())
                }
                None => (host == text).then_some(1000),
            }
        };
        spec.hosts.iter().filter_map(fits).max()
    }

    fn listener_fits(spec: &RouteSpec, request: &Request) -> bool {
        spec.listeners
            .as_ref()
            .is_none_or(|list| list.contains(&request.listener))
    }

    fn method_fits(spec: &RouteSpec, method: &Method) -> bool {
        spec.methods.is_empty()
            || spec.methods.contains(method)
            || (method == Method::HEAD && spec.methods.contains(&Method::GET))
    }

    fn segments(pattern: &str) -> Vec<&str> {
        pattern[1..].split('/').collect()
    }

    fn same(wanted: &[&str], is: &[&str]) -> bool {
        wanted.iter().zip(is).all(|(wanted, is)| {
            if wanted.starts_with('{') {
                !is.is_empty()
            } else {
                wanted == is
            }
        })
    }

    pub fn path_fits(pattern: &PathPattern, path: &str) -> bool {
        let (text, exact) = match pattern {
            PathPattern::Any => return true,
            PathPattern::Regex(source) => {
                return regex::Regex::new(&format!(r"\A(?:{source})\z"))
                    .unwrap()
                    .is_match(path);
            }
            PathPattern::Prefix(text) => (text, false),
            PathPattern::Exact(text) => (text, true),
        };
        let Some(inside) = path.strip_prefix('/') else {
            return false;
        };
        let is: Vec<&str> = inside.split('/').collect();
        let mut wanted = segments(text);
        let last = *wanted.last().unwrap();
        if last.starts_with("{*") {
            wanted.pop();
            let rest = is.get(wanted.len()..).unwrap_or_default().join("/");
            return same(&wanted, &is) && !rest.is_empty();
        }
        if exact {
            return wanted.len() == is.len() && same(&wanted, &is);
        }
        if last.is_empty() {
            wanted.pop();
            return is.len() > wanted.len() && same(&wanted, &is);
        }
        is.len() >= wanted.len() && same(&wanted, &is)
    }

    fn path_rank(pattern: &PathPattern) -> (u8, Vec<u8>) {
        let (text, class) = match pattern {
            PathPattern::Any => return (1, Vec::new()),
            PathPattern::Regex(_) => return (2, Vec::new()),
            PathPattern::Prefix(text) => (text, 1),
            PathPattern::Exact(text) if text.contains("{*") => (text, 1),
            PathPattern::Exact(text) => (text, 3),
        };
        let all = segments(text);
        let kinds = all.iter().enumerate().map(|(at, segment)| match segment {
            s if s.starts_with("{*") => 2,
            s if s.starts_with('{') => 3,
            s if s.is_empty() && at + 1 == all.len() => 1,
            _ => 4,
        });
        (class, kinds.collect())
    }

    fn rest_fits(spec: &RouteSpec, request: &Request) -> bool {
        let headers = |name: &HeaderName| {
            let all = request.headers.get_all(name).iter();
            all.map(|v| v.to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let query: Vec<(String, String)> = (request.query.iter())
            .flat_map(|query| query.split('&'))
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(key, value)| (decode(key), decode(value)))
            .collect();
        let cookies: Vec<(String, String)> = headers(&http::header::COOKIE)
            .iter()
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
            .collect();
        let of = |pairs: &[(String, String)], key: &str| {
            let same = pairs.iter().filter(|(name, _)| name == key);
            same.map(|(_, value)| value.clone()).collect::<Vec<_>>()
        };
        spec.headers
            .iter()
            .all(|(name, wanted)| value_fits(wanted, &headers(name)))
            && spec
                .query
                .iter()
                .all(|(key, wanted)| value_fits(wanted, &of(&query, key)))
            && spec
                .cookies
                .iter()
                .all(|(key, wanted)| value_fits(wanted, &of(&cookies, key)))
    }

    fn decode(text: &str) -> String {
        text.replace('+', " ")
            .replace("%31", "1")
            .replace("%62", "b")
    }

    fn value_fits(wanted: &ValueMatch, values: &[String]) -> bool {
        match wanted {
            ValueMatch::Absent => values.is_empty(),
            ValueMatch::Present => !values.is_empty(),
            ValueMatch::Exact(text) => values.contains(text),
            ValueMatch::Prefix(text) => values.iter().any(|value| value.starts_with(text.as_str())),
            ValueMatch::Regex(pattern) => {
                let whole = regex::Regex::new(&format!(r"\A(?:{})\z", pattern.source())).unwrap();
                values.iter().any(|value| whole.is_match(value))
            }
        }
    }
}

fn hosts() -> impl Strategy<Value = Vec<HostPattern>> {
    let one = prop::sample::select(vec![
        "a.com",
        "b.com",
        "x.a.com",
        "*.a.com",
        "*.x.a.com",
        "*.com",
    ]);
    let some = prop::collection::vec(one.prop_map(|text| HostPattern::parse(text).unwrap()), 1..3);
    prop_oneof![2 => Just(Vec::new()), 3 => some]
}

fn literal_path() -> impl Strategy<Value = String> {
    let segment = prop_oneof![
        8 => prop::sample::select(vec!["a", "b", "ab", "aab"]).prop_map(str::to_owned),
        1 => Just(String::new()),
        1 => Just("a-segment-that-is-longer-than-one-label-of-a-node".to_owned()),
    ];
    prop::collection::vec(segment, 0..4).prop_map(|segments| format!("/{}", segments.join("/")))
}

fn pattern_text() -> impl Strategy<Value = String> {
    (literal_path(), any::<[u8; 4]>(), 0..8_u8).prop_map(|(path, dice, rest)| {
        let segments = path[1..]
            .split('/')
            .zip(dice)
            .enumerate()
            .map(|(at, (segment, die))| {
                if die < 80 {
                    format!("{{p{at}}}")
                } else {
                    segment.to_owned()
                }
            });
        let tail = if rest == 0 { "/{*rest}" } else { "" };
        format!("/{}{tail}", segments.collect::<Vec<_>>().join("/"))
    })
}

fn path_pattern() -> impl Strategy<Value = PathPattern> {
    prop_oneof![
        1 => Just(PathPattern::Any),
        5 => pattern_text().prop_map(PathPattern::Prefix),
        4 => pattern_text().prop_map(PathPattern::Exact),
        2 => prop::sample::select(REGEXES).prop_map(|source| PathPattern::Regex(source.into())),
    ]
}

fn method() -> impl Strategy<Value = Method> {
    let names = vec!["GET", "GET", "HEAD", "POST", "OPTIONS", "PURGE", "LOCK"];
    prop::sample::select(names).prop_map(|name| name.parse().unwrap())
}

fn listener() -> impl Strategy<Value = ListenerId> {
    prop::sample::select(vec![0, 1, 30, 31, 40]).prop_map(ListenerId)
}

fn value_match() -> impl Strategy<Value = ValueMatch> {
    prop_oneof![
        Just(ValueMatch::Exact("1".into())),
        Just(ValueMatch::Exact("b b".into())),
        Just(ValueMatch::Prefix("b".into())),
        Just(ValueMatch::regex("b.*|1").unwrap()),
        Just(ValueMatch::Present),
        Just(ValueMatch::Absent),
    ]
}

fn conditions<K: Clone + std::fmt::Debug + 'static>(
    keys: Vec<K>,
) -> impl Strategy<Value = Vec<(K, ValueMatch)>> {
    let some = prop::collection::vec((prop::sample::select(keys), value_match()), 1..3);
    prop_oneof![4 => Just(Vec::new()), 1 => some]
}

fn text_keys() -> Vec<String> {
    vec!["k".into(), "b b".into()]
}

fn spec() -> impl Strategy<Value = RouteSpec> {
    let names = vec![
        HeaderName::from_static("x-t"),
        HeaderName::from_static("x-u"),
    ];
    let listeners = prop_oneof![
        4 => Just(None),
        1 => prop::collection::vec(listener(), 0..4).prop_map(Some),
    ];
    let methods = prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(method(), 1..3)];
    (
        hosts(),
        listeners,
        path_pattern(),
        methods,
        conditions(names),
        conditions(text_keys()),
        conditions(text_keys()),
        prop_oneof![5 => Just(0), 1 => -1..2_i32],
    )
        .prop_map(
            |(hosts, listeners, path, methods, headers, query, cookies, priority)| RouteSpec {
                name: "r".into(),
                hosts,
                listeners,
                path,
                methods,
                headers,
                query,
                cookies,
                priority,
            },
        )
}

fn request() -> impl Strategy<Value = Request> {
    let host = prop::sample::select(vec![
        "a.com",
        "b.com",
        "x.a.com",
        "y.x.a.com",
        "q.com",
        "com",
        "",
        ".com",
    ]);
    let path = prop_oneof![20 => literal_path(), 1 => Just("*".to_owned())];
    let value = prop::sample::select(vec!["1", "b", "b b", "zz", ""]);
    let header = (prop::sample::select(vec!["x-t", "x-u"]), value.clone());
    let headers = prop::collection::vec(header, 0..4);
    let cookies = prop::collection::vec((prop::sample::select(text_keys()), value), 0..3);
    let query = prop::sample::select(vec![
        None,
        Some("k=1"),
        Some("k=%31&k=zz"),
        Some("b+%62=b+b&&k"),
        Some("k=b%62&b+b=1"),
        Some(""),
    ]);
    (listener(), host, path, query, method(), headers, cookies).prop_map(
        |(listener, host, path, query, method, headers, cookies)| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(name, value.parse().unwrap());
            }
            for (name, value) in cookies {
                map.append(
                    http::header::COOKIE,
                    format!("x=y; {name}={value} ").parse().unwrap(),
                );
            }
            Request {
                listener,
                host: host.into(),
                path,
                query: query.map(str::to_owned),
                method,
                headers: map,
            }
        },
    )
}

/// Routes of a few places, most of which want one value of a header: enough for an index.
fn siblings() -> impl Strategy<Value = Vec<RouteSpec>> {
    let value = prop_oneof![
        8 => (0..40).prop_map(|n| ValueMatch::Exact(format!("v{n}"))),
        1 => value_match(),
    ];
    let one = (
        spec(),
        prop::option::weighted(0.9, value),
        any::<bool>(),
        0..4_u8,
    );
    let one = one.prop_map(|(mut spec, value, other, keep)| {
        let name = if other { "x-t" } else { "x-u" };
        spec.headers
            .extend(value.map(|value| (HeaderName::from_static(name), value)));
        if keep > 0 {
            spec.path = PathPattern::Prefix("/a".into());
            spec.hosts.clear();
        }
        if keep > 1 {
            (spec.query, spec.cookies) = (Vec::new(), Vec::new());
        }
        spec
    });
    prop::collection::vec(one, 40..120)
}

fn sibling_request() -> impl Strategy<Value = Request> {
    let values = prop::collection::vec((any::<bool>(), 0..45), 0..7);
    (request(), values).prop_map(|(mut request, values)| {
        request.path = format!("/a{}", request.path);
        for (other, number) in values {
            let name = if other { "x-t" } else { "x-u" };
            request
                .headers
                .append(name, format!("v{number}").parse().unwrap());
        }
        request
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn siblings_found_by_a_header_are_those_of_a_linear_scan(
        specs in siblings(),
        requests in prop::collection::vec(sibling_request(), 1..24),
    ) {
        let table = RouteTable::build(&specs).unwrap();
        let mut params = Params::new();
        for request in &requests {
            let wanted = scan::find(&specs, request);
            let found = table.find(&request.lookup(), &mut params);
            prop_assert_eq!(&found, &wanted, "{:?}", request);
            let told = table.explain(&request.lookup());
            prop_assert_eq!(told.winner.map(Found::Route), Some(wanted).filter(|f| matches!(f, Found::Route(_))));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn find_and_explain_equal_a_linear_scan(
        specs in prop::collection::vec(spec(), 0..24),
        requests in prop::collection::vec(request(), 1..12),
    ) {
        let table = RouteTable::build(&specs).unwrap();
        let mut params = Params::new();
        let shadowed: BTreeSet<RouteId> = table.shadowed().into_iter().map(|s| s.route).collect();
        for request in &requests {
            let wanted = scan::find(&specs, request);
            let found = table.find(&request.lookup(), &mut params);
            prop_assert_eq!(&found, &wanted, "{:?}", request);
            let told = table.explain(&request.lookup());
            match wanted {
                Found::Route(route) => {
                    prop_assert_eq!(told.winner, Some(route));
                    prop_assert!(!shadowed.contains(&route), "{:?} is said to be shadowed", route);
                }
                Found::MethodNotAllowed(methods) => {
                    prop_assert_eq!((told.winner, told.allow), (None, methods));
                }
                Found::None => prop_assert!(told.winner.is_none() && told.allow.is_empty()),
            }
        }
    }

    #[test]
    fn params_are_the_segments_they_stand_for(pattern in pattern_text(), path in literal_path()) {
        let mut spec = RouteSpec::any("r");
        spec.path = PathPattern::Prefix(pattern.clone());
        let table = RouteTable::build(&[spec.clone()]).unwrap();
        let mut params = Params::new();
        let (method, headers) = (Method::GET, HeaderMap::new());
        let lookup = Lookup {
            listener: ListenerId(0), host: "h", path: &path, query: None, method: &method, headers: &headers,
        };
        let found = table.find(&lookup, &mut params);
        prop_assert_eq!(found == Found::Route(RouteId(0)), scan::path_fits(&spec.path, &path));
        if found == Found::None {
            prop_assert!(params.is_empty());
            return Ok(());
        }
        let parts: Vec<&str> = path[1..].split('/').collect();
        for (at, segment) in pattern[1..].split('/').enumerate() {
            let Some(name) = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) else {
                continue;
            };
            let wanted = match name.strip_prefix('*') {
                Some(_) => parts[at..].join("/"),
                None => parts[at].to_owned(),
            };
            let name = name.trim_start_matches('*');
            prop_assert_eq!(params.get(&table, &path, name), Some(wanted.as_str()));
        }
        prop_assert_eq!(params.get(&table, &path, "missing"), None);
    }

    #[test]
    fn patterns_and_paths_from_anyone_never_panic(
        text in "\\PC{0,24}", path in "\\PC{0,24}", query in "\\PC{0,24}", host in "\\PC{0,24}",
    ) {
        let _ = HostPattern::parse(&text);
        let mut specs = vec![RouteSpec::any("any")];
        for pattern in [PathPattern::exact(&text), PathPattern::prefix(&text), PathPattern::regex(&text)] {
            let mut spec = RouteSpec::any("r");
            spec.path = pattern.unwrap_or(PathPattern::Prefix("/".into()));
            spec.query = vec![("k".into(), ValueMatch::Prefix("a".into()))];
            specs.push(spec);
        }
        specs[1].hosts.push(HostPattern::parse("*.a.com").unwrap());
        let table = RouteTable::build(&specs).unwrap();
        let (method, headers) = (Method::GET, HeaderMap::new());
        let lookup = Lookup {
            listener: ListenerId(0), host: &host, path: &path, query: Some(&query), method: &method, headers: &headers,
        };
        let found = table.find(&lookup, &mut Params::new());
        prop_assert_eq!(table.explain(&lookup).winner.map(Found::Route), Some(found));
    }
}
