//! The first load of a table, in chunks by key, each read in the transaction of the poll.

use lienthong_contract::Cell;
use lienthong_contract::keys::HashKey;
use lienthong_contract::source::{BrokenValue, RowChange, RowOp, RowVisitor, Side, TableCapture};
use rusqlite::{Connection, Row};

use super::catalogue::Table;
use super::joins::{self, Joined};
use super::position::FirstLoad;
use super::value::{KeyValue, bind_key, push};
use crate::identifier::{quote, quote_list};

/// Reads one table's rows as they are.
pub(super) struct Loader {
    first: String,
    next: String,
    /// Rows without a whole key, when the table allows them. They have no place in the order of keys.
    keyless: Option<String>,
    /// Places of the key among the columns.
    key: Vec<usize>,
    columns: usize,
    joins: Vec<Joined>,
}

impl Loader {
    /// `table` is what the catalogue says of the capture's table.
    pub(super) fn new(capture: &TableCapture, table: &Table) -> Self {
        let columns = quote_list("", capture.columns.iter().map(String::as_str));
        // In the order of bytes, whatever the columns' collations, or keys that are equal by a collation would be lost between chunks.
        let keys: Vec<String> =
            capture.key.iter().map(|name| format!("{} COLLATE BINARY", quote(name))).collect();
        let nullable = capture.key.iter().any(|name| table.column(name).is_none_or(|column| column.nullable));
        let whole: Vec<String> =
            capture.key.iter().map(|name| format!("{} is not null", quote(name))).collect();
        let from = format!("select {columns} from {}", quote(&table.name));
        let order = format!("order by {} limit ?1", keys.join(", "));
        let whole = whole.join(" and ");
        Self {
            first: format!("{from} where {whole} {order}"),
            next: format!("{from} where {whole} and {} {order}", behind(&keys)),
            keyless: nullable.then(|| format!("{from} where not ({whole})")),
            key: capture
                .key
                .iter()
                .filter_map(|name| capture.columns.iter().position(|column| column == name))
                .collect(),
            columns: capture.columns.len(),
            joins: joins::of(capture),
        }
    }

    /// Gives out the next rows of `load`, at most `limit` and those without a key. Returns how many, and whether that was all.
    pub(super) fn chunk(
        &self,
        conn: &Connection,
        load: &mut FirstLoad,
        given: &mut Given<'_>,
        limit: usize,
    ) -> rusqlite::Result<(usize, bool)> {
        let mut keyless = 0;
        if let (None, Some(sql)) = (&load.after, &self.keyless) {
            let mut statement = conn.prepare_cached(sql)?;
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next()? {
                let mut whole: Vec<KeyValue> = self.read(row, 0..self.columns)?;
                whole.push(KeyValue::Integer(keyless));
                self.give(conn, (row, &whole), load, given)?;
                keyless += 1;
            }
        }
        let mut statement =
            conn.prepare_cached(if load.after.is_some() { &self.next } else { &self.first })?;
        statement.raw_bind_parameter(1, i64::try_from(limit).unwrap_or(i64::MAX))?;
        for (at, value) in load.after.iter().flatten().enumerate() {
            bind_key(&mut statement, at + 2, value)?;
        }
        let mut count = 0;
        let mut rows = statement.raw_query();
        let mut last = None;
        while let Some(row) = rows.next()? {
            let key = self.read(row, self.key.iter().copied())?;
            self.give(conn, (row, &key), load, given)?;
            last = Some(key);
            count += 1;
        }
        load.after = last.or(load.after.take());
        Ok((count + usize::try_from(keyless).unwrap_or_default(), count < limit))
    }

    fn read(&self, row: &Row<'_>, places: impl Iterator<Item = usize>) -> rusqlite::Result<Vec<KeyValue>> {
        places.map(|at| Ok(KeyValue::of(row.get_ref(at)?))).collect()
    }

    fn give(
        &self,
        conn: &Connection,
        (row, named_by): (&Row<'_>, &[KeyValue]),
        load: &FirstLoad,
        given: &mut Given<'_>,
    ) -> rusqlite::Result<()> {
        let mut broken = Vec::new();
        // In the transaction in which the row is read.
        let taken = joins::take(conn, &self.joins, |column| row.get_ref(column))?;
        let mut cells = Vec::with_capacity(self.columns + taken.len());
        for at in 0..self.columns {
            push(&mut cells, row.get_ref(at)?, Side::After, &mut broken);
        }
        no_null_key(&cells, &self.key, Side::After, &mut broken);
        taken.iter().for_each(|value| push(&mut cells, value.into(), Side::After, &mut broken));
        given.visitor.row(&RowChange {
            table: given.table,
            op: RowOp::Snapshot,
            id: &snapshot_id(given.secret, load, named_by),
            moved_from: None,
            time: given.time,
            place: None,
            before: None,
            after: Some(&cells),
            broken: &broken,
            looked_up: &[],
        });
        Ok(())
    }
}

/// Whom rows are given to, and what is the same for all of them.
pub(super) struct Given<'v> {
    /// Receives the rows.
    pub(super) visitor: &'v mut dyn RowVisitor,
    /// Index of the table.
    pub(super) table: usize,
    /// Time of reading.
    pub(super) time: i64,
    /// Key of the digests.
    pub(super) secret: &'v HashKey,
}

/// `keys > parameters` in the order of the keys. The first part is said again alone, because only so is an index used for it.
fn behind(keys: &[String]) -> String {
    let parameters: Vec<String> = (0..keys.len()).map(|at| format!("?{}", at + 2)).collect();
    if let [key] = keys {
        return format!("{key} > ?2");
    }
    format!("{} >= ?2 and ({}) > ({})", keys[0], keys.join(", "), parameters.join(", "))
}

/// A row without a whole key cannot be followed.
pub(super) fn no_null_key(cells: &[Cell<'_>], key: &[usize], side: Side, broken: &mut Vec<BrokenValue>) {
    for column in key.iter().copied().filter(|at| cells[*at].is_null()) {
        // A value that could not be read is null as well and has been told.
        if !broken.iter().any(|known| known.side == side && known.column == column) {
            broken.push(BrokenValue { side, column, rule: "null-key" });
        }
    }
}

/// The digest is keyed with a secret of the database, so that short keys cannot be found by trying.
fn snapshot_id(secret: &HashKey, load: &FirstLoad, named_by: &[KeyValue]) -> String {
    let values: Vec<Vec<u8>> = named_by.iter().map(KeyValue::bytes).collect();
    let mut parts = vec![load.run.as_bytes(), load.table.as_bytes()];
    parts.extend(values.iter().map(Vec::as_slice));
    format!("s{}/{}/{}", load.run, load.table, secret.hash(&parts).hex())
}

#[cfg(test)]
impl Loader {
    /// The statement for every chunk but the first.
    pub(super) fn next_sql(&self) -> &str {
        &self.next
    }
}
