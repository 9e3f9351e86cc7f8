use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use portway_core::clock::ManualClock;
use portway_core::{Clock, Mono};
use proptest::prelude::*;

use super::*;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Task {
    count: Arc<Count>,
    waker: Waker,
}

impl Task {
    fn new() -> Task {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        Task { count, waker }
    }

    fn poll(&self, timer: &Timer, deadline: Mono) -> Poll<()> {
        timer.poll(&mut Context::from_waker(&self.waker), deadline)
    }

    fn woken(&self) -> usize {
        self.count.0.swap(0, Ordering::Relaxed)
    }
}

fn wheel() -> (Wheel, ManualClock) {
    let (clock, hand) = Clock::manual();
    (Wheel::new(clock), hand)
}

fn pass(wheel: &Wheel, hand: &ManualClock, ms: u64) {
    hand.advance(Duration::from_millis(ms));
    wheel.tick();
}

fn in_ms(wheel: &Wheel, ms: u64) -> Mono {
    wheel.now() + Duration::from_millis(ms)
}

#[test]
fn wakes_at_the_tick_after_the_deadline_and_not_before() {
    let (wheel, hand) = wheel();
    let (timer, task) = (wheel.timer(), Task::new());
    let deadline = in_ms(&wheel, 25);
    assert_eq!(task.poll(&timer, deadline), Poll::Pending);
    assert_eq!(wheel.len(), 1);
    pass(&wheel, &hand, 20);
    assert_eq!(task.woken(), 0);
    pass(&wheel, &hand, 10);
    assert_eq!(task.woken(), 1);
    assert_eq!(task.poll(&timer, deadline), Poll::Ready(()));
    assert!(wheel.is_idle());
}

#[test]
fn a_deadline_moved_later_wakes_only_then() {
    let (wheel, hand) = wheel();
    let (timer, task) = (wheel.timer(), Task::new());
    let _ = task.poll(&timer, in_ms(&wheel, 50));
    let later = in_ms(&wheel, 500);
    let _ = task.poll(&timer, later);
    pass(&wheel, &hand, 490);
    assert_eq!(task.woken(), 0);
    pass(&wheel, &hand, 10);
    assert_eq!(task.woken(), 1);
}

#[test]
fn a_deadline_moved_sooner_wakes_then() {
    let (wheel, hand) = wheel();
    let (timer, task) = (wheel.timer(), Task::new());
    let _ = task.poll(&timer, in_ms(&wheel, 60_000));
    let _ = task.poll(&timer, in_ms(&wheel, 30));
    pass(&wheel, &hand, 30);
    assert_eq!(task.woken(), 1);
}

#[test]
fn a_cleared_timer_wakes_nobody_and_can_be_used_again() {
    let (wheel, hand) = wheel();
    let (timer, task) = (wheel.timer(), Task::new());
    let _ = task.poll(&timer, in_ms(&wheel, 30));
    timer.clear();
    assert!(wheel.is_idle());
    let _ = task.poll(&timer, in_ms(&wheel, 80));
    pass(&wheel, &hand, 70);
    assert_eq!(task.woken(), 0);
    pass(&wheel, &hand, 10);
    assert_eq!(task.woken(), 1);
}

#[test]
fn never_is_never_and_arms_nothing() {
    let (wheel, hand) = wheel();
    let (timer, task) = (wheel.timer(), Task::new());
    assert_eq!(task.poll(&timer, Mono::NEVER), Poll::Pending);
    assert!(wheel.is_idle());
    pass(&wheel, &hand, 100_000_000);
    assert_eq!(task.woken(), 0);
    // As good as never, yet a time: armed, and put on again every turn.
    let _ = task.poll(&timer, Mono(u64::MAX - 1));
    assert_eq!(wheel.len(), 1);
    for _ in 0..3 {
        pass(&wheel, &hand, 20_000);
    }
    assert_eq!(task.woken(), 0);
}

