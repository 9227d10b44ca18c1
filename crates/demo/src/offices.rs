//! The ministries' databases, as the ministries' own programs write them: one transaction per step. The bus only ever sees these files.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use lienthong_contract::provoke;
use lienthong_nation::{Op, RowWrite, Step, System, Value};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, ToSql, Transaction};

use crate::error::{DemoError, database};
use crate::ground::Progress;
use crate::site::publisher_file;

/// What the demo keeps beside the ministries' tables: which step of the nation's life has been written (in the transaction of its rows, so
/// that a killed demo goes on where it was), and which rows the nation knows to be wrong.
pub(crate) const OWN_TABLES: &str = "
create table if not exists demo_step (happening integer not null, step integer not null, primary key (happening, step)) without rowid;
create table if not exists demo_refused (origin text not null, key text not null, column_name text not null,
  primary key (origin, key, column_name)) without rowid;
";

/// The place of the first day among the steps.
const FIRST_DAY: (i64, i64) = (0, 0);

/// Connections to all publishing systems.
pub(crate) struct Offices {
    systems: BTreeMap<System, Connection>,
}

impl Offices {
    /// Opens the databases and makes the tables that are missing.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn open(folder: &Path) -> Result<Self, DemoError> {
        let mut systems = BTreeMap::new();
        for system in System::ALL {
            let error = database(system.participant());
            let conn = Connection::open(publisher_file(folder, system.participant())).map_err(&error)?;
            conn.pragma_update(None, "journal_mode", "wal").map_err(&error)?;
            // A laptop's demo need not survive a power cut at its ministries; the bus's own files do.
            conn.pragma_update(None, "synchronous", "normal").map_err(&error)?;
            conn.busy_timeout(std::time::Duration::from_secs(10)).map_err(&error)?;
            for table in system.tables() {
                let create = table.create.replacen("create table ", "create table if not exists ", 1);
                conn.execute_batch(&create).map_err(&error)?;
            }
            conn.execute_batch(OWN_TABLES).map_err(&error)?;
            systems.insert(system, conn);
        }
        Ok(Self { systems })
    }

    /// Whether a system's database holds its first day.
    pub(crate) fn is_filled(&self, system: System) -> Result<bool, DemoError> {
        let Some(conn) = self.systems.get(&system) else { return Ok(false) };
        is_done(conn, FIRST_DAY).map_err(database(system.participant()))
    }

    /// Writes the rows of a system's first day, each with the number of people asked so far, in one transaction that `progress` may
    /// break off.
    pub(crate) fn fill(
        &mut self,
        system: System,
        rows: impl Iterator<Item = (RowWrite, usize)>,
        progress: &mut Progress<'_>,
    ) -> Result<ControlFlow<()>, DemoError> {
        let Some(conn) = self.systems.get_mut(&system) else { return Ok(ControlFlow::Continue(())) };
        let mut all = 0;
        let work = |transaction: &Transaction<'_>| {
            for (row, asked) in rows {
                all = asked;
                write_row(transaction, &row)?;
                if progress.row(asked).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        };
        let filled = once(conn, FIRST_DAY, work).map_err(database(system.participant()))?;
        Ok(if filled.is_continue() { progress.filled(system, all as u64) } else { filled })
    }

    /// Writes one step, unless it has been written.
    ///
    /// # Errors
    /// When the database refuses it.
    pub(crate) fn write(&mut self, happening: u64, index: usize, step: &Step) -> Result<(), DemoError> {
        let Some(conn) = self.systems.get_mut(&step.system) else { return Ok(()) };
        let place = (happening.cast_signed(), index as i64);
        let rows = |transaction: &Transaction<'_>| {
            step.writes.iter().try_for_each(|row| write_row(transaction, row))?;
            Ok(ControlFlow::Continue(()))
        };
        once(conn, place, rows).map(|_| ()).map_err(database(step.system.participant()))
    }
}

/// Runs `work` and notes its place in one transaction; nothing when the place was noted before. Nothing stays of work that breaks off.
fn once(
    conn: &mut Connection,
    place: (i64, i64),
    work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<ControlFlow<()>>,
) -> rusqlite::Result<ControlFlow<()>> {
    let transaction = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    if is_done(&transaction, place)? || work(&transaction)?.is_continue() {
        let note = "insert or ignore into demo_step values (?1, ?2)";
        transaction.prepare_cached(note)?.execute(place)?;
        transaction.commit()?;
        return Ok(ControlFlow::Continue(()));
    }
    Ok(ControlFlow::Break(()))
}

fn is_done(conn: &Connection, place: (i64, i64)) -> rusqlite::Result<bool> {
    let sql = "select 1 from demo_step where happening = ?1 and step = ?2";
    Ok(conn.prepare_cached(sql)?.query_row(place, |_| Ok(())).optional()?.is_some())
}

fn write_row(transaction: &Transaction<'_>, row: &RowWrite) -> rusqlite::Result<()> {
    provoke::panic_at("life", || row.values.iter().filter_map(|(_, value)| value.as_text()).collect());
    let (sql, values) = row.statement();
    let mut statement = transaction.prepare_cached(&sql)?;
    for (at, value) in values.iter().enumerate() {
        statement.raw_bind_parameter(at + 1, Bound(value))?;
    }
    statement.raw_execute()?;
    note(transaction, row)
}

/// Keeps the list of values that the bus must refuse as they stand.
fn note(transaction: &Transaction<'_>, row: &RowWrite) -> rusqlite::Result<()> {
    let forget =
        "delete from demo_refused where origin = ?1 and key = ?2 and (?3 is null or column_name = ?3)";
    let (before, after) = (key(row, false), key(row, true));
    if row.op == Op::Delete {
        transaction.prepare_cached(forget)?.execute((row.table, before, None::<&str>))?;
        return Ok(());
    }
    if row.op == Op::Update {
        for (column, _) in &row.values {
            transaction.prepare_cached(forget)?.execute((row.table, &before, Some(column)))?;
        }
        if before != after {
            let follow = "update or replace demo_refused set key = ?3 where origin = ?1 and key = ?2";
            transaction.prepare_cached(follow)?.execute((row.table, &before, &after))?;
        }
    }
    for (column, _) in row.meant.iter().filter(|_| row.is_rejected()) {
        let keep = "insert or ignore into demo_refused values (?1, ?2, ?3)";
        transaction.prepare_cached(keep)?.execute((row.table, &after, column))?;
    }
    Ok(())
}

/// The row's key as one text; `after` the write, which may change it.
fn key(row: &RowWrite, after: bool) -> String {
    let part = |(name, before): &(&'static str, Value)| {
        let value = if after { row.value(name).unwrap_or(before) } else { before };
        match value {
            Value::Null => String::new(),
            Value::Int(number) => number.to_string(),
            Value::Text(text) => text.to_string(),
        }
    };
    row.key.iter().map(part).collect::<Vec<_>>().join("/")
}

struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Value::Null => ToSqlOutput::Owned(rusqlite::types::Value::Null),
            Value::Int(number) => ToSqlOutput::Owned(rusqlite::types::Value::Integer(*number)),
            Value::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        })
    }
}
