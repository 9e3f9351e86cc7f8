//! The numbers of one scrape: what all shards and collectors report, summed by label values.
//!
//! Must hold: no two points of a metric have the same label values; counters and histograms of
//! several workers add up, a gauge given twice keeps the last value.

use super::name::{Kind, Metric};
use super::series::ListenerSeries;
use super::shard::Shard;
use super::tally::{DURATIONS, Histogram, SIZES, Scale};
use portway_core::Flood;
use std::collections::BTreeMap;

/// Label values, in the order of [`Metric::labels`].
pub(crate) type Labels = Box<[Box<str>]>;

/// One point of a metric.
#[derive(Debug)]
pub(crate) enum Value {
    Whole(u64),
    Real(f64),
    Histogram(Box<Distribution>),
}

/// A histogram summed over all workers.
#[derive(Debug)]
pub(crate) struct Distribution {
    pub(crate) sum: f64,
    /// Inclusive upper bound and count of each bucket, not cumulative, the last bound infinite.
    pub(crate) buckets: Vec<(f64, u64)>,
}

/// Takes the numbers of one scrape.
#[derive(Debug)]
pub struct Gather {
    families: Vec<BTreeMap<Labels, Value>>,
}

impl Gather {
    pub(crate) fn new() -> Gather {
        Gather {
            families: Metric::ALL.iter().map(|_| BTreeMap::new()).collect(),
        }
    }

    /// Reports a gauge. `labels` are values in the order of [`Metric::labels`]; a point with the
    /// wrong number of them, or of a metric that is no gauge, is left out.
    pub fn gauge(&mut self, metric: Metric, labels: &[&str], value: f64) {
        if metric.kind() == Kind::Gauge && fits(metric, labels) {
            self.points(metric)
                .insert(owned(labels), Value::Real(value));
        }
    }

    /// Reports a counter; several reports with the same labels add up. `labels` as for
    /// [`Gather::gauge`].
    pub fn counter(&mut self, metric: Metric, labels: &[&str], value: u64) {
        if metric.kind() == Kind::Counter && fits(metric, labels) {
            self.add(metric, owned(labels), value);
        }
    }

    /// Reports a counter that is not a whole number (seconds).
    pub(crate) fn real_counter(&mut self, metric: Metric, value: f64) {
        self.points(metric)
            .insert(Labels::default(), Value::Real(value));
    }

    fn add(&mut self, metric: Metric, labels: Labels, value: u64) {
        let point = self.points(metric).entry(labels).or_insert(Value::Whole(0));
        if let Value::Whole(sum) = point {
            *sum = sum.wrapping_add(value);
        }
    }

    fn add_histogram<const N: usize>(
        &mut self,
        metric: Metric,
        labels: Labels,
        (scale, histogram): (&Scale<N>, &Histogram<N>),
    ) {
        let (sum, counts) = histogram.read();
        let point = self.points(metric).entry(labels).or_insert_with(|| {
            Value::Histogram(Box::new(Distribution {
                sum: 0.0,
                buckets: scale.bounds().map(|bound| (bound, 0)).collect(),
            }))
        });
        if let Value::Histogram(total) = point {
            total.sum += scale.scaled(sum);
            for ((_, total), count) in total.buckets.iter_mut().zip(counts) {
                *total += count;
            }
        }
    }

