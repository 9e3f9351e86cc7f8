//! Route tables of any size and look-ups that hit them.
//!
//! Must hold: every look-up finds a route, and neighbouring look-ups land far apart in the table.
//! Two shapes: `hosts` (100 hosts share the routes, as a gateway of many teams) and `flat` (any host,
//! all routes in one tree). Every tenth route has a parameter, every seventh names methods.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use portway_core::ListenerId;
use portway_route::{HostPattern, Lookup, PathPattern, RouteSpec, RouteTable, ValueMatch};

const HOSTS: usize = 100;
/// Look-ups of one input: their texts are larger than the first-level cache.
const LOOKUPS: usize = 1024;

/// How the routes are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Hosts,
    Flat,
}

impl Shape {
    /// Both, with the name of each.
    pub const ALL: [(Shape, &'static str); 2] = [(Shape::Hosts, "hosts"), (Shape::Flat, "flat")];
}

fn host(index: usize) -> String {
    format!("team{}.example.com", index % HOSTS)
}

fn stem(index: usize) -> String {
    // Digits first would make neighbours of one tree node; services of one domain share prefixes.
    format!("/api/v{}/service{index}", index % 3 + 1)
}

fn spec(index: usize, shape: Shape) -> RouteSpec {
    let mut spec = RouteSpec::any(&format!("route{index}"));
    let stem = stem(index);
    spec.path = if index.is_multiple_of(10) {
        PathPattern::exact(&format!("{stem}/items/{{id}}")).expect("a valid pattern")
    } else {
        PathPattern::prefix(&stem).expect("a valid prefix")
    };
    if shape == Shape::Hosts {
        spec.hosts = vec![HostPattern::parse(&host(index)).expect("a valid host")];
    }
    if index.is_multiple_of(7) {
        spec.methods = vec![Method::GET, Method::POST];
    }
    spec
}

/// The routes of a table.
#[must_use]
pub fn specs(count: usize, shape: Shape) -> Vec<RouteSpec> {
    (0..count).map(|index| spec(index, shape)).collect()
}

/// A table of `count` routes and requests for it.
pub struct Input {
    pub table: RouteTable,
    targets: Vec<(String, String)>,
    headers: HeaderMap,
}

impl Input {
    /// # Panics
    /// If the table does not build or a look-up misses: the bench would measure something else.
    #[must_use]
    pub fn new(count: usize, shape: Shape) -> Input {
        let table = RouteTable::build(&specs(count, shape)).expect("routes without problems");
        let targets = (0..LOOKUPS)
            .map(|number| {
                // A stride that shares no factor with the sizes visits routes far apart.
                let index = number * 7919 % count;
                (host(index), format!("{}/items/42", stem(index)))
            })
            .collect();
        let input = Input {
            table,
            targets,
            headers: HeaderMap::new(),
        };
        let mut params = portway_route::Params::new();
        for number in 0..LOOKUPS {
            let found = input.table.find(&input.lookup(number), &mut params);
            assert!(
                matches!(found, portway_route::Found::Route(_)),
                "look-up {number} misses"
            );
        }
        input
    }

    /// The look-up with this number, modulo how many there are.
    #[must_use]
    pub fn lookup(&self, number: usize) -> Lookup<'_> {
        let (host, path) = &self.targets[number % LOOKUPS];
        Lookup {
            listener: ListenerId(0),
            host,
            path,
            query: None,
            method: &Method::GET,
            headers: &self.headers,
        }
    }
}

/// Routes of one path that differ by what a header says, and requests for them.
pub struct Tenants {
    pub table: RouteTable,
    requests: Vec<HeaderMap>,
}

impl Tenants {
    /// # Panics
    /// If the table does not build.
    #[must_use]
    pub fn new(count: usize) -> Tenants {
        let header = HeaderName::from_static("x-tenant");
        let tenant = |index: usize| format!("tenant-{index}");
        let specs: Vec<RouteSpec> = (0..count)
            .map(|index| {
                let mut spec = RouteSpec::any(&format!("route{index}"));
                spec.path = PathPattern::prefix("/api").expect("a valid prefix");
                spec.headers = vec![(header.clone(), ValueMatch::Exact(tenant(index)))];
                spec
            })
            .collect();
        let request = |number: usize| {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::try_from(tenant(number * 7919 % count));
            headers.insert(header.clone(), value.expect("visible characters"));
            headers
        };
        Tenants {
            table: RouteTable::build(&specs).expect("routes without problems"),
            requests: (0..LOOKUPS).map(request).collect(),
        }
    }

    /// The look-up with this number, modulo how many there are.
    #[must_use]
    pub fn lookup(&self, number: usize) -> Lookup<'_> {
        Lookup {
            listener: ListenerId(0),
            host: "api.example.com",
            path: "/api/items/42",
            query: None,
            method: &Method::GET,
            headers: &self.requests[number % LOOKUPS],
        }
    }
}
