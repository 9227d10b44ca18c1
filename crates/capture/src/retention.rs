//! What the source's server keeps of its log: how fast it grows, when it will be too much, and what then.
//!
//! It grows just while the log of the bus, or the source, is away: so it is looked at beside every wait for them.

use std::collections::VecDeque;
use std::time::Duration;

use lienthong_contract::retained::{AtBound, RetainedLog, Size};
use lienthong_contract::source::{Source, SourceError};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::run::Status;

/// Pause between two looks while something else is waited for.
const EVERY: Duration = Duration::from_secs(2);
/// Growth is that of the last so long. Servers let go of their logs in steps of a quarter of a minute.
const OVER: Duration = Duration::from_secs(300);
/// Growth is unknown before looks are so far apart.
const APART: Duration = Duration::from_secs(30);
/// Whoever catches up makes the server let go, in two of its steps at the latest. At the bound it is acted when that has not happened for so
/// long.
const STANDSTILL: Duration = Duration::from_secs(30);

/// What `status` and metrics tell of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retained {
    /// Bytes that are kept.
    pub bytes: u64,
    /// Bytes until the nearer bound, the participant's or the server's; `None` without either.
    pub room: Option<u64>,
    /// Bytes per second over the last minutes; `None` until it is known.
    pub growth: Option<i64>,
    /// Seconds until the nearer bound at this growth; `None` where it is unknown, where there is no growth, and where there is no bound.
    pub loss: Option<u64>,
}

/// One connector's looks, over all of its sessions.
#[derive(Debug, Default)]
pub(crate) struct Retention {
    looks: VecDeque<(Instant, u64)>,
    /// Near or at the bound, and the server's word: what was told last.
    told: Option<(Nearness, String)>,
    /// While the bound is reached: the least that was kept since, and when.
    least: Option<(u64, Instant)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Nearness {
    Far,
    Near,
    Full,
}

impl Retention {
    /// Looks, if it is time to.
    ///
    /// # Errors
    /// The source's own, and that the bound is reached and nothing makes the server let go.
    pub(crate) async fn look(
        &mut self,
        source: &mut dyn Source,
        status: &watch::Sender<Status>,
    ) -> Result<(), SourceError> {
        let Some(kept) = source.retained_log().await? else { return Ok(()) };
        let now = Instant::now();
        let shown = self.take(&kept, now);
        status.send_modify(|status| status.retained_log = Some(shown));
        self.tell(&kept, shown);
        if self.stands_still(&kept, now) { Err(SourceError::LogFull(Box::new(kept))) } else { Ok(()) }
    }

    /// Waits for something, and looks meanwhile. What is waited for is dropped when a look ends the wait.
    ///
    /// # Errors
    /// As [`Retention::look`].
    pub(crate) async fn beside<T>(
        &mut self,
        source: &mut dyn Source,
        status: &watch::Sender<Status>,
        waiting: impl Future<Output = T>,
    ) -> Result<T, SourceError> {
        let mut waiting = std::pin::pin!(waiting);
        loop {
            match tokio::time::timeout(EVERY, &mut waiting).await {
                Ok(done) => return Ok(done),
                // A source that is away is told when it is asked for changes.
                Err(_elapsed) => match self.look(source, status).await {
                    Err(full @ SourceError::LogFull(_)) => return Err(full),
                    Err(error) => tracing::debug!(%error, "it could not be looked what the server keeps"),
                    Ok(()) => {}
                },
            }
        }
    }

    fn take(&mut self, kept: &RetainedLog, now: Instant) -> Retained {
        self.looks.push_back((now, kept.bytes));
        while self.looks.front().is_some_and(|(at, _)| now.duration_since(*at) > OVER) {
            self.looks.pop_front();
        }
        let (room, growth) = (kept.room(), self.growth());
        let loss = match (room, growth.map(u64::try_from)) {
            (Some(room), Some(Ok(growth @ 1..))) => Some(room / growth),
            _ => None,
        };
        Retained { bytes: kept.bytes, room, growth, loss }
    }

    /// The slope of the line that fits the looks best: one step of the server's counts little.
    fn growth(&self) -> Option<i64> {
        let ((first, _), (last, _)) = (self.looks.front()?, self.looks.back()?);
        if last.duration_since(*first) < APART {
            return None;
        }
        let points =
            self.looks.iter().map(|(at, bytes)| (at.duration_since(*first).as_secs_f64(), *bytes as f64));
        let count = self.looks.len() as f64;
        let (times, sizes) = points.clone().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        let (mean_time, mean_size) = (times / count, sizes / count);
        let (above, below) = points.fold((0.0, 0.0), |sum, (time, size)| {
            let off = time - mean_time;
            (sum.0 + off * (size - mean_size), sum.1 + off * off)
        });
        Some((above / below) as i64)
    }

    fn tell(&mut self, kept: &RetainedLog, shown: Retained) {
        let nearness = match (kept.is_full(), kept.is_near()) {
            (true, _) => Nearness::Full,
            (false, true) => Nearness::Near,
            (false, false) => Nearness::Far,
        };
        let now = (nearness, kept.state.clone());
        let before = self.told.replace(now.clone());
        if before.as_ref() == Some(&now) {
            return;
        }
        // The words of a slot that loses nothing.
        let calm = |state: &str| matches!(state, "reserved" | "extended" | "");
        let participant = &kept.source_name;
        if nearness > Nearness::Far || !calm(&kept.state) {
            let (what, state) = (kept.told(), &kept.state);
            let room = kept.room().map_or("unbounded".to_owned(), |room| Size(room).to_string());
            let left = shown.loss.map_or("unknown".to_owned(), |left| format!("{:.1} days", days(left)));
            tracing::warn!(
                participant,
                state,
                room,
                left,
                "{what}: near to where changes are lost; see what keeps the connector from publishing"
            );
        } else if before.is_some_and(|(nearness, state)| nearness > Nearness::Far || !calm(&state)) {
            tracing::info!(participant, "the server lets its log go again: {}", kept.told());
        }
    }

