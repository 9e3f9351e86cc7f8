//! What is done for a place besides ordering: keeping what serves, asking when to renew, taking what another
//! process has kept.
//!
//! Must hold: what fails here is told and tried again; it never takes a certificate away.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::Error;
use portway_tls::Slot;

use super::place::restore;
use super::{Keeper, Work};
use crate::account::{self, blocking};
use crate::order::renewal_id;
use crate::store::Item;

/// The server is asked when to renew no more often than this, and no less.
const SUGGESTION_EVERY: (Duration, Duration) =
    (Duration::from_secs(60), Duration::from_secs(24 * 60 * 60));
/// What could not be kept is tried again after so long.
const KEEP_EVERY: Duration = Duration::from_secs(30);

impl Keeper {
    /// Puts what serves on the disk, if it is not there yet.
    pub(super) async fn keep_again(&self, work: &Work, slot: &Slot) {
        let now = self.0.clock.now();
        let unkept = self.place(slot, |place| place.unkept.clone());
        let Some((pem, _)) = unkept.filter(|(_, at)| *at <= now) else {
            return;
        };
        let names = slot.names().clone();
        let kept = blocking(&work.store, move |store| {
            store.keep(Item::Certificate, &names, &pem)?;
            store.forget(Item::Order, &names);
            Ok(store.stamp(Item::Certificate, &names))
        });
        match kept.await {
            Ok(stamp) => self.place(slot, |place| {
                place.unkept = None;
                place.stamp = stamp;
                place.last_error = None;
            }),
            Err(failure) => {
                tracing::error!(
                    certificate = slot.label(),
                    "the new certificate serves, but {failure}"
                );
                self.place(slot, |place| {
                    place.last_error = Some((self.0.clock.wall(), failure.to_string()));
                    if let Some((_, at)) = &mut place.unkept {
                        *at = now + KEEP_EVERY;
                    }
                });
            }
        }
    }

    /// Asks the server when it wants a certificate to be renewed (RFC 9773).
    pub(super) async fn ask_when(&self, work: &mut Work, slot: &Slot) {
        let now = self.0.clock.now();
        let due = work.suggests && self.place(slot, |place| place.ask_at <= now);
        let Some(id) = slot
            .issued()
            .filter(|_| due)
            .and_then(|issued| renewal_id(&issued))
        else {
            return;
        };
        let (least, most) = SUGGESTION_EVERY;
        if work.account.is_none() {
            match account::open(&work.store, &work.wanted.spec, &work.http).await {
                Ok(account) => work.account = Some(account),
                Err(why) => {
                    tracing::debug!("the server does not say when to renew: {why}");
                    return self.place(slot, |place| place.ask_at = now + most / 24);
                }
            }
        }
        let Some(account) = &work.account else { return };
        match account.renewal_info(&id).await {
            Ok((said, after)) => self.place(slot, |place| {
                let window = said.suggested_window;
                place.window = Some((window.start.unix_timestamp(), window.end.unix_timestamp()));
                place.ask_at = now + after.clamp(least, most);
            }),
            Err(Error::Unsupported(_)) => work.suggests = false,
            Err(error) => {
                tracing::debug!(certificate = slot.label(), %error, "the server does not say when to renew");
                self.place(slot, |place| place.ask_at = now + most / 24);
            }
        }
    }

    /// Takes what another process has put on the disk since.
    pub(super) async fn adopt(&self, work: &Work) {
        for slot in &work.wanted.slots {
            let (names, known) = (slot.names().clone(), self.place(slot, |place| place.stamp));
            let changed = blocking(&work.store, move |store| {
                Ok(store
                    .stamp(Item::Certificate, &names)
                    .is_some_and(|now| Some(now) != known))
            });
            if changed.await.unwrap_or(false) {
                let (keeper, store, slot) = (self.clone(), work.store.clone(), Arc::clone(slot));
                let restored = tokio::task::spawn_blocking(move || {
                    keeper.place(&slot, |place| restore(&store, &slot, place));
                });
                let _ = restored.await; // a panic there is told by its thread
            }
        }
    }
}
