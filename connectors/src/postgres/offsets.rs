//! The offset row and the receipts' chain.

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

/// Moves the offset row by compare-and-set; false when it is not as expected.
pub(super) async fn advance(conn: &mut PgConnection, delivery: &Delivery<'_>) -> Result<bool, sqlx::Error> {
    let (lane, next) = (delivery.lane, delivery.next);
    let sql = match delivery.expected {
        None => {
            "insert into lienthong_offset \
             (subscription, topic, partition, next_offset, epoch, sequence, fresh_through) \
             values ($1, $2, $3, $4, $5, $6, $7) on conflict (subscription, topic, partition) do nothing"
        }
        Some(_) => {
            "update lienthong_offset set next_offset = $4, epoch = $5, sequence = $6, fresh_through = $7 \
             where subscription = $1 and topic = $2 and partition = $3 \
             and next_offset = $8 and epoch = $9 and sequence = $10 and fresh_through = $11"
        }
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
    Ok(query.execute(conn).await?.rows_affected() == 1)
}

/// Adds the next receipt to the partition's chain. The offset row is locked, so nobody else adds one meanwhile.
pub(super) async fn write_receipt(
    conn: &mut PgConnection,
    delivery: &Delivery<'_>,
    body: &ReceiptBody<'_>,
) -> Result<(), sqlx::Error> {
    let lane = delivery.lane;
    let sql = "select number, hash, (extract(epoch from clock_timestamp()) * 1000000)::bigint as now \
         from (values (1)) one left join lateral (select number, hash from lienthong_receipt \
         where subscription = $1 and topic = $2 and partition = $3 order by number desc limit 1) last on true";
    let last = sqlx::query(sql)
        .bind(&lane.subscription)
        .bind(&lane.topic)
        .bind(lane.partition)
        .fetch_one(&mut *conn)
        .await?;
    let number = last.try_get::<Option<i64>, _>("number")?.map_or(1, |number| number + 1);
    let previous: Option<Vec<u8>> = last.try_get("hash")?;
    let row = ReceiptRow::new(delivery, body, last.try_get("now")?);
    let hash = chain_hash(previous.as_deref(), &row);
    let sql = "insert into lienthong_receipt (subscription, topic, partition, number, first_offset, last_offset, \
         events_read, events_delivered, writer_epoch, first_time, last_time, applied_at, agreement, key_id, \
         subjects, previous_hash, hash) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";
    sqlx::query(sql)
        .bind(row.subscription)
        .bind(row.topic)
        .bind(row.partition)
        .bind(number)
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
        .bind(previous)
        .bind(hash.to_vec())
        .execute(conn)
        .await?;
    Ok(())
}
