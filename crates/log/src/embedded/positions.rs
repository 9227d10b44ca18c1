//! Claims and checkpoints in the file: the embedded `lt.positions`, with offsets of its own, compacted by key.

use rusqlite::{Connection, OptionalExtension, params};

use super::fault::Fault;
use crate::api::WriterError;
use crate::rules::{Checkpoint, Claim, PositionRecord, Positions, checkpoint_key, claim_key};

/// Appends a claim and makes its offset the participant's epoch. Call it inside a write transaction.
pub(super) fn claim(sql: &Connection, participant: &str, time: i64) -> Result<i64, Fault> {
    let nonce: String = sql.query_row("select lower(hex(randomblob(16)))", [], |row| row.get(0))?;
    let record = PositionRecord::Claim(Claim { participant: participant.to_owned(), time });
    let epoch = put(sql, participant, &claim_key(participant, &nonce), &record)?;
    sql.execute(
        "insert into writer_epoch(participant, epoch) values(?1, ?2)
         on conflict(participant) do update set epoch = excluded.epoch",
        params![participant, epoch],
    )?;
    Ok(epoch)
}

/// Appends a checkpoint, and drops what stands before its claim: nobody starts from there any more, and old writers are refused by
/// `writer_epoch`. Call it inside a write transaction that has checked the epoch.
pub(super) fn checkpoint(sql: &Connection, checkpoint: Checkpoint) -> Result<(), Fault> {
    let key = checkpoint_key(&checkpoint.participant, checkpoint.epoch, checkpoint.number);
    let (participant, epoch) = (checkpoint.participant.clone(), checkpoint.epoch);
    put(sql, &participant, &key, &PositionRecord::Checkpoint(checkpoint))?;
    sql.prepare_cached("delete from position_record where offset < ?2 and participant = ?1")?
        .execute(params![participant, epoch])?;
    Ok(())
}

fn put(sql: &Connection, participant: &str, key: &str, record: &PositionRecord) -> Result<i64, Fault> {
    let value = record.encode()?;
    // Replacing a key gives it a new offset, as compaction does.
    sql.prepare_cached("insert or replace into position_record(participant, key, value) values(?1, ?2, ?3)")?
        .execute(params![participant, key, value])?;
    Ok(sql.last_insert_rowid())
}

/// The participant's history in order.
pub(super) fn history(sql: &Connection, participant: &str) -> Result<Positions, Fault> {
    let mut positions = Positions::new(participant);
    let mut statement = sql
        .prepare_cached("select offset, value from position_record where participant = ?1 order by offset")?;
    let mut rows = statement.query([participant])?;
    while let Some(row) = rows.next()? {
        let value = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        positions.observe(row.get(0)?, PositionRecord::decode(value)?)?;
    }
    Ok(positions)
}

/// The participant's highest claim.
pub(super) fn highest_claim(sql: &Connection, participant: &str) -> Result<i64, Fault> {
    let mut statement = sql.prepare_cached("select epoch from writer_epoch where participant = ?1")?;
    Ok(statement.query_row([participant], |row| row.get(0)).optional()?.unwrap_or(-1))
}

/// Refuses a writer that is no longer the newest. Inside a write transaction nothing can come between this and the commit.
pub(super) fn refuse_fenced(sql: &Connection, participant: &str, epoch: i64) -> Result<(), Fault> {
    match highest_claim(sql, participant)? {
        claim if claim > epoch => {
            Err(WriterError::Fenced { participant: participant.to_owned(), claim: Some(claim) }.into())
        }
        claim if claim == epoch => Ok(()),
        _ => Err(WriterError::Broken {
            problem: format!("the claim {epoch} of {participant} is no longer in the file: it was replaced by an older copy"),
            fix: "stop everything that uses the file, put the right one in its place, start again".into(),
        }
        .into()),
    }
}
