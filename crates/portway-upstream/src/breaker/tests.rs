use super::*;

fn policy() -> BreakerPolicy {
    BreakerPolicy {
        failure_threshold: 3,
        failure_rate: None,
        minimum_requests: 4,
        window: Duration::from_secs(10),
        open_for: Duration::from_secs(30),
        half_open_requests: 2,
    }
}

fn at(seconds: u64) -> Mono {
    Mono(seconds * 1_000_000_000)
}

fn run(breaker: &Breaker, ok: bool, now: Mono) {
    breaker.admit(now).expect("admitted").record(ok, now);
}

#[test]
fn opens_after_consecutive_failures_only() {
    let breaker = Breaker::new(policy());
    for ok in [false, false, true, false, false] {
        run(&breaker, ok, at(1));
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
    run(&breaker, false, at(1));
    assert_eq!(breaker.state(), BreakerState::Open);
    assert_eq!(breaker.admit(at(2)).unwrap_err(), Duration::from_secs(29));
}

#[test]
fn closes_after_all_probes_succeed() {
    let breaker = Breaker::new(policy());
    (0..3).for_each(|_| run(&breaker, false, at(1)));
    let first = breaker.admit(at(31)).expect("a probe");
    let second = breaker.admit(at(31)).expect("a probe");
    assert!(breaker.admit(at(31)).is_err(), "only two probes");
    first.record(true, at(31));
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    second.record(true, at(31));
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn a_failed_probe_opens_it_again() {
    let breaker = Breaker::new(policy());
    (0..3).for_each(|_| run(&breaker, false, at(1)));
    run(&breaker, false, at(31));
    assert_eq!(breaker.state(), BreakerState::Open);
    assert!(breaker.admit(at(60)).is_err());
    assert!(breaker.admit(at(61)).is_ok());
}

#[test]
fn a_probe_without_a_verdict_is_given_back() {
    let breaker = Breaker::new(policy());
    (0..3).for_each(|_| run(&breaker, false, at(1)));
    drop((breaker.admit(at(31)), breaker.admit(at(31))));
    assert!(breaker.admit(at(31)).is_ok());
}

#[test]
fn late_results_do_not_count_as_probes() {
    let breaker = Breaker::new(policy());
    let late = breaker.admit(at(1)).expect("closed");
    (0..3).for_each(|_| run(&breaker, false, at(1)));
    let _probe = breaker.admit(at(31)).expect("a probe");
    late.record(false, at(31));
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
}

#[test]
fn late_results_do_not_count_in_a_later_period() {
    let breaker = Breaker::new(policy());
    let open = |at_| (0..3).for_each(|_| run(&breaker, false, at_));
    let of_closed = [(); 3].map(|()| breaker.admit(at(1)).expect("closed"));
    open(at(1));
    let first = breaker.admit(at(31)).expect("a probe");
    run(&breaker, false, at(31));
    let second = breaker.admit(at(61)).expect("a probe of the next time");
    first.record(true, at(61));
    drop(breaker.admit(at(61)).expect("the other of two"));
    second.record(true, at(61));
    assert_eq!(
        breaker.state(),
        BreakerState::HalfOpen,
        "the first did not count"
    );
    run(&breaker, true, at(62));
    assert_eq!(breaker.state(), BreakerState::Closed);
    of_closed
        .into_iter()
        .for_each(|late| late.record(false, at(62)));
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn a_fresh_circuit_is_not_judged_by_the_rate_of_before() {
    let rate = BreakerPolicy {
        failure_threshold: 0,
        failure_rate: Some(0.5),
        window: Duration::from_secs(1000),
        ..policy()
    };
    let breaker = Breaker::new(rate);
    let late = [(); 4].map(|()| breaker.admit(at(1)).expect("closed"));
    (0..4).for_each(|_| run(&breaker, false, at(1)));
    late.into_iter().for_each(|late| late.record(false, at(2)));
    (0..2).for_each(|_| run(&breaker, true, at(31)));
    assert_eq!(breaker.state(), BreakerState::Closed);
    run(&breaker, false, at(32));
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn probes_that_take_too_long_are_replaced() {
    let breaker = Breaker::new(policy());
    (0..3).for_each(|_| run(&breaker, false, at(1)));
    let slow = [(); 2].map(|()| breaker.admit(at(31)).expect("a probe"));
    assert!(breaker.admit(at(60)).is_err());
    (0..2).for_each(|_| run(&breaker, true, at(61)));
    assert_eq!(breaker.state(), BreakerState::Closed);
    slow.into_iter().for_each(|late| late.record(false, at(62)));
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn opens_at_a_failure_rate_once_enough_was_seen() {
    let rate = BreakerPolicy {
        failure_threshold: 0,
        failure_rate: Some(0.5),
        ..policy()
    };
    let breaker = Breaker::new(rate);
    for ok in [true, false, true] {
        run(&breaker, ok, at(1));
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
    run(&breaker, false, at(2));
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn the_rate_forgets_the_last_window() {
    let rate = BreakerPolicy {
        failure_threshold: 0,
        failure_rate: Some(0.5),
        ..policy()
    };
    let breaker = Breaker::new(rate);
    (0..3).for_each(|_| run(&breaker, false, at(1)));
    run(&breaker, false, at(11));
    assert_eq!(breaker.state(), BreakerState::Closed);
}
