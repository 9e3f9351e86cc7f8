//! From a host to the trees that may know it: its own, those of its wildcards, the one for any host.
//!
//! Must hold: a tree that cannot improve on what was found is not walked. Ranks already say that an
//! exact host goes before a wildcard and that before any host, so order matters for speed only.
//! Never: lower-cases or copies a host.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::host::HostPattern;
use crate::tree::{Forest, NONE, Tree, Visitor};

/// All hosts of a table.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    exact: HashMap<Box<str>, Tree, RandomState>,
    /// By what follows `*.`.
    wildcards: HashMap<Box<str>, Tree, RandomState>,
    wildcard_best: u32,
    /// Length of the longest and the shortest suffix in `wildcards`.
    suffix_len: (usize, usize),
    any: Option<Tree>,
}

impl Hosts {
    /// Room for so many hosts.
    pub(crate) fn with_capacity(exact: usize, wildcards: usize) -> Self {
        Self {
            exact: HashMap::with_capacity_and_hasher(exact, RandomState::default()),
            wildcards: HashMap::with_capacity_and_hasher(wildcards, RandomState::default()),
            wildcard_best: NONE,
            suffix_len: (0, usize::MAX),
            any: None,
        }
    }

    /// Notes the tree of a host; `None` is any host.
    pub(crate) fn insert(&mut self, host: Option<&HostPattern>, tree: Tree) {
        match host {
            None => self.any = Some(tree),
            Some(host) if host.is_wildcard() => {
                let (longest, shortest) = self.suffix_len;
                let length = host.name().len();
                self.suffix_len = (longest.max(length), shortest.min(length));
                self.wildcard_best = self.wildcard_best.min(tree.best);
                self.wildcards.insert(host.name().into(), tree);
            }
            Some(host) => {
                self.exact.insert(host.name().into(), tree);
            }
        }
    }

    /// Walks every tree that `host` belongs to and that may hold a rank below the visitor's bound.
    pub(crate) fn walk(
        &self,
        forest: &Forest,
        host: &str,
        path: &[u8],
        visitor: &mut impl Visitor,
    ) {
        if !self.exact.is_empty()
            && let Some(tree) = self.exact.get(host)
        {
            forest.walk(*tree, path, visitor);
        }
        if self.wildcard_best < visitor.bound() {
            self.walk_wildcards(forest, host, path, visitor);
        }
        if let Some(any) = self.any {
            forest.walk(any, path, visitor);
        }
    }

    fn walk_wildcards(&self, forest: &Forest, host: &str, path: &[u8], visitor: &mut impl Visitor) {
        let (longest, shortest) = self.suffix_len;
        // A suffix needs a dot and a label before it: an attacker's host of 100 labels costs no more
        // lookups than there are labels within the longest suffix.
        let mut at = host.len().saturating_sub(longest + 1).max(1);
        while let Some(found) = host
            .as_bytes()
            .get(at..)
            .and_then(|rest| memchr::memchr(b'.', rest))
        {
            at += found + 1;
            if host.len() - at < shortest {
                return;
            }
            if let Some(tree) = host.get(at..).and_then(|suffix| self.wildcards.get(suffix)) {
                forest.walk(*tree, path, visitor);
            }
        }
    }

    /// The tree of exactly this pattern.
    pub(crate) fn tree(&self, host: Option<&HostPattern>) -> Option<Tree> {
        match host {
            None => self.any,
            Some(host) if host.is_wildcard() => self.wildcards.get(host.name()).copied(),
            Some(host) => self.exact.get(host.name()).copied(),
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        // One control byte per bucket, and an eighth of the buckets stays free.
        let bucket = size_of::<(Box<str>, Tree)>() + 1;
        let maps = [&self.exact, &self.wildcards];
        maps.iter()
            .map(|map| {
                map.capacity() * 8 / 7 * bucket + map.keys().map(|name| name.len()).sum::<usize>()
            })
            .sum()
    }
}
