//! What is remembered of a place, and how it is filled from the disk.

use std::time::{Duration, SystemTime};

use portway_core::Mono;
use portway_telemetry::rfc3339;
use portway_tls::{CertificateInfo, Slot};

use crate::schedule::{renew_at, renew_in};
use crate::store::{Item, Store};

/// What is remembered of a place.
#[derive(Clone, Default)]
pub(super) struct Place {
    pub(super) failures: u32,
    /// Those of them that say something of the check: the other kind may do.
    pub(super) refusals: u32,
    /// When, since the Unix epoch, and why.
    pub(super) last_error: Option<(Duration, String)>,
    pub(super) last_try: Option<Duration>,
    /// No order before.
    pub(super) rests_until: Mono,
    /// A random number per certificate: when in its window it is renewed.
    pub(super) share: f64,
    /// When the server suggests to renew.
    pub(super) window: Option<(i64, i64)>,
    pub(super) ask_at: Mono,
    /// Of the certificate's file, as it was last read or written.
    pub(super) stamp: Option<SystemTime>,
    /// A certificate that serves and is not on the disk.
    pub(super) unkept: Option<(String, Mono)>,
}

impl Place {
    /// When a certificate is to be renewed, seconds since the Unix epoch.
    pub(super) fn renew_at(&self, info: &CertificateInfo) -> i64 {
        let own = renew_at(info.not_before, info.not_after, self.share);
        match self.window {
            None => own,
            // A window that is too late would leave no time for a second try.
            Some((start, end)) => {
                let late = info.not_after - (info.not_after - info.not_before) / 10;
                renew_in(start, end, self.share).min(late)
            }
        }
    }
}

/// Puts the certificate of the disk into its place.
pub(super) fn restore(store: &Store, slot: &Slot, place: &mut Place) {
    place.stamp = store.stamp(Item::Certificate, slot.names());
    let pem = match store.find(Item::Certificate, slot.names()) {
        Ok(None) => return,
        Ok(Some(pem)) => Ok(pem),
        Err(error) => Err(error.to_string()),
    };
    match pem.and_then(|pem| slot.install(&pem)) {
        Ok(issued) => {
            place.share = fastrand::f64();
            place.window = None;
            tracing::info!(
                certificate = slot.label(),
                not_after = time(issued.info.not_after),
                "certificate read"
            );
        }
        Err(why) => tracing::warn!(
            certificate = slot.label(),
            file = %store.path(Item::Certificate, slot.names()).display(),
            "the certificate that was kept cannot be used, a new one is ordered: {why}"
        ),
    }
}

/// Seconds since the Unix epoch, for the log.
pub(super) fn time(seconds: i64) -> String {
    rfc3339(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}
