//! Reading rows of `batch` back, by the reading rule.

use std::path::Path;

use bytes::BytesMut;
use lienthong_contract::sink::OffsetState;
use rusqlite::{Connection, Row, params};

use super::append::Kind;
use super::fault::{Fault, damaged};
use super::topics::Lane;
use crate::api::{LogError, TopicPartition};
use crate::marks::{Intake, Place};
use crate::record::{LogBatch, RecordRef};
use crate::rules::{MarkKind, RecordMark};

/// What a read finds.
pub(super) enum Read {
    Batch(LogBatch),
    /// Retention has passed the wanted offset.
    Expired {
        low: i64,
    },
}

/// One row, its body still SQLite's.
pub(super) struct Stored<'a> {
    pub(super) base_offset: i64,
    pub(super) count: i64,
    pub(super) kind: Kind,
    pub(super) last_time: i64,
    append_time: i64,
    epoch: i64,
    base_sequence: u64,
    pub(super) body: &'a [u8],
}

impl Stored<'_> {
    /// The rule's view of the record at `index`; `None` for side records.
    pub(super) fn mark(&self, index: i64) -> Option<RecordMark> {
        let kind = match self.kind {
            Kind::Events => MarkKind::Data,
            Kind::Heartbeat => MarkKind::Heartbeat,
            Kind::Side => return None,
        };
        Some(RecordMark { kind, epoch: self.epoch, sequence: self.base_sequence + index as u64 })
    }
}

/// From the row that holds offset `?2`; rows before it are of no use.
const FROM: &str = "select base_offset, count, kind, last_time, append_time, epoch, base_sequence, crc32c, body from batch
     where lane = ?1 and base_offset >= ifnull((select max(base_offset) from batch where lane = ?1 and base_offset <= ?2), 0)
     order by base_offset";

