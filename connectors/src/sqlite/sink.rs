//! The sink: one transaction per delivery, whatever the number of its lanes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use lienthong_contract::sink::{
    Applied, Delivery, LaneMove, LanePartition, OffsetState, ReceiptBody, Sink, SinkError,
};
use lienthong_contract::target::TargetTable;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::error::sink_error;
use super::file::{self, Identity, Writers, now};
use super::sink_admin::connect;
use super::sink_check;
use super::writes::Writer;
use crate::receipt::{ReceiptRow, chain_hash};
use crate::{TargetConfig, blocking};

/// A SQLite file that subscribes.
pub(crate) struct SqliteSink {
    name: String,
    path: PathBuf,
    tables: Vec<TargetTable>,
    open: Option<Open>,
}

struct Open {
    conn: Connection,
    identity: Identity,
    /// The other writers of this process to the same file.
    writers: Arc<Writers>,
}

impl SqliteSink {
    /// Touches nothing yet.
    pub(crate) fn new(config: &TargetConfig, path: &Path, tables: Vec<TargetTable>) -> Self {
        Self { name: config.name.clone(), path: path.to_owned(), tables, open: None }
    }

    /// Runs `work` on the connection, which is opened when there is none, or when another file has taken the place of the open one:
    /// what is written to a file without a name is lost.
    fn with<T>(
        &mut self,
        work: impl FnOnce(&Open, &str, &[TargetTable]) -> Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        let (name, path, tables) = (&self.name, &self.path, &self.tables);
        let open = self.open.take().filter(|open| open.identity.holds());
        let (done, open) = blocking::run(|| {
            let open = match open.map_or_else(|| Open::new(name, path), Ok) {
                Ok(open) => open,
                Err(error) => return (Err(error), None),
            };
            let done = work(&open, name, tables);
            let sound = match &done {
                Ok(_) | Err(SinkError::Fenced | SinkError::Refused { .. }) => true,
                Err(SinkError::Busy { .. } | SinkError::Unfit { .. }) => false,
            };
            (done, sound.then_some(open))
        });
        self.open = open;
        done
    }
}

impl Open {
    fn new(name: &str, path: &Path) -> Result<Self, SinkError> {
        // Without a WAL even opening waits for a commit's locks, and a slow disk can hold them for longer than SQLite waits.
        let (conn, identity) = match Identity::of(path) {
            Ok(identity) => in_turn(&file::writers(&identity), name, || connect(name, path))?,
            Err(_) => connect(name, path)?,
        };
        let writers = file::writers(&identity);
        Ok(Self { conn, identity, writers })
    }
}

fn in_turn<T>(
    writers: &Writers,
    name: &str,
    work: impl FnOnce() -> Result<T, SinkError>,
) -> Result<T, SinkError> {
    let busy = |error: &SinkError| match error {
        SinkError::Busy { reason, .. } => Some(reason.clone()),
        SinkError::Fenced | SinkError::Refused { .. } | SinkError::Unfit { .. } => None,
    };
    writers.in_turn(work, busy, |reason| SinkError::Busy { target: name.to_owned(), reason })
}

#[async_trait]
impl Sink for SqliteSink {
    async fn check(&mut self) -> Result<(), SinkError> {
        self.with(|open, name, tables| sink_check::check(&open.conn, name, tables))
    }

    async fn offset(&mut self, lane: &LanePartition) -> Result<Option<OffsetState>, SinkError> {
        self.with(|open, name, _| offset(&open.conn, lane).map_err(|e| sink_error(name, None, &e)))
    }

    async fn apply(&mut self, delivery: &Delivery<'_>) -> Result<Applied, SinkError> {
        self.with(|open, name, tables| {
            in_turn(&open.writers, name, || apply(&open.conn, name, tables, delivery))
        })
    }
}

