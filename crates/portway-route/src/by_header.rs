//! Candidates of one place in a tree that differ by the exact value of one header (a tenant, a
//! version), found by the request's value instead of one by one.
//!
//! Must hold: it only leaves out candidates whose value the request does not have; what it gives is
//! still tested, and ranks still decide. Small groups have no index: trying them is faster.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use foldhash::fast::RandomState;
use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;

use crate::condition::{Condition, Subject};
use crate::table::Compiled;
use crate::tree::Candidate;
use crate::value::ValueMatch;

/// Different values from which on a group is worth an index: with so many, trying half of them costs
/// a few times what hashing a value does.
pub(crate) const VALUES_MIN: usize = 16;
/// Values of a header that a request may have and still be looked up by: each costs a look-up.
const VALUES_MAX: usize = 4;

/// The indexes of a table, each by the rank of its group's first candidate.
#[derive(Clone, Debug, Default)]
pub(crate) struct ByHeader(HashMap<u32, Index, RandomState>);

/// One group of candidates.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    header: HeaderName,
    /// In rising rank for each value that some want.
    by_value: HashMap<Box<[u8]>, Box<[Candidate]>, RandomState>,
    /// In rising rank, those that do not want one exact value.
    others: Box<[Candidate]>,
}

/// Lists of candidates, each in rising rank.
pub(crate) type Lists<'a> = SmallVec<[&'a [Candidate]; VALUES_MAX + 1]>;

impl ByHeader {
    /// Makes an index for each group that is worth one.
    pub(crate) fn of<'a>(
        routes: &[Compiled],
        groups: impl Iterator<Item = &'a [Candidate]>,
    ) -> ByHeader {
        let large = groups.filter(|group| group.len() >= VALUES_MIN);
        let indexed = large.filter_map(|group| Some((group[0].rank, Index::of(routes, group)?)));
        ByHeader(indexed.collect())
    }

    /// The candidates of a group that a request may match; `None` if they must all be tried.
    pub(crate) fn find<'t>(
        &'t self,
        group: &[Candidate],
        headers: &HeaderMap,
    ) -> Option<Lists<'t>> {
        let index = self.0.get(&group.first()?.rank)?;
        let mut lists = Lists::new();
        lists.push(&*index.others);
        for (at, value) in headers.get_all(&index.header).iter().enumerate() {
            if at == VALUES_MAX {
                return None;
            }
            lists.extend(index.by_value.get(value.as_bytes()).map(|list| &**list));
        }
        Some(lists)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.0.values().map(Index::memory_bytes).sum()
    }
}

impl Index {
    fn of(routes: &[Compiled], group: &[Candidate]) -> Option<Index> {
        let route = |candidate: &Candidate| &routes[candidate.route as usize];
        let mut values: BTreeMap<&str, (&HeaderName, BTreeSet<&str>)> = BTreeMap::new();
        for (header, value) in group
            .iter()
            .flat_map(|c| exact_headers(&route(c).conditions))
        {
            let entry = values
                .entry(header.as_str())
                .or_insert((header, BTreeSet::new()));
            entry.1.insert(value);
        }
        let (header, values) = values
            .into_values()
            .max_by_key(|(_, values)| values.len())?;
        if values.len() < VALUES_MIN {
            return None;
        }
        let mut by_value: HashMap<&[u8], Vec<Candidate>> = HashMap::new();
        let mut others = Vec::new();
        for candidate in group {
            let mut wanted = exact_headers(&route(candidate).conditions);
            match wanted.find(|(name, _)| *name == header) {
                Some((_, value)) => by_value
                    .entry(value.as_bytes())
                    .or_default()
                    .push(*candidate),
                None => others.push(*candidate),
            }
        }
        let boxed = |(value, list): (&[u8], Vec<Candidate>)| (value.into(), list.into());
        Some(Index {
            header: header.clone(),
            by_value: by_value.into_iter().map(boxed).collect(),
            others: others.into(),
        })
    }

    fn memory_bytes(&self) -> usize {
        let mut bytes = size_of::<(u32, Index)>() + size_of_val(&*self.others);
        for (value, list) in &self.by_value {
            bytes += size_of_val(value) + value.len() + size_of_val(list) + size_of_val(&**list);
        }
        bytes
    }
}

fn exact_headers(conditions: &[Condition]) -> impl Iterator<Item = (&HeaderName, &str)> {
    conditions
        .iter()
        .filter_map(|c| match (&c.subject, &c.value) {
            (Subject::Header(name), ValueMatch::Exact(value)) => Some((name, value.as_str())),
            _ => None,
        })
}
