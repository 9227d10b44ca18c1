//! How far a first load is, and how fast it goes.

use std::time::{Duration, Instant};

use lienthong_contract::load::LoadProgress;

/// A first load that is under way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FirstLoad {
    /// Rows that are in the log, or have come as changes.
    pub rows: u64,
    /// Rows in all by the database's guess, where it has one.
    pub expected: Option<u64>,
    /// Rows per second since this connector began with it; `None` until it is known.
    pub per_second: Option<f64>,
}

impl FirstLoad {
    /// Seconds until it is done, if the guess is right and it goes on as fast.
    #[must_use]
    pub fn remaining_seconds(&self) -> Option<f64> {
        let left = self.expected?.saturating_sub(self.rows) as f64;
        self.per_second.filter(|rate| *rate > 0.0).map(|rate| left / rate)
    }
}

/// Measures.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When the load was first heard of, and how far it was then.
    began: Option<(Instant, u64)>,
}

/// What is measured over less is chance.
const LEAST: Duration = Duration::from_secs(1);

impl Pace {
    /// What is to be told of a load that has come so far.
    pub(crate) fn tell(&mut self, load: Option<&LoadProgress>, now: Instant) -> Option<FirstLoad> {
        let Some(load) = load else {
            self.began = None;
            return None;
        };
        let (at, before) = *self.began.get_or_insert((now, load.rows));
        let since = now.saturating_duration_since(at);
        let rate = load.rows.saturating_sub(before) as f64 / since.as_secs_f64();
        Some(FirstLoad {
            rows: load.rows,
            expected: load.total,
            per_second: (since >= LEAST).then_some(rate),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_that_is_gone_on_with_is_as_fast_as_it_goes_now() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let load = |rows, total| LoadProgress { total, done: false, rows, ..LoadProgress::refused("", "") };
        let mut pace = Pace::default();
        let told = pace.tell(Some(&load(1_000, Some(5_000))), at(0)).expect("under way");
        assert_eq!((told.per_second, told.remaining_seconds()), (None, None), "nothing is known yet");
        let told = pace.tell(Some(&load(2_000, Some(5_000))), at(10)).expect("under way");
        assert_eq!((told.per_second, told.remaining_seconds()), (Some(100.0), Some(30.0)));
        let told = pace.tell(Some(&load(2_000, None)), at(20)).expect("under way");
        assert_eq!((told.per_second, told.remaining_seconds()), (Some(50.0), None), "no guess");
        assert_eq!(pace.tell(None, at(21)), None);
        let told = pace.tell(Some(&load(0, Some(7))), at(22)).expect("another one");
        assert_eq!(told.per_second, None);
        let told = pace.tell(Some(&load(0, Some(7))), at(24)).expect("under way");
        assert_eq!(told.remaining_seconds(), None, "it stands still");
    }
}
