//! Handshakes take turns, so that a flood of them does not stall what is open.
//!
//! A step of a handshake costs a signature and a key exchange, a hundred times what a request costs, and
//! a thousand clients may greet at once. Must hold: between two rounds of all other tasks that are ready,
//! at most `STEPS_PER_TURN` steps are taken; who has to wait is woken in the order of asking.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Steps in one turn: about a millisecond of signing.
const STEPS_PER_TURN: usize = 4;

/// One worker's turns. Clones are the same.
#[derive(Clone)]
pub struct Turns(Rc<Shared>);

struct Shared {
    left: Cell<usize>,
    waiting: RefCell<VecDeque<Waker>>,
    /// Somebody gives new turns.
    giving: Cell<bool>,
}

impl Default for Turns {
    fn default() -> Turns {
        Turns(Rc::new(Shared {
            left: Cell::new(STEPS_PER_TURN),
            waiting: RefCell::default(),
            giving: Cell::new(false),
        }))
    }
}

impl Turns {
    /// Ready when one step may be taken; the task is woken otherwise. To be called in a worker's local
    /// tasks only.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let left = self.0.left.get();
        if left > 0 {
            self.0.left.set(left - 1);
            return Poll::Ready(());
        }
        self.0.waiting.borrow_mut().push_back(cx.waker().clone());
        if !self.0.giving.replace(true) {
            tokio::task::spawn_local(self.clone().give());
        }
        Poll::Pending
    }

    /// Gives turns for as long as somebody waits.
    async fn give(self) {
        loop {
            tokio::task::yield_now().await; // all that is ready comes first
            self.0.left.set(STEPS_PER_TURN);
            let woken: Vec<Waker> = {
                let mut waiting = self.0.waiting.borrow_mut();
                let count = waiting.len().min(STEPS_PER_TURN);
                waiting.drain(..count).collect()
            };
            if woken.is_empty() {
                self.0.giving.set(false);
                return;
            }
            woken.into_iter().for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[test]
    fn a_hundred_steps_at_once_leave_room_between_them() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build_local(Default::default())
            .unwrap();
        runtime.block_on(async {
            let (turns, steps) = (Turns::default(), Rc::new(Cell::new(0usize)));
            let heavy: Vec<_> = (0..100)
                .map(|_| {
                    let (turns, steps) = (turns.clone(), Rc::clone(&steps));
                    tokio::task::spawn_local(async move {
                        poll_fn(|cx| turns.poll(cx)).await;
                        steps.set(steps.get() + 1);
                    })
                })
                .collect();
            let mut most = 0;
            while steps.get() < 100 {
                let before = steps.get();
                tokio::task::yield_now().await;
                most = most.max(steps.get() - before);
            }
            for task in heavy {
                task.await.unwrap();
            }
            assert!(most <= 2 * STEPS_PER_TURN, "{most} steps in one round");
        });
    }
}
