//! Testing candidates: the best route, and the methods of a 405.
//!
//! Must hold: a candidate's masks decide alone unless they say "see the list"; the masks never refuse
//! what the lists would accept.

use http::Method;
use portway_core::ListenerId;

use crate::by_header::{ByHeader, VALUES_MIN};
use crate::spec::RouteSpec;
use crate::table::{Compiled, Lookup, Methods};
use crate::tree::{Candidate, NONE, Visitor};

/// The bit for all listeners that have none of their own.
const LISTENER_OTHER: u32 = 1 << 31;
/// The bit for all methods that have none of their own.
const METHOD_OTHER: u16 = 1 << 15;

fn listener_bit(listener: ListenerId) -> u32 {
    if listener.0 < 31 {
        1 << listener.0
    } else {
        LISTENER_OTHER
    }
}

fn method_bit(method: &Method) -> u16 {
    match *method {
        Method::GET => 1,
        Method::HEAD => 1 << 1,
        Method::POST => 1 << 2,
        Method::PUT => 1 << 3,
        Method::DELETE => 1 << 4,
        Method::OPTIONS => 1 << 5,
        Method::PATCH => 1 << 6,
        Method::CONNECT => 1 << 7,
        Method::TRACE => 1 << 8,
        _ => METHOD_OTHER,
    }
}

/// The bits of a route's listeners.
pub(crate) fn listeners_mask(spec: &RouteSpec) -> u32 {
    let Some(listeners) = &spec.listeners else {
        return u32::MAX;
    };
    listeners
        .iter()
        .fold(0, |mask, listener| mask | listener_bit(*listener))
}

/// The bits of a route's methods.
pub(crate) fn methods_mask(spec: &RouteSpec) -> u16 {
    if spec.methods.is_empty() {
        return u16::MAX;
    }
    let mask = spec
        .methods
        .iter()
        .fold(0, |mask, method| mask | method_bit(method));
    // RFC 9110, section 9.3.2: a resource that has GET has HEAD.
    if mask & 1 == 0 { mask } else { mask | 1 << 1 }
}

/// What every visitor needs to test a candidate.
struct Test<'t> {
    routes: &'t [Compiled],
    lookup: &'t Lookup<'t>,
    listener: u32,
    method: u16,
    scratch: &'t mut Vec<u8>,
}

impl<'t> Test<'t> {
    fn new(routes: &'t [Compiled], lookup: &'t Lookup<'t>, scratch: &'t mut Vec<u8>) -> Self {
        Self {
            routes,
            lookup,
            listener: listener_bit(lookup.listener),
            method: method_bit(lookup.method),
            scratch,
        }
    }

    fn route(&self, candidate: &Candidate) -> &'t Compiled {
        &self.routes[candidate.route as usize]
    }

    fn listener_fits(&self, candidate: &Candidate) -> bool {
        candidate.listeners & self.listener != 0
            && (self.listener != LISTENER_OTHER
                || self.route(candidate).accepts_listener(self.lookup.listener))
    }

    fn method_fits(&self, candidate: &Candidate) -> bool {
        candidate.methods & self.method != 0
            && (self.method != METHOD_OTHER
                || self.route(candidate).accepts_method(self.lookup.method))
    }

    fn rest_fits(&mut self, candidate: &Candidate) -> bool {
        if !candidate.conditional && !candidate.regex {
            return true;
        }
        let route = self.route(candidate);
        route
            .conditions
            .iter()
            .all(|condition| condition.holds(self.lookup, self.scratch))
            && (route.path.regex.as_ref()).is_none_or(|r| r.is_match(self.lookup.path.as_bytes()))
    }
}

/// Finds the smallest rank.
pub(crate) struct Best<'t> {
    test: Test<'t>,
    by_header: &'t ByHeader,
    rank: u32,
    route: u32,
    method_missed: bool,
}

impl<'t> Best<'t> {
    pub(crate) fn new(
        routes: &'t [Compiled],
        by_header: &'t ByHeader,
        lookup: &'t Lookup<'t>,
        scratch: &'t mut Vec<u8>,
    ) -> Self {
        Self {
            test: Test::new(routes, lookup, scratch),
            by_header,
            rank: NONE,
            route: NONE,
            method_missed: false,
        }
    }

    pub(crate) fn found(&self) -> Option<u32> {
        (self.rank != NONE).then_some(self.route)
    }

    /// Was there a candidate of another method?
    pub(crate) fn method_missed(&self) -> bool {
        self.method_missed
    }

    #[inline]
    fn try_each(&mut self, candidates: &[Candidate]) {
        for candidate in candidates {
            if candidate.rank >= self.rank {
                return;
            }
            if !self.test.listener_fits(candidate) {
                continue;
            }
            if !self.test.method_fits(candidate) {
                self.method_missed = true;
                continue;
            }
            if self.test.rest_fits(candidate) {
                self.rank = candidate.rank;
                self.route = candidate.route;
                return;
            }
        }
    }

    #[inline(never)]
    fn try_large(&mut self, candidates: &[Candidate]) {
        match self.by_header.find(candidates, self.test.lookup.headers) {
            Some(lists) => lists.into_iter().for_each(|list| self.try_each(list)),
            None => self.try_each(candidates),
        }
    }
}

impl Visitor for Best<'_> {
    #[inline]
    fn bound(&self) -> u32 {
        self.rank
    }

    #[inline]
    fn visit(&mut self, candidates: &[Candidate]) {
        if candidates.len() < VALUES_MIN {
            self.try_each(candidates);
        } else if candidates[0].rank < self.rank {
            self.try_large(candidates);
        }
    }
}

/// Gathers the methods of candidates that only the method keeps from matching.
pub(crate) struct Allowed<'t> {
    test: Test<'t>,
    pub(crate) methods: Methods,
}

impl<'t> Allowed<'t> {
    pub(crate) fn new(
        routes: &'t [Compiled],
        lookup: &'t Lookup<'t>,
        scratch: &'t mut Vec<u8>,
    ) -> Self {
        Self {
            test: Test::new(routes, lookup, scratch),
            methods: Methods::new(),
        }
    }
}

impl Visitor for Allowed<'_> {
    fn bound(&self) -> u32 {
        NONE
    }

    fn visit(&mut self, candidates: &[Candidate]) {
        for candidate in candidates {
            if !self.test.listener_fits(candidate) || !self.test.rest_fits(candidate) {
                continue;
            }
            for method in &self.test.route(candidate).methods {
                add_method(&mut self.methods, method);
                if *method == Method::GET {
                    add_method(&mut self.methods, &Method::HEAD);
                }
            }
        }
    }
}

/// Keeps the list sorted and free of repeats, so that `Allow` is the same every time.
fn add_method(methods: &mut Methods, method: &Method) {
    if let Err(at) = methods.binary_search_by(|known| known.as_str().cmp(method.as_str())) {
        methods.insert(at, method.clone());
    }
}
