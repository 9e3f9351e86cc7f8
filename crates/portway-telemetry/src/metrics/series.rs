//! What one worker counts about one route, upstream or listener.
//!
//! Must hold: a series belongs to one worker, its only writer. It is made at the first hit, and so
//! are its parts (a method's counters, the error counters): what nobody asks for costs nothing.
//! Never: removes anything; whoever drops the last handle frees the whole series.

use super::tally::{DURATION_BUCKETS, DURATIONS, Histogram, Tally};
use portway_core::{Code, GrpcStatus, Handshake, HandshakeFailure};
use std::array;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// A request method as a label: a known one, or `OTHER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs)] // the methods' own names say it
pub enum MethodLabel {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    /// Any other: a client may send any token, a label may not take it.
    Other,
}

impl MethodLabel {
    /// Every label, in index order.
    pub const ALL: [MethodLabel; 10] = [
        MethodLabel::Get,
        MethodLabel::Head,
        MethodLabel::Post,
        MethodLabel::Put,
        MethodLabel::Delete,
        MethodLabel::Connect,
        MethodLabel::Options,
        MethodLabel::Trace,
        MethodLabel::Patch,
        MethodLabel::Other,
    ];

    /// The label of a method.
    #[must_use]
    #[inline]
    pub fn of(method: &http::Method) -> MethodLabel {
        match method.as_str() {
            "GET" => MethodLabel::Get,
            "HEAD" => MethodLabel::Head,
            "POST" => MethodLabel::Post,
            "PUT" => MethodLabel::Put,
            "DELETE" => MethodLabel::Delete,
            "CONNECT" => MethodLabel::Connect,
            "OPTIONS" => MethodLabel::Options,
            "TRACE" => MethodLabel::Trace,
            "PATCH" => MethodLabel::Patch,
            _ => MethodLabel::Other,
        }
    }

    /// The label's text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            MethodLabel::Get => "GET",
            MethodLabel::Head => "HEAD",
            MethodLabel::Post => "POST",
            MethodLabel::Put => "PUT",
            MethodLabel::Delete => "DELETE",
            MethodLabel::Connect => "CONNECT",
            MethodLabel::Options => "OPTIONS",
            MethodLabel::Trace => "TRACE",
            MethodLabel::Patch => "PATCH",
            MethodLabel::Other => "OTHER",
        }
    }
}

/// A route's counters in one worker. Aligned to cache lines, as all series are, because the heap
/// may lay those of two workers side by side.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct RouteSeries {
    methods: [OnceLock<Box<MethodSeries>>; MethodLabel::ALL.len()],
    errors: OnceLock<Box<ErrorCounts>>,
    grpc: OnceLock<Box<GrpcCounts>>,
    pub(crate) rate_limit_hits: Tally,
}

impl RouteSeries {
    #[inline]
    pub(crate) fn observe(&self, method: MethodLabel, status: u16, duration_ns: u64) {
        let series = self.methods[method as usize].get_or_init(Box::default);
        series.statuses.add(status);
        series.duration.observe(&DURATIONS, duration_ns);
    }

    pub(crate) fn error(&self, code: Code) {
        self.errors.get_or_init(Box::default).count(code);
    }

    pub(crate) fn grpc_ended(&self, status: GrpcStatus) {
        let counts = self.grpc.get_or_init(Box::default);
        counts.0[usize::from(status.code())].add(1);
    }

    pub(crate) fn grpc(&self) -> impl Iterator<Item = (GrpcStatus, u64)> {
        let counts = self.grpc.get().into_iter().flat_map(|c| &c.0);
        GrpcStatus::all()
            .zip(counts.map(Tally::read))
            .filter(|(_, count)| *count > 0)
    }

    pub(crate) fn methods(&self) -> impl Iterator<Item = (MethodLabel, &MethodSeries)> {
        MethodLabel::ALL
            .into_iter()
            .zip(&self.methods)
            .filter_map(|(label, cell)| Some((label, cell.get()?.as_ref())))
    }

    pub(crate) fn errors(&self) -> impl Iterator<Item = (Code, u64)> {
        self.errors.get().into_iter().flat_map(|e| e.counted())
    }
}

/// By the status's code.
#[derive(Debug, Default)]
struct GrpcCounts([Tally; GrpcStatus::COUNT]);

/// By `Code as usize`.
#[derive(Debug)]
struct ErrorCounts([Tally; Code::ALL.len()]);

impl ErrorCounts {
    fn count(&self, code: Code) {
        self.0[code as usize].add(1);
    }

    fn counted(&self) -> impl Iterator<Item = (Code, u64)> {
        let codes = Code::ALL.iter().copied();
        codes
            .zip(self.0.iter().map(Tally::read))
            .filter(|(_, count)| *count > 0)
    }
}

impl Default for ErrorCounts {
    fn default() -> ErrorCounts {
        ErrorCounts(array::from_fn(|_| Tally::default()))
    }
}

/// One method of one route.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct MethodSeries {
    statuses: StatusCounts,
    pub(crate) duration: Histogram<DURATION_BUCKETS>,
}

impl MethodSeries {
    pub(crate) fn statuses(&self) -> impl Iterator<Item = (u16, u64)> {
        std::iter::successors(Some(&self.statuses), |block| {
            block.next.get().map(Box::as_ref)
        })
        .flat_map(|block| &block.cells)
        .map(|cell| (cell.status.load(Ordering::Acquire), cell.count.read()))
        .take_while(|(status, _)| *status != 0)
    }
}

