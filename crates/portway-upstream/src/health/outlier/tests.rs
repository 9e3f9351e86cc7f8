//! Outliers by hand: every time is given, nothing waits.

use super::*;
use crate::fixture::{addrs, found, spec};
use crate::spec::UpstreamSpec;

fn policy() -> OutlierSpec {
    OutlierSpec {
        consecutive_failures: 3,
        eject_for: Duration::from_secs(30),
        ejected_max: 0.5,
        success_rate_below: None,
    }
}

fn upstream(targets: u8, policy: OutlierSpec) -> Upstream {
    let addrs = addrs(targets);
    let upstream = Upstream::new(UpstreamSpec {
        outlier: Some(policy),
        ..spec(&addrs)
    });
    upstream.set_targets(&found(&addrs), at(1));
    upstream
}

fn at(seconds: u64) -> Mono {
    Mono(seconds * 1_000_000_000)
}

fn observe(upstream: &Upstream, index: usize, results: &[bool], now: Mono) {
    let set = upstream.targets();
    for ok in results {
        upstream.observe(&set.targets[index], *ok, now);
    }
}

fn ejected(upstream: &Upstream) -> Vec<bool> {
    let set = upstream.targets();
    set.targets.iter().map(|t| t.is(Unfit::Ejected)).collect()
}

#[test]
fn a_share_of_nothing_ejects_none() {
    let none = OutlierSpec {
        ejected_max: 0.0,
        ..policy()
    };
    let up = upstream(2, none);
    observe(&up, 0, &[false; 9], at(1));
    assert_eq!(ejected(&up), [false, false]);
}

#[test]
fn only_failures_in_a_row_eject() {
    let up = upstream(2, policy());
    observe(&up, 0, &[false, false, true, false, false], at(1));
    assert_eq!(ejected(&up), [false, false]);
    let epoch = up.epoch();
    observe(&up, 0, &[false], at(1));
    assert_eq!(ejected(&up), [true, false]);
    assert!(up.epoch() > epoch, "workers notice");
}

#[test]
fn an_ejected_target_returns_and_stays_out_longer_each_time() {
    let up = upstream(2, policy());
    observe(&up, 0, &[false; 3], at(1));
    up.review(at(30), false);
    assert_eq!(ejected(&up), [true, false]);
    let epoch = up.epoch();
    up.review(at(31), false);
    assert_eq!(ejected(&up), [false, false]);
    assert!(up.epoch() > epoch, "workers notice");
    observe(&up, 0, &[false; 3], at(40));
    up.review(at(99), false);
    assert_eq!(ejected(&up), [true, false], "60 s this time");
    up.review(at(100), false);
    assert_eq!(ejected(&up), [false, false]);
    // Ten times `eject_for` without trouble: forgiven.
    up.review(at(400), false);
    observe(&up, 0, &[false; 3], at(401));
    up.review(at(431), false);
    assert_eq!(ejected(&up), [false, false], "30 s again");
}

#[test]
fn never_more_than_the_share_allowed_is_ejected() {
    let up = upstream(4, policy());
    for index in 0..4 {
        observe(&up, index, &[false; 5], at(1));
    }
    assert_eq!(ejected(&up), [true, true, false, false]);
}

#[test]
fn one_may_be_ejected_however_small_the_share() {
    let tiny = OutlierSpec {
        ejected_max: 0.01,
        ..policy()
    };
    let up = upstream(3, tiny);
    observe(&up, 1, &[false; 3], at(1));
    observe(&up, 2, &[false; 3], at(1));
    assert_eq!(ejected(&up), [false, true, false]);
}

#[test]
fn while_one_is_being_ejected_another_has_to_fail_once_more() {
    let up = upstream(2, policy());
    let counting = up.ejecting.lock().unwrap();
    observe(&up, 0, &[false; 3], at(1));
    assert_eq!(
        ejected(&up),
        [false, false],
        "both at once would be too many"
    );
    drop(counting);
    observe(&up, 0, &[false], at(1));
    assert_eq!(ejected(&up), [true, false]);
}

#[test]
fn a_low_rate_of_success_ejects_once_enough_was_seen() {
    let rate = OutlierSpec {
        consecutive_failures: 0,
        success_rate_below: Some(0.6),
        ..policy()
    };
    let up = upstream(3, rate);
    let half: Vec<bool> = (0..20).map(|n| n % 2 == 0).collect();
    observe(&up, 0, &half, at(1));
    observe(&up, 1, &half[..19], at(1));
    observe(&up, 2, &[true; 20], at(1));
    up.review(at(2), false);
    assert_eq!(ejected(&up), [false; 3], "rates are not looked at yet");
    up.review(at(10), true);
    assert_eq!(ejected(&up), [true, false, false]);
    // What was seen is forgotten: one more look finds nothing new.
    up.review(at(40), true);
    assert_eq!(ejected(&up), [false; 3]);
}

#[test]
fn without_a_policy_nothing_is_ejected() {
    let addrs = addrs(1);
    let up = Upstream::new(spec(&addrs));
    up.set_targets(&found(&addrs), at(1));
    observe(&up, 0, &[false; 100], at(1));
    assert_eq!(ejected(&up), [false]);
}