    fn stands_still(&mut self, kept: &RetainedLog, now: Instant) -> bool {
        if !kept.is_full() {
            self.least = None;
            return false;
        }
        let (least, since) = *self.least.get_or_insert((kept.bytes, now));
        if kept.bytes < least {
            self.least = Some((kept.bytes, now));
            return false;
        }
        now.duration_since(since) >= STANDSTILL
    }
}

/// Does what the participant's file says about the bound, where `error` says that it is reached; gives the error that ends the connector.
pub(crate) async fn act(source: &mut dyn Source, error: SourceError) -> SourceError {
    let SourceError::LogFull(kept) = &error else { return error };
    if kept.bound.then == AtBound::Stop {
        return error;
    }
    // Before the drop: afterwards nobody can tell it any more.
    tracing::error!(participant = %kept.source_name, "{error}: these changes will be missing for ever");
    match source.give_up().await {
        Ok(()) => error,
        Err(failed) => failed,
    }
}

fn days(seconds: u64) -> f64 {
    seconds as f64 / 86_400.0
}

impl Retained {
    /// Days until the nearer bound.
    #[must_use]
    pub fn days_to_loss(&self) -> Option<f64> {
        self.loss.map(days)
    }
}

#[cfg(test)]
mod tests {
    use lienthong_contract::retained::LogBound;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn kept(bytes: u64, most: Option<u64>, safe: Option<u64>) -> RetainedLog {
        let text = str::to_owned;
        RetainedLog {
            source_name: text("moj"),
            slot: text("s"),
            tables: text("public.person"),
            from: text("0/10"),
            to: text("0/20"),
            bytes,
            state: text("reserved"),
            safe,
            bound: LogBound { most, then: AtBound::Stop },
        }
    }

    #[test]
    fn growth_is_unknown_until_looks_are_far_enough_apart_and_then_smooth() {
        let (mut retention, start) = (Retention::default(), Instant::now());
        let mut at = |seconds: u64, bytes| {
            retention.take(&kept(bytes, Some(1000 * MIB), None), start + Duration::from_secs(seconds))
        };
        let first = at(0, 100 * MIB);
        assert_eq!((first.growth, first.loss, first.room), (None, None, Some(900 * MIB)));
        assert_eq!(at(29, 500 * MIB).growth, None);
        // A mebibyte per second, in steps of fifteen.
        let mut last = first;
        for second in (400..1000).step_by(5) {
            last = at(second, (100 + second / 15 * 15) * MIB);
        }
        let growth = last.growth.expect("known") as f64 / MIB as f64;
        assert!((0.9..1.1).contains(&growth), "{growth}");
        assert_eq!(last.loss, Some(0), "no room left");
    }

    #[test]
    fn what_does_not_grow_or_has_no_bound_is_not_lost_on_a_day() {
        let start = Instant::now();
        let after = |bound: Option<u64>, safe: Option<u64>, then: u64| {
            let mut retention = Retention::default();
            retention.take(&kept(100 * MIB, bound, safe), start);
            let shown = retention.take(&kept(then, bound, safe), start + Duration::from_secs(100));
            (shown.growth, shown.loss, shown.days_to_loss())
        };
        assert_eq!(after(Some(300 * MIB), None, 100 * MIB), (Some(0), None, None));
        assert_eq!(after(Some(300 * MIB), None, 0).1, None, "it shrinks");
        let growth = i64::try_from(MIB).ok();
        assert_eq!(after(None, None, 200 * MIB), (growth, None, None));
        assert_eq!(after(Some(300 * MIB), None, 200 * MIB), (growth, Some(100), Some(100.0 / 86_400.0)));
        assert_eq!(after(Some(300 * MIB), Some(10 * MIB), 200 * MIB).1, Some(10), "the server's is nearer");
    }

    #[test]
    fn at_the_bound_whoever_catches_up_is_let_and_whoever_stands_still_is_not() {
        let start = Instant::now();
        let mut retention = Retention::default();
        let mut at = |seconds: u64, mebibytes: u64| {
            let kept = kept(mebibytes * MIB, Some(100 * MIB), None);
            retention.stands_still(&kept, start + Duration::from_secs(seconds))
        };
        assert!(!at(0, 99) && !at(100, 99), "below it");
        assert!(!at(101, 150) && !at(120, 149) && !at(149, 148), "it works through what was left");
        assert!(!at(178, 149) && at(179, 149), "nothing was let go for half a minute");
        assert!(!at(180, 99) && !at(181, 100) && !at(210, 101) && at(211, 101), "from anew");
    }

    #[test]
    fn a_crossing_is_told_once_and_so_is_every_other_word_of_the_server() {
        let mut retention = Retention::default();
        let mut told = |bytes: u64, state: &str| {
            let kept = RetainedLog { state: state.to_owned(), ..kept(bytes, Some(100), None) };
            let before = retention.told.clone();
            let shown = Retained { bytes, room: None, growth: None, loss: None };
            retention.tell(&kept, shown);
            before != retention.told
        };
        assert!(told(10, "reserved") && !told(70, "reserved"));
        assert!(told(80, "reserved") && !told(90, "reserved"), "near");
        assert!(told(90, "unreserved") && !told(91, "unreserved"));
        assert!(told(100, "unreserved") && !told(200, "unreserved"), "full");
        assert!(told(10, "reserved"));
    }
}
