//! A route as its author means it, and what can be wrong with one.
//!
//! Must hold: a `RouteSpec` is plain data; it is checked when a table is built from it.

use std::fmt;
use std::sync::Arc;

use http::{HeaderName, Method};
use portway_core::ListenerId;

use crate::host::HostPattern;
use crate::path::PathPattern;
use crate::value::ValueMatch;

/// What an exchange must be like to take this route. All of it must hold.
///
/// The position in the slice that a table is built from is the route's order in the file and its
/// [`portway_core::RouteId`].
#[derive(Clone, Debug)]
pub struct RouteSpec {
    /// Shown in explanations.
    pub name: Arc<str>,
    /// Empty means any host.
    pub hosts: Vec<HostPattern>,
    /// `None` means every listener; an empty list means none at all.
    pub listeners: Option<Vec<ListenerId>>,
    /// What the canonical path must be.
    pub path: PathPattern,
    /// Empty means any method; `GET` stands for `HEAD` too.
    pub methods: Vec<Method>,
    /// A header that comes several times needs one value that fits.
    pub headers: Vec<(HeaderName, ValueMatch)>,
    /// Keys and values after percent-decoding.
    pub query: Vec<(String, ValueMatch)>,
    /// From every `Cookie` header, as sent.
    pub cookies: Vec<(String, ValueMatch)>,
    /// Higher goes first, before every other rule.
    pub priority: i32,
}

impl RouteSpec {
    /// A route for every exchange; narrow it by setting fields.
    #[must_use]
    pub fn any(name: &str) -> Self {
        Self {
            name: name.into(),
            hosts: Vec::new(),
            listeners: None,
            path: PathPattern::Any,
            methods: Vec::new(),
            headers: Vec::new(),
            query: Vec::new(),
            cookies: Vec::new(),
            priority: 0,
        }
    }
}

/// One thing that is wrong with one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildProblem {
    /// Position of the route in the slice.
    pub route: usize,
    /// The key in the config: `prefix`, `path`, `regex`, `routes`.
    pub field: &'static str,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

impl fmt::Display for BuildProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            route,
            field,
            what,
            hint,
        } = self;
        write!(f, "route {route}: {field}: {what}; {hint}")
    }
}
