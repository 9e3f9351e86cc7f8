//! A budget for what costs a client nothing and us something.
//!
//! Must hold: it never grows past its limit, however long nothing happens. Pure: the time is told.

/// So many frames, more with time and with work.
#[derive(Debug)]
pub(crate) struct Budget {
    left: u32,
    max: u32,
    per_second: u32,
}

impl Budget {
    pub(crate) const fn new(max: u32, per_second: u32) -> Budget {
        Budget {
            left: max,
            max,
            per_second,
        }
    }

    /// Takes one; says whether there was one left.
    pub(crate) fn spend(&mut self) -> bool {
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    pub(crate) fn earn(&mut self, frames: u32) {
        self.left = self.left.saturating_add(frames).min(self.max);
    }

    /// So much time has passed.
    pub(crate) fn refill(&mut self, seconds: u32) {
        self.earn(self.per_second.saturating_mul(seconds));
    }
}
