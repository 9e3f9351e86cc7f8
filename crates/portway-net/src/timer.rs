//! One coarse timer wheel per worker: thousands of timeouts, most of which never come true.
//!
//! Must hold: a timer is never early, and late by at most one [`TIMER_TICK`] beyond the tick that
//! notices it; moving a deadline later, or clearing it, touches one entry and no list (the wheel
//! looks again when it gets there). No waker is run or dropped while the wheel is borrowed, since
//! either may drop a task and with it another timer of the same wheel.
//! Never: reads the clock except in `tick`, crosses threads, or allocates per wait.

mod slots;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use portway_core::limits::TIMER_TICK;
use portway_core::{Clock, Mono};

use slots::Slots;

/// A worker's timers and its coarse idea of now. Clones are the same wheel.
#[derive(Clone)]
pub struct Wheel(Rc<Shared>);

struct Shared {
    clock: Clock,
    now: Cell<Mono>,
    slots: RefCell<Slots>,
    /// Kept between ticks for its allocation.
    woken: Cell<Vec<Waker>>,
}

impl Wheel {
    /// A wheel without timers, standing at the clock's now.
    #[must_use]
    pub fn new(clock: Clock) -> Wheel {
        let now = clock.now();
        Wheel(Rc::new(Shared {
            clock,
            now: Cell::new(now),
            slots: RefCell::new(Slots::new(tick_before(now))),
            woken: Cell::new(Vec::new()),
        }))
    }

    /// Reads the clock and wakes every timer whose deadline has passed. To be called every
    /// [`TIMER_TICK`]; a late call catches up. A worker that stops ticking while the wheel is idle
    /// calls this once before it uses [`Wheel::now`] again.
    pub fn tick(&self) {
        let now = self.0.clock.now().max(self.0.now.get());
        self.0.now.set(now);
        self.wake(|slots, woken| slots.advance(tick_before(now), now, woken));
    }

    /// Wakes every task that polled one of the wheel's timers, whatever its deadline, so that it
    /// looks again at what has changed for all of them (a drain). Deadlines stay as they are.
    pub fn wake_all(&self) {
        self.wake(|slots, woken| slots.take_wakers(woken));
    }

    fn wake(&self, collect: impl FnOnce(&mut Slots, &mut Vec<Waker>)) {
        let mut woken = self.0.woken.take();
        collect(&mut self.0.slots.borrow_mut(), &mut woken);
        for waker in woken.drain(..) {
            waker.wake();
        }
        self.0.woken.set(woken);
    }

    /// Now, as of the last tick.
    #[must_use]
    #[inline]
    pub fn now(&self) -> Mono {
        self.0.now.get()
    }

    /// The clock behind the wheel, for what must be measured finer than a tick.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// A timer of this wheel, not armed.
    #[must_use]
    pub fn timer(&self) -> Timer {
        Timer {
            key: self.0.slots.borrow_mut().insert(),
            wheel: self.clone(),
        }
    }

    /// No timer is armed: nothing would be missed without ticks.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.len() == 0
    }

    /// Armed timers.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // `is_idle` is that question's name here
    pub fn len(&self) -> usize {
        self.0.slots.borrow().armed()
    }
}

/// One deadline at a time for one task; its entry in the wheel is freed on drop.
pub struct Timer {
    wheel: Wheel,
    key: u32,
}

impl Timer {
    /// Ready once `deadline` has passed, as of the last tick; until then the task is woken when it
    /// does. A later call replaces the deadline. [`Mono::NEVER`] is pending and arms nothing, yet the
    /// task hears of [`Wheel::wake_all`].
    #[inline]
    pub fn poll(&self, cx: &mut Context<'_>, deadline: Mono) -> Poll<()> {
        if deadline <= self.wheel.now() {
            self.clear();
            return Poll::Ready(());
        }
        let replaced = {
            let mut slots = self.wheel.0.slots.borrow_mut();
            slots.set(self.key, deadline, tick_after(deadline));
            slots.set_waker(self.key, cx.waker())
        };
        drop(replaced); // after the borrow: it may be the last handle of a task
        Poll::Pending
    }

    /// Forgets the deadline: the task is not woken for it any more.
    #[inline]
    pub fn clear(&self) {
        let mut slots = self.wheel.0.slots.borrow_mut();
        slots.set(self.key, Mono::NEVER, u64::MAX);
    }

    /// Waits until `deadline` has passed. Dropped early, it leaves the timer cleared.
    pub async fn sleep(&self, deadline: Mono) {
        let _cleared = ClearOnDrop(self);
        std::future::poll_fn(|cx| self.poll(cx, deadline)).await;
    }

    /// The wheel this timer belongs to.
    #[must_use]
    #[inline]
    pub fn wheel(&self) -> &Wheel {
        &self.wheel
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let waker = self.wheel.0.slots.borrow_mut().remove(self.key);
        drop(waker); // after the borrow, as in `poll`
    }
}

struct ClearOnDrop<'a>(&'a Timer);

impl Drop for ClearOnDrop<'_> {
    fn drop(&mut self) {
        self.0.clear();
    }
}

/// The deadline passed before the future was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired;

impl std::fmt::Display for Expired {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("deadline passed")
    }
}

impl std::error::Error for Expired {}

/// Runs `future` until it is done or `deadline` has passed. The future goes first: what is ready
/// at the deadline still counts. The timer serves only this wait meanwhile, and is cleared after.
///
/// # Errors
/// [`Expired`] if the deadline passed first.
pub async fn with_deadline<F: Future>(
    timer: &Timer,
    deadline: Mono,
    future: F,
) -> Result<F::Output, Expired> {
    let mut future = pin!(future);
    let _cleared = ClearOnDrop(timer);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        timer.poll(cx, deadline).map(|()| Err(Expired))
    })
    .await
}

/// The last tick at or before `time`.
fn tick_before(time: Mono) -> u64 {
    time.nanos() / TICK_NANOS
}

/// The first tick at or after `time`: at that tick it has passed for certain.
#[inline]
fn tick_after(time: Mono) -> u64 {
    time.nanos().div_ceil(TICK_NANOS)
}

const TICK_NANOS: u64 = TIMER_TICK.as_nanos() as u64;
