//! One address of an upstream, as all workers see it.
//!
//! Must hold: health is one atomic byte that the background checks write and workers read; changing it
//! moves the upstream's epoch, so every worker notices at its next pick.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use portway_balance::{Load, target_key};
use portway_core::Mono;

/// Why a target is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Active checks fail.
    Unhealthy = 1,
    /// Its exchanges failed (outlier detection).
    Ejected = 2,
}

/// One address of an upstream.
#[derive(Debug)]
pub struct Target {
    /// Where it listens.
    pub addr: SocketAddr,
    /// The same as text: metric label, log field.
    pub label: Arc<str>,
    /// What to call it in a Host field if the client named no host.
    pub host: Box<str>,
    /// The stable hash of the address.
    pub key: u64,
    /// The configured weight.
    pub weight: u32,
    /// Exchanges under way.
    pub load: Arc<Load>,
    unfit: AtomicU8,
    /// When it became fit, for slow start; 0 for "always was".
    fit_since: AtomicU64,
    /// Failed exchanges in a row.
    pub(crate) failures_in_row: AtomicU32,
    /// Exchanges (high half) and failures (low half) since the last look.
    pub(crate) recent: AtomicU64,
    /// Ejections in a row.
    pub(crate) ejections: AtomicU32,
    /// Ejected until then.
    pub(crate) ejected_until: AtomicU64,
    /// What the last active check found wrong; only the background and the operators' API look at it.
    pub(crate) last_failure: Mutex<Option<Box<str>>>,
    /// Whether an active check has been made.
    pub(crate) checked: AtomicBool,
}

impl Target {
    /// A target that is fit.
    #[must_use]
    pub fn new(addr: SocketAddr, host: Option<&str>, weight: u32) -> Target {
        let label = addr.to_string();
        Target {
            addr,
            host: host.unwrap_or(&label).into(),
            label: label.into(),
            key: target_key(&addr),
            weight,
            load: Arc::new(Load::new()),
            unfit: AtomicU8::new(0),
            fit_since: AtomicU64::new(0),
            failures_in_row: AtomicU32::new(0),
            recent: AtomicU64::new(0),
            ejections: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            last_failure: Mutex::default(),
            checked: AtomicBool::new(false),
        }
    }

    /// The same target with another weight: load and health go on.
    #[must_use]
    pub(crate) fn with_weight(&self, weight: u32) -> Target {
        let copy = |a: &AtomicU64| AtomicU64::new(a.load(Ordering::Relaxed));
        Target {
            addr: self.addr,
            host: self.host.clone(),
            label: Arc::clone(&self.label),
            key: self.key,
            weight,
            load: Arc::clone(&self.load),
            unfit: AtomicU8::new(self.unfit.load(Ordering::Relaxed)),
            fit_since: copy(&self.fit_since),
            failures_in_row: AtomicU32::new(self.failures_in_row.load(Ordering::Relaxed)),
            recent: copy(&self.recent),
            ejections: AtomicU32::new(self.ejections.load(Ordering::Relaxed)),
            ejected_until: copy(&self.ejected_until),
            last_failure: Mutex::new(self.last_failure().map(Into::into)),
            checked: AtomicBool::new(self.checked.load(Ordering::Relaxed)),
        }
    }

    /// Whether it may be picked.
    #[must_use]
    pub fn is_fit(&self) -> bool {
        self.unfit.load(Ordering::Relaxed) == 0
    }

    /// Whether it is left out for this reason.
    #[must_use]
    pub fn is(&self, why: Unfit) -> bool {
        self.unfit.load(Ordering::Relaxed) & why as u8 != 0
    }

    /// Leaves it out, or no longer, for a reason; whether that changed anything.
    pub(crate) fn set(&self, why: Unfit, unfit: bool, now: Mono) -> bool {
        let bit = why as u8;
        let before = if unfit {
            self.unfit.fetch_or(bit, Ordering::Relaxed)
        } else {
            self.unfit.fetch_and(!bit, Ordering::Relaxed)
        };
        let after = if unfit { before | bit } else { before & !bit };
        if before != 0 && after == 0 {
            self.fit_since.store(now.nanos(), Ordering::Relaxed);
        }
        before != after
    }

    /// What the last active check found wrong; `None` if nothing, or if there was none.
    #[must_use]
    pub fn last_failure(&self) -> Option<String> {
        let last = self
            .last_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        last.as_deref().map(str::to_owned)
    }

    /// When it became fit; `None` if it always was.
    #[must_use]
    pub fn fit_since(&self) -> Option<Mono> {
        Some(Mono(self.fit_since.load(Ordering::Relaxed))).filter(|m| m.nanos() != 0)
    }

    /// Starts its slow start now.
    pub(crate) fn begin_slow_start(&self, now: Mono) {
        self.fit_since.store(now.nanos(), Ordering::Relaxed);
    }
}
