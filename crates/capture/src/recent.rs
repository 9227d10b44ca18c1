//! How late the batches of the last minute were. A batch counts by its oldest event, so that it never flatters.

use std::collections::VecDeque;
use std::time::Duration;

/// So long a batch counts, microseconds.
const MINUTE: i64 = 60_000_000;
/// Of a connector that is busier than this, the newest count.
const MOST: usize = 4_096;

/// From the source's commit to durable in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// Since when a batch is durable and how long that took, microseconds.
    batches: VecDeque<(i64, i64)>,
}

impl Recent {
    /// A batch is durable since `durable`; its oldest event was committed at `oldest`.
    pub(crate) fn add(&mut self, durable: i64, oldest: i64) {
        while self.batches.len() >= MOST || self.batches.front().is_some_and(|(at, _)| at + MINUTE < durable)
        {
            self.batches.pop_front();
        }
        self.batches.push_back((durable, durable.saturating_sub(oldest)));
    }

    /// Of every batch that became durable in the minute before `now`, microseconds. A clock behind another one's counts as 0.
    #[must_use]
    pub fn lags(&self, now: i64) -> Vec<Duration> {
        let counts = self.batches.iter().filter(|(at, _)| at + MINUTE >= now);
        counts.map(|(_, lag)| Duration::from_micros((*lag).max(0).unsigned_abs())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn a_batch_counts_for_a_minute_and_never_less_than_nothing() {
        let mut recent = Recent::default();
        recent.add(100 * SECOND, 98 * SECOND);
        recent.add(130 * SECOND, 131 * SECOND);
        assert_eq!(recent.lags(140 * SECOND), [Duration::from_secs(2), Duration::ZERO]);
        assert_eq!(recent.lags(170 * SECOND), [Duration::ZERO]);
        recent.add(300 * SECOND, 299 * SECOND);
        assert_eq!(recent.batches.len(), 1, "what is older is let go");
        assert_eq!(recent.lags(400 * SECOND), []);
    }

    #[test]
    fn a_busy_connector_keeps_a_bounded_number() {
        let mut recent = Recent::default();
        (0..10_000).for_each(|at| recent.add(at, 0));
        assert_eq!(recent.batches.len(), MOST);
        assert_eq!(recent.lags(10_000).last(), Some(&Duration::from_micros(9_999)));
    }
}
