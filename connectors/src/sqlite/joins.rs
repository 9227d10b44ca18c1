//! Values that rows take from other tables of the file: a look-up by a unique key there, in the transaction of the poll.

use lienthong_contract::source::{Join, TableCapture};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, ToSql};

use super::catalogue;
use super::file::plain;
use crate::identifier::quote;

/// One value that a table's rows take.
pub(super) struct Joined {
    sql: String,
    /// Places of the columns by which it is found.
    by: Vec<usize>,
}

/// What a table's rows take.
pub(super) fn of(capture: &TableCapture) -> Vec<Joined> {
    capture.joins.iter().map(joined).collect()
}

fn joined(join: &Join) -> Joined {
    let same = join.by.iter().enumerate().map(|(at, (column, _))| format!("{} = ?{}", quote(column), at + 1));
    let same: Vec<String> = same.collect();
    let (take, table) = (quote(&join.take), quote(plain(&join.table)));
    Joined {
        sql: format!("select {take} from {table} where {} limit 1", same.join(" and ")),
        by: join.by.iter().map(|(_, at)| *at).collect(),
    }
}

/// The values for one row, of which `value` gives the captured columns; null where nothing is found.
pub(super) fn take<'r>(
    conn: &Connection,
    joins: &[Joined],
    value: impl Fn(usize) -> rusqlite::Result<ValueRef<'r>>,
) -> rusqlite::Result<Vec<Value>> {
    let mut taken = Vec::with_capacity(joins.len());
    for join in joins {
        let mut statement = conn.prepare_cached(&join.sql)?;
        for (at, column) in join.by.iter().enumerate() {
            statement.raw_bind_parameter(at + 1, Bound(value(*column)?))?;
        }
        let mut rows = statement.raw_query();
        taken.push(match rows.next()? {
            Some(row) => row.get(0)?,
            None => Value::Null,
        });
    }
    Ok(taken)
}

struct Bound<'r>(ValueRef<'r>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(rusqlite::types::ToSqlOutput::Borrowed(self.0))
    }
}

/// What keeps rows from taking their values.
pub(super) fn obstacles(conn: &Connection, capture: &TableCapture) -> rusqlite::Result<Vec<String>> {
    let mut found = Vec::new();
    for join in &capture.joins {
        let (name, place) = (plain(&join.table), &join.place);
        let Some(other) = catalogue::table(conn, name)?.filter(|table| table.kind == "table") else {
            found.push(format!("{place}: table {name} does not exist"));
            continue;
        };
        let by: Vec<&str> = join.by.iter().map(|(column, _)| column.as_str()).collect();
        let lacking =
            by.iter().copied().chain([join.take.as_str()]).filter(|column| other.column(column).is_none());
        let lacking: Vec<String> =
            lacking.map(|column| format!("{place}: {name} has no column {column}")).collect();
        if lacking.is_empty() && !other.unique.iter().any(|unique| unique.is_over(&by)) {
            found.push(format!(
                "{place}: {name} has no unique index over exactly ({}): more than one row could be found",
                by.join(", ")
            ));
        }
        found.extend(lacking);
    }
    Ok(found)
}
