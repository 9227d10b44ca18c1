//! The file: how it is created, recognised and opened.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::fault::Fault;
use super::place::refuse_network;
use crate::api::LogError;

/// `LTLG`: tells our files from anybody else's.
const APPLICATION_ID: i32 = 0x4c54_4c47;
/// Layout of the tables below.
const VERSION: i32 = 1;
/// A writer waits this long for others' transactions before it gives up.
const BUSY_TRIES: i32 = 15_000;

/// `lane` = one partition of one topic. `lane.epoch` is the fence: an append under a lower epoch is refused in its own transaction,
/// so that no zombie's record ever stands in `batch`. `batch.kind`: 0 events, 1 heartbeat, 2 side records. `batch.body` stands last,
/// so that scans over the other columns never touch its pages.
const TABLES: &str = "
create table topic(
  id integer primary key, name text not null unique, partitions integer not null, retention_ms integer,
  compacted integer not null) strict;
create table lane(
  id integer primary key, topic integer not null, partition integer not null, low integer not null default 0,
  next_offset integer not null default 0, epoch integer not null default -1, sequence integer not null default 0,
  unique(topic, partition)) strict;
create table batch(
  id integer primary key, lane integer not null, base_offset integer not null, count integer not null,
  kind integer not null, first_time integer not null, last_time integer not null, append_time integer not null,
  epoch integer not null, base_sequence integer not null, crc32c integer not null, body blob not null,
  unique(lane, base_offset)) strict;
create table position_record(
  offset integer primary key autoincrement, participant text not null, key text not null, value blob not null,
  unique(key)) strict;
create table writer_epoch(participant text primary key, epoch integer not null) strict, without rowid;
create table keyed(topic integer not null, key blob not null, value blob not null, primary key(topic, key)) strict;
create table group_offset(
  grp text not null, lane integer not null, next_offset integer not null, primary key(grp, lane)) strict, without rowid;
create table member(
  grp text not null, id text not null, topics text not null, boot text not null, expires integer not null,
  primary key(grp, id)) strict, without rowid;
create table lease(
  grp text not null, lane integer not null, member text not null, boot text not null, expires integer not null,
  primary key(grp, lane)) strict, without rowid;
create table schema_text(id integer primary key autoincrement, text text not null unique) strict;
create table schema_version(
  subject text not null, version integer not null, schema integer not null, primary key(subject, version),
  unique(subject, schema)) strict, without rowid;
";

/// How strictly a connection's commits reach the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// Durable on return.
    Full,
    /// May be lost with the machine, never with the process: leases, members, told offsets.
    Relaxed,
}

/// Batches are large blobs: larger pages make fewer frames of the write-ahead log per batch.
const PAGE_BYTES: u32 = 16 << 10;
/// The write-ahead log goes into the file after so many pages, 32 MiB.
const CHECKPOINT_PAGES: u32 = 2000;

/// Opens the file, creates it when it is missing, and checks that it is ours.
pub(super) fn create_or_check(path: &Path) -> Result<(), LogError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| {
            LogError::Refused(format!("the folder {} cannot be made ({})", folder.display(), error.kind()))
        })?;
    }
    refuse_network(path)?;
    let inner = || -> Result<(), Fault> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let mut sql = Connection::open_with_flags(path, flags)?;
        sql.busy_handler(Some(wait))?;
        // One snapshot for all three looks: another process may be creating the file at this moment.
        let snapshot = sql.transaction()?;
        let found = recognise(&snapshot, path)?;
        drop(snapshot);
        if found == Found::Ours {
            return Ok(());
        }
        // Both only take effect before the first table; another process may be doing the same at this moment.
        sql.execute_batch(&format!("pragma page_size = {PAGE_BYTES}; pragma auto_vacuum = incremental"))?;
        set_wal(&sql)?;
        let transaction = immediate(&mut sql)?;
        if recognise(&transaction, path)? == Found::Empty {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        transaction.commit()?;
        Ok(())
    };
    inner().map_err(|fault| fault.into_log(path))
}