#[test]
fn wake_all_reaches_every_waiting_task_and_keeps_the_deadlines() {
    let (wheel, hand) = wheel();
    let timers: Vec<Timer> = (0..3).map(|_| wheel.timer()).collect();
    let task = Task::new();
    let deadline = in_ms(&wheel, 50);
    let _ = task.poll(&timers[0], deadline);
    let _ = task.poll(&timers[1], Mono::NEVER);
    wheel.wake_all();
    assert_eq!(task.woken(), 2, "the third timer was never polled");
    assert_eq!(wheel.len(), 1);
    let _ = task.poll(&timers[0], deadline);
    pass(&wheel, &hand, 50);
    assert_eq!(task.woken(), 1);
}

#[test]
fn deadlines_beyond_one_turn_are_kept() {
    let (wheel, hand) = wheel();
    let (timer, task) = (wheel.timer(), Task::new());
    let _ = task.poll(&timer, in_ms(&wheel, 60_000));
    for _ in 0..5_999 {
        pass(&wheel, &hand, 10);
    }
    assert_eq!(task.woken(), 0);
    pass(&wheel, &hand, 10);
    assert_eq!(task.woken(), 1);
}

#[test]
fn a_late_tick_catches_up_in_one_call() {
    let (wheel, hand) = wheel();
    let task = Task::new();
    let timers: Vec<Timer> = (1..=2_000).map(|_| wheel.timer()).collect();
    for (n, timer) in timers.iter().enumerate() {
        let _ = task.poll(timer, in_ms(&wheel, n as u64 * 20 + 1));
    }
    pass(&wheel, &hand, 3_600_000);
    assert_eq!(task.woken(), 2_000);
    assert!(wheel.is_idle());
}

#[test]
fn only_the_last_task_to_poll_is_woken() {
    let (wheel, hand) = wheel();
    let (timer, first, second) = (wheel.timer(), Task::new(), Task::new());
    let deadline = in_ms(&wheel, 30);
    let _ = first.poll(&timer, deadline);
    let _ = second.poll(&timer, deadline);
    pass(&wheel, &hand, 30);
    assert_eq!((first.woken(), second.woken()), (0, 1));
}

#[test]
fn a_dropped_timer_frees_its_entry() {
    let (wheel, hand) = wheel();
    let task = Task::new();
    for _ in 0..10_000 {
        let timer = wheel.timer();
        let _ = task.poll(&timer, in_ms(&wheel, 100));
    }
    assert!(wheel.is_idle());
    pass(&wheel, &hand, 1_000);
    assert_eq!(task.woken(), 0);
    assert_eq!(Arc::strong_count(&task.count), 2); // the test's own two
}

