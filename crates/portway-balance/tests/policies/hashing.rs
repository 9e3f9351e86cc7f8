use portway_balance::{PolicyKind, TargetInfo};
use proptest::prelude::*;

use crate::fleet::{Fleet, follows, info, key};

const KEYS: u64 = 4000;
const HASHING: [PolicyKind; 2] = [PolicyKind::RingHash, PolicyKind::Maglev];

/// The key of the target that each key is placed on.
fn placement(kind: PolicyKind, targets: &[TargetInfo]) -> Vec<u64> {
    let mut fleet = Fleet::of(kind, targets);
    (0..KEYS)
        .map(|n| targets[fleet.pick(Some(key(n))).expect("all are usable")].key)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn removing_a_target_moves_little_besides_its_own_keys(count in 3usize..30, gone in 0usize..30) {
        let gone = gone % count;
        let all: Vec<TargetInfo> = (0..count).map(|i| info(i, 1)).collect();
        let mut rest = all.clone();
        rest.remove(gone);
        for kind in HASHING {
            let before = placement(kind, &all);
            let after = placement(kind, &rest);
            let moved = before.iter().zip(&after).filter(|(b, a)| b != a).count();
            let own = before.iter().filter(|b| **b == all[gone].key).count();
            if kind == PolicyKind::RingHash {
                prop_assert_eq!(moved, own, "the ring moves nothing else");
            }
            prop_assert!(moved <= 2 * KEYS as usize / count + 20, "{}: {moved}", kind.name());
        }
    }

    #[test]
    fn the_order_of_the_list_does_not_matter(count in 1usize..40, turn in 0usize..40) {
        let all: Vec<TargetInfo> = (0..count).map(|i| info(i, 1 + i as u32 % 3)).collect();
        let mut turned = all.clone();
        turned.rotate_left(turn % count);
        for kind in HASHING {
            prop_assert_eq!(placement(kind, &all), placement(kind, &turned));
        }
    }
}

#[test]
fn the_same_key_stays_where_it_is() {
    for kind in HASHING {
        let mut fleet = Fleet::new(kind, &[1; 9]);
        for n in 0..100 {
            let first = fleet.pick(Some(key(n)));
            fleet.loads[0].begin();
            assert_eq!(fleet.pick(Some(key(n))), first);
        }
    }
}

#[test]
fn shares_follow_weights() {
    for kind in HASHING {
        for weights in [vec![1, 2, 3, 4], vec![100, 300], vec![1; 60], vec![7; 300]] {
            let shares = Fleet::new(kind, &weights).shares(100_000);
            assert!(
                follows(&shares, &weights, 3.5),
                "{}: {shares:?}",
                kind.name()
            );
        }
    }
}

#[test]
fn keys_of_a_target_that_is_away_spread_and_come_back() {
    for kind in HASHING {
        let mut fleet = Fleet::new(kind, &[1; 10]);
        let at_home: Vec<_> = (0..KEYS).map(|n| fleet.pick(Some(key(n)))).collect();
        fleet.usable.retain(|t| *t != 4);
        let mut took_over = [0; 10];
        for n in 0..KEYS {
            let now = fleet.pick(Some(key(n))).expect("nine are usable");
            if at_home[n as usize] == Some(4) {
                took_over[now] += 1;
            } else {
                assert_eq!(Some(now), at_home[n as usize], "{}", kind.name());
            }
        }
        assert!(took_over.iter().all(|n| *n < KEYS / 30), "{took_over:?}");
        fleet.usable = (0..10).collect();
        let back: Vec<_> = (0..KEYS).map(|n| fleet.pick(Some(key(n)))).collect();
        assert_eq!(back, at_home, "{}", kind.name());
    }
}

#[test]
fn one_usable_target_of_many_is_found() {
    for kind in HASHING {
        let mut fleet = Fleet::new(kind, &[1; 400]);
        fleet.usable = vec![237];
        for n in 0..200 {
            assert_eq!(fleet.pick(Some(key(n))), Some(237), "{}", kind.name());
        }
    }
}

#[test]
fn hashes_at_the_ends_of_the_space_have_a_place() {
    for kind in HASHING {
        for count in 1..5 {
            let mut fleet = Fleet::new(kind, &vec![1; count]);
            assert!(fleet.pick(Some(0)).is_some());
            assert!(fleet.pick(Some(u64::MAX)).is_some());
        }
    }
}
