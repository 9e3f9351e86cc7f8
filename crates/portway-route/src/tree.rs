//! The radix trees of all hosts, in one arena: octets of literal paths, one child for a parameter,
//! and at each node the candidates whose pattern ends there.
//!
//! Must hold: siblings lie side by side, so that their first octets are one short scan; a node is one
//! cache line; `best` is the smallest rank in a node's whole subtree, so that a walk skips what
//! cannot win. For one path a node is reached in at most one way.
//! Never: decides between candidates; that is the visitor's work.

use crate::path::{Kind, PARAM};

/// No node, no rank.
pub(crate) const NONE: u32 = u32::MAX;
/// Octets of a label that fit beside the rest of a node in 64 bytes; longer labels are chains.
const LABEL_BYTES: usize = 28;

/// A route that may match where it is stored; the cheap tests are in place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) rank: u32,
    pub(crate) route: u32,
    /// One bit per listener; see [`crate::search`].
    pub(crate) listeners: u32,
    /// One bit per method; see [`crate::search`].
    pub(crate) methods: u16,
    /// There is more to test than listener and method.
    pub(crate) conditional: bool,
    /// The path must still be shown to the route's regex.
    pub(crate) regex: bool,
}

/// A candidate and where in the tree it belongs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) kind: Kind,
    pub(crate) candidate: Candidate,
}

impl<'a> Item<'a> {
    /// What items of one tree must be sorted by.
    pub(crate) fn order(&self) -> (&'a [u8], Kind, u32) {
        (self.key, self.kind, self.candidate.rank)
    }
}

/// Looks at candidates as a walk comes by.
pub(crate) trait Visitor {
    /// Only smaller ranks are of interest.
    fn bound(&self) -> u32;
    /// Some candidates of one node, in rising rank.
    fn visit(&mut self, candidates: &[Candidate]);
}

#[derive(Clone, Debug)]
#[repr(align(64))]
struct Node {
    best: u32,
    /// First of the literal children; their first octets stand in `firsts` at the same places.
    children: u32,
    param: u32,
    /// First of the candidates: exact, prefix, rest, regex, so many of each.
    candidates: u32,
    counts: [u32; 4],
    children_len: u16,
    label_len: u8,
    /// The key ends in a slash or is empty: a prefix is on a boundary whatever follows.
    boundary: bool,
    label: [u8; LABEL_BYTES],
}

impl Node {
    fn empty() -> Self {
        Self {
            best: NONE,
            children: 0,
            param: NONE,
            candidates: 0,
            counts: [0; 4],
            children_len: 0,
            label_len: 0,
            boundary: true,
            label: [0; LABEL_BYTES],
        }
    }

    fn label(&self) -> &[u8] {
        &self.label[..usize::from(self.label_len)]
    }

    fn has_candidates(&self) -> bool {
        self.counts != [0; 4]
    }
}

/// Siblings among which one child is found without a branch per sibling.
const SCAN: usize = 16;

/// All trees.
#[derive(Clone, Debug, Default)]
pub(crate) struct Forest {
    nodes: Vec<Node>,
    firsts: Vec<u8>,
    candidates: Vec<Candidate>,
}

/// Where a tree begins, and the smallest rank in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree {
    root: u32,
    pub(crate) best: u32,
}

/// A node that is reserved and not yet filled.
struct Task<'i, 'a> {
    node: u32,
    items: &'i [Item<'a>],
    /// Octets of the keys that lie above the node.
    depth: usize,
}

