use portway_balance::{PolicyKind, TargetInfo, build};
use proptest::prelude::*;

use crate::fleet::{Fleet, info};

fn any_policy() -> impl Strategy<Value = PolicyKind> {
    prop::sample::select(PolicyKind::ALL)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn picks_only_usable_targets_and_the_best_kind_of_them(
        kind in any_policy(),
        members in prop::collection::vec((0u32..4, any::<bool>(), any::<bool>(), 0u32..5), 1..24),
        hashes in prop::collection::vec(any::<Option<u64>>(), 8),
    ) {
        let weights: Vec<u32> = members.iter().map(|m| m.0).collect();
        let mut fleet = Fleet::new(kind, &weights);
        let chosen = |f: fn(&(u32, bool, bool, u32)) -> bool| -> Vec<u32> {
            (0u32..).zip(&members).filter(|(_, m)| f(m)).map(|(i, _)| i).collect()
        };
        fleet.usable = chosen(|m| m.1);
        fleet.tried = chosen(|m| m.2);
        for (load, member) in fleet.loads.iter().zip(&members) {
            (0..member.3).for_each(|_| load.begin());
        }
        let kind_of = |t: usize| (members[t].0 == 0, members[t].2);
        let best = fleet.usable.iter().map(|t| kind_of(*t as usize)).min();
        for hash in hashes {
            match fleet.pick(hash) {
                None => prop_assert!(fleet.usable.is_empty()),
                Some(target) => {
                    prop_assert!(fleet.usable.contains(&(target as u32)));
                    prop_assert_eq!(Some(kind_of(target)), best);
                }
            }
        }
    }

    #[test]
    fn a_new_set_is_used_at_once(
        kind in any_policy(),
        before in prop::collection::vec(0usize..12, 0..12),
        after in prop::collection::vec(0usize..12, 1..12),
    ) {
        let set = |list: &[usize]| -> Vec<TargetInfo> { list.iter().map(|i| info(*i, 1)).collect() };
        let mut fleet = Fleet::of(kind, &set(&after));
        fleet.balancer = build(kind, &set(&before), 7);
        fleet.balancer.set_targets(&set(&after));
        for n in 0..20 {
            let target = fleet.pick(Some(n)).expect("one is usable");
            prop_assert!(target < after.len());
            fleet.done(target, std::time::Duration::from_millis(n), n % 3 == 0);
        }
    }
}

#[test]
fn nothing_usable_means_no_target() {
    for kind in PolicyKind::ALL {
        assert_eq!(Fleet::new(*kind, &[]).pick(Some(1)), None);
        let mut fleet = Fleet::new(*kind, &[1, 1]);
        fleet.usable.clear();
        assert_eq!(fleet.pick(None), None, "{}", kind.name());
    }
}

#[test]
fn a_retry_goes_elsewhere_and_comes_back_only_when_all_were_tried() {
    for kind in PolicyKind::ALL {
        let mut fleet = Fleet::new(*kind, &[9, 1, 1]);
        for n in 0..200 {
            fleet.tried.clear();
            let mut seen = Vec::new();
            for _ in 0..3 {
                let target = fleet.pick(Some(n)).expect("three are usable") as u32;
                assert!(!seen.contains(&target), "{}", kind.name());
                seen.push(target);
                fleet.tried.push(target);
            }
            assert!(fleet.pick(Some(n)).is_some(), "{}", kind.name());
        }
    }
}

#[test]
fn a_target_of_weight_zero_waits_for_all_others_to_go() {
    for kind in PolicyKind::ALL {
        let mut fleet = Fleet::new(*kind, &[0, 1, 0, 1]);
        let shares = fleet.shares(400);
        assert_eq!((shares[0], shares[2]), (0, 0), "{}", kind.name());
        assert!(shares[1] > 0 && shares[3] > 0, "{}", kind.name());
        fleet.usable = vec![0, 2];
        let shares = fleet.shares(400);
        assert_eq!(shares[0] + shares[2], 400, "{}", kind.name());
        assert!(shares[0] > 0 && shares[2] > 0, "{}", kind.name());
    }
}