/// Counts by status, in order of first appearance. A route seldom has more than a few, so the
/// first cells are the common case and the rest is a list that only grows.
#[derive(Debug, Default)]
struct StatusCounts {
    cells: [StatusCell; 4],
    next: OnceLock<Box<StatusCounts>>,
}

#[derive(Debug, Default)]
struct StatusCell {
    /// 0 while the cell is free.
    status: AtomicU16,
    count: Tally,
}

impl StatusCounts {
    #[inline]
    fn add(&self, status: u16) {
        // A target may send any three digits, but no more: that bounds the list and the labels.
        let status = if (100..=999).contains(&status) {
            status
        } else {
            500
        };
        let mut block = self;
        loop {
            for cell in &block.cells {
                let taken_by = cell.status.load(Ordering::Relaxed);
                if taken_by == status {
                    return cell.count.add(1);
                }
                if taken_by == 0 {
                    cell.count.add(1);
                    return cell.status.store(status, Ordering::Release);
                }
            }
            block = block.next.get_or_init(Box::default);
        }
    }
}

/// An upstream's counters in one worker.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct UpstreamSeries {
    pub(crate) duration: Histogram<DURATION_BUCKETS>,
    pub(crate) retries: Tally,
}

/// A listener's counters in one worker.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct ListenerSeries {
    pub(crate) active: Tally,
    /// What only listeners that pass bytes count.
    passed: OnceLock<Box<PassedSeries>>,
    errors: OnceLock<Box<ErrorCounts>>,
    /// What only listeners with TLS count.
    shaken: OnceLock<Box<HandshakeCounts>>,
}

/// Handshakes of a listener.
#[derive(Debug, Default)]
struct HandshakeCounts {
    /// By `Handshake::index`.
    done: [Tally; Handshake::COUNT],
    /// By `HandshakeFailure as usize`.
    failed: [Tally; HandshakeFailure::ALL.len()],
}

/// What a listener that passes bytes counts.
#[derive(Debug, Default)]
pub(crate) struct PassedSeries {
    pub(crate) received: Tally,
    pub(crate) sent: Tally,
    pub(crate) ok: Tally,
    pub(crate) duration: Histogram<DURATION_BUCKETS>,
}

impl ListenerSeries {
    pub(crate) fn passing(&self) -> &PassedSeries {
        self.passed.get_or_init(Box::default)
    }

    pub(crate) fn passed(&self) -> Option<&PassedSeries> {
        self.passed.get().map(Box::as_ref)
    }

    pub(crate) fn error(&self, code: Code) {
        self.errors.get_or_init(Box::default).count(code);
    }

    pub(crate) fn shaken(&self, kind: Handshake) {
        self.shaken.get_or_init(Box::default).done[kind.index()].add(1);
    }

    pub(crate) fn not_shaken(&self, why: HandshakeFailure) {
        self.shaken.get_or_init(Box::default).failed[why as usize].add(1);
    }

    pub(crate) fn handshakes(&self) -> impl Iterator<Item = (Handshake, u64)> {
        let counts = self.shaken.get().into_iter().flat_map(|c| &c.done);
        counted(Handshake::all().zip(counts))
    }

    pub(crate) fn failed_handshakes(&self) -> impl Iterator<Item = (HandshakeFailure, u64)> {
        let counts = self.shaken.get().into_iter().flat_map(|c| &c.failed);
        counted(HandshakeFailure::ALL.into_iter().zip(counts))
    }

    pub(crate) fn errors(&self) -> impl Iterator<Item = (Code, u64)> {
        self.errors.get().into_iter().flat_map(|e| e.counted())
    }
}

/// Those that happened.
fn counted<'t, K>(counts: impl Iterator<Item = (K, &'t Tally)>) -> impl Iterator<Item = (K, u64)> {
    counts
        .map(|(kind, tally)| (kind, tally.read()))
        .filter(|(_, count)| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_index_the_error_counts_in_table_order() {
        for (at, code) in Code::ALL.iter().enumerate() {
            assert_eq!(*code as usize, at);
        }
    }

    #[test]
    fn methods_index_in_label_order_and_know_their_names() {
        for (at, label) in MethodLabel::ALL.into_iter().enumerate() {
            assert_eq!(label as usize, at);
            let method = http::Method::from_bytes(label.as_str().as_bytes()).unwrap();
            assert_eq!(MethodLabel::of(&method), label);
        }
        let odd = http::Method::from_bytes(b"get").unwrap();
        assert_eq!(MethodLabel::of(&odd), MethodLabel::Other);
    }

    #[test]
    fn counts_every_status_however_many_there_are() {
        let route = RouteSeries::default();
        for status in (100..=999).chain(100..=999) {
            route.observe(MethodLabel::Get, status, 1);
        }
        route.observe(MethodLabel::Get, 0, 1);
        let (_, get) = route.methods().next().unwrap();
        let counts: Vec<_> = get.statuses().collect();
        assert_eq!(counts.len(), 900);
        assert!(
            counts
                .iter()
                .all(|(s, n)| *n == if *s == 500 { 3 } else { 2 })
        );
    }

    #[test]
    fn an_unused_part_of_a_series_is_not_there() {
        let route = RouteSeries::default();
        route.observe(MethodLabel::Put, 200, 1);
        assert_eq!(route.methods().count(), 1);
        assert_eq!(route.errors().count(), 0);
        route.error(Code::NoRoute);
        assert_eq!(route.errors().collect::<Vec<_>>(), vec![(Code::NoRoute, 1)]);
    }
}