impl Forest {
    /// Grows a tree from items sorted by [`Item::order`]; there must be at least one.
    pub(crate) fn grow(&mut self, items: &[Item<'_>]) -> Tree {
        let root = self.reserve(0);
        let mut tasks = vec![Task {
            node: root,
            items,
            depth: 0,
        }];
        while let Some(task) = tasks.pop() {
            self.fill(&task, &mut tasks);
        }
        // Children come after their parents, so one pass from the back sees every child first.
        for at in (root as usize..self.nodes.len()).rev() {
            self.nodes[at].best = self.best_below(at);
        }
        let best = self.nodes[root as usize].best;
        Tree { root, best }
    }

    /// To be called once, after the last tree.
    pub(crate) fn finish(&mut self) {
        self.firsts.extend_from_slice(&[0; SCAN]);
        self.nodes.shrink_to_fit();
        self.firsts.shrink_to_fit();
        self.candidates.shrink_to_fit();
    }

    /// The candidates that [`Visitor::visit`] is shown together.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &[Candidate]> {
        self.nodes.iter().flat_map(|node| {
            let mut start = node.candidates as usize;
            node.counts.map(|count| {
                let group = start..start + count as usize;
                start = group.end;
                &self.candidates[group]
            })
        })
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
            + self.firsts.capacity()
            + self.candidates.capacity() * size_of::<Candidate>()
    }

    /// Shows the visitor every candidate of `tree` that `path` leads to, but for those that its bound
    /// rules out. Deeper and more literal nodes come first.
    pub(crate) fn walk(&self, tree: Tree, path: &[u8], visitor: &mut impl Visitor) {
        self.descend(tree.root, path, 0, visitor);
    }

    fn descend(&self, mut id: u32, path: &[u8], mut at: usize, visitor: &mut impl Visitor) {
        loop {
            let node = &self.nodes[id as usize];
            if node.best >= visitor.bound() || !begins_with(&path[at..], node.label()) {
                return;
            }
            at += usize::from(node.label_len);
            let literal = path.get(at).and_then(|first| self.child(node, *first));
            if node.param == NONE && !node.has_candidates() {
                let Some(child) = literal else {
                    return;
                };
                id = child;
                continue;
            }
            if let Some(child) = literal {
                self.descend(child, path, at, visitor);
            }
            if node.param != NONE {
                let length = segment_len(&path[at..]);
                if length > 0 {
                    self.descend(node.param, path, at + length, visitor);
                }
            }
            self.show(node, path, at, visitor);
            return;
        }
    }

    /// The candidates of a node whose key ends at `at`.
    fn show(&self, node: &Node, path: &[u8], at: usize, visitor: &mut impl Visitor) {
        if !node.has_candidates() {
            return;
        }
        let next = path.get(at);
        let [exact, prefix, rest, regex] = node.counts;
        let start = node.candidates;
        let on_boundary = node.boundary || next.is_none_or(|octet| *octet == b'/');
        // Stored in the order of `Kind`, shown in the order of the classes: a regex that wins rules the
        // prefixes out.
        let mut show = |start: u32, count: u32, fits: bool| {
            if count > 0 && fits {
                let start = start as usize;
                visitor.visit(&self.candidates[start..start + count as usize]);
            }
        };
        show(start, exact, next.is_none());
        show(start + exact + prefix + rest, regex, true);
        show(start + exact + prefix, rest, next.is_some());
        show(start + exact, prefix, on_boundary);
    }

    fn child(&self, node: &Node, first: u8) -> Option<u32> {
        let start = node.children as usize;
        let offset = match usize::from(node.children_len) {
            0 => return None,
            // The child compares its whole label anyway.
            1 => 0,
            len @ 2..=SCAN => {
                // Fewer than so many octets follow only at the end, where padding was put.
                let window = self.firsts.get(start..start + SCAN)?.try_into().ok()?;
                let offset = place_in(window, first);
                if offset >= len {
                    return None;
                }
                offset
            }
            len => memchr::memchr(first, self.firsts.get(start..start + len)?)?,
        };
        // Nodes are counted in u32, so an offset among them fits.
        Some(node.children + u32::try_from(offset).unwrap_or(NONE))
    }

    fn reserve(&mut self, first: u8) -> u32 {
        let id = u32::try_from(self.nodes.len()).unwrap_or(NONE);
        self.nodes.push(Node::empty());
        self.firsts.push(first);
        id
    }

