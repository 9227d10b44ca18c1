//! What the server keeps of its log for a slot.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Executor as _, Row as _};
use tokio::time::Instant;

use super::super::error::{Class, classify};
use crate::identifier::{literal, safe};

/// How often it is looked. More often, and a quiet server would be asked for nothing.
pub(super) const EVERY: Duration = Duration::from_secs(5);
/// Pause between tries to drop a slot that its reader has not given back yet.
const AGAIN: Duration = Duration::from_millis(20);

/// What one look found.
pub(super) struct Kept {
    /// The oldest place that is kept.
    pub(super) kept: u64,
    /// The end of the log.
    pub(super) written: u64,
    /// `wal_status`.
    pub(super) state: String,
    /// Bytes until the server throws away what is kept; 0 when it may do so at any time.
    pub(super) safe: Option<u64>,
}

/// Looks. `None` where the slot is gone, or keeps nothing any more: whoever reads it hears that.
pub(super) async fn look(conn: &mut PgConnection, slot: &str) -> Result<Option<Kept>, sqlx::Error> {
    // From the place on that is written next: `safe_wal_size` is counted from it, as the retained bytes are.
    let sql = "select (restart_lsn - '0/0'::pg_lsn)::bigint as kept, coalesce(wal_status, '') as state, safe_wal_size as safe, \
         (pg_catalog.pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint as written \
         from pg_catalog.pg_replication_slots where slot_name = $1 and restart_lsn is not null";
    let Some(row) = sqlx::query(sql).bind(slot).fetch_optional(conn).await? else { return Ok(None) };
    let place = |name: &str| row.try_get::<i64, _>(name).map(i64::unsigned_abs);
    let safe: Option<i64> = row.try_get("safe")?;
    Ok(Some(Kept {
        kept: place("kept")?,
        written: place("written")?,
        state: row.try_get("state")?,
        safe: safe.map(|bytes| u64::try_from(bytes).unwrap_or(0)),
    }))
}

/// Drops the slot, if it is there; waits until `deadline` for a reader that has just gone.
pub(super) async fn drop_slot(
    conn: &mut PgConnection,
    slot: &str,
    deadline: Instant,
) -> Result<(), sqlx::Error> {
    let sql = format!(
        "select pg_catalog.pg_drop_replication_slot(slot_name) from pg_catalog.pg_replication_slots where slot_name = {}",
        literal(slot)
    );
    loop {
        let dropped = conn.execute(sqlx::raw_sql(safe(sql.clone()))).await;
        let busy = |error: &sqlx::Error| {
            let code = error.as_database_error().and_then(|error| error.code());
            code.is_some_and(|code| classify(&code) == Class::Busy)
        };
        match dropped {
            Err(error) if busy(&error) && Instant::now() < deadline => tokio::time::sleep(AGAIN).await,
            dropped => return dropped.map(drop),
        }
    }
}
