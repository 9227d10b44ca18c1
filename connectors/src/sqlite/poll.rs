//! One poll of the outbox: one read transaction, which is over before the poll returns, so that nothing of the owner's waits for
//! the bus between two polls.
//!
//! A chunk of the first load is read in the same transaction as the outbox and given out behind everything that the outbox has:
//! so its rows stand exactly where they were read.

use std::time::Duration;

use lienthong_contract::keys::HashKey;
use lienthong_contract::position::{Lineage, Position};
use lienthong_contract::source::{Polled, RowVisitor, SourceError, TableCapture};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::error::{self, source_error};
use super::file::{self, Identity, OutboxLock};
use super::load::Given;
use super::position::OutboxPosition;
use super::reader::{Reader, data_version};
use super::triggers::OutboxNames;
use crate::identifier::quote;
use crate::text::unhex;

/// Rows deleted in one transaction.
pub(super) const FORGET_BATCH: usize = 5000;
/// How long a deletion waits for the owner's transaction.
const FORGET_TIMEOUT: Duration = Duration::from_millis(100);

/// An open source.
pub(super) struct Session {
    conn: Connection,
    identity: Identity,
    _lock: OutboxLock,
    name: String,
    reader: Reader,
    secret: HashKey,
    lineage: String,
    position: Option<OutboxPosition>,
    /// The file's count of other connections' commits when it was last read.
    seen: Option<i64>,
}

impl Session {
    /// A session that must be sought before it is polled. Checks that everything that `prepare` makes is there.
    pub(super) fn new(
        conn: Connection,
        (identity, lock): (Identity, OutboxLock),
        name: &str,
        names: &OutboxNames,
        captures: &[TableCapture],
    ) -> Result<(Self, Lineage), SourceError> {
        let error = |e: rusqlite::Error| source_error(name, &e);
        let transaction = conn.unchecked_transaction().map_err(error)?;
        let reader = Reader::new(&transaction, name, names, captures)?;
        let (lineage, secret) = lineage(&transaction, name, names)?;
        transaction.finish().map_err(error)?;
        let parts = [("outbox", names.outbox.clone()), ("outbox_created", lineage.clone())]
            .map(|(name, value)| (name.to_owned(), value));
        let name = name.to_owned();
        let session =
            Self { conn, identity, _lock: lock, name, reader, secret, lineage, position: None, seen: None };
        Ok((session, Lineage { parts: parts.into() }))
    }

    fn error(&self, error: &rusqlite::Error) -> SourceError {
        source_error(&self.name, error)
    }

    /// Deletes outbox rows that `through` covers, at most [`FORGET_BATCH`], in one short transaction. Returns whether there may
    /// be more. When the owner is writing, nothing is deleted: it waits for the next time, the owner does not.
    pub(super) fn forget_batch(&self, through: &Position) -> Result<bool, SourceError> {
        let id = OutboxPosition::parse(through, &self.lineage)?.id;
        self.same_file()?;
        let waits = |timeout| self.conn.busy_timeout(timeout).map_err(|e| self.error(&e));
        waits(FORGET_TIMEOUT)?;
        let deleted = delete_batch(&self.conn, &self.reader.names.outbox, id);
        waits(file::BUSY_TIMEOUT)?;
        match deleted {
            Ok(deleted) => Ok(deleted == FORGET_BATCH),
            Err(error) if is_busy(&error) => {
                tracing::debug!(
                    source = self.name,
                    "published outbox rows stay until the database is less busy"
                );
                Ok(false)
            }
            Err(error) => Err(self.error(&error)),
        }
    }

    /// Rows that the outbox keeps; ids are dense, so both ends tell.
    pub(super) fn retained(&self) -> Result<u64, SourceError> {
        let sql =
            format!("select coalesce(max(id) - min(id) + 1, 0) from {}", quote(&self.reader.names.outbox));
        let rows = self.conn.query_row(&sql, [], |row| row.get::<_, i64>(0));
        rows.map(i64::unsigned_abs).map_err(|e| self.error(&e))
    }

    /// Sets where the next poll goes on.
    pub(super) fn seek(&mut self, from: Option<&Position>) -> Result<(), SourceError> {
        let from = from.map(|position| OutboxPosition::parse(position, &self.lineage)).transpose()?;
        let head = self.reader.head(&self.conn).map_err(|e| self.error(&e))?;
        let fresh = from.is_none();
        let gone = head.first.map_or(head.high, |first| first - 1);
        let mut position = from.unwrap_or_else(|| OutboxPosition::start(&self.lineage, gone));
        self.reader.not_set_back(&self.conn, &position, &head).map_err(|e| self.error(&e))??;
        position.plan_first_load(&self.reader.tables, &self.secret, fresh);
        self.position = Some(position);
        Ok(())
    }

