//! Histograms that take a whole batch at once: counting an event is an addition, the lock is taken once per batch.

use std::sync::{Arc, Mutex, PoisonError};

/// Upper bounds of seconds: from what one machine needs to what a weekend needs.
pub(crate) const SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0,
    86_400.0,
];
/// Upper bounds of events per batch.
pub(crate) const EVENTS: &[f64] = &[1.0, 10.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_000.0, 4_000.0, 8_000.0];

/// The longest list of bounds, and what lies above.
const MOST: usize = 18;

/// Counts by bucket, not yet part of a histogram. Seconds only.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    counts: [u32; MOST],
    sum: f64,
}

impl Tally {
    /// Counts a time between two instants in microseconds. A clock behind another one's counts as 0.
    pub fn between(&mut self, from: i64, to: i64) {
        self.seconds(to.saturating_sub(from).max(0) as f64 / 1e6, 1);
    }

    /// Counts `times` times the same duration.
    pub(crate) fn seconds(&mut self, seconds: f64, times: u32) {
        let bucket = SECONDS.partition_point(|bound| *bound < seconds);
        self.counts[bucket] = self.counts[bucket].saturating_add(times);
        self.sum += seconds * f64::from(times);
    }
}

/// A histogram, shared by everybody who has a handle.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    bounds: &'static [f64],
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    buckets: [u64; MOST],
    sum: f64,
}

/// What a scrape reads.
pub(crate) struct Snapshot {
    pub(crate) sum: f64,
    pub(crate) count: u64,
    /// Upper bound and count of each bucket, not cumulated.
    pub(crate) buckets: Vec<(f64, u64)>,
}

impl Histogram {
    pub(crate) fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: Arc::default() }
    }

    /// Counts one value.
    pub(crate) fn observe(&self, value: f64) {
        let mut counts = self.lock();
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        counts.buckets[bucket] += 1;
        counts.sum += value;
    }

    /// Counts a batch's values.
    pub(crate) fn add(&self, tally: &Tally) {
        let mut counts = self.lock();
        for (bucket, count) in counts.buckets.iter_mut().zip(tally.counts) {
            *bucket += u64::from(count);
        }
        counts.sum += tally.sum;
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let counts = self.lock();
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts.buckets).collect();
        Snapshot { sum: counts.sum, count: buckets.iter().map(|(_, count)| count).sum(), buckets }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_of_bounds_fits_with_what_lies_above() {
        assert!(SECONDS.len() < MOST && EVENTS.len() < MOST);
        for bounds in [SECONDS, EVENTS] {
            assert!(bounds.is_sorted());
        }
    }

    #[test]
    fn a_batch_counts_as_its_events_one_by_one() {
        let (one, all) = (Histogram::new(SECONDS), Histogram::new(SECONDS));
        let mut tally = Tally::default();
        for micros in [-5, 0, 5_000, 5_001, 999_999_999_999] {
            one.observe(micros.max(0) as f64 / 1e6);
            tally.between(1_000_000, 1_000_000 + micros);
        }
        all.add(&tally);
        let (one, all) = (one.snapshot(), all.snapshot());
        assert_eq!(one.buckets, all.buckets);
        assert_eq!((all.count, all.buckets[0].1, all.buckets[1].1), (5, 3, 1));
        assert_eq!(all.buckets.last(), Some(&(f64::INFINITY, 1)));
        assert!((one.sum - all.sum).abs() < 1e-6);
    }
}
