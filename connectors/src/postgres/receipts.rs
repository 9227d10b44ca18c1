//! The receipts of a transaction: one per lane that delivered, each the next of its lane's chain.

use lienthong_contract::sink::{Delivery, LaneMove};
use sqlx::postgres::PgConnection;

use super::offsets::Chains;
use crate::receipt::{ReceiptRow, chain_hash};

const INSERT: &str = "insert into lienthong_receipt (subscription, topic, partition, number, first_offset, last_offset, \
     events_read, events_delivered, writer_epoch, first_time, last_time, applied_at, agreement, key_id, \
     subjects, previous_hash, hash) \
     select * from unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], \
     $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[], $14::text[], \
     $15::bytea[], $16::bytea[], $17::bytea[])";

/// Adds them all at once.
pub(super) async fn write(
    conn: &mut PgConnection,
    delivery: &Delivery<'_>,
    chains: &Chains,
) -> Result<(), sqlx::Error> {
    let applied_at = chains.now();
    let (mut rows, mut numbers, mut previous, mut hashes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for LaneMove { lane, receipt, .. } in delivery.lanes {
        let Some((body, end)) = receipt.zip(chains.end(lane)) else { continue };
        let row = ReceiptRow::new(lane, body, applied_at);
        hashes.push(chain_hash(end.hash.as_deref(), &row).to_vec());
        previous.push(end.hash.as_deref());
        numbers.push(end.number + 1);
        rows.push(row);
    }
    if rows.is_empty() {
        return Ok(());
    }
    let texts = |text: fn(&ReceiptRow) -> &str| rows.iter().map(text).collect::<Vec<&str>>();
    let column = |number: fn(&ReceiptRow) -> i64| rows.iter().map(number).collect::<Vec<i64>>();
    let partitions: Vec<i32> = rows.iter().map(|row| row.partition).collect();
    let subjects: Vec<&[u8]> = rows.iter().map(|row| row.subjects.as_slice()).collect();
    sqlx::query(INSERT)
        .bind(texts(|row| &row.subscription))
        .bind(texts(|row| &row.topic))
        .bind(partitions)
        .bind(numbers)
        .bind(column(|row| row.offsets.0))
        .bind(column(|row| row.offsets.1))
        .bind(column(|row| i64::from(row.events.0)))
        .bind(column(|row| i64::from(row.events.1)))
        .bind(column(|row| row.writer_epoch))
        .bind(column(|row| row.times.0))
        .bind(column(|row| row.times.1))
        .bind(column(|row| row.applied_at))
        .bind(texts(|row| &row.agreement))
        .bind(texts(|row| &row.key_id))
        .bind(subjects)
        .bind(previous)
        .bind(hashes)
        .execute(conn)
        .await?;
    Ok(())
}
