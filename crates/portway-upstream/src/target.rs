//! One address of an upstream, as all workers see it.
//!
//! Must hold: health is one atomic byte that the background checks write and workers read; changing it
//! moves the upstream's epoch, so every worker notices at its next pick.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use portway_balance::{Load, target_key};
use portway_core::Mono;
use portway_tls::TargetName;

/// Why a target is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Active checks fail.
    Unhealthy = 1,
    /// Its exchanges failed (outlier detection).
    Ejected = 2,
}

/// What the last active check of a target found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastCheck {
    /// When it ended.
    pub at: Mono,
    /// What was wrong; `None` if nothing was.
    pub failure: Option<Box<str>>,
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
    pub load: Load,
    unfit: AtomicU8,
    /// When it became fit, for slow start; 0 for "always was".
    fit_since: AtomicU64,
    /// When it was last left out; means nothing while it is fit.
    unfit_since: AtomicU64,
    /// Failed exchanges in a row.
    pub(crate) failures_in_row: AtomicU32,
    /// Exchanges (high half) and failures (low half) since the last look.
    pub(crate) recent: AtomicU64,
    /// Ejections in a row.
    pub(crate) ejections: AtomicU32,
    /// Ejected until then.
    pub(crate) ejected_until: AtomicU64,
    /// Only the background and the operators' API look at it.
    last_check: Mutex<Option<LastCheck>>,
}

impl Target {
    /// A target that is fit. `load` is one that no other target counts with.
    #[must_use]
    pub fn new(addr: SocketAddr, host: Option<&str>, weight: u32, load: Load) -> Target {
        let label = addr.to_string();
        Target {
            addr,
            host: host.unwrap_or(&label).into(),
            label: label.into(),
            key: target_key(&addr),
            weight,
            load,
            unfit: AtomicU8::new(0),
            fit_since: AtomicU64::new(0),
            unfit_since: AtomicU64::new(0),
            failures_in_row: AtomicU32::new(0),
            recent: AtomicU64::new(0),
            ejections: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            last_check: Mutex::default(),
        }
    }

    /// Whether this is what it is called.
    pub(crate) fn is_named(&self, host: Option<&str>) -> bool {
        *self.host == *host.unwrap_or(&self.label)
    }

    /// What a certificate must call it.
    #[must_use]
    pub fn tls_name(&self) -> TargetName<'_> {
        if *self.host == *self.label {
            TargetName::Ip(self.addr.ip())
        } else {
            TargetName::Dns(&self.host)
        }
    }

    /// The same target with another name or weight: load and health go on.
    #[must_use]
    pub(crate) fn carried_on(&self, host: Option<&str>, weight: u32) -> Target {
        let copy = |a: &AtomicU64| AtomicU64::new(a.load(Ordering::Relaxed));
        Target {
            addr: self.addr,
            host: host.unwrap_or(&self.label).into(),
            label: Arc::clone(&self.label),
            key: self.key,
            weight,
            load: self.load.clone(),
            unfit: AtomicU8::new(self.unfit.load(Ordering::Relaxed)),
            fit_since: copy(&self.fit_since),
            unfit_since: copy(&self.unfit_since),
            failures_in_row: AtomicU32::new(self.failures_in_row.load(Ordering::Relaxed)),
            recent: copy(&self.recent),
            ejections: AtomicU32::new(self.ejections.load(Ordering::Relaxed)),
            ejected_until: copy(&self.ejected_until),
            last_check: Mutex::new(self.last_check()),
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
        } else if before == 0 && after != 0 {
            self.unfit_since.store(now.nanos(), Ordering::Relaxed);
        }
        before != after
    }

    /// Takes a mark away that no longer means anything; no slow start, since it was not ill.
    pub(crate) fn forgive(&self, why: Unfit) {
        self.unfit.fetch_and(!(why as u8), Ordering::Relaxed);
        if why == Unfit::Unhealthy {
            *self
                .last_check
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// What the last active check found; `None` if there was none.
    #[must_use]
    pub fn last_check(&self) -> Option<LastCheck> {
        self.last_check
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Notes an active check.
    pub(crate) fn note_check(&self, at: Mono, failure: Option<Box<str>>) {
        *self
            .last_check
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(LastCheck { at, failure });
    }

    /// When it became fit; `None` if it always was.
    #[must_use]
    pub fn fit_since(&self) -> Option<Mono> {
        Some(Mono(self.fit_since.load(Ordering::Relaxed))).filter(|m| m.nanos() != 0)
    }

    /// When it was left out; `None` if it is fit.
    #[must_use]
    pub fn unfit_since(&self) -> Option<Mono> {
        (!self.is_fit()).then(|| Mono(self.unfit_since.load(Ordering::Relaxed)))
    }

    /// Until when it is ejected; `None` if it is not.
    #[must_use]
    pub fn ejected_until(&self) -> Option<Mono> {
        self.is(Unfit::Ejected)
            .then(|| Mono(self.ejected_until.load(Ordering::Relaxed)))
    }

    /// Starts its slow start now.
    pub(crate) fn begin_slow_start(&self, now: Mono) {
        self.fit_since.store(now.nanos(), Ordering::Relaxed);
    }
}
