//! One connection's budgets against what costs a client nothing and us something (CVE-2023-44487,
//! CVE-2025-8671): requests that are given up at once, frames that say nothing.
//!
//! Must hold: what an honest client sends along with its work never uses a budget up; what comes without
//! work does. A stream counts once at most, and not for what the client does after it was answered or stopped
//! by us, which it has to (RFC 9000, section 3.5).

use std::cell::{Cell, RefCell};
use std::task::Waker;

use portway_core::{Flood, Mono, limits};
use portway_net::Wheel;

use crate::streams::Budget;

/// What the streams and whoever drives the connection share.
pub(super) struct Watch {
    wheel: Wheel,
    budgets: RefCell<Budgets>,
    flood: Cell<Option<Flood>>,
    goaway: Cell<bool>,
    driver: RefCell<Option<Waker>>,
}

#[derive(Debug)]
struct Budgets {
    resets: Budget,
    forced: Budget,
    headless: Budget,
    empty: Budget,
    small: Budget,
    other: Budget,
    refilled: Mono,
}

impl Watch {
    pub(super) fn new(wheel: &Wheel) -> Watch {
        Watch {
            wheel: wheel.clone(),
            budgets: RefCell::new(Budgets {
                resets: Budget::new(limits::H2_RESETS_MAX, limits::H2_RESETS_PER_SECOND),
                forced: Budget::new(limits::H2_FORCED_RESETS_MAX as u32, 0),
                headless: Budget::new(limits::H3_HEADLESS_STREAMS_MAX, 0),
                empty: Budget::new(limits::H2_EMPTY_FRAMES_MAX, 1),
                small: Budget::new(
                    limits::H3_SMALL_FRAMES_MAX,
                    limits::H3_SMALL_FRAMES_PER_SECOND,
                ),
                other: Budget::new(limits::H2_OTHER_FRAMES_MAX, 10),
                refilled: wheel.now(),
            }),
            flood: Cell::new(None),
            goaway: Cell::new(false),
            driver: RefCell::new(None),
        }
    }

    /// Who is to be woken by a flood.
    pub(super) fn set_driver(&self, waker: &Waker) {
        self.driver.borrow_mut().replace(waker.clone());
    }

    pub(super) fn flood(&self) -> Option<Flood> {
        self.flood.get()
    }

    /// The client has said that it leaves.
    pub(super) fn goaway(&self) {
        self.goaway.set(true);
    }

    pub(super) fn has_said_goaway(&self) -> bool {
        self.goaway.get()
    }

    /// A head has come: work earns frames.
    pub(super) fn head(&self) {
        self.budgets.borrow_mut().other.earn(2);
    }

    /// A DATA frame without octets.
    pub(super) fn empty_frame(&self) {
        self.spend(Flood::EmptyFrames, |budgets| &mut budgets.empty);
    }

    /// A DATA frame with next to no octets that is not a body's last.
    pub(super) fn small_frame(&self) {
        self.spend(Flood::EmptyFrames, |budgets| &mut budgets.small);
    }

    /// A frame that is neither DATA nor HEADERS.
    pub(super) fn other_frame(&self) {
        self.spend(Flood::OtherFrames, |budgets| &mut budgets.other);
    }

    /// A request was given up before it was answered.
    pub(super) fn reset(&self) {
        self.spend(Flood::Resets, |budgets| &mut budgets.resets);
    }

    /// What came on a stream was such that it had to be reset.
    pub(super) fn forced_reset(&self) {
        self.spend(Flood::ForcedResets, |budgets| &mut budgets.forced);
    }

    /// A stream ended without a request on it. The library keeps its number.
    pub(super) fn headless(&self) {
        self.spend(Flood::Resets, |budgets| &mut budgets.headless);
    }

    /// Has the driver look again.
    pub(super) fn wake_driver(&self) {
        if let Some(driver) = self.driver.borrow_mut().take() {
            driver.wake();
        }
    }

    fn spend(&self, flood: Flood, which: impl FnOnce(&mut Budgets) -> &mut Budget) {
        let mut budgets = self.budgets.borrow_mut();
        budgets.refill(self.wheel.now());
        if !which(&mut budgets).spend() && self.flood.get().is_none() {
            self.flood.set(Some(flood));
            self.wake_driver();
        }
    }
}

impl Budgets {
    fn refill(&mut self, now: Mono) {
        let seconds = now.since(self.refilled).as_secs();
        if seconds > 0 {
            self.refilled = now;
            let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
            self.resets.refill(seconds);
            self.empty.refill(seconds);
            self.small.refill(seconds);
            self.other.refill(seconds);
        }
    }
}
