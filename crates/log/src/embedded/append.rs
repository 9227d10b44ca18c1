//! Rows of `batch`: how bodies are cut, summed and inserted.

use std::path::Path;

use rusqlite::{Connection, params};

use super::fault::Fault;
use super::topics::Lane;
use crate::api::{LogError, WriterError};
use crate::record::RecordRef;

/// A row holds at most about this many bytes, so that a reader with a small bound does not read a large row again and again.
const ROW_BYTES: usize = 1 << 20;

/// `batch.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Events under the reading rule.
    Events,
    /// A heartbeat under the reading rule.
    Heartbeat,
    /// Records of a side topic.
    Side,
}

impl Kind {
    fn code(self) -> i64 {
        match self {
            Self::Events => 0,
            Self::Heartbeat => 1,
            Self::Side => 2,
        }
    }

    /// Reads the column.
    pub(super) fn from_code(code: i64) -> Option<Self> {
        [Self::Events, Self::Heartbeat, Self::Side].into_iter().find(|kind| kind.code() == code)
    }
}

/// Records to append to a lane in one run.
pub(super) struct Run<'a> {
    pub(super) kind: Kind,
    pub(super) count: u32,
    pub(super) times: (i64, i64),
    pub(super) append_time: i64,
    pub(super) body: &'a [u8],
}

/// Inserts a run at the lane's end and moves the lane on, in memory and in the file. Refused when the lane's row is not what
/// `lane` says: another writer has fenced it.
pub(super) fn append(sql: &Connection, path: &Path, lane: &mut Lane, run: &Run<'_>) -> Result<(), Fault> {
    let mut insert = sql.prepare_cached(
        "insert into batch(lane, base_offset, count, kind, first_time, last_time, append_time, epoch, base_sequence, crc32c, body)
         values(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    let before = lane.next_offset;
    for slice in cut(run)? {
        let body = &run.body[slice.from..slice.to];
        insert.execute(params![
            lane.id,
            lane.next_offset,
            slice.count,
            run.kind.code(),
            slice.times.0,
            slice.times.1,
            run.append_time,
            lane.epoch,
            (lane.sequence + 1) as i64,
            crc32c::crc32c(body),
            body,
        ])?;
        lane.next_offset += i64::from(slice.count);
        // Side records have no sequence.
        if run.kind != Kind::Side {
            lane.sequence += u64::from(slice.count);
        }
    }
    let mut update = sql.prepare_cached(
        "update lane set next_offset = ?2, sequence = ?3 where id = ?1 and next_offset = ?4 and epoch = ?5",
    )?;
    let changed =
        update.execute(params![lane.id, lane.next_offset, lane.sequence as i64, before, lane.epoch])?;
    if changed == 1 {
        return Ok(());
    }
    let place = format!("{}: {}/{}", path.display(), lane.source.topic, lane.source.partition);
    Err(WriterError::Broken {
        problem: format!("{place} is written by another participant's connector"),
        fix: "give every topic one owner in the catalogue".into(),
    }
    .into())
}

struct Slice {
    from: usize,
    to: usize,
    count: u32,
    times: (i64, i64),
}

/// Walks the body once: checks that it holds what it should and cuts it at record boundaries.
fn cut(run: &Run<'_>) -> Result<Vec<Slice>, Fault> {
    if run.kind == Kind::Heartbeat {
        return Ok(vec![Slice { from: 0, to: 0, count: run.count, times: run.times }]);
    }
    let mut slices = Vec::with_capacity(1);
    let mut open = Slice { from: 0, to: 0, count: 0, times: (i64::MAX, i64::MIN) };
    let mut records = 0;
    while open.to < run.body.len() {
        let (record, next) = RecordRef::read(run.body, open.to).map_err(|_| not_a_batch())?;
        if open.count > 0 && next - open.from > ROW_BYTES {
            let from = open.to;
            slices.push(std::mem::replace(
                &mut open,
                Slice { from, to: from, count: 0, times: (i64::MAX, i64::MIN) },
            ));
        }
        open.to = next;
        open.count += 1;
        open.times = (open.times.0.min(record.time), open.times.1.max(record.time));
        records += 1;
    }
    if records != run.count || records == 0 {
        return Err(not_a_batch());
    }
    slices.push(open);
    Ok(slices)
}

fn not_a_batch() -> Fault {
    LogError::Inconsistent("a batch does not hold the records that it should".into()).into()
}