    /// Gives out the next changes.
    pub(super) fn poll(&mut self, limit: usize, visitor: &mut dyn RowVisitor) -> Result<Polled, SourceError> {
        self.same_file()?;
        let Some(mut position) = self.position.clone() else {
            return Err(SourceError::ForeignPosition("the source has not been sought".to_owned()));
        };
        let name = self.name.clone();
        let error = |e: rusqlite::Error| source_error(&name, &e);
        // Before the transaction: whatever had committed by then is seen in it.
        let time = file::now();
        let transaction = self.conn.unchecked_transaction().map_err(error)?;
        let head = self.reader.head(&transaction).map_err(error)?;
        self.reader.not_set_back(&transaction, &position, &head).map_err(error)??;
        if head.schema != self.reader.schema {
            self.reader = self.reader.again(&transaction, &name)?;
        }
        let (mut rows, complete) =
            self.reader.page(&transaction, &name, &mut position, &head, limit, visitor)?;
        if complete && rows < limit {
            let mut given = Given { visitor, table: 0, time, secret: &self.secret };
            rows +=
                self.reader.chunk(&transaction, &mut position, &mut given, limit - rows).map_err(error)?;
        }
        transaction.finish().map_err(error)?;
        let caught_up = complete && position.snap.is_none();
        let polled = Polled { position: position.to_position()?, rows, caught_up, source_time: time };
        self.position = Some(position);
        self.seen = Some(head.seen);
        Ok(polled)
    }

    /// Whether somebody has committed since the last poll read the file, as far as can be told without waiting.
    pub(super) fn changed(&self) -> Result<bool, SourceError> {
        self.same_file()?;
        let waits = |timeout| self.conn.busy_timeout(timeout).map_err(|e| self.error(&e));
        waits(Duration::ZERO)?;
        let version = data_version(&self.conn);
        waits(file::BUSY_TIMEOUT)?;
        match version {
            Ok(version) => Ok(self.seen != Some(version)),
            // A writer is at its commit right now.
            Err(error) if is_busy(&error) => Ok(false),
            Err(error) => Err(self.error(&error)),
        }
    }

    /// A connection goes on with a file that has been replaced; its successor is under the path.
    fn same_file(&self) -> Result<(), SourceError> {
        if self.identity.holds() {
            return Ok(());
        }
        let reason = "the database file has been moved, removed or replaced".to_owned();
        Err(SourceError::Unreachable { source_name: self.name.clone(), reason })
    }
}

/// What `prepare` drew by lot: a database made anew has another lineage.
fn lineage(conn: &Connection, name: &str, names: &OutboxNames) -> Result<(String, HashKey), SourceError> {
    let sql = format!("select lineage, secret from {}", quote(&names.meta));
    let (lineage, secret): (String, String) =
        conn.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?))).map_err(|e| source_error(name, &e))?;
    let Some(bytes) = unhex(&secret).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) else {
        return Err(SourceError::NotPrepared {
            problem: format!("the secret in {} is not what prepare makes", names.meta),
            fix: format!("drop table {}; then {}", quote(&names.meta), error::prepare(name)),
        });
    };
    Ok((lineage, HashKey::new(bytes)))
}

fn delete_batch(conn: &Connection, outbox: &str, id: i64) -> rusqlite::Result<usize> {
    let transaction = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    // The sequence must remember every id that was given, also where SQLite has not noted it (OR FAIL), or ids would come again.
    transaction.execute(
        "insert into sqlite_sequence (name, seq) select ?1, 0 \
         where not exists (select 1 from sqlite_sequence where name = ?1 collate nocase)",
        [outbox],
    )?;
    transaction.execute(
        &format!(
            "update sqlite_sequence set seq = (select max(id) from {0}) \
             where name = ?1 collate nocase and seq < (select max(id) from {0})",
            quote(outbox)
        ),
        [outbox],
    )?;
    let sql = format!(
        "delete from {0} where id in (select id from {0} where id <= ?1 order by id limit ?2)",
        quote(outbox)
    );
    let deleted =
        transaction.prepare_cached(&sql)?.execute((id, i64::try_from(FORGET_BATCH).unwrap_or(i64::MAX)))?;
    transaction.commit()?;
    Ok(deleted)
}

/// Whether another connection's lock was in the way.
fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)
    )
}
