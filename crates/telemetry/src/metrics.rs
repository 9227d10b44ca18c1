//! The metrics of a process: series that the work counts into, and readings that are taken when somebody asks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::histogram::Histogram;
use crate::label::Label;
use crate::names::{ALL, Kind, Metric};

/// Only ever rises. Cloning gives another handle to the same number.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// What it stands at.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that rises and falls; unknown (NaN) until it is set.
#[derive(Clone, Debug)]
pub struct Gauge(Arc<AtomicU64>);

impl Default for Gauge {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(f64::NAN.to_bits())))
    }
}

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    fn value(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

#[derive(Clone)]
enum Series {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

type Key = (&'static str, Vec<Label>);
type Reading = Box<dyn Fn(&mut Readings) + Send + Sync>;

/// All metrics of a process. Cloning gives another handle.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Inner>);

#[derive(Default)]
struct Inner {
    series: Mutex<BTreeMap<Key, Series>>,
    readings: Mutex<Vec<Reading>>,
}

/// Numbers taken at the moment of asking, of things that know themselves.
#[derive(Default)]
pub struct Readings(BTreeMap<&'static str, Vec<(Vec<Label>, f64)>>);

impl Readings {
    /// Gives a counter's or gauge's value; `None` is told as NaN, never as 0.
    pub fn give(&mut self, metric: &'static Metric, labels: Vec<Label>, value: Option<f64>) {
        check(metric, &labels);
        self.0.entry(metric.name).or_default().push((labels, value.unwrap_or(f64::NAN)));
    }

    /// As [`Readings::give`], of something that several may know: the first counts.
    pub fn give_once(&mut self, metric: &'static Metric, labels: Vec<Label>, value: Option<f64>) {
        let known = self.0.get(metric.name).is_some_and(|all| all.iter().any(|(known, _)| *known == labels));
        if !known {
            self.give(metric, labels, value);
        }
    }
}

impl Metrics {
    /// The counter with these labels.
    #[must_use]
    pub fn counter(&self, metric: &'static Metric, labels: Vec<Label>) -> Counter {
        match self.series(metric, labels, || Series::Counter(Counter::default())) {
            Series::Counter(counter) => counter,
            Series::Gauge(_) | Series::Histogram(_) => Counter::default(),
        }
    }

    /// The gauge with these labels.
    #[must_use]
    pub fn gauge(&self, metric: &'static Metric, labels: Vec<Label>) -> Gauge {
        match self.series(metric, labels, || Series::Gauge(Gauge::default())) {
            Series::Gauge(gauge) => gauge,
            Series::Counter(_) | Series::Histogram(_) => Gauge::default(),
        }
    }

    /// The histogram with these labels.
    pub(crate) fn histogram(&self, metric: &'static Metric, labels: Vec<Label>) -> Histogram {
        let bounds = metric.kind.bounds();
        match self.series(metric, labels, || Series::Histogram(Histogram::new(bounds))) {
            Series::Histogram(histogram) => histogram,
            Series::Counter(_) | Series::Gauge(_) => Histogram::new(bounds),
        }
    }

    /// Asks `reading` for its numbers at every scrape. It must not wait for anything.
    pub fn read(&self, reading: impl Fn(&mut Readings) + Send + Sync + 'static) {
        lock(&self.0.readings).push(Box::new(reading));
    }

    /// Everything in Prometheus' text format (OpenMetrics).
    #[must_use]
    pub fn text(&self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &registry) {
            Ok(()) => text,
            // Writing to a String does not fail.
            Err(fmt::Error) => String::new(),
        }
    }

    fn series(&self, metric: &'static Metric, labels: Vec<Label>, new: impl FnOnce() -> Series) -> Series {
        check(metric, &labels);
        lock(&self.0.series).entry((metric.name, labels)).or_insert_with(new).clone()
    }
}

/// A label too many or too few is a defect of the program, found by any test that runs the line.
fn check(metric: &Metric, labels: &[Label]) {
    debug_assert!(
        labels.iter().map(Label::key).eq(metric.labels.iter().copied()),
        "labels of {}",
        metric.name
    );
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metrics({} series)", lock(&self.0.series).len())
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut readings = Readings::default();
        for reading in lock(&self.0.readings).iter() {
            reading(&mut readings);
        }
        let series = lock(&self.0.series).clone();
        for metric in ALL {
            let stored =
                series.range((metric.name, Vec::new())..).take_while(|((name, _), _)| *name == metric.name);
            let stored: Vec<_> = stored.map(|((_, labels), series)| (labels, series)).collect();
            let read = readings.0.remove(metric.name).unwrap_or_default();
            if stored.is_empty() && read.is_empty() {
                continue;
            }
            let mut family =
                encoder.encode_descriptor(metric.stem(), metric.meaning, None, metric.kind.openmetrics())?;
            for (labels, series) in stored {
                let labels = pairs(labels);
                encode(&mut family.encode_family(&labels)?, series)?;
            }
            for (labels, value) in &read {
                let labels = pairs(labels);
                number(&mut family.encode_family(&labels)?, metric.kind, *value)?;
            }
        }
        Ok(())
    }
}

fn pairs(labels: &[Label]) -> Vec<(&'static str, String)> {
    labels.iter().map(|label| (label.key(), label.value())).collect()
}

fn encode(encoder: &mut MetricEncoder<'_>, series: &Series) -> fmt::Result {
    match series {
        Series::Counter(counter) => number(encoder, Kind::Counter, counter.value() as f64),
        Series::Gauge(gauge) => number(encoder, Kind::Gauge, gauge.value()),
        Series::Histogram(histogram) => {
            let known = histogram.snapshot();
            encoder.encode_histogram::<NoLabelSet>(known.sum, known.count, &known.buckets, None)
        }
    }
}

fn number(encoder: &mut MetricEncoder<'_>, kind: Kind, value: f64) -> fmt::Result {
    match kind {
        Kind::Counter => encoder.encode_counter::<NoLabelSet, u64, u64>(&(value as u64), None),
        Kind::Gauge | Kind::Seconds | Kind::Events => encoder.encode_gauge(&value),
    }
}

impl Kind {
    fn openmetrics(self) -> MetricType {
        match self {
            Self::Counter => MetricType::Counter,
            Self::Gauge => MetricType::Gauge,
            Self::Seconds | Self::Events => MetricType::Histogram,
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::Name;
    use crate::names;

    fn participant() -> Vec<Label> {
        vec![Label::Participant(Name::new("moj.civil-status"))]
    }

    #[test]
    fn a_scrape_tells_series_and_readings_and_what_is_unknown_as_nan() {
        let metrics = Metrics::default();
        metrics.histogram(&names::CONNECTOR_BATCH_EVENTS, participant()).observe(3.0);
        metrics.read(|readings| {
            readings.give(&names::CONNECTOR_EVENTS, participant(), Some(7.0));
            readings.give(&names::CONNECTOR_RETAINED, participant(), None);
        });
        let text = metrics.text();
        for line in [
            "# TYPE lienthong_connector_events counter",
            "lienthong_connector_events_total{participant=\"moj.civil-status\"} 7",
            "lienthong_connector_retained_changes{participant=\"moj.civil-status\"} NaN",
            "lienthong_connector_batch_events_bucket{le=\"10.0\",participant=\"moj.civil-status\"} 1",
            "lienthong_connector_batch_events_count{participant=\"moj.civil-status\"} 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\nis not in\n{text}");
        }
    }

    #[test]
    fn two_handles_of_one_series_count_together() {
        let metrics = Metrics::default();
        let labels = || vec![Label::Outcome("exported")];
        metrics.counter(&names::TRACE_SPANS, labels()).add(2);
        metrics.counter(&names::TRACE_SPANS, labels()).add(3);
        assert!(metrics.text().contains("lienthong_trace_spans_total{outcome=\"exported\"} 5"));
    }
}
