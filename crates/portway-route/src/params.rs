//! The values of a route's `{name}` segments in one path.
//!
//! Must hold: offsets only, so that the same value is reused for every exchange of a connection
//! without allocating; they are meaningful for the path and the table of the last find.

use portway_core::RouteId;
use smallvec::SmallVec;

use crate::path::Kind;
use crate::table::RouteTable;

/// Where in the path each parameter of the found route lies. Reusable.
#[derive(Clone, Debug, Default)]
pub struct Params {
    route: Option<RouteId>,
    spans: SmallVec<[(u32, u32); 8]>,
    /// Decoded query values, kept for its capacity.
    pub(crate) scratch: Vec<u8>,
}

impl Params {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many parameters the found route has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The parameter called `name`, as it stands in `path`: the canonical path that was looked up in
    /// `table`. `{*rest}` is called `rest`.
    #[must_use]
    pub fn get<'p>(&self, table: &RouteTable, path: &'p str, name: &str) -> Option<&'p str> {
        let params = &table.route(self.route?)?.path.params;
        let index = params.iter().position(|param| &*param.name == name)?;
        self.value(path, index)
    }

    /// The parameter at `index`, counted from the left of the pattern; names of a route:
    /// [`RouteTable::param_names`].
    #[must_use]
    pub fn value<'p>(&self, path: &'p str, index: usize) -> Option<&'p str> {
        let &(start, end) = self.spans.get(index)?;
        path.get(start as usize..end as usize)
    }

    pub(crate) fn clear(&mut self) {
        self.route = None;
        self.spans.clear();
    }

    /// Notes where the parameters of `route` lie in `path`, which it matches.
    pub(crate) fn fill(&mut self, table: &RouteTable, route: RouteId, path: &str) {
        self.route = Some(route);
        let Some(compiled) = table.route(route) else {
            return;
        };
        let octets = path.as_bytes();
        let (mut slashes, mut at) = (0, 0);
        for (index, param) in compiled.path.params.iter().enumerate() {
            while slashes < param.segment {
                let Some(found) = memchr::memchr(b'/', &octets[at..]) else {
                    return;
                };
                at += found + 1;
                slashes += 1;
            }
            let last = index + 1 == compiled.path.params.len();
            let end = if last && compiled.path.kind == Kind::Rest {
                octets.len()
            } else {
                memchr::memchr(b'/', &octets[at..]).map_or(octets.len(), |found| at + found)
            };
            let offset = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            self.spans.push((offset(at), offset(end)));
        }
    }
}
