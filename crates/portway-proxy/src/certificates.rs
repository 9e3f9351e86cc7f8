//! What operators see of certificates: which, until when, and what is wrong with them.
//!
//! Must hold: nothing of a key; labels come from the config.

use std::sync::{Arc, Weak};

use portway_acme::{Keeper, Status};
use portway_telemetry::metrics::{Gather, Metric};
use portway_tls::CertificateInfo;

use crate::gateway::Shared;
use crate::snapshot::Snapshot;

/// A certificate of a listener.
#[derive(Clone, Debug, PartialEq)]
pub struct CertificateReport {
    /// The listener's name.
    pub listener: Arc<str>,
    /// Its file as the config names it, or the first of the names that it is obtained for.
    pub certificate: Box<str>,
    /// The names that it is for, or is to be for.
    pub names: Vec<String>,
    /// What there is to know of it; `None` while a stand-in is presented.
    pub info: Option<CertificateInfo>,
    /// How obtaining it goes, if it comes from no file.
    pub acme: Option<Status>,
}

pub(crate) fn report(snapshot: &Snapshot, keeper: &Keeper) -> Vec<CertificateReport> {
    let mut reports = Vec::new();
    for (plan, door) in snapshot.plan.listeners.iter().zip(&snapshot.listeners) {
        let acceptor = door.acceptor();
        for listed in acceptor.iter().flat_map(|acceptor| acceptor.certificates()) {
            let named =
                |slot: &portway_tls::Slot| slot.names().iter().map(|n| n.to_string()).collect();
            let names = match (&listed.slot, &listed.info) {
                (Some(slot), _) => named(slot),
                (None, Some(info)) => info.names.clone(),
                (None, None) => Vec::new(),
            };
            reports.push(CertificateReport {
                listener: Arc::clone(&plan.name),
                certificate: listed.label,
                names,
                info: listed.info,
                acme: listed.slot.map(|slot| keeper.status(&slot)),
            });
        }
    }
    reports
}

/// Reports certificates at every scrape.
pub(crate) fn collect(shared: &Arc<Shared>) {
    // Weak: the registry is a part of what it would otherwise keep alive.
    let later: Weak<Shared> = Arc::downgrade(shared);
    shared.registry.collect_with(move |out| {
        if let Some(shared) = later.upgrade() {
            gather(&shared, out);
        }
    });
}

fn gather(shared: &Shared, out: &mut Gather) {
    let snapshot = shared.current.load_full();
    for report in report(&snapshot, &shared.keeper) {
        // 0 for a stand-in: long over, as far as an alert cares.
        let until = report.info.map_or(0, |info| info.not_after);
        let labels = [&*report.listener, &*report.certificate];
        out.gauge(Metric::CertificateExpiry, &labels, until as f64);
    }
    if snapshot.plan.acme.is_some() {
        let (issued, failed) = shared.keeper.counts();
        out.counter(Metric::AcmeOrders, &["issued"], issued);
        out.counter(Metric::AcmeOrders, &["failed"], failed);
    }
}
