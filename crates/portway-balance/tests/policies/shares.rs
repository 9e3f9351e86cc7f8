use std::collections::VecDeque;

use portway_balance::PolicyKind;
use proptest::prelude::*;

use crate::fleet::{Fleet, follows, info};

#[test]
fn weighted_round_robin_is_smooth_as_nginx_is() {
    let mut fleet = Fleet::new(PolicyKind::WeightedRoundRobin, &[5, 1, 1]);
    let picks: String = (0..14)
        .map(|_| ['a', 'b', 'c'][fleet.pick(None).expect("all are usable")])
        .collect();
    assert_eq!(picks, "aabacaaaabacaa");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn weighted_round_robin_gives_each_exactly_its_weight(
        weights in prop::collection::vec(0u32..12, 1..16),
    ) {
        let sum: u32 = weights.iter().sum();
        prop_assume!(sum > 0);
        let mut fleet = Fleet::new(PolicyKind::WeightedRoundRobin, &weights);
        for _ in 0..3 {
            let wanted: Vec<u64> = weights.iter().map(|w| u64::from(*w)).collect();
            prop_assert_eq!(fleet.shares(u64::from(sum)), wanted);
        }
    }

    #[test]
    fn weighted_round_robin_picks_in_the_order_of_nginx(
        weights in prop::collection::vec(1u32..6, 1..12),
        picks in 1usize..200,
    ) {
        let mut fleet = Fleet::new(PolicyKind::WeightedRoundRobin, &weights);
        let sum: i64 = weights.iter().map(|w| i64::from(*w)).sum();
        let mut owed = vec![0i64; weights.len()];
        for _ in 0..picks {
            let mut best = 0;
            for (at, weight) in weights.iter().enumerate() {
                owed[at] += i64::from(*weight);
                best = if owed[at] > owed[best] { at } else { best };
            }
            owed[best] -= sum;
            prop_assert_eq!(fleet.pick(None), Some(best));
        }
    }

    #[test]
    fn weighted_round_robin_is_fair_again_after_failures_and_retries(
        weights in prop::collection::vec(1u32..6, 2..12),
        events in prop::collection::vec((0usize..12, 0u8..3), 1..60),
    ) {
        let mut fleet = Fleet::new(PolicyKind::WeightedRoundRobin, &weights);
        for (target, event) in events {
            let target = target % weights.len();
            match event {
                0 => fleet.done(target, std::time::Duration::ZERO, false),
                1 => fleet.tried = vec![target as u32],
                _ => fleet.usable.retain(|t| *t as usize != target),
            }
            fleet.pick(None);
            fleet.tried.clear();
            fleet.usable = (0..weights.len() as u32).collect();
        }
        let sum: u32 = weights.iter().sum();
        fleet.shares(u64::from(sum) * 2);
        let shares = fleet.shares(u64::from(sum) * 10);
        for (share, weight) in shares.iter().zip(&weights) {
            prop_assert!(share.abs_diff(u64::from(weight * 10)) <= 3, "{:?}", shares);
        }
    }

    #[test]
    fn round_robin_takes_each_once(count in 1usize..40, rounds in 1u64..5) {
        let mut fleet = Fleet::new(PolicyKind::RoundRobin, &vec![1; count]);
        prop_assert_eq!(fleet.shares(count as u64 * rounds), vec![rounds; count]);
    }

    #[test]
    fn least_connections_never_takes_a_busier_one(
        members in prop::collection::vec((1u32..6, 0u32..20), 1..30),
    ) {
        let weights: Vec<u32> = members.iter().map(|m| m.0).collect();
        let mut fleet = Fleet::new(PolicyKind::LeastConnections, &weights);
        for (load, member) in fleet.loads.iter().zip(&members) {
            (0..member.1).for_each(|_| load.begin());
        }
        let picked = members[fleet.pick(None).expect("all are usable")];
        for other in members {
            prop_assert!(picked.1 * other.0 <= other.1 * picked.0);
        }
    }
}

#[test]
fn after_a_failure_weight_comes_back_by_one_a_pick() {
    let mut fleet = Fleet::new(PolicyKind::WeightedRoundRobin, &[3, 3]);
    fleet.done(0, std::time::Duration::ZERO, false);
    let first = fleet.shares(6);
    assert!(first[0] < first[1], "{first:?}");
    fleet.shares(6);
    let later = fleet.shares(60);
    assert_eq!(later, vec![30, 30]);
}

#[test]
fn an_idle_upstream_is_shared_by_weight() {
    let weights = [3, 1, 6];
    for kind in PolicyKind::ALL {
        if *kind == PolicyKind::RoundRobin {
            continue;
        }
        let mut fleet = Fleet::new(*kind, &weights);
        // ewma and p2c look at two targets each time; none has load or history to tell them apart.
        let shares = fleet.shares(30_000);
        assert!(
            follows(&shares, &weights, 4.0),
            "{}: {shares:?}",
            kind.name()
        );
    }
}

#[test]
fn equal_targets_get_equal_shares() {
    let weights = [2; 20];
    for kind in PolicyKind::ALL {
        let shares = Fleet::new(*kind, &weights).shares(40_000);
        assert!(
            follows(&shares, &weights, 1.0),
            "{}: {shares:?}",
            kind.name()
        );
    }
}

#[test]
fn a_busy_upstream_is_shared_by_weight() {
    let weights = [1, 2, 4, 1];
    for kind in [
        PolicyKind::LeastConnections,
        PolicyKind::P2c,
        PolicyKind::Ewma,
    ] {
        let mut fleet = Fleet::new(kind, &weights);
        // 64 exchanges under way; the oldest ends as a new one begins.
        let mut under_way = VecDeque::new();
        let mut shares = vec![0; weights.len()];
        for n in 0..20_000u32 {
            let target = fleet.pick(None).expect("all are usable");
            fleet.loads[target].begin();
            under_way.push_back(target);
            if under_way.len() > 64
                && let Some(oldest) = under_way.pop_front()
            {
                fleet.loads[oldest].end();
                fleet.now = fleet.now + std::time::Duration::from_millis(1);
                fleet.done(oldest, std::time::Duration::from_millis(20), true);
            }
            if n > 1000 {
                shares[target] += 1;
            }
        }
        assert!(
            follows(&shares, &weights, 5.0),
            "{}: {shares:?}",
            kind.name()
        );
    }
}

#[test]
fn slow_start_weights_count_at_once() {
    for kind in [
        PolicyKind::WeightedRoundRobin,
        PolicyKind::Random,
        PolicyKind::P2c,
        PolicyKind::LeastConnections,
    ] {
        let mut fleet = Fleet::new(kind, &[1, 1]);
        fleet.weights[1] = 10;
        let shares = fleet.shares(11_000);
        assert!(
            follows(&shares, &[10, 1], 2.0),
            "{}: {shares:?}",
            kind.name()
        );
    }
}

#[test]
fn workers_with_other_seeds_begin_elsewhere() {
    let targets: Vec<_> = (0..10).map(|i| info(i, 1)).collect();
    let mut first: Vec<usize> = (0..20)
        .map(|seed| {
            let mut fleet = Fleet::of(PolicyKind::RoundRobin, &targets);
            fleet.balancer = portway_balance::build(PolicyKind::RoundRobin, &targets, seed);
            fleet.pick(None).expect("all are usable")
        })
        .collect();
    first.sort_unstable();
    first.dedup();
    assert!(first.len() > 4, "{first:?}");
}