fn apply(
    conn: &Connection,
    name: &str,
    tables: &[TargetTable],
    delivery: &Delivery<'_>,
) -> Result<Applied, SinkError> {
    let error = |e: rusqlite::Error| sink_error(name, None, &e);
    // Rolled back when it is dropped without commit.
    let transaction = Transaction::new_unchecked(conn, TransactionBehavior::Immediate).map_err(error)?;
    for lane in delivery.lanes {
        if !move_offset(&transaction, lane).map_err(error)? {
            return Err(SinkError::Fenced);
        }
    }
    let mut writer = Writer::new(&transaction, name, tables);
    for round in delivery.rounds {
        writer.round(round)?;
    }
    let applied = writer.applied();
    let applied_at = now();
    for LaneMove { lane, receipt, .. } in delivery.lanes {
        if let Some(body) = receipt {
            write_receipt(&transaction, lane, body, applied_at).map_err(error)?;
        }
    }
    // Constraints that are deferred speak here.
    transaction.commit().map_err(|e| sink_error(name, Some("a table of this batch"), &e))?;
    Ok(applied)
}

fn offset(conn: &Connection, lane: &LanePartition) -> rusqlite::Result<Option<OffsetState>> {
    conn.prepare_cached(
        "select next_offset, epoch, sequence, fresh_through from lienthong_offset \
         where subscription = ?1 and topic = ?2 and partition = ?3",
    )?
    .query_row((&lane.subscription, &lane.topic, lane.partition), |row| {
        Ok(OffsetState {
            next_offset: row.get(0)?,
            epoch: row.get(1)?,
            sequence: row.get::<_, i64>(2)?.cast_unsigned(),
            fresh_through: row.get(3)?,
        })
    })
    .optional()
}

/// Moves the offset row by compare-and-set; false when it is not as expected.
fn move_offset(conn: &Connection, step: &LaneMove<'_>) -> rusqlite::Result<bool> {
    let LaneMove { lane, expected, next, .. } = step;
    let moved = match expected {
        None => conn
            .prepare_cached(
                "insert into lienthong_offset \
                 (subscription, topic, partition, next_offset, epoch, sequence, fresh_through) \
                 values (?1, ?2, ?3, ?4, ?5, ?6, ?7) on conflict (subscription, topic, partition) do nothing",
            )?
            .execute(params![
                lane.subscription,
                lane.topic,
                lane.partition,
                next.next_offset,
                next.epoch,
                next.sequence.cast_signed(),
                next.fresh_through
            ])?,
        Some(expected) => conn
            .prepare_cached(
                "update lienthong_offset set next_offset = ?4, epoch = ?5, sequence = ?6, fresh_through = ?7 \
                 where subscription = ?1 and topic = ?2 and partition = ?3 \
                 and next_offset = ?8 and epoch = ?9 and sequence = ?10 and fresh_through = ?11",
            )?
            .execute(params![
                lane.subscription,
                lane.topic,
                lane.partition,
                next.next_offset,
                next.epoch,
                next.sequence.cast_signed(),
                next.fresh_through,
                expected.next_offset,
                expected.epoch,
                expected.sequence.cast_signed(),
                expected.fresh_through
            ])?,
    };
    Ok(moved == 1)
}

/// Adds the next receipt to the partition's chain.
fn write_receipt(
    conn: &Connection,
    lane: &LanePartition,
    body: &ReceiptBody<'_>,
    applied_at: i64,
) -> rusqlite::Result<()> {
    let last: Option<(i64, Vec<u8>)> = conn
        .prepare_cached(
            "select number, hash from lienthong_receipt where subscription = ?1 and topic = ?2 and partition = ?3 \
             order by number desc limit 1",
        )?
        .query_row((&lane.subscription, &lane.topic, lane.partition), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (number, previous) = last.map_or((1, None), |(number, hash)| (number + 1, Some(hash)));
    let row = ReceiptRow::new(lane, body, applied_at);
    let hash = chain_hash(previous.as_deref(), &row);
    conn.prepare_cached(
        "insert into lienthong_receipt (subscription, topic, partition, number, first_offset, last_offset, \
         events_read, events_delivered, writer_epoch, first_time, last_time, applied_at, agreement, key_id, \
         subjects, previous_hash, hash) \
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
    )?
    .execute(params![
        row.subscription,
        row.topic,
        row.partition,
        number,
        row.offsets.0,
        row.offsets.1,
        row.events.0,
        row.events.1,
        row.writer_epoch,
        row.times.0,
        row.times.1,
        row.applied_at,
        row.agreement,
        row.key_id,
        row.subjects,
        previous,
        hash
    ])
    .map(drop)
}