/// Opens one more connection to a file that was checked.
pub(super) fn connect(
    path: &Path,
    durability: Durability,
    max_pages: Option<u32>,
) -> Result<Connection, LogError> {
    let inner = || -> Result<Connection, Fault> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let sql = Connection::open_with_flags(path, flags)?;
        sql.busy_handler(Some(wait))?;
        let synchronous = if durability == Durability::Full { "full" } else { "normal" };
        sql.pragma_update(None, "synchronous", synchronous)?;
        sql.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        sql.pragma_update(None, "journal_size_limit", 64 << 20)?;
        sql.pragma_update(None, "cache_size", -8192)?;
        sql.set_prepared_statement_cache_capacity(64);
        if let Some(pages) = max_pages {
            sql.pragma_update(None, "max_page_count", pages)?;
        }
        if recognise(&sql, path)? == Found::Empty {
            return Err(foreign(path, "it has been emptied").into());
        }
        Ok(sql)
    };
    inner().map_err(|fault| fault.into_log(path))
}

/// Takes the write lock at once, so that no transaction fails half-way because another one came between.
pub(super) fn immediate(sql: &mut Connection) -> Result<Transaction<'_>, rusqlite::Error> {
    sql.transaction_with_behavior(TransactionBehavior::Immediate)
}

#[derive(PartialEq, Eq)]
enum Found {
    Ours,
    Empty,
}

/// Looks before anything is written.
fn recognise(sql: &Connection, path: &Path) -> Result<Found, Fault> {
    let application: i32 = sql.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i32 = sql.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if application == APPLICATION_ID {
        return match version.cmp(&VERSION) {
            std::cmp::Ordering::Equal => Ok(Found::Ours),
            std::cmp::Ordering::Less => {
                Err(other_version(path, version, "older", "create a new file; old ones are not converted"))
            }
            std::cmp::Ordering::Greater => {
                Err(other_version(path, version, "newer", "use the program that made it, or a newer one"))
            }
        };
    }
    let tables: i64 = sql.query_row("select count(*) from sqlite_master", [], |row| row.get(0))?;
    if application == 0 && version == 0 && tables == 0 {
        return Ok(Found::Empty);
    }
    Err(foreign(path, "it is another program's SQLite file").into())
}

fn foreign(path: &Path, why: &str) -> LogError {
    LogError::File {
        problem: format!("{} is not a log of lienthong: {why}", path.display()),
        fix: "give the log a path of its own".into(),
    }
}

fn other_version(path: &Path, version: i32, what: &str, fix: &str) -> Fault {
    Fault::Log(LogError::File {
        problem: format!(
            "{} has layout {version}, {what} than this program's layout {VERSION}",
            path.display()
        ),
        fix: fix.into(),
    })
}

/// Changing the journal mode does not call the busy handler in every case.
fn set_wal(sql: &Connection) -> Result<(), rusqlite::Error> {
    let mut tries = 0;
    loop {
        let mode = sql.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0));
        match mode {
            Ok(_) => return Ok(()),
            Err(error)
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) && tries < 500 =>
            {
                tries += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(error),
        }
    }
}

/// Waits for another connection's transaction: briefly at first, because transactions here are short.
fn wait(tries: i32) -> bool {
    std::thread::sleep(Duration::from_micros(if tries < 20 { 200 } else { 2000 }));
    tries < BUSY_TRIES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_acknowledged_is_synced_and_leases_need_not_be() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("log.db");
        create_or_check(&path).expect("created");
        for (durability, expected) in [(Durability::Full, 2), (Durability::Relaxed, 1)] {
            let sql = connect(&path, durability, None).expect("connection");
            let level: i64 = sql.pragma_query_value(None, "synchronous", |row| row.get(0)).expect("level");
            assert_eq!(level, expected);
        }
    }
}
