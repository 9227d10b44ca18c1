//! How late a subscriber's rows are, from the receipts in its own database.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::error::{DemoError, database};
use crate::site::subscriber_file;

/// Commit to visible, or commit to published, over the transactions or batches of the last minute. Each counts by its oldest event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Half were faster.
    pub p50: Duration,
    /// 99 of 100 were faster.
    pub p99: Duration,
}

/// The lag of one subscription (`vss.insurance/civil_status`), `None` when nothing was applied in the last minute. Counts the oldest event
/// of each transaction, so it never flatters.
///
/// # Errors
/// When the subscriber's database cannot be read.
pub fn lag(folder: &Path, subscriber: &str, subscription: &str, now: i64) -> Result<Option<Lag>, DemoError> {
    const MINUTE: i64 = 60_000_000;
    let error = database(subscriber);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(subscriber_file(folder, subscriber), flags).map_err(&error)?;
    conn.busy_timeout(Duration::from_secs(1)).map_err(&error)?;
    let sql = "select applied_at - first_time from lienthong_receipt
               where subscription = ?1 and applied_at > ?2 and events_delivered > 0";
    let mut statement = conn.prepare(sql).map_err(&error)?;
    let times =
        statement.query_map((subscription, now - MINUTE), |row| row.get::<_, i64>(0)).map_err(&error)?;
    let times: Vec<i64> = times.collect::<Result<_, _>>().map_err(&error)?;
    Ok(Lag::of(times.iter().map(|micros| Duration::from_micros(micros.max(&0).unsigned_abs())).collect()))
}

impl Lag {
    /// Of transactions or batches that took so long; `None` of none.
    #[must_use]
    pub fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let at = |percent: usize| {
            let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
            times.get(index).copied()
        };
        at(50).zip(at(99)).map(|(p50, p99)| Self { p50, p99 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_are_faster_than_p50_and_99_of_100_than_p99() {
        let times = |count: u64| (1..=count).rev().map(Duration::from_millis).collect();
        assert_eq!(Lag::of(times(0)), None);
        let lag = Lag::of(times(1)).map(|lag| (lag.p50.as_millis(), lag.p99.as_millis()));
        assert_eq!(lag, Some((1, 1)));
        let lag = Lag::of(times(200)).map(|lag| (lag.p50.as_millis(), lag.p99.as_millis()));
        assert_eq!(lag, Some((101, 199)));
    }
}