/// Goes through the rows from `from` on until `each` says stop. Checks sums, and that no row is missing up to `lane.next_offset`.
pub(super) fn scan(
    sql: &Connection,
    path: &Path,
    lane: &Lane,
    from: i64,
    mut each: impl FnMut(&Stored<'_>) -> Result<bool, Fault>,
) -> Result<(), Fault> {
    if from >= lane.next_offset {
        return Ok(());
    }
    let mut statement = sql.prepare_cached(FROM)?;
    let mut rows = statement.query(params![lane.id, from])?;
    let mut expected = from;
    while let Some(row) = rows.next()? {
        let stored = stored(path, lane, row)?;
        let end = stored.base_offset + stored.count;
        if stored.base_offset > expected || end <= expected {
            return Err(damaged(path, &hole(&lane.source, expected)).into());
        }
        expected = end;
        if !each(&stored)? {
            return Ok(());
        }
    }
    if expected < lane.next_offset {
        return Err(damaged(path, &hole(&lane.source, expected)).into());
    }
    Ok(())
}

fn hole(source: &TopicPartition, offset: i64) -> String {
    format!("the batch with offset {offset} of {}/{} is missing", source.topic, source.partition)
}

fn stored<'a>(path: &Path, lane: &Lane, row: &'a Row<'_>) -> Result<Stored<'a>, Fault> {
    let base_offset = row.get(0)?;
    let body = row.get_ref(8)?.as_blob().map_err(|_| damaged(path, "a batch has no body"))?;
    if crc32c::crc32c(body) != row.get::<_, u32>(7)? {
        let TopicPartition { topic, partition } = &lane.source;
        let what =
            format!("the checksum of the batch at offset {base_offset} of {topic}/{partition} is wrong");
        return Err(damaged(path, &what).into());
    }
    let kind = Kind::from_code(row.get(2)?).ok_or_else(|| damaged(path, "a batch is of an unknown kind"))?;
    Ok(Stored {
        base_offset,
        count: row.get(1)?,
        kind,
        last_time: row.get(3)?,
        append_time: row.get(4)?,
        epoch: row.get(5)?,
        base_sequence: row.get::<_, i64>(6)? as u64,
        body,
    })
}

/// Reads at least one record, then up to `max_bytes`. `lane` must be fresh.
pub(super) fn read(
    sql: &Connection,
    path: &Path,
    lane: &Lane,
    state: &OffsetState,
    max_bytes: usize,
) -> Result<Read, Fault> {
    if state.next_offset < lane.low {
        return Ok(Read::Expired { low: lane.low });
    }
    if state.next_offset > lane.next_offset {
        let TopicPartition { topic, partition } = &lane.source;
        return Err(LogError::Inconsistent(format!(
            "{topic}/{partition} ends at {}, but a reader stands at {}: the file was recreated or restored from a backup",
            lane.next_offset, state.next_offset
        ))
        .into());
    }
    let mut intake = Intake::new(lane.source.clone(), state);
    let mut buffer = BytesMut::new();
    let mut taken = 0;
    let scanned = scan(sql, path, lane, state.next_offset, |stored| {
        take(path, stored, state.next_offset, max_bytes, &mut taken, &mut intake, &mut buffer)
    });
    match scanned {
        // Retention may have passed between the look at the lane and the rows.
        Err(fault) => match super::topics::lane(sql, &lane.source)?.low {
            low if low > state.next_offset => Ok(Read::Expired { low }),
            _ => Err(fault),
        },
        Ok(()) => Ok(Read::Batch(intake.finish(buffer.freeze()))),
    }
}

/// Takes a row's records from offset `from` on while there is room; whether there may be room for the next row.
fn take(
    path: &Path,
    stored: &Stored<'_>,
    from: i64,
    max_bytes: usize,
    taken: &mut usize,
    intake: &mut Intake,
    buffer: &mut BytesMut,
) -> Result<bool, Fault> {
    if stored.kind == Kind::Heartbeat {
        let place = Place { offset: stored.base_offset, append_time: stored.append_time, at: buffer.len() };
        intake.take(stored.mark(0), stored.last_time, place);
        return Ok(true);
    }
    let mut at = 0;
    let mut kept = None;
    for index in 0..stored.count {
        let (record, next) = RecordRef::read(stored.body, at)
            .map_err(|_| damaged(path, "a batch is not in the log's layout"))?;
        let offset = stored.base_offset + index;
        if offset >= from {
            let start = *kept.get_or_insert(at);
            let size = next - at;
            if *taken > 0 && *taken + size > max_bytes {
                buffer.extend_from_slice(&stored.body[start..at]);
                return Ok(false);
            }
            *taken += size;
            let place = Place { offset, append_time: stored.append_time, at: buffer.len() + at - start };
            intake.take(stored.mark(index), record.time, place);
        }
        at = next;
    }
    if let Some(start) = kept {
        buffer.extend_from_slice(&stored.body[start..at]);
    }
    Ok(*taken < max_bytes)
}

/// First offset whose record time is at least `time`.
pub(super) fn offset_at(sql: &Connection, path: &Path, lane: &Lane, time: i64) -> Result<Option<i64>, Fault> {
    let mut statement = sql.prepare_cached(
        "select base_offset from batch where lane = ?1 and last_time >= ?2 order by base_offset limit 1",
    )?;
    let mut rows = statement.query(params![lane.id, time])?;
    let Some(base) = rows.next()?.map(|row| row.get::<_, i64>(0)).transpose()? else { return Ok(None) };
    drop(rows);
    let mut found = None;
    scan(sql, path, lane, base, |stored| {
        let mut at = 0;
        for index in 0..stored.count {
            let record_time = if stored.kind == Kind::Heartbeat {
                stored.last_time
            } else {
                let (record, next) = RecordRef::read(stored.body, at)
                    .map_err(|_| damaged(path, "a batch is not in the log's layout"))?;
                at = next;
                record.time
            };
            if record_time >= time {
                found = Some(stored.base_offset + index);
                return Ok(false);
            }
        }
        Ok(true)
    })?;
    Ok(found)
}

/// Where a reader without a state may begin. Zombies' records never stand in the file and every row tells its epoch and sequence, so
/// that every offset which the file holds is such a place.
pub(super) fn start_at(
    sql: &Connection,
    path: &Path,
    lane: &Lane,
    wanted: i64,
) -> Result<OffsetState, Fault> {
    let next_offset = wanted.clamp(lane.low, lane.next_offset);
    if next_offset == 0 {
        return Ok(OffsetState::START);
    }
    let mut state = OffsetState { next_offset, epoch: lane.epoch, sequence: lane.sequence, fresh_through: 0 };
    scan(sql, path, lane, next_offset, |stored| {
        if let Some(mark) = stored.mark(next_offset - stored.base_offset) {
            (state.epoch, state.sequence) = (mark.epoch, mark.sequence - 1);
        }
        Ok(false)
    })?;
    if !crate::marks::is_family_topic(&lane.source.topic) {
        (state.epoch, state.sequence) = (-1, 0);
    }
    Ok(state)
}

/// Says that retention has passed a reader.
pub(super) fn expired(source: &TopicPartition, wanted: i64, low: i64) -> LogError {
    LogError::Topic {
        problem: format!(
            "retention of {}/{} has passed offset {wanted}; the oldest record still there is {low}",
            source.topic, source.partition
        ),
        fix: "bring what is missing to the reader by other means, then let it begin anew at a place that the log still holds".into(),
    }
}
