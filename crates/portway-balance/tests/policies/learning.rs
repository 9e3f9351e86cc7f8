use std::time::Duration;

use portway_balance::PolicyKind;

use crate::fleet::Fleet;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Two targets that have each answered once, in the given times.
fn measured(first: Duration, second: Duration) -> Fleet {
    let mut fleet = Fleet::new(PolicyKind::Ewma, &[1, 1]);
    fleet.done(0, first, true);
    fleet.done(1, second, true);
    fleet
}

#[test]
fn the_faster_target_is_taken() {
    assert_eq!(measured(ms(5), ms(50)).shares(50), vec![50, 0]);
}

#[test]
fn load_counts_as_much_as_latency() {
    let mut fleet = measured(ms(10), ms(25));
    fleet.loads[0].begin();
    assert_eq!(fleet.pick(None), Some(0), "10 ms × 2 is below 25 ms");
    fleet.loads[0].begin();
    assert_eq!(fleet.pick(None), Some(1), "10 ms × 3 is above 25 ms");
}

#[test]
fn a_peak_counts_at_once_and_fades() {
    let mut fleet = measured(ms(5), ms(20));
    fleet.done(0, ms(500), true);
    assert_eq!(fleet.pick(None), Some(1));
    // While the second stays in use at 20 ms, the first fades below it.
    for _ in 0..40 {
        fleet.now = fleet.now + Duration::from_secs(1);
        fleet.done(1, ms(20), true);
    }
    assert_eq!(fleet.pick(None), Some(0));
}

#[test]
fn failing_fast_is_not_being_fast() {
    let mut fleet = measured(ms(10), ms(50));
    fleet.done(0, Duration::from_micros(50), false);
    assert_eq!(fleet.shares(20), vec![0, 20]);
}

#[test]
fn failing_for_long_is_forgiven_in_the_end() {
    let mut fleet = measured(ms(10), ms(50));
    for _ in 0..1000 {
        fleet.done(0, ms(1), false);
    }
    for _ in 0..90 {
        fleet.now = fleet.now + Duration::from_secs(1);
        fleet.done(1, ms(50), true);
    }
    assert_eq!(fleet.pick(None), Some(0));
}

#[test]
fn one_exchange_at_a_time_finds_out_about_a_new_target() {
    let mut fleet = Fleet::new(PolicyKind::Ewma, &[1, 1]);
    fleet.done(0, ms(10), true);
    assert_eq!(fleet.pick(None), Some(1));
    fleet.loads[1].begin();
    assert_eq!(fleet.shares(20), vec![20, 0]);
}

#[test]
fn what_was_learned_stays_with_the_target_in_a_new_set() {
    let mut fleet = Fleet::new(PolicyKind::Ewma, &[1, 1, 1]);
    for (target, latency) in [(0, ms(90)), (1, ms(40)), (2, ms(10))] {
        fleet.done(target, latency, true);
    }
    fleet.targets.remove(1);
    fleet.balancer.set_targets(&fleet.targets);
    fleet.usable = vec![0, 1];
    assert_eq!(fleet.shares(20), vec![0, 20]);
}
