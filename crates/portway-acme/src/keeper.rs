//! Keeps the certificates of all places that want one: at the start from the disk, then by orders.
//!
//! Must hold: orders go out one after the other; a place that fails holds up no other; what serves is
//! never taken away. Whoever wants to know reads [`Keeper::status`].

mod place;
mod upkeep;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use instant_acme::Account;
use portway_core::{Clock, Mono};
use portway_tls::slot::Issued;
use portway_tls::{CertificateInfo, Connector, Names, Slot, Slots};
use tokio::sync::Notify;
use tokio::time::timeout;

use self::place::{Place, restore, time};
use crate::account::{self, blocking};
use crate::checks::Tokens;
use crate::failure::{Failure, Kind};
use crate::http::Http;
use crate::order::Job;
use crate::schedule::pause;
use crate::spec::AcmeSpec;
use crate::store::{Lead, Store};

/// From one look at what is due to the next.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// An order is given up after so long; the next try goes on with it.
const ORDER_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// After a success the next order for the same names waits so long at least, whatever the server
/// suggests, or a tenth of the certificate's life.
const REST: Duration = Duration::from_secs(60 * 60);

/// What is to be kept.
#[derive(Debug)]
pub struct Wanted {
    /// How.
    pub spec: AcmeSpec,
    /// The way to the server.
    pub connector: Arc<Connector>,
    /// For which places.
    pub slots: Vec<Arc<Slot>>,
}

/// See the module. Clones are the same keeper.
#[derive(Clone)]
pub struct Keeper(Arc<Inner>);

struct Inner {
    clock: Clock,
    slots: Slots,
    tokens: Tokens,
    wanted: Mutex<Option<Arc<Wanted>>>,
    changed: Notify,
    places: Mutex<HashMap<Names, Place>>,
    leads: AtomicBool,
    issued: AtomicU64,
    failed: AtomicU64,
}

/// What operators see of a place. Times are since the Unix epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The certificate that is presented; `None` for the stand-in.
    pub issued: Option<CertificateInfo>,
    /// Whether this process orders; another one does otherwise.
    pub leads: bool,
    /// When it was last ordered.
    pub last_try: Option<Duration>,
    /// Failures since the last success.
    pub failures: u32,
    /// When and why it last failed, if it did since the last success.
    pub last_error: Option<(Duration, String)>,
    /// When it is to be ordered next.
    pub next_try: Option<Duration>,
}

/// What one server's orders share.
struct Work {
    wanted: Arc<Wanted>,
    store: Store,
    http: Http,
    account: Option<Account>,
    lead: Option<Lead>,
    /// The server asked not to be asked before.
    hold_until: Mono,
    /// Whether the server suggests when to renew.
    suggests: bool,
}

impl Keeper {
    /// One that keeps nothing yet.
    #[must_use]
    pub fn new(clock: Clock) -> Keeper {
        Keeper(Arc::new(Inner {
            clock,
            slots: Slots::default(),
            tokens: Tokens::default(),
            wanted: Mutex::new(None),
            changed: Notify::new(),
            places: Mutex::default(),
            leads: AtomicBool::new(false),
            issued: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }))
    }

    /// The places.
    #[must_use]
    pub fn slots(&self) -> &Slots {
        &self.0.slots
    }

    /// What is to be kept from now on. Places get what the disk has for them, at once. Blocks.
    pub fn want(&self, wanted: Option<Wanted>) {
        if let Some(wanted) = &wanted {
            let store = Store::new(&wanted.spec.folder, &wanted.spec.directory);
            let mut places = lock(&self.0.places);
            places.retain(|names, _| wanted.slots.iter().any(|slot| slot.names() == names));
            for slot in &wanted.slots {
                let place = places.entry(slot.names().clone()).or_default();
                if slot.issued().is_none() {
                    restore(&store, slot, place);
                }
            }
        }
        let mut current = lock(&self.0.wanted);
        if current.as_ref().map(|known| &known.spec) != wanted.as_ref().map(|new| &new.spec) {
            // Somebody may have mended what was wrong.
            for place in lock(&self.0.places).values_mut() {
                (place.rests_until, place.refusals) = (Mono::default(), 0);
            }
        }
        *current = wanted.map(Arc::new);
        drop(current);
        self.0.changed.notify_one();
    }

