//! The values of a route's `{name}` segments in one path.
//!
//! Must hold: offsets only, so that the same value is reused for every exchange of a connection
//! without allocating; they are meaningful for the path and the table of the last find.

use portway_core::RouteId;
use smallvec::SmallVec;

use crate::path::Kind;
use crate::table::{Compiled, RouteTable};

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

    /// Notes where the parameters of `route`, which matches `path`, lie in it.
    pub(crate) fn fill(&mut self, route: RouteId, slots: &[u16], path: &[u8]) {
        self.route = Some(route);
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let (Some((&last, _)), end) = (slots.split_last(), offset(path.len())) else {
            return;
        };
        let mut wanted = slots.iter().copied().peekable();
        let mut start = 0;
        let mut open = false;
        for (slash, before) in memchr::memchr_iter(b'/', path).zip(0_u16..) {
            if open {
                self.spans.push((start, offset(slash)));
                open = false;
            }
            let Some(slot) = wanted.next_if(|slot| slot & !TO_END == before) else {
                if wanted.peek().is_none() {
                    return;
                }
                continue;
            };
            start = offset(slash + 1);
            if slot & TO_END != 0 {
                break;
            }
            open = true;
        }
        if open || last & TO_END != 0 {
            self.spans.push((start, end));
        }
    }
}

/// Marks the slot of a `{*rest}`. A pattern has fewer segments than that.
const TO_END: u16 = 1 << 15;

/// Behind which slashes the parameters of all routes stand, side by side: finding touches this
/// instead of the routes, which are large.
#[derive(Clone, Debug, Default)]
pub(crate) struct ParamSlots {
    /// Where the slots of each route end; they begin where those of the route before end.
    ends: Vec<u32>,
    slots: Vec<u16>,
}

impl ParamSlots {
    pub(crate) fn of_routes(routes: &[Compiled]) -> Self {
        let mut all = Self::default();
        for route in routes {
            let path = &route.path;
            // The first segment stands behind slash 0.
            all.slots
                .extend(path.params.iter().map(|param| param.segment - 1));
            if path.kind == Kind::Rest
                && let Some(last) = all.slots.last_mut()
            {
                *last |= TO_END;
            }
            all.ends
                .push(u32::try_from(all.slots.len()).unwrap_or(u32::MAX));
        }
        if all.slots.is_empty() {
            all.ends.clear();
        }
        all.ends.shrink_to_fit();
        all.slots.shrink_to_fit();
        all
    }

    pub(crate) fn of(&self, route: RouteId) -> &[u16] {
        let Some(&end) = self.ends.get(route.index()) else {
            return &[];
        };
        let before = route
            .index()
            .checked_sub(1)
            .and_then(|before| self.ends.get(before));
        let start = before.copied().unwrap_or(0);
        self.slots
            .get(start as usize..end as usize)
            .unwrap_or_default()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.ends.capacity() * size_of::<u32>() + self.slots.capacity() * size_of::<u16>()
    }
}