/// A task that drops another timer of the same wheel the moment it is woken or dropped.
struct DropsTimer(std::sync::Mutex<Option<SendTimer>>);
struct SendTimer(#[allow(dead_code)] Timer);
// SAFETY: this test never leaves its thread; a `Waker` asks for `Send` all the same.
unsafe impl Send for SendTimer {}

impl Wake for DropsTimer {
    fn wake(self: Arc<Self>) {
        self.0.lock().unwrap().take();
    }
}

#[test]
fn wakers_may_drop_timers_of_the_same_wheel() {
    let (wheel, hand) = wheel();
    let task = |wheel: &Wheel| {
        let other = wheel.timer();
        Waker::from(Arc::new(DropsTimer(std::sync::Mutex::new(Some(
            SendTimer(other),
        )))))
    };
    let timer = wheel.timer();
    let deadline = in_ms(&wheel, 30);
    let _ = timer.poll(&mut Context::from_waker(&task(&wheel)), deadline);
    // Replaced: the first waker was the last handle of its task.
    let _ = timer.poll(&mut Context::from_waker(&task(&wheel)), deadline);
    pass(&wheel, &hand, 30);
    let _ = timer.poll(&mut Context::from_waker(&task(&wheel)), in_ms(&wheel, 30));
    drop(timer);
    assert!(wheel.is_idle());
}

#[test]
fn with_deadline_gives_the_output_or_says_expired() {
    let (wheel, hand) = wheel();
    let (timer, task) = (wheel.timer(), Task::new());
    let mut cx = Context::from_waker(&task.waker);

    let mut done = std::pin::pin!(with_deadline(&timer, in_ms(&wheel, 30), async { 7 }));
    assert_eq!(done.as_mut().poll(&mut cx), Poll::Ready(Ok(7)));
    assert!(wheel.is_idle());

    let deadline = in_ms(&wheel, 30);
    let mut late = std::pin::pin!(with_deadline(
        &timer,
        deadline,
        std::future::pending::<()>()
    ));
    assert_eq!(late.as_mut().poll(&mut cx), Poll::Pending);
    pass(&wheel, &hand, 30);
    assert_eq!(task.woken(), 1);
    assert_eq!(late.as_mut().poll(&mut cx), Poll::Ready(Err(Expired)));

    {
        let mut left = std::pin::pin!(timer.sleep(in_ms(&wheel, 30)));
        assert_eq!(left.as_mut().poll(&mut cx), Poll::Pending);
        assert_eq!(wheel.len(), 1);
    }
    assert!(wheel.is_idle(), "a dropped wait leaves the timer cleared");
}

#[derive(Clone, Debug)]
enum Act {
    Poll { timer: usize, ms: u64 },
    Clear { timer: usize },
    Replace { timer: usize },
    Pass { us: u64 },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..8usize, prop_oneof![0..200u64, 0..40_000u64]).prop_map(|(timer, ms)| Act::Poll { timer, ms }),
        1 => (0..8usize).prop_map(|timer| Act::Clear { timer }),
        1 => (0..8usize).prop_map(|timer| Act::Replace { timer }),
        4 => prop_oneof![0..30_000u64, 0..15_000_000u64].prop_map(|us| Act::Pass { us }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 512 }))]

    /// A plain map of deadlines must agree: never early, late by less than one tick, never twice.
    #[test]
    fn agrees_with_a_plain_list(acts in prop::collection::vec(act(), 1..200)) {
        let (wheel, hand) = wheel();
        let timers: Vec<RefCell<Timer>> = (0..8).map(|_| RefCell::new(wheel.timer())).collect();
        let tasks: Vec<Task> = (0..8).map(|_| Task::new()).collect();
        let mut naive: BTreeMap<usize, Mono> = BTreeMap::new();
        for act in acts {
            match act {
                Act::Poll { timer, ms } => {
                    let deadline = in_ms(&wheel, ms);
                    let ready = tasks[timer].poll(&timers[timer].borrow(), deadline).is_ready();
                    prop_assert_eq!(ready, ms == 0);
                    if ready { naive.remove(&timer); } else { naive.insert(timer, deadline); }
                }
                Act::Clear { timer } => {
                    timers[timer].borrow().clear();
                    naive.remove(&timer);
                }
                Act::Replace { timer } => {
                    timers[timer].replace(wheel.timer());
                    naive.remove(&timer);
                }
                Act::Pass { us } => {
                    hand.advance(Duration::from_micros(us));
                    wheel.tick();
                    for (n, task) in tasks.iter().enumerate() {
                        let woken = task.woken();
                        let Some(&deadline) = naive.get(&n) else {
                            prop_assert_eq!(woken, 0);
                            continue;
                        };
                        if woken == 0 {
                            prop_assert!(tick_after(deadline) > tick_before(wheel.now()), "late");
                        } else {
                            prop_assert_eq!(woken, 1);
                            prop_assert!(deadline <= wheel.now(), "early");
                            naive.remove(&n);
                        }
                    }
                }
            }
            prop_assert_eq!(wheel.len(), naive.len());
        }
    }
}
