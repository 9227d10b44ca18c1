//! Retention: what is too old or too much goes, and its space goes back to the file system.

use rusqlite::{Connection, params};

use super::fault::Fault;
use super::file::immediate;

/// Rows deleted in one transaction, so that nobody waits long for the write lock.
const ROWS: i64 = 256;
/// Pages given back in one transaction.
const PAGES: u32 = 1024;

/// Deletes by age, then by size, then gives space back.
pub(super) fn maintain(sql: &mut Connection, bytes: Option<u64>, now: i64) -> Result<(), Fault> {
    let mut statement = sql.prepare_cached(
        "select lane.id, topic.retention_ms from lane join topic on topic.id = lane.topic
         where topic.retention_ms is not null and topic.compacted = 0",
    )?;
    let aged: Vec<(i64, i64)> =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    drop(statement);
    for (lane, retention_ms) in aged {
        let before = now.saturating_sub(retention_ms.saturating_mul(1000));
        while delete_head(sql, lane, before)? == ROWS {}
    }
    if let Some(bytes) = bytes {
        shrink(sql, bytes)?;
    }
    give_back(sql)
}

/// Deletes the oldest rows of a lane that were appended before `before`; only a head, never a hole. Returns how many.
fn delete_head(sql: &mut Connection, lane: i64, before: i64) -> Result<i64, Fault> {
    let oldest: Option<i64> = sql
        .prepare_cached("select append_time from batch where lane = ?1 order by base_offset limit 1")?
        .query_map([lane], |row| row.get(0))?
        .next()
        .transpose()?;
    if oldest.is_none_or(|time| time >= before) {
        return Ok(0);
    }
    let transaction = immediate(sql)?;
    let low: Option<(i64, i64)> = transaction
        .prepare_cached(
            "select base_offset + count, number from (
               select base_offset, count, append_time, row_number() over (order by base_offset) as number,
                      max(append_time) over (order by base_offset) as newest
               from (select base_offset, count, append_time from batch where lane = ?1 order by base_offset limit ?3))
             where newest < ?2 order by base_offset desc limit 1",
        )?
        .query_map(params![lane, before, ROWS], |row| Ok((row.get(0)?, row.get(1)?)))?
        .next()
        .transpose()?;
    let Some((low, rows)) = low else { return Ok(0) };
    transaction
        .prepare_cached("delete from batch where lane = ?1 and base_offset < ?2")?
        .execute([lane, low])?;
    transaction.prepare_cached("update lane set low = ?2 where id = ?1")?.execute([lane, low])?;
    transaction.commit()?;
    Ok(rows)
}

/// Deletes the oldest rows of all lanes until the bodies fit. Each lane keeps its last row.
fn shrink(sql: &mut Connection, bytes: u64) -> Result<(), Fault> {
    let held: i64 = sql.query_row("select ifnull(sum(length(body)), 0) from batch", [], |row| row.get(0))?;
    let mut over = held - i64::try_from(bytes).unwrap_or(i64::MAX);
    while over > 0 {
        let transaction = immediate(sql)?;
        let oldest: Vec<(i64, i64, i64, i64)> = transaction
            .prepare_cached(
                "select id, lane, base_offset + count, length(body) from batch as b
                 where base_offset < (select max(base_offset) from batch where lane = b.lane) order by id limit ?1",
            )?
            .query_map([ROWS], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
            .collect::<Result<_, _>>()?;
        if oldest.is_empty() {
            return Ok(());
        }
        for (id, lane, low, size) in oldest {
            if over <= 0 {
                break;
            }
            transaction.prepare_cached("delete from batch where id = ?1")?.execute([id])?;
            transaction.prepare_cached("update lane set low = ?2 where id = ?1")?.execute([lane, low])?;
            over -= size;
        }
        transaction.commit()?;
    }
    Ok(())
}

/// Cuts free pages off the file. The statement gives one row per page and stops where it is not asked on.
fn give_back(sql: &Connection) -> Result<(), Fault> {
    let mut before = u32::MAX;
    loop {
        let free: u32 = sql.query_row("pragma freelist_count", [], |row| row.get(0))?;
        if free < PAGES / 4 || free >= before {
            return Ok(());
        }
        before = free;
        let mut statement = sql.prepare(&format!("pragma incremental_vacuum({PAGES})"))?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
    }
}
