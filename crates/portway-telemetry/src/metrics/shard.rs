//! A worker's share of the metrics, and the handles through which it counts.
//!
//! Must hold: handles stay on the thread of their worker (they are not `Send`), so each number has
//! one writer. A lock is taken only when a name is seen for the first time since a reload.
//! Never: allocates, locks or writes a cache line another worker writes, in the steady state.

use super::series::{ListenerSeries, MethodLabel, RouteSeries, UpstreamSeries};
use super::tally::{DURATIONS, Histogram, SIZE_BUCKETS, SIZES, Tally};
use portway_core::{Code, Flood, GrpcStatus, Handshake, HandshakeFailure};
use std::cell::OnceCell;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

/// What is counted when an exchange ends.
#[derive(Clone, Copy, Debug)]
pub struct Observation {
    /// The request's method.
    pub method: MethodLabel,
    /// The status sent, or logged if nothing was sent: 100 to 999, anything else counts as 500.
    pub status: u16,
    /// From the first byte of the request to the last of the reply, nanoseconds.
    pub duration_ns: u64,
    /// Received from the client, bytes.
    pub bytes_in: u64,
    /// Sent to the client, bytes.
    pub bytes_out: u64,
}

/// One worker's metrics. Cheap to clone, bound to its thread.
#[derive(Clone, Debug)]
pub struct WorkerShard(Rc<OneThread<Shard>>);

impl WorkerShard {
    pub(crate) fn new(shard: Arc<Shard>) -> WorkerShard {
        WorkerShard(Rc::new(OneThread::new(shard)))
    }

    /// The series of a route. Takes a lock: once per route and reload, see [`Slots`].
    #[must_use]
    pub fn route(&self, name: &str) -> RouteHandle {
        RouteHandle(OneThread::new(self.0.series.routes.intern(name)))
    }

    /// The series of an upstream. Takes a lock, as [`WorkerShard::route`] does.
    #[must_use]
    pub fn upstream(&self, name: &str) -> UpstreamHandle {
        UpstreamHandle(OneThread::new(self.0.series.upstreams.intern(name)))
    }

    /// The series of a listener. Takes a lock, as [`WorkerShard::route`] does.
    #[must_use]
    pub fn listener(&self, name: &str) -> ListenerHandle {
        ListenerHandle(Rc::new(OneThread::new(
            self.0.series.listeners.intern(name),
        )))
    }

    /// Counts an exchange as on its way until the returned value is dropped.
    #[must_use]
    #[inline]
    pub fn request_started(&self) -> ActiveRequest {
        self.0.series.active_requests.add(1);
        ActiveRequest(self.clone())
    }

    /// Counts an exchange that ended.
    #[inline]
    pub fn observe(&self, route: &RouteHandle, seen: Observation) {
        route
            .0
            .series
            .observe(seen.method, seen.status, seen.duration_ns);
        self.0.series.request_size.observe(&SIZES, seen.bytes_in);
        self.0.series.response_size.observe(&SIZES, seen.bytes_out);
    }

    /// Counts an HTTP/2 connection that was ended for a flood.
    pub fn http2_flood(&self, kind: Flood) {
        self.0.series.http2_floods[kind as usize].add(1);
    }

    /// Counts an HTTP/3 connection that was ended for a flood.
    pub fn http3_flood(&self, kind: Flood) {
        self.0.series.http3_floods[kind as usize].add(1);
    }

    /// Counts a mirrored request that was not sent.
    pub fn mirror_dropped(&self) {
        self.0.series.mirror_dropped.add(1);
    }
}

/// An exchange on its way.
#[derive(Debug)]
pub struct ActiveRequest(WorkerShard);

impl Drop for ActiveRequest {
    #[inline]
    fn drop(&mut self) {
        self.0.0.series.active_requests.sub(1);
    }
}

/// Keeps a series on the thread of its worker.
#[derive(Debug)]
struct OneThread<S> {
    series: Arc<S>,
    _not_send: PhantomData<Rc<()>>,
}

impl<S> OneThread<S> {
    fn new(series: Arc<S>) -> OneThread<S> {
        OneThread {
            series,
            _not_send: PhantomData,
        }
    }
}

/// A route's counters in this worker.
#[derive(Debug)]
pub struct RouteHandle(OneThread<RouteSeries>);

impl RouteHandle {
    /// Counts an exchange the gateway answered by itself.
    pub fn error(&self, code: Code) {
        self.0.series.error(code);
    }

    /// Counts a gRPC call.
    pub fn grpc_ended(&self, status: GrpcStatus) {
        self.0.series.grpc_ended(status);
    }

    /// Counts an exchange a rate limit refused.
    pub fn rate_limit_hit(&self) {
        self.0.series.rate_limit_hits.add(1);
    }
}

