//! The statement of which a poll consists: the next rows of its pass, and the source's clock and counter, in one round trip.

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use super::outbox_ddl::OutboxNames;
use super::position::OutboxPosition;
use crate::identifier::safe;

const LOOK_SQL: &str = include_str!("sql/look.sql");

/// What one statement saw.
pub(super) struct Look {
    /// Snapshot of the pass: the one under way, else the statement's own.
    pub(super) snapshot: String,
    /// The source's clock before the statement's snapshot, microseconds since 1970 UTC.
    pub(super) time: i64,
    /// Statements that could not be recorded.
    pub(super) lost: i64,
    /// The next rows of the outbox in the pass, in the order of their ids.
    pub(super) page: Vec<PgRow>,
}

/// The statement for an outbox.
pub(super) fn sql(names: &OutboxNames) -> String {
    LOOK_SQL.replace("{outbox}", &names.outbox.sql()).replace("{lost}", &lost_sql(names))
}

/// The counter of statements that could not be recorded, as a column.
pub(super) fn lost_sql(names: &OutboxNames) -> String {
    format!("(select case when is_called then last_value else 0 end from {}) as lost", names.lost.sql())
}

/// Goes on with the pass of `position`, or begins one, for up to `limit` rows.
pub(super) async fn look(
    conn: &mut PgConnection,
    sql: &str,
    position: &OutboxPosition,
    limit: usize,
) -> Result<Look, sqlx::Error> {
    let mut page = sqlx::query(safe(sql.to_owned()))
        .bind(&position.from)
        .bind(&position.to)
        .bind(position.id)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(conn)
        .await?;
    let head = page.pop().ok_or(sqlx::Error::RowNotFound)?;
    Ok(Look {
        snapshot: head.try_get("seen")?,
        time: head.try_get("time")?,
        lost: head.try_get("lost")?,
        page,
    })
}