    /// The answer to a server that checks a name by a request for this token (RFC 8555, section 8.3).
    #[must_use]
    pub fn answer(&self, token: &str) -> Option<Box<str>> {
        self.0.tokens.find(token)
    }

    /// Certificates obtained and orders failed since the start.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.0.issued), read(&self.0.failed))
    }

    /// What there is to know of a place.
    #[must_use]
    pub fn status(&self, slot: &Slot) -> Status {
        let place = lock(&self.0.places)
            .get(slot.names())
            .cloned()
            .unwrap_or_default();
        let (now, wall) = (self.0.clock.now(), self.0.clock.wall());
        let issued = slot.issued().map(|issued| issued.info);
        let renew = issued.as_ref().map_or(Duration::ZERO, |info| {
            Duration::from_secs(u64::try_from(place.renew_at(info)).unwrap_or(0))
        });
        let rested = wall + place.rests_until.since(now);
        let leads = self.0.leads.load(Ordering::Relaxed);
        Status {
            next_try: leads.then(|| renew.max(rested)),
            issued,
            leads,
            last_try: place.last_try,
            failures: place.failures,
            last_error: place.last_error,
        }
    }

    /// Keeps what is wanted, for as long as it runs. Dropped, it lets another process order.
    pub async fn run(self) {
        let mut work: Option<Work> = None;
        loop {
            let wanted = lock(&self.0.wanted).clone();
            let Some(wanted) = wanted.filter(|wanted| !wanted.slots.is_empty()) else {
                work = None;
                self.0.leads.store(false, Ordering::Relaxed);
                self.0.changed.notified().await;
                continue;
            };
            let current = match work.take() {
                Some(mut work) if work.serves(&wanted) => {
                    work.wanted = wanted;
                    work
                }
                _ => Work::new(wanted),
            };
            self.step(work.insert(current)).await;
            // Early is fine: it is only a look.
            let _ = timeout(LOOK_EVERY, self.0.changed.notified()).await;
        }
    }

    async fn step(&self, work: &mut Work) {
        let wanted = Arc::clone(&work.wanted);
        if work.lead.is_none() {
            let led = blocking(&work.store, Store::try_lead).await;
            self.adopt(work).await;
            match led {
                Ok(lead) => work.lead = lead,
                Err(failure) => {
                    for slot in wanted.slots.iter().filter(|slot| self.is_due(slot)) {
                        self.failed(work, slot, &failure);
                    }
                    return;
                }
            }
        }
        self.0.leads.store(work.lead.is_some(), Ordering::Relaxed);
        if work.lead.is_none() {
            return;
        }
        for slot in &wanted.slots {
            self.keep_again(work, slot).await;
            self.ask_when(work, slot).await;
            if self.0.clock.now() < work.hold_until || !self.is_due(slot) {
                continue;
            }
            self.place(slot, |place| place.last_try = Some(self.0.clock.wall()));
            let ordered = timeout(ORDER_TIMEOUT, self.order(work, slot)).await;
            let late = || Err(Failure::new(Kind::Server, "the order took too long"));
            match ordered.unwrap_or_else(|_| late()) {
                Ok((issued, pem)) => self.succeeded(work, slot, &issued, pem).await,
                Err(failure) => {
                    if failure.kind == Kind::NoAccount && work.account.take().is_some() {
                        let why = "the server does not know it";
                        // It cannot be worse than it is.
                        let _ = account::set_aside(&work.store, why).await;
                    }
                    self.failed(work, slot, &failure);
                }
            }
        }
    }

    /// Whether a place is to be ordered for now.
    fn is_due(&self, slot: &Slot) -> bool {
        let place = lock(&self.0.places)
            .get(slot.names())
            .cloned()
            .unwrap_or_default();
        if self.0.clock.now() < place.rests_until {
            return false;
        }
        let now = i64::try_from(self.0.clock.wall().as_secs()).unwrap_or(i64::MAX);
        slot.issued()
            .is_none_or(|issued| now >= place.renew_at(&issued.info))
    }

    async fn order(&self, work: &mut Work, slot: &Slot) -> Result<(Issued, String), Failure> {
        // Before anything that the server counts.
        blocking(&work.store, Store::check_room).await?;
        let account = match &mut work.account {
            Some(account) => account,
            none => none.insert(account::open(&work.store, &work.wanted.spec, &work.http).await?),
        };
        let refusals = self.place(slot, |place| place.refusals);
        let challenges = &work.wanted.spec.challenges;
        let job = Job {
            account,
            store: &work.store,
            slot,
            slots: &self.0.slots,
            tokens: &self.0.tokens,
            challenge: challenges[refusals as usize % challenges.len()],
        };
        let pem = job.run().await?;
        let issued = slot.install(&pem).map_err(|why| {
            Failure::new(
                Kind::Refused,
                format!("what was issued cannot be used: {why}"),
            )
        })?;
        Ok((issued, pem))
    }

    async fn succeeded(&self, work: &Work, slot: &Slot, issued: &Issued, pem: String) {
        self.0.issued.fetch_add(1, Ordering::Relaxed);
        let info = &issued.info;
        let life =
            Duration::from_secs(u64::try_from(info.not_after - info.not_before).unwrap_or(0));
        let now = self.0.clock.now();
        self.place(slot, |place| {
            *place = Place {
                last_try: place.last_try,
                rests_until: now + REST.min(life / 10),
                share: fastrand::f64(),
                ask_at: now,
                unkept: Some((pem, now)),
                ..Place::default()
            };
        });
        tracing::info!(
            certificate = slot.label(),
            names = slot.names().len(),
            issuer = info.issuer,
            not_after = time(info.not_after),
            "certificate issued"
        );
        self.keep_again(work, slot).await;
    }

    fn failed(&self, work: &mut Work, slot: &Slot, failure: &Failure) {
        self.0.failed.fetch_add(1, Ordering::Relaxed);
        let now = self.0.clock.now();
        let asked = work.http.take_wait();
        let mut next = Duration::ZERO;
        let failures = self.place(slot, |place| {
            place.failures = place.failures.saturating_add(1);
            if failure.kind == Kind::Refused {
                place.refusals = place.refusals.wrapping_add(1);
            }
            let own = pause(failure.kind.pace(), place.failures, fastrand::f64());
            next = asked.map_or(own, |asked| own.max(asked));
            place.rests_until = now + next;
            place.last_error = Some((self.0.clock.wall(), failure.to_string()));
            place.failures
        });
        if failure.kind == Kind::RateLimited {
            work.hold_until = now + next;
        }
        let next_s = next.as_secs();
        let certificate = slot.label();
        match slot.issued() {
            Some(issued) => tracing::warn!(
                certificate,
                failures,
                next_try_s = next_s,
                not_after = time(issued.info.not_after),
                "certificate not renewed: {failure}"
            ),
            None => tracing::error!(
                certificate,
                failures,
                next_try_s = next_s,
                "no certificate, a stand-in is presented: {failure}"
            ),
        }
    }

    fn place<T>(&self, slot: &Slot, with: impl FnOnce(&mut Place) -> T) -> T {
        with(
            lock(&self.0.places)
                .entry(slot.names().clone())
                .or_default(),
        )
    }
}

impl Work {
    fn new(wanted: Arc<Wanted>) -> Work {
        Work {
            store: Store::new(&wanted.spec.folder, &wanted.spec.directory),
            http: Http::new(Arc::clone(&wanted.connector)),
            wanted,
            account: None,
            lead: None,
            hold_until: Mono::default(),
            suggests: true,
        }
    }

    /// Whether it is for the same server, reached in the same way.
    fn serves(&self, wanted: &Wanted) -> bool {
        self.wanted.spec == wanted.spec && self.wanted.connector.is(&wanted.connector)
    }
}

/// What is locked here is whole after every statement, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