/// An upstream's counters in this worker.
#[derive(Debug)]
pub struct UpstreamHandle(OneThread<UpstreamSeries>);

impl UpstreamHandle {
    /// Counts the time an exchange spent with the upstream, all tries, nanoseconds.
    #[inline]
    pub fn observe(&self, duration_ns: u64) {
        let series = &self.0.series;
        series.duration.observe(&DURATIONS, duration_ns);
    }

    /// Counts tries after the first.
    pub fn retried(&self, tries: u64) {
        self.0.series.retries.add(tries);
    }
}

/// A listener's counters in this worker.
#[derive(Clone, Debug)]
pub struct ListenerHandle(Rc<OneThread<ListenerSeries>>);

impl ListenerHandle {
    /// Counts a connection as open until the returned value is dropped.
    #[must_use]
    pub fn connection_opened(&self) -> OpenConnection {
        self.0.series.active.add(1);
        OpenConnection(self.clone())
    }
}

impl ListenerHandle {
    /// Counts a connection that was refused before anything was served on it.
    pub fn refused(&self, code: Code) {
        self.0.series.error(code);
    }

    /// Counts a TLS handshake that went well.
    pub fn shaken(&self, kind: Handshake) {
        self.0.series.shaken(kind);
    }

    /// Counts a TLS handshake that failed.
    pub fn not_shaken(&self, why: HandshakeFailure) {
        self.0.series.not_shaken(why);
    }

    /// Counts bytes that were passed on: from the client, and to it.
    #[inline]
    pub fn passed(&self, received: u64, sent: u64) {
        let series = self.0.series.passing();
        series.received.add(received);
        series.sent.add(sent);
    }

    /// Counts a connection that ended, whose bytes were passed on.
    pub fn ended(&self, code: Option<Code>, duration_ns: u64) {
        let series = self.0.series.passing();
        series.duration.observe(&DURATIONS, duration_ns);
        match code {
            None => series.ok.add(1),
            Some(code) => self.0.series.error(code),
        }
    }
}

/// A client connection that is open.
#[derive(Debug)]
pub struct OpenConnection(ListenerHandle);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.0.series.active.sub(1);
    }
}

/// Handles by the ids of one snapshot, made at the first use. A worker keeps one per kind and
/// replaces it when the snapshot changes.
#[derive(Debug)]
pub struct Slots<H>(Box<[OnceCell<H>]>);

impl<H> Slots<H> {
    /// Room for ids below `len`, all empty.
    #[must_use]
    pub fn new(len: usize) -> Slots<H> {
        Slots((0..len).map(|_| OnceCell::new()).collect())
    }

    /// The handle at `index`, made by `intern` if it is not there yet; none if `index` is not below
    /// the length.
    #[inline]
    pub fn find(&self, index: usize, intern: impl FnOnce() -> H) -> Option<&H> {
        Some(self.0.get(index)?.get_or_init(intern))
    }
}

/// What the registry keeps of a worker, and the scraper reads.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Shard {
    pub(crate) active_requests: Tally,
    pub(crate) mirror_dropped: Tally,
    /// By `Flood as usize`.
    pub(crate) http2_floods: [Tally; Flood::ALL.len()],
    pub(crate) http3_floods: [Tally; Flood::ALL.len()],
    pub(crate) request_size: Histogram<SIZE_BUCKETS>,
    pub(crate) response_size: Histogram<SIZE_BUCKETS>,
    pub(crate) routes: Interned<RouteSeries>,
    pub(crate) upstreams: Interned<UpstreamSeries>,
    pub(crate) listeners: Interned<ListenerSeries>,
}

/// Series by name. The lock is for interning and scraping, never for counting.
#[derive(Debug, Default)]
pub(crate) struct Interned<S>(Mutex<HashMap<Arc<str>, Arc<S>>>);

impl<S: Default> Interned<S> {
    fn intern(&self, name: &str) -> Arc<S> {
        let mut by_name = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = by_name.get(name) {
            return Arc::clone(series);
        }
        let series = Arc::<S>::default();
        by_name.insert(Arc::from(name), Arc::clone(&series));
        series
    }

    /// A copy of the list, so that a worker waits for the copying and not for the scrape.
    pub(crate) fn list(&self) -> Vec<(Arc<str>, Arc<S>)> {
        let by_name = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        by_name
            .iter()
            .map(|(name, series)| (Arc::clone(name), Arc::clone(series)))
            .collect()
    }

    pub(crate) fn retain(&self, mut keep: impl FnMut(&str, &S) -> bool) {
        let mut by_name = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        by_name.retain(|name, series| keep(name, series));
        by_name.shrink_to_fit();
    }
}
