//! The offset row and the receipts' chain.

use std::time::Instant;

use lienthong_contract::sink::{Delivery, LanePartition, OffsetState, ReceiptBody};
use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use crate::receipt::{ReceiptRow, chain_hash};

/// Reads the offset row.
pub(super) async fn read(
    conn: &mut PgConnection,
    lane: &LanePartition,
) -> Result<Option<OffsetState>, sqlx::Error> {
    let sql = "select next_offset, epoch, sequence, fresh_through from lienthong_offset \
         where subscription = $1 and topic = $2 and partition = $3";
    let row = sqlx::query(sql)
        .bind(&lane.subscription)
        .bind(&lane.topic)
        .bind(lane.partition)
        .fetch_optional(conn)
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(OffsetState {
        next_offset: row.try_get("next_offset")?,
        epoch: row.try_get("epoch")?,
        sequence: row.try_get::<i64, _>("sequence")?.cast_unsigned(),
        fresh_through: row.try_get("fresh_through")?,
    }))
}

/// The end of a partition's chain of receipts, read while the offset row was locked: nobody adds to it before this transaction ends.
pub(super) struct ChainEnd {
    number: i64,
    hash: Option<Vec<u8>>,
    /// The database's clock then, microseconds since 1970 UTC.
    clock: i64,
    read_at: Instant,
}

/// The end of the chain; no row when the offset row was not as expected.
macro_rules! chain_end {
    () => {
        "select coalesce(last.number, 0) as number, last.hash, \
         (extract(epoch from clock_timestamp()) * 1000000)::bigint as clock \
         from moved left join lateral (select number, hash from lienthong_receipt \
         where subscription = $1 and topic = $2 and partition = $3 order by number desc limit 1) last on true"
    };
}

/// Moves the offset row by compare-and-set; `None` when it is not as expected. Whoever had to wait for the row and found it as
/// expected waited for a transaction that was rolled back, so the chain that the statement sees is the whole chain.
pub(super) async fn advance(
    conn: &mut PgConnection,
    delivery: &Delivery<'_>,
) -> Result<Option<ChainEnd>, sqlx::Error> {
    let (lane, next) = (delivery.lane, delivery.next);
    let sql = match delivery.expected {
        None => concat!(
            "with moved as (insert into lienthong_offset \
             (subscription, topic, partition, next_offset, epoch, sequence, fresh_through) \
             values ($1, $2, $3, $4, $5, $6, $7) on conflict (subscription, topic, partition) do nothing returning 1) ",
            chain_end!()
        ),
        Some(_) => concat!(
            "with moved as (update lienthong_offset set next_offset = $4, epoch = $5, sequence = $6, fresh_through = $7 \
             where subscription = $1 and topic = $2 and partition = $3 \
             and next_offset = $8 and epoch = $9 and sequence = $10 and fresh_through = $11 returning 1) ",
            chain_end!()
        ),
    };
    let mut query = sqlx::query(sql)
        .bind(&lane.subscription)
        .bind(&lane.topic)
        .bind(lane.partition)
        .bind(next.next_offset)
        .bind(next.epoch)
        .bind(next.sequence.cast_signed())
        .bind(next.fresh_through);
    if let Some(expected) = delivery.expected {
        query = query
            .bind(expected.next_offset)
            .bind(expected.epoch)
            .bind(expected.sequence.cast_signed())
            .bind(expected.fresh_through);
    }
    let Some(row) = query.fetch_optional(conn).await? else { return Ok(None) };
    Ok(Some(ChainEnd {
        number: row.try_get("number")?,
        hash: row.try_get("hash")?,
        clock: row.try_get("clock")?,
        read_at: Instant::now(),
    }))
}

/// Adds the next receipt to the partition's chain.
pub(super) async fn write_receipt(
    conn: &mut PgConnection,
    delivery: &Delivery<'_>,
    body: &ReceiptBody<'_>,
    end: &ChainEnd,
) -> Result<(), sqlx::Error> {
    let since = i64::try_from(end.read_at.elapsed().as_micros()).unwrap_or(0);
    let row = ReceiptRow::new(delivery, body, end.clock.saturating_add(since));
    let hash = chain_hash(end.hash.as_deref(), &row);
    let sql = "insert into lienthong_receipt (subscription, topic, partition, number, first_offset, last_offset, \
         events_read, events_delivered, writer_epoch, first_time, last_time, applied_at, agreement, key_id, \
         subjects, previous_hash, hash) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";
    sqlx::query(sql)
        .bind(row.subscription)
        .bind(row.topic)
        .bind(row.partition)
        .bind(end.number + 1)
        .bind(row.offsets.0)
        .bind(row.offsets.1)
        .bind(i64::from(row.events.0))
        .bind(i64::from(row.events.1))
        .bind(row.writer_epoch)
        .bind(row.times.0)
        .bind(row.times.1)
        .bind(row.applied_at)
        .bind(row.agreement)
        .bind(row.key_id)
        .bind(row.subjects)
        .bind(end.hash.as_deref())
        .bind(hash.to_vec())
        .execute(conn)
        .await?;
    Ok(())
}