    /// Adds what one worker counted.
    pub(crate) fn add_shard(&mut self, shard: &Shard) {
        let none = Labels::default;
        self.add_histogram(Metric::RequestSize, none(), (&SIZES, &shard.request_size));
        self.add_histogram(Metric::ResponseSize, none(), (&SIZES, &shard.response_size));
        self.add(Metric::ActiveRequests, none(), shard.active_requests.read());
        self.add(Metric::MirrorDropped, none(), shard.mirror_dropped.read());
        for (kind, count) in Flood::ALL.iter().zip(&shard.http2_floods) {
            let labels = owned(&[kind.as_str()]);
            self.add(Metric::Http2Floods, labels, count.read());
        }
        for (kind, count) in Flood::ALL.iter().zip(&shard.http3_floods) {
            let labels = owned(&[kind.as_str()]);
            self.add(Metric::Http3Floods, labels, count.read());
        }
        self.add_routes(shard);
        for (name, upstream) in shard.upstreams.list() {
            let labels = owned(&[&*name]);
            self.add(Metric::Retries, labels.clone(), upstream.retries.read());
            self.add_histogram(
                Metric::UpstreamDuration,
                labels,
                (&DURATIONS, &upstream.duration),
            );
        }
        for (name, listener) in shard.listeners.list() {
            let open = listener.active.read();
            self.add(Metric::ActiveConnections, owned(&[&*name]), open);
            self.add_handshakes(&name, &listener);
            self.add_ended(&name, &listener);
        }
    }

    fn add_handshakes(&mut self, name: &str, listener: &ListenerSeries) {
        for (kind, count) in listener.handshakes() {
            let (version, cipher) = (kind.version.as_str(), kind.cipher.as_str());
            let labels = owned(&[name, version, cipher, kind.resumption.as_str()]);
            self.add(Metric::TlsHandshakes, labels, count);
        }
        for (why, count) in listener.failed_handshakes() {
            let labels = owned(&[name, why.as_str()]);
            self.add(Metric::TlsHandshakeFailures, labels, count);
        }
    }

    fn add_ended(&mut self, name: &str, listener: &ListenerSeries) {
        for (code, count) in listener.errors() {
            let labels = owned(&[name, code.as_str()]);
            self.add(Metric::Connections, labels, count);
        }
        let Some(passed) = listener.passed() else {
            return;
        };
        let of = || owned(&[name]);
        self.add(Metric::Connections, owned(&[name, "ok"]), passed.ok.read());
        self.add(Metric::ConnectionReceived, of(), passed.received.read());
        self.add(Metric::ConnectionSent, of(), passed.sent.read());
        let duration = (&DURATIONS, &passed.duration);
        self.add_histogram(Metric::ConnectionDuration, of(), duration);
    }

    fn add_routes(&mut self, shard: &Shard) {
        for (name, route) in shard.routes.list() {
            for (method, series) in route.methods() {
                let method = method.as_str();
                for (status, count) in series.statuses() {
                    let mut digits = itoa::Buffer::new();
                    let labels = owned(&[&*name, method, digits.format(status)]);
                    self.add(Metric::Requests, labels, count);
                }
                let labels = owned(&[&*name, method]);
                self.add_histogram(
                    Metric::RequestDuration,
                    labels,
                    (&DURATIONS, &series.duration),
                );
            }
            for (code, count) in route.errors() {
                let labels = owned(&[&*name, code.as_str()]);
                self.add(Metric::RequestErrors, labels, count);
            }
            for (status, count) in route.grpc() {
                let labels = owned(&[&*name, status.name()]);
                self.add(Metric::GrpcCalls, labels, count);
            }
            let hits = route.rate_limit_hits.read();
            if hits > 0 {
                self.add(Metric::RateLimitHits, owned(&[&*name]), hits);
            }
        }
    }

    fn points(&mut self, metric: Metric) -> &mut BTreeMap<Labels, Value> {
        &mut self.families[metric as usize]
    }

    /// The metrics that have points, in order, with their points.
    pub(crate) fn families(&self) -> impl Iterator<Item = (Metric, &BTreeMap<Labels, Value>)> {
        Metric::ALL
            .iter()
            .copied()
            .zip(&self.families)
            .filter(|(_, points)| !points.is_empty())
    }
}

fn fits(metric: Metric, labels: &[&str]) -> bool {
    metric.labels().len() == labels.len()
}

fn owned(labels: &[&str]) -> Labels {
    labels.iter().map(|label| Box::from(*label)).collect()
}
