//! A route's filters in the order they run.
//!
//! Must hold: requests pass by phase, then in config order; replies pass in the reverse order, so a
//! filter that saw the request earlier sees the reply later, except [`Phase::SecurityHeaders`], which
//! comes last by its reason.

use std::sync::Arc;

use portway_http::{Exchange, Reply};

use crate::{Filter, Flow, Hooks, Phase};

/// A filter with what its place is decided by.
#[derive(Clone)]
pub struct Entry {
    /// The filter's name in the config.
    pub name: &'static str,
    /// Its phase.
    pub phase: Phase,
    /// A hash of its kind, place and config: a reload keeps the filter (and its state) while it stays.
    pub fingerprint: u64,
    /// The filter.
    pub filter: Arc<dyn Filter>,
}

/// The filters of one route.
#[derive(Clone, Default)]
pub struct Chain {
    entries: Vec<Entry>,
    request: Box<[Arc<dyn Filter>]>,
    response: Box<[Arc<dyn Filter>]>,
}

impl Chain {
    /// Orders the filters. Entries come in config order, global ones first.
    #[must_use]
    pub fn new(mut entries: Vec<Entry>) -> Chain {
        entries.sort_by_key(|e| e.phase); // stable: config order inside a phase
        let request = entries
            .iter()
            .filter(|e| e.filter.hooks() != Hooks::Response)
            .map(|e| Arc::clone(&e.filter))
            .collect();
        let last = |e: &&Entry| e.phase == Phase::SecurityHeaders;
        let response = entries
            .iter()
            .rev()
            .filter(|e| !last(e))
            .chain(entries.iter().filter(last))
            .filter(|e| e.filter.hooks() != Hooks::Request)
            .map(|e| Arc::clone(&e.filter))
            .collect();
        Chain {
            entries,
            request,
            response,
        }
    }

    /// The filters in request order, for `explain` and for a reload.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The same chain, in which each filter that one of `old` has with the same fingerprint is that
    /// one: its state (a limiter's counters) outlives a reload that did not change it. The first of
    /// `old` that has it counts.
    #[must_use]
    pub fn adopt<'o>(&self, old: impl IntoIterator<Item = &'o Chain> + Clone) -> Chain {
        let mut entries = self.entries.clone();
        for entry in &mut entries {
            let known = old.clone().into_iter().flat_map(|chain| &chain.entries);
            let mut same = known.filter(|o| o.fingerprint == entry.fingerprint);
            if let Some(kept) = same.next() {
                entry.filter = Arc::clone(&kept.filter);
            }
        }
        Chain::new(entries)
    }

    /// Gives the exchange its id, and no more: for a request that could not be read.
    pub async fn identify(&self, exchange: &mut Exchange) {
        let first = self.entries.iter().filter(|e| e.phase == Phase::RequestId);
        for entry in first.filter(|e| e.filter.hooks() != Hooks::Response) {
            let _ = entry.filter.on_request(exchange).get().await;
        }
    }

    /// Runs the request hooks until one stops.
    pub async fn on_request(&self, exchange: &mut Exchange) -> Flow {
        for filter in &self.request {
            if let Flow::Stop(reply) = filter.on_request(exchange).get().await {
                return Flow::Stop(reply);
            }
        }
        Flow::Continue
    }

    /// Runs all response hooks.
    pub async fn on_response(&self, exchange: &mut Exchange, reply: &mut Reply) {
        for filter in &self.response {
            filter.on_response(exchange, reply).get().await;
        }
    }
}

/// The same filters with the same settings.
impl PartialEq for Chain {
    fn eq(&self, other: &Chain) -> bool {
        let marks = |chain: &Chain| -> Vec<u64> {
            let entries = chain.entries.iter();
            entries.map(|e| e.fingerprint).collect()
        };
        marks(self) == marks(other)
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.entries.iter().map(|e| e.name))
            .finish()
    }
}
