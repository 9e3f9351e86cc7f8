//! `weighted_round_robin`: nginx's smooth weighted round robin, which spreads the picks of a heavy
//! target instead of bunching them (5:1:1 gives a a b a c a a).
//!
//! Must hold: over a cycle of the sum of the weights each target is picked exactly weight times, in
//! nginx's order. After a failure a target's effective weight is 0 and comes back by 1 a pick.
//! nginx looks at every target for every pick. Here targets of equal weight form a group that takes
//! turns, and a pick looks at the groups; while a failure or a retry makes targets differ, it looks
//! at each of them too.

use portway_core::Mono;

use crate::balancer::{Balancer, Outcome, TargetInfo, View, WEIGHT_SCALE, carry_over, full_weight};
use crate::choose::by_counting;
use crate::rng::Rng;

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// What the target is owed: rises by the effective weight each pick, falls by all weights when
    /// it is picked. Up to date only while there are no groups.
    current: i64,
    /// What failures have taken off its weight, scaled as weights are.
    penalty: u32,
    /// The weight of the set, scaled: what one failure takes off.
    full: u32,
}

/// Targets of one weight. Those from `head` on have not had their turn in this round and are owed
/// `current`; those before it have, and are owed `current` less all weights.
#[derive(Clone, Copy, Debug)]
struct Group {
    weight: i64,
    current: i64,
    start: usize,
    head: usize,
    end: usize,
}

/// See the module.
pub struct WeightedRoundRobin {
    keys: Vec<u64>,
    states: Vec<State>,
    /// Whether a usable target has a penalty: then targets are looked at one by one.
    recovering: bool,
    /// Empty, or made from the view of this version.
    groups: Vec<Group>,
    version: u64,
    members: Vec<u32>,
    total: i64,
    rng: Rng,
}

impl WeightedRoundRobin {
    /// Begins at the start of the cycle; `seed` only matters when nothing has weight.
    #[must_use]
    pub fn new(targets: &[TargetInfo], seed: u64) -> WeightedRoundRobin {
        let mut wrr = WeightedRoundRobin {
            keys: Vec::new(),
            states: Vec::new(),
            recovering: false,
            groups: Vec::new(),
            version: 0,
            members: Vec::new(),
            total: 0,
            rng: Rng::new(seed),
        };
        wrr.set_targets(targets);
        wrr
    }

    /// nginx's pick: every target earns its weight, the one that is owed most pays for all.
    fn pick_of_targets(&mut self, view: &View<'_>) -> Option<usize> {
        self.ungroup();
        self.recovering = false;
        let mut total = 0i64;
        let mut best: Option<(usize, i64)> = None;
        for &target in view.usable {
            let weight = view.weight(target);
            let Some(state) = self.states.get_mut(target as usize) else {
                continue;
            };
            if weight == 0 || view.is_tried(target) {
                self.recovering |= state.penalty > 0;
                continue;
            }
            let effective = i64::from(weight.saturating_sub(state.penalty));
            state.penalty = state.penalty.saturating_sub(WEIGHT_SCALE);
            self.recovering |= state.penalty > 0;
            state.current += effective;
            total += effective;
            if best.is_none_or(|(_, current)| state.current > current) {
                best = Some((target as usize, state.current));
            }
        }
        let (target, current) = best?;
        self.states[target].current = current - total;
        Some(target)
    }

    /// The same pick when all of a weight are owed the same but for their turn.
    fn pick_of_groups(&mut self) -> Option<usize> {
        let mut best: Option<(usize, i64, u32)> = None;
        for (at, group) in self.groups.iter_mut().enumerate() {
            group.current += group.weight;
            let head = self.members[group.head];
            // On a tie nginx takes the target that is first in the list.
            if best.is_none_or(|(_, current, first)| {
                group.current > current || (group.current == current && head < first)
            }) {
                best = Some((at, group.current, head));
            }
        }
        let (at, _, target) = best?;
        let group = &mut self.groups[at];
        group.head += 1;
        if group.head == group.end {
            group.head = group.start;
            group.current -= self.total;
        }
        Some(target as usize)
    }

    /// Whether the groups are those of this view.
    #[inline]
    fn is_grouped(&self, view: &View<'_>) -> bool {
        self.version == view.version && !self.groups.is_empty()
    }

    /// Makes groups for a view, unless one of its targets is recovering. Allocates nothing:
    /// `set_targets` made room.
    fn group(&mut self, view: &View<'_>) {
        self.version = view.version;
        let penalty = |t: &u32| self.states.get(*t as usize).map_or(0, |s| s.penalty);
        self.recovering = view.usable.iter().any(|t| penalty(t) > 0);
        if self.recovering {
            return;
        }
        let known = self.states.len() as u32;
        let members = view.usable.iter().copied();
        self.members.clear();
        self.members
            .extend(members.filter(|t| *t < known && view.weight(*t) > 0));
        self.members.sort_unstable_by_key(|t| (view.weight(*t), *t));
        let weight_of = |t: &u32| i64::from(view.weight(*t));
        self.total = self.members.iter().map(weight_of).sum();
        let mut start = 0;
        for group in self
            .members
            .chunk_by_mut(|a, b| view.weight(*a) == view.weight(*b))
        {
            let owed = |t: &u32| self.states[*t as usize].current;
            let current = group.iter().map(owed).max().unwrap_or(0);
            // Had its turn: owed less by about one payment than who is owed most.
            let waits = |t: &u32| owed(t) > current - (self.total + 1) / 2;
            group.sort_unstable_by_key(|t| (waits(t), *t));
            self.groups.push(Group {
                weight: weight_of(&group[0]),
                current,
                start,
                head: start + group.partition_point(|t| !waits(t)),
                end: start + group.len(),
            });
            start += group.len();
        }
    }

    /// Gives each target what its group knows it is owed.
    fn ungroup(&mut self) {
        for group in self.groups.drain(..) {
            for at in group.start..group.end {
                let paid = if at < group.head { self.total } else { 0 };
                self.states[self.members[at] as usize].current = group.current - paid;
            }
        }
    }
}

impl Balancer for WeightedRoundRobin {
    fn pick(&mut self, view: &View<'_>, _hash: Option<u64>) -> Option<usize> {
        if view.tried.is_empty() && !self.recovering && !self.is_grouped(view) {
            self.ungroup();
            self.group(view);
        }
        let picked = if view.tried.is_empty() && !self.recovering {
            self.pick_of_groups()
        } else {
            self.pick_of_targets(view)
        };
        picked.or_else(|| by_counting(view, self.rng.next()))
    }

    fn done(&mut self, target: usize, outcome: Outcome, _now: Mono) {
        if !outcome.ok
            && let Some(state) = self.states.get_mut(target)
        {
            state.penalty = state.full;
            self.recovering = true;
        }
    }

    fn set_targets(&mut self, targets: &[TargetInfo]) {
        self.groups.clear();
        self.states = carry_over(&self.keys, &self.states, targets, &State::default());
        self.keys = targets.iter().map(|t| t.key).collect();
        for (state, target) in self.states.iter_mut().zip(targets) {
            state.full = full_weight(target);
            state.penalty = state.penalty.min(state.full);
            // What was owed by an old set's weights would bunch the picks of the new one.
            state.current = 0;
        }
        self.recovering = self.states.iter().any(|s| s.penalty > 0);
        self.members = Vec::with_capacity(targets.len());
        self.groups = Vec::with_capacity(targets.len());
    }
}