    fn fill<'i, 'a>(&mut self, task: &Task<'i, 'a>, tasks: &mut Vec<Task<'i, 'a>>) {
        let mut node = Node::empty();
        let label = common_label(task.items, task.depth);
        node.label[..label.len()].copy_from_slice(label);
        node.label_len = u8::try_from(label.len()).unwrap_or(0);
        let depth = task.depth + label.len();
        let above = &task.items[0].key[..depth];
        node.boundary = matches!(above.last(), None | Some(b'/'));

        let own = task.items.partition_point(|item| item.key.len() == depth);
        node.candidates = u32::try_from(self.candidates.len()).unwrap_or(NONE);
        for item in &task.items[..own] {
            node.counts[item.kind as usize] += 1;
            self.candidates.push(item.candidate);
        }

        let mut below = &task.items[own..];
        // The parameter's octet is the smallest, so its group is the first.
        let params = below.partition_point(|item| item.key[depth] == PARAM);
        if params > 0 {
            node.param = self.reserve(PARAM);
            tasks.push(Task {
                node: node.param,
                items: &below[..params],
                depth: depth + 1,
            });
            below = &below[params..];
        }
        node.children = u32::try_from(self.nodes.len()).unwrap_or(NONE);
        for group in below.chunk_by(|a, b| a.key[depth] == b.key[depth]) {
            let child = self.reserve(group[0].key[depth]);
            node.children_len += 1;
            tasks.push(Task {
                node: child,
                items: group,
                depth,
            });
        }
        self.nodes[task.node as usize] = node;
    }

    fn best_below(&self, at: usize) -> u32 {
        let node = &self.nodes[at];
        let own = node.candidates as usize;
        let own_len: u32 = node.counts.iter().sum();
        let own = self.candidates[own..own + own_len as usize]
            .iter()
            .map(|c| c.rank);
        let children = node.children as usize;
        let children = &self.nodes[children..children + usize::from(node.children_len)];
        let param = self.nodes.get(node.param as usize).map(|param| param.best);
        own.chain(children.iter().map(|child| child.best))
            .chain(param)
            .min()
            .unwrap_or(NONE)
    }
}

/// Where `octet` first stands in the window, or [`SCAN`]; without branches, since which child comes
/// next cannot be predicted.
fn place_in(window: [u8; SCAN], octet: u8) -> usize {
    const ONES: u128 = u128::from_le_bytes([0x01; SCAN]);
    const HIGHS: u128 = u128::from_le_bytes([0x80; SCAN]);
    // The lowest octet of `differences` that is zero has its high bit set in `zeros`; higher ones may
    // be wrong, but only the lowest is asked for.
    let differences = u128::from_le_bytes(window) ^ (ONES * u128::from(octet));
    let zeros = differences.wrapping_sub(ONES) & !differences & HIGHS;
    zeros.trailing_zeros() as usize / 8
}

/// `starts_with` for labels: most have a few octets, for which calling `memcmp` costs more than
/// comparing.
#[inline]
fn begins_with(path: &[u8], label: &[u8]) -> bool {
    let Some(start) = path.get(..label.len()) else {
        return false;
    };
    let (words, tail) = start.as_chunks::<8>();
    let (label_words, label_tail) = label.as_chunks::<8>();
    words == label_words && tail.iter().zip(label_tail).all(|(a, b)| a == b)
}

/// The first slash in `rest`, or its end; segments are short, so octet by octet.
#[inline]
fn segment_len(rest: &[u8]) -> usize {
    rest.iter()
        .position(|octet| *octet == b'/')
        .unwrap_or(rest.len())
}

/// What all keys have in common from `depth` on, up to a parameter and a label's size.
fn common_label<'a>(items: &[Item<'a>], depth: usize) -> &'a [u8] {
    // Sorted, so what the first and the last share, all share.
    let first = &items[0].key[depth..];
    let last = &items[items.len() - 1].key[depth..];
    let length = first
        .iter()
        .zip(last)
        .take(LABEL_BYTES)
        .take_while(|(a, b)| a == b && **a != PARAM)
        .count();
    &first[..length]
}
