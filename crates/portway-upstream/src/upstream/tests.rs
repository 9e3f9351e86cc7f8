//! What survives a new target set and a new snapshot, and what does not.

use std::time::Duration;

use portway_balance::PolicyKind;
use portway_discovery::DnsSpec;

use super::*;
use crate::fixture::{addrs, found, spec};
use crate::spec::{HealthSpec, OutlierSpec, Probe};

fn checked(mut spec: UpstreamSpec) -> UpstreamSpec {
    spec.health = Some(HealthSpec {
        probe: Probe::Tcp,
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        healthy_after: 1,
        unhealthy_after: 1,
    });
    spec.outlier = Some(OutlierSpec {
        consecutive_failures: 1,
        eject_for: Duration::from_secs(30),
        ejected_max: 1.0,
        success_rate_below: None,
    });
    spec
}

/// Three targets, of which the first is unhealthy and the second ejected.
fn ill() -> Upstream {
    let addrs = addrs(3);
    let up = Upstream::new(checked(spec(&addrs)));
    up.set_targets(&found(&addrs), Mono(1));
    let set = up.targets();
    up.mark(&set.targets[0], Unfit::Unhealthy, true, Mono(2));
    up.observe(&set.targets[1], false, Mono(2));
    up
}

fn fit(up: &Upstream) -> Vec<bool> {
    up.targets().targets.iter().map(|t| t.is_fit()).collect()
}

#[test]
fn a_target_that_stays_keeps_load_health_and_identity() {
    let up = ill();
    let before = up.targets();
    before.targets[0].load.begin();
    let mut set = found(&addrs(4));
    set.targets.remove(1);
    set.targets[0].weight = 5;
    up.set_targets(&set, Mono(3));
    let after = up.targets();
    assert_eq!(after.generation, before.generation + 1);
    assert_eq!(fit(&up), [false, true, true]);
    assert_eq!(after.targets[0].weight, 5);
    assert_eq!(after.targets[0].load.active(), 1);
    before.targets[0].load.end();
    assert_eq!(after.targets[0].load.active(), 0);
    assert!(Arc::ptr_eq(&after.targets[1], &before.targets[2]));
    assert_eq!(
        after.targets[2].fit_since(),
        Some(Mono(3)),
        "new: slow start"
    );
}

#[test]
fn the_first_set_needs_no_slow_start() {
    let up = Upstream::new(spec(&addrs(1)));
    up.set_targets(&found(&addrs(1)), Mono(9));
    assert_eq!(up.targets().targets[0].fit_since(), None);
}

#[test]
fn a_policy_that_reads_all_loads_has_them_side_by_side() {
    let mut spec = spec(&addrs(9));
    let are_together = |up: &Upstream| {
        let set = up.targets();
        let first = &set.targets[0].load;
        set.targets.iter().all(|t| t.load.is_beside(first))
    };
    let apart = Upstream::new(spec.clone());
    apart.set_targets(&found(&addrs(9)), Mono(1));
    assert!(!are_together(&apart), "neighbours slow each other down");
    spec.balance.policy = PolicyKind::LeastConnections;
    let up = Upstream::new(spec);
    for count in [3, 9, 5, 9] {
        up.set_targets(&found(&addrs(count)), Mono(1));
        assert!(are_together(&up), "{count}");
    }
}

#[test]
fn a_new_name_of_the_same_address_counts() {
    let up = ill();
    let mut set = found(&addrs(3));
    set.targets[0].host = Some("users.internal".to_owned());
    up.set_targets(&set, Mono(3));
    assert_eq!(&*up.targets().targets[0].host, "users.internal");
    assert_eq!(fit(&up), [false, false, true]);
}

#[test]
fn a_change_of_policy_does_not_forget_who_is_ill() {
    let old = ill();
    let mut up = Upstream::new(old.spec.clone());
    up.inherit(&old);
    assert_eq!(fit(&up), [false, false, true]);
    up.set_targets(&found(&addrs(3)), Mono(5));
    assert_eq!(fit(&up), [false, false, true]);
}

#[test]
fn a_changed_list_is_never_empty_and_keeps_what_is_known() {
    let old = ill();
    let mut up = Upstream::new(checked(spec(&addrs(4))));
    up.inherit(&old);
    assert_eq!(fit(&up), [false, false, true], "while names are looked up");
    up.set_targets(&found(&addrs(4)), Mono(5));
    assert_eq!(fit(&up), [false, false, true, true]);
}

#[test]
fn another_source_uses_no_target_of_before_but_knows_those_it_names() {
    let old = ill();
    let dns = SourceSpec::Dns(DnsSpec::host("users.internal", 80));
    let mut up = Upstream::new(UpstreamSpec {
        source: dns,
        ..old.spec.clone()
    });
    up.inherit(&old);
    assert!(up.targets().targets.is_empty(), "not named yet: not used");
    up.set_targets(&found(&addrs(2)), Mono(5));
    assert_eq!(fit(&up), [false, false]);
    // Only the first set is compared with the past.
    up.set_targets(&found(&[]), Mono(6));
    up.set_targets(&found(&addrs(3)), Mono(7));
    assert_eq!(fit(&up), [true, true, true]);
}

#[test]
fn marks_that_nothing_would_take_away_are_not_inherited() {
    let old = ill();
    let mut unchecked = Upstream::new(spec(&addrs(3)));
    unchecked.inherit(&old);
    assert_eq!(fit(&unchecked), [true, true, true]);
    assert_eq!(fit(&old), [false, false, true], "the old one is as it was");
}

#[test]
fn a_mark_moves_the_epoch_whatever_the_old_upstream_marks_meanwhile() {
    let old = ill();
    let mut up = Upstream::new(old.spec.clone());
    up.inherit(&old);
    // The old one's checks still run for a moment.
    old.mark(&old.targets().targets[2], Unfit::Unhealthy, true, Mono(5));
    assert_eq!(fit(&up), [false, false, true]);
    let epoch = up.epoch();
    assert!(up.mark(&up.targets().targets[2], Unfit::Unhealthy, true, Mono(6)));
    assert!(up.epoch() > epoch);
}

#[test]
fn a_mark_that_changes_nothing_moves_no_epoch() {
    let up = ill();
    let epoch = up.epoch();
    let set = up.targets();
    assert!(!up.mark(&set.targets[0], Unfit::Unhealthy, true, Mono(5)));
    assert!(!up.mark(&set.targets[2], Unfit::Unhealthy, false, Mono(5)));
    assert_eq!(up.epoch(), epoch);
}
