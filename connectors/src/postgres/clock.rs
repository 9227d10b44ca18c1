//! The server's clock against this machine's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lienthong_contract::source::Finding;
use sqlx::postgres::PgConnection;

use super::session::{PATIENCE, within};

/// Ages in `status` and metrics are times of the server against times of this machine: they may be wrong by so much without a word.
const TOLERATED: i64 = 2_000_000;

/// How far the server's clock is ahead, microseconds: at least so much, in either direction. Its answer was made between the two times.
fn ahead(sent: i64, server: i64, answered: i64) -> i64 {
    if server > answered { server - answered } else { (server - sent).min(0) }
}

/// By how much the server's clock is ahead of this machine's, microseconds.
pub(super) async fn measure(conn: &mut PgConnection) -> Result<i64, sqlx::Error> {
    let sent = now();
    let sql = "select (extract(epoch from pg_catalog.clock_timestamp()) * 1000000)::bigint";
    let server: i64 = within(PATIENCE, sqlx::query_scalar(sql).fetch_one(conn)).await?;
    Ok(ahead(sent, server, now()))
}

/// Warns where the clocks differ by more than is tolerated.
pub(super) async fn compare(conn: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    if let Some(told) = told(measure(conn).await?) {
        tracing::warn!(participant = name, "{told}; ages in status and metrics are wrong by as much");
    }
    Ok(())
}

/// The same for `check --online`.
pub(super) fn finding(ahead: i64) -> Option<Finding> {
    let fix = "set both machines' clocks by the same time servers".to_owned();
    told(ahead).map(|problem| Finding { problem, fix, halts: false })
}

/// A difference that is to be told.
fn told(ahead: i64) -> Option<String> {
    let seconds = Duration::from_micros(ahead.unsigned_abs()).as_secs_f64();
    let way = if ahead < 0 { "behind" } else { "ahead of" };
    (ahead.saturating_abs() > TOLERATED)
        .then(|| format!("the server's clock is {seconds:.1} s {way} this machine's"))
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_way_takes_is_no_difference() {
        assert_eq!(ahead(100, 150, 200), 0);
        assert_eq!(ahead(100, 100, 200), 0);
        assert_eq!((ahead(100, 99, 200), ahead(100, 201, 200)), (-1, 1));
        assert_eq!(ahead(0, 3_000_000, 10_000_000), 0, "a slow answer");
        assert_eq!((told(2_000_000), told(-2_000_000)), (None, None));
        assert_eq!(told(2_500_000).as_deref(), Some("the server's clock is 2.5 s ahead of this machine's"));
        assert_eq!(told(-61_000_000).as_deref(), Some("the server's clock is 61.0 s behind this machine's"));
    }
}
