//! `least_connections` against the rule written down as simply as can be: whatever the layout of the
//! counts, whatever changed since the last pick.

use portway_balance::{Load, PolicyKind};
use proptest::prelude::*;

use crate::fleet::{Fleet, follows};

/// All targets that the rule allows: of the best kind, and nobody of that kind is less busy.
fn allowed(fleet: &Fleet) -> Vec<usize> {
    let kind = |t: usize| (fleet.weights[t] == 0, fleet.tried.contains(&(t as u32)));
    let usable = || fleet.usable.iter().map(|t| *t as usize);
    let Some(best) = usable().map(kind).min() else {
        return Vec::new();
    };
    let of_best: Vec<usize> = usable().filter(|t| kind(*t) == best).collect();
    if best != (false, false) {
        return of_best;
    }
    let load = |t: usize| u128::from(fleet.loads[t].active());
    let weight = |t: usize| u128::from(fleet.weights[t]);
    let beats = |a: usize, b: usize| load(a) * weight(b) < load(b) * weight(a);
    let unbeaten = |t: &usize| !of_best.iter().any(|other| beats(*other, *t));
    of_best.iter().copied().filter(unbeaten).collect()
}

fn fleet(count: usize, alone: bool) -> Fleet {
    let mut fleet = Fleet::new(PolicyKind::LeastConnections, &vec![1; count]);
    if alone {
        fleet.loads = (0..count).map(|_| Load::alone()).collect();
    }
    fleet
}

#[derive(Clone, Debug)]
enum Change {
    Begin(usize),
    End(usize),
    Weight(usize, u32),
    Usable(usize, bool),
    Tried(Option<usize>),
}

fn change() -> impl Strategy<Value = Change> {
    let target = 0usize..64;
    let weight = prop_oneof![
        5 => 0u32..5,
        1 => 90u32..200,
        // No common multiple of these is exact in single precision.
        1 => prop::sample::select(vec![65_521, 65_519, 65_497, u32::MAX]),
    ];
    prop_oneof![
        8 => target.clone().prop_map(Change::Begin),
        6 => target.clone().prop_map(Change::End),
        2 => (target.clone(), weight).prop_map(|(t, w)| Change::Weight(t, w)),
        2 => (target.clone(), any::<bool>()).prop_map(|(t, u)| Change::Usable(t, u)),
        1 => prop::option::of(target).prop_map(Change::Tried),
    ]
}

fn apply(fleet: &mut Fleet, change: Change) {
    let count = fleet.loads.len();
    match change {
        Change::Begin(t) => fleet.loads[t % count].begin(),
        Change::End(t) if fleet.loads[t % count].active() > 0 => fleet.loads[t % count].end(),
        Change::End(_) => {}
        Change::Weight(t, weight) => fleet.weights[t % count] = weight,
        Change::Usable(t, usable) => {
            let target = (t % count) as u32;
            fleet.usable.retain(|t| *t != target);
            if usable {
                fleet.usable.push(target);
                fleet.usable.sort_unstable();
            }
        }
        Change::Tried(target) => {
            fleet.tried = target.map(|t| (t % count) as u32).into_iter().collect()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn takes_a_target_that_nobody_beats(
        count in 1usize..64,
        alone in any::<bool>(),
        changes in prop::collection::vec(change(), 1..200),
    ) {
        let mut fleet = fleet(count, alone);
        for change in changes {
            apply(&mut fleet, change);
            let allowed = allowed(&fleet);
            match fleet.pick(None) {
                None => prop_assert!(allowed.is_empty()),
                Some(target) => prop_assert!(
                    allowed.contains(&target),
                    "{} of {:?}, weights {:?}", target, allowed, fleet.weights
                ),
            }
        }
    }

    #[test]
    fn each_of_several_as_good_is_taken_by_its_weight(
        members in prop::collection::vec((0u32..5, 0u32..3), 1..48),
        alone in any::<bool>(),
    ) {
        let mut fleet = fleet(members.len(), alone);
        fleet.weights = members.iter().map(|m| m.0 * 100).collect();
        for (load, member) in fleet.loads.iter().zip(&members) {
            // Exchanges by weight, so that targets of all weights are as busy as each other.
            (0..member.0 * member.1).for_each(|_| load.begin());
        }
        let allowed = allowed(&fleet);
        let wanted: Vec<u32> = (0..members.len())
            .map(|t| if allowed.contains(&t) { members[t].0.max(1) } else { 0 })
            .collect();
        let shares = fleet.shares(5_000);
        prop_assert!(follows(&shares, &wanted, 4.0), "{:?} {:?}", shares, wanted);
    }
}

#[test]
fn counts_too_large_to_tell_apart_in_a_row_are_still_told_apart() {
    let mut fleet = fleet(2, false);
    // The common multiple is just below 2^24, so that more than 4,093 exchanges leave the rows' range.
    fleet.weights = vec![4_099, 4_093];
    let begin = |load: &Load, times| (0..times).for_each(|_| load.begin());
    begin(&fleet.loads[0], 40_990);
    begin(&fleet.loads[1], 40_930);
    assert!(
        fleet.shares(400).iter().all(|share| *share > 0),
        "both as busy"
    );
    fleet.loads[0].begin();
    assert_eq!(fleet.shares(50), vec![0, 50]);
    begin(&fleet.loads[1], 2);
    assert_eq!(fleet.shares(50), vec![50, 0]);
}

#[test]
fn two_targets_with_one_count_are_both_taken() {
    let mut fleet = fleet(40, false);
    fleet.loads[7] = fleet.loads[9].clone();
    assert!(fleet.shares(4_000).iter().all(|share| *share > 50));
}

#[test]
fn targets_without_a_count_are_idle() {
    let mut fleet = fleet(20, false);
    fleet.loads.iter().for_each(Load::begin);
    fleet.loads.truncate(19);
    assert_eq!(fleet.pick(None), Some(19));
}

#[test]
fn a_set_spread_over_the_blocks_of_an_older_one_is_read_whole() {
    let mut old = fleet(400, false);
    let mut fleet = fleet(10, false);
    fleet.loads = old.loads.drain(..).step_by(40).collect();
    for busy in 0..10 {
        fleet.loads.iter().for_each(Load::begin);
        fleet.loads[busy].end();
        assert_eq!(fleet.shares(5)[busy], 5);
        fleet.loads[busy].begin();
    }
}
