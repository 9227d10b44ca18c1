//! The administrator's side of a sink: the tables of the bus in a subscriber's file.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use lienthong_contract::sink::{SinkAdmin, SinkError};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::error::sink_error;
use super::file;
use crate::{TargetConfig, blocking};

/// Times are microseconds since 1970 UTC.
pub(super) const BUS_DDL: &str = "\
CREATE TABLE IF NOT EXISTS lienthong_offset (
  subscription TEXT NOT NULL,
  topic TEXT NOT NULL,
  partition INTEGER NOT NULL,
  next_offset INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  fresh_through INTEGER NOT NULL,
  PRIMARY KEY (subscription, topic, partition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lienthong_version (
  table_name TEXT NOT NULL,
  key_hash BLOB NOT NULL,
  entry TEXT NOT NULL,
  PRIMARY KEY (table_name, key_hash)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lienthong_receipt (
  subscription TEXT NOT NULL,
  topic TEXT NOT NULL,
  partition INTEGER NOT NULL,
  number INTEGER NOT NULL,
  first_offset INTEGER NOT NULL,
  last_offset INTEGER NOT NULL,
  events_read INTEGER NOT NULL,
  events_delivered INTEGER NOT NULL,
  writer_epoch INTEGER NOT NULL,
  first_time INTEGER NOT NULL,
  last_time INTEGER NOT NULL,
  applied_at INTEGER NOT NULL,
  agreement TEXT NOT NULL,
  key_id TEXT NOT NULL,
  subjects BLOB NOT NULL,
  previous_hash BLOB,
  hash BLOB NOT NULL,
  PRIMARY KEY (subscription, topic, partition, number)
);
CREATE TABLE IF NOT EXISTS lienthong_parked (
  subscription TEXT NOT NULL,
  table_name TEXT NOT NULL,
  key_hash BLOB NOT NULL,
  version TEXT NOT NULL,
  group_name TEXT NOT NULL,
  sealed BLOB NOT NULL,
  parked_at INTEGER NOT NULL,
  PRIMARY KEY (subscription, table_name, key_hash, version, group_name)
);
";

/// Makes the tables of the bus; opens the file per call.
pub(crate) struct SqliteSinkAdmin {
    name: String,
    path: PathBuf,
}

impl SqliteSinkAdmin {
    /// Touches nothing yet.
    pub(crate) fn new(config: &TargetConfig, path: &Path) -> Self {
        Self { name: config.name.clone(), path: path.to_owned() }
    }
}

/// Opens a subscriber's file, which must be there: its tables are the subscriber's to make.
pub(super) fn connect(name: &str, path: &Path) -> Result<(Connection, file::Identity), SinkError> {
    let identity = file::Identity::of(path).map_err(|e| SinkError::Unfit {
        problem: format!("{name}: the database file {}: {}", path.display(), e.kind()),
        fix: "correct the path in the subscriber's file, or create the database with its tables".to_owned(),
    })?;
    let error = |e: rusqlite::Error| sink_error(name, None, &e);
    let conn = file::connect(path).map_err(error)?;
    // A committed offset must survive a power cut together with its rows.
    // The cache, 8 MiB, holds the upper pages of large tables. A ledger is written at random places: the longer the WAL (32 MiB)
    // may grow, the more writes of one page a checkpoint carries over as one.
    conn.execute_batch(
        "pragma synchronous = full; pragma cache_size = -8192; pragma wal_autocheckpoint = 8192",
    )
    .map_err(error)?;
    Ok((conn, identity))
}

#[async_trait]
impl SinkAdmin for SqliteSinkAdmin {
    async fn ddl(&mut self) -> Result<String, SinkError> {
        Ok(BUS_DDL.to_owned())
    }

    async fn prepare(&mut self) -> Result<(), SinkError> {
        blocking::run(|| {
            let (conn, _) = connect(&self.name, &self.path)?;
            let error = |e: rusqlite::Error| sink_error(&self.name, None, &e);
            let transaction =
                Transaction::new_unchecked(&conn, TransactionBehavior::Immediate).map_err(error)?;
            transaction.execute_batch(BUS_DDL).map_err(error)?;
            transaction.commit().map_err(error)
        })
    }
}
