//! One scrape as text: Prometheus text format 0.0.4 or OpenMetrics 1.0.
//!
//! Must hold: escaping and number formats are prometheus-client's. The two formats differ in one
//! thing here: a counter's family is called `x_total` in the first and `x` in the second, while
//! the sample is called `x_total` in both.

use super::gather::{Gather, Value};
use super::name::{Kind, Metric};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, LabelSetEncoder, MetricEncoder, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry as Exposition;
use std::fmt::{self, Write};

/// A format a scraper can ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text format 0.0.4.
    #[default]
    Text,
    /// OpenMetrics 1.0 text.
    OpenMetrics,
}

impl Format {
    /// What an `Accept` header asks for. Text, unless OpenMetrics is named and not weighted lower
    /// (RFC 9110, section 12.5.1, reduced to the two types there are).
    #[must_use]
    pub fn negotiate(accept: &str) -> Format {
        let weight = |wanted: &str| {
            accept
                .split(',')
                .filter_map(|range| {
                    let mut parts = range.split(';').map(str::trim);
                    let name = parts.next()?;
                    name.eq_ignore_ascii_case(wanted).then(|| {
                        parts
                            .find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok())
                            .unwrap_or(1.0)
                    })
                })
                .fold(0.0, f32::max)
        };
        let open = weight("application/openmetrics-text");
        if open > 0.0 && open >= weight("text/plain") {
            Format::OpenMetrics
        } else {
            Format::Text
        }
    }

    /// The value of the reply's `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The exposition of what was gathered, every name under `namespace`.
pub(crate) fn encode(gathered: Gather, namespace: &str, format: Format) -> String {
    let mut exposition = Exposition::with_prefix(namespace);
    exposition.register_collector(Box::new(Scrape { gathered, format }));
    let mut out = String::new();
    let result = match format {
        Format::Text => text::encode_registry(&mut out, &exposition),
        Format::OpenMetrics => text::encode(&mut out, &exposition),
    };
    result.expect("writing to a String cannot fail");
    out
}

#[derive(Debug)]
struct Scrape {
    gathered: Gather,
    format: Format,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (metric, points) in self.gathered.families() {
            let kind = match metric.kind() {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            let name = self.family_name(metric);
            let mut family = encoder.encode_descriptor(name, metric.help(), None, kind)?;
            for (values, value) in points {
                let labels = Pairs {
                    names: metric.labels(),
                    values,
                };
                if values.is_empty() {
                    self.encode_point(&mut family, metric, value)?;
                } else {
                    let mut point = family.encode_family(&labels)?;
                    self.encode_point(&mut point, metric, value)?;
                }
            }
        }
        Ok(())
    }
}

impl Scrape {
    fn family_name(&self, metric: Metric) -> &'static str {
        let name = metric.name();
        match self.format {
            Format::Text => name,
            Format::OpenMetrics => name.strip_suffix("_total").unwrap_or(name),
        }
    }

    fn encode_point(
        &self,
        point: &mut MetricEncoder<'_>,
        metric: Metric,
        value: &Value,
    ) -> fmt::Result {
        // `encode_counter` appends `_total` to the family's name, which in the text format is there
        // already; `encode_gauge` writes the name as it is.
        let suffixed = metric.kind() == Kind::Counter && self.format == Format::OpenMetrics;
        match value {
            Value::Whole(n) if suffixed => point.encode_counter::<NoLabelSet, _, u64>(n, None),
            Value::Whole(n) => point.encode_gauge(n),
            Value::Real(n) if suffixed => point.encode_counter::<NoLabelSet, _, f64>(n, None),
            // A state reads better as 1 than as 1.0, and a byte count as digits than as 3.1e7.
            Value::Real(n) if n.fract() == 0.0 && n.abs() < 9e15 => {
                point.encode_gauge(&(*n as i64))
            }
            Value::Real(n) => point.encode_gauge(n),
            Value::Histogram(all) => {
                // From the buckets, so that the count never disagrees with `+Inf`.
                let count = all.buckets.iter().map(|(_, n)| n).sum();
                point.encode_histogram::<NoLabelSet>(all.sum, count, &all.buckets, None)
            }
        }
    }
}

struct Pairs<'a> {
    names: &'static [&'static str],
    values: &'a [Box<str>],
}

impl EncodeLabelSet for Pairs<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        for (name, value) in self.names.iter().zip(self.values) {
            let mut label = encoder.encode_label();
            let mut key = label.encode_label_key()?;
            key.write_str(name)?;
            let mut text = key.encode_label_value()?;
            text.write_str(value)?;
            text.finish()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                          application/openmetrics-text;version=0.0.1;q=0.4,\
                          text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        assert_eq!(Format::negotiate(prometheus), Format::OpenMetrics);
        assert_eq!(Format::negotiate("*/*"), Format::Text);
        assert_eq!(Format::negotiate(""), Format::Text);
        assert_eq!(
            Format::negotiate("text/plain, application/openmetrics-text;q=0.3"),
            Format::Text
        );
        assert_eq!(
            Format::negotiate("application/openmetrics-text;q=0"),
            Format::Text
        );
    }
}
