//! Waiting for something that another thread or process does, without hanging for ever.

use std::time::Duration;

use portway_core::Clock;

/// How long anything in a test may take before it counts as not happening.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks until it is so.
///
/// # Panics
/// After [`TIMEOUT`], with `what` was waited for.
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    if !within(TIMEOUT, &mut is_so) {
        panic!("waited {TIMEOUT:?} in vain: {what}");
    }
}

/// Asks every few milliseconds until it is so, or `timeout` is over: then false.
pub fn within(timeout: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let clock = Clock::system();
    let deadline = clock.now() + timeout;
    loop {
        if is_so() {
            return true;
        }
        if clock.now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
