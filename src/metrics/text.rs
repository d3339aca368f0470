//! Writes metric families as text: OpenMetrics 1.0 or Prometheus 0.0.4. Pure.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::family::{Family, Kind, Value};

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    OpenMetrics,
    Prometheus,
}

impl Format {
    /// Returns the media type of an answer in this format.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
        }
    }

    /// Chooses a format by the `Accept` header. OpenMetrics is used only if it is named: other
    /// clients may not read it. Weights of zero refuse, and otherwise order the two.
    pub(crate) fn accepted(header: &str) -> Self {
        let weight = |kind: &str| {
            let ranges = header.split(',').filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                let name = parts.next()?;
                let weight = parts
                    .filter_map(|part| part.strip_prefix("q="))
                    .find_map(|weight| weight.trim().parse::<f32>().ok());
                name.eq_ignore_ascii_case(kind)
                    .then(|| weight.unwrap_or(1.0))
            });
            ranges.reduce(f32::max).unwrap_or(0.0)
        };
        let open = weight("application/openmetrics-text");
        if open > 0.0 && open >= weight("text/plain") {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }
}

/// The families of one scrape.
#[derive(Debug)]
struct Scrape(Vec<Family>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for family in &self.0 {
            let kind = match family.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            let mut metric = encoder.encode_descriptor(&family.name, family.help, None, kind)?;
            for (labels, value) in &family.samples {
                if labels.is_empty() {
                    encode(&mut metric, family.kind, value)?;
                } else {
                    encode(&mut metric.encode_family(labels)?, family.kind, value)?;
                }
            }
        }
        Ok(())
    }
}

fn encode(metric: &mut MetricEncoder<'_>, kind: Kind, value: &Value) -> Result<(), fmt::Error> {
    match (kind, value) {
        (Kind::Counter, Value::Count(count)) => {
            metric.encode_counter::<NoLabelSet, u64, f64>(count, None)
        }
        (Kind::Counter, Value::Number(number)) => {
            metric.encode_counter::<NoLabelSet, f64, f64>(number, None)
        }
        (_, Value::Count(count)) => metric.encode_gauge(count),
        (_, Value::Number(number)) => metric.encode_gauge(number),
        (_, Value::Histogram(it)) => {
            metric.encode_histogram::<NoLabelSet>(it.sum(), it.count(), &it.buckets(), None)
        }
    }
}

/// Writes the families as text. Only a failing writer fails, and a text has none.
pub(crate) fn write(families: Vec<Family>, format: Format) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(families)));
    let mut written = String::new();
    let outcome = match format {
        Format::OpenMetrics => text::encode(&mut written, &registry),
        Format::Prometheus => prometheus_text::encode(&mut written, &registry),
    };
    debug_assert!(outcome.is_ok());
    written
}

#[cfg(test)]
mod tests {
    use super::{Format, write};
    use crate::metrics::family::{Families, Kind};
    use crate::metrics::histogram::Histogram;

    #[test]
    fn openmetrics_is_written_only_for_clients_that_name_it() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, format) in [
            (prometheus, Format::OpenMetrics),
            ("", Format::Prometheus),
            ("*/*", Format::Prometheus),
            ("text/plain", Format::Prometheus),
            ("text/html, */*", Format::Prometheus),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("application/openmetrics-text;q=0", Format::Prometheus),
            (
                "application/openmetrics-text;q=0.2, text/plain;q=0.8",
                Format::Prometheus,
            ),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept}");
        }
    }

    #[test]
    fn values_of_labels_are_escaped_in_both_formats() {
        let families = || {
            let mut families = Families::default();
            let name = "a\"} evil 1\n\\é".to_owned();
            families.add(
                ("x", Kind::Gauge, "A value."),
                vec![("connector", name.into()), ("task", 3.into())],
                1.5,
            );
            families.into_list()
        };
        let sample = "x{connector=\"a\\\"} evil 1\\n\\\\é\",task=\"3\"} 1.5\n";
        for format in [Format::OpenMetrics, Format::Prometheus] {
            let text = write(families(), format);
            assert!(text.contains(sample), "{text}");
            assert_eq!(
                text.lines().filter(|l| !l.starts_with('#')).count(),
                1,
                "{text}"
            );
        }
    }

    #[test]
    fn each_kind_is_written_as_its_format_asks() {
        let mut histogram = Histogram::default();
        histogram.add(0.3);
        histogram.add(100.0);
        let families = || {
            let mut families = Families::default();
            families.add(("rows", Kind::Counter, "Rows."), Vec::new(), 7_u64);
            families.add(
                ("old_total", Kind::Gauge, "A foreign name."),
                Vec::new(),
                7_u64,
            );
            families.add(
                ("wait", Kind::Histogram, "Seconds."),
                Vec::new(),
                &histogram,
            );
            families.into_list()
        };
        let open = write(families(), Format::OpenMetrics);
        let plain = write(families(), Format::Prometheus);
        assert!(
            open.contains("# TYPE rows counter\nrows_total 7\n"),
            "{open}"
        );
        assert!(
            plain.contains("# TYPE rows_total counter\nrows_total 7\n"),
            "{plain}"
        );
        for text in [&open, &plain] {
            assert!(
                text.contains("# TYPE old_total gauge\nold_total 7\n"),
                "{text}"
            );
            assert!(text.contains("wait_bucket{le=\"0.5\"} 1\n"), "{text}");
            assert!(text.contains("wait_bucket{le=\"0.25\"} 0\n"), "{text}");
            assert!(text.contains("wait_bucket{le=\"+Inf\"} 2\n"), "{text}");
            assert!(text.contains("wait_count 2\n"), "{text}");
        }
        assert!(open.ends_with("# EOF\n") && !plain.contains("EOF"));
    }
}
