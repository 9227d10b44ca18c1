//! The first load beside the stream: a chunk is read in a snapshot, and given out when the stream has come to where the log stood
//! then. Rows that a transaction changed which the snapshot does not see are taken out of the chunk: the change itself comes,
//! or has come, from the stream. So a row stands exactly where it was read, without a gap and without being given twice.

use std::collections::{HashSet, VecDeque};

use bumpalo::Bump;
use lienthong_contract::Cell;
use lienthong_contract::source::Side;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};

use super::super::asked::ChunkQuery;
use super::super::decode;
use super::super::joins;
use super::attached::Part;
use super::tables::StreamTable;
use super::visible::Snapshot;
use crate::asked::Passed;
use crate::text::render;

/// A row that was read.
pub(super) struct Loaded {
    /// Its key as the server casts it to text.
    pub(super) key: Vec<String>,
    /// The row as JSON.
    pub(super) json: String,
    /// Its key as the stream shows it.
    shown: Option<Vec<String>>,
    /// What it takes from other tables.
    pub(super) taken: Vec<Option<String>>,
}

/// Rows that wait for the stream.
pub(super) struct Chunk {
    /// Index of the table.
    pub(super) table: usize,
    /// What had ended when they were read.
    pub(super) snapshot: Snapshot,
    /// When they were read, microseconds.
    pub(super) time: i64,
    /// They can be given out when the stream has come so far.
    pub(super) until: u64,
    /// Whether more may follow.
    pub(super) more: bool,
    pub(super) rows: VecDeque<Loaded>,
    /// Keys of rows that have not been changed since.
    standing: HashSet<Vec<String>>,
    /// A row was changed of which cannot be said which it is: all have to be read again.
    pub(super) spoiled: bool,
    /// Where somebody has asked for the rows: what giving them out comes to.
    pub(super) asked: Option<Passed>,
    /// The partition whose rows they are, where it is loaded alone.
    pub(super) part: Option<Part>,
}

impl Chunk {
    /// Reads the rows that `query` gives.
    pub(super) async fn read(
        conn: &mut PgConnection,
        (table, of): (usize, &StreamTable),
        query: &ChunkQuery,
    ) -> Result<Self, sqlx::Error> {
        let broken = || sqlx::Error::Protocol("a snapshot is no snapshot".to_owned());
        let mut transaction = conn.begin_with("begin isolation level repeatable read, read only").await?;
        // What the snapshot sees has its commit before the end that is looked up behind it. What reading the rows makes the server
        // write itself stands behind that, and nobody has to wait for it.
        let sql = "select pg_catalog.pg_current_snapshot()::text as snapshot, \
             (pg_catalog.pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint as until, \
             (extract(epoch from pg_catalog.clock_timestamp()) * 1000000)::bigint as time";
        let head = sqlx::query(sql).fetch_one(&mut *transaction).await?;
        let found = query.query().fetch_all(&mut *transaction).await?;
        let jsons = found.iter().map(|row| row.try_get("row").map(|json| (0, Some(json))));
        let jsons = jsons.collect::<Result<Vec<_>, sqlx::Error>>()?;
        let taken = joins::look_up(&mut transaction, &[&of.captured], &jsons).await?;
        transaction.commit().await?;
        let (mut rows, mut standing) = (VecDeque::with_capacity(found.len()), HashSet::new());
        let mut arena = Bump::new();
        for (row, taken) in found.iter().zip(taken) {
            arena.reset();
            let json: String = row.try_get("row")?;
            let shown = shown_in(&json, of, &arena);
            standing.extend(shown.clone());
            rows.push_back(Loaded { key: row.try_get("key")?, json, shown, taken });
        }
        Ok(Self {
            table,
            snapshot: Snapshot::parse(head.try_get("snapshot")?).ok_or_else(broken)?,
            time: head.try_get("time")?,
            until: head.try_get::<i64, _>("until")?.unsigned_abs(),
            more: rows.len() >= query.limit,
            rows,
            standing,
            spoiled: false,
            asked: None,
            part: None,
        })
    }

    /// A row of the table was changed that the snapshot does not see as it is now.
    pub(super) fn changed(&mut self, cells: &[Cell<'_>], of: &StreamTable) {
        match shown(of.keys.iter().map(|key| cells[*key])) {
            Some(key) => drop(self.standing.remove(&key)),
            None => self.spoiled = true,
        }
    }

    /// Whether the row is to be given out. One whose key cannot be told has not been changed, or all would be spoiled.
    pub(super) fn stands(&self, row: &Loaded) -> bool {
        row.shown.as_ref().is_none_or(|key| self.standing.contains(key))
    }
}

/// A key by its cells, which are the same from both roads; `None` where no cell holds a value.
fn shown<'a>(cells: impl Iterator<Item = Cell<'a>>) -> Option<Vec<String>> {
    cells.map(|cell| render(&cell)).collect()
}

fn shown_in(json: &str, of: &StreamTable, arena: &Bump) -> Option<Vec<String>> {
    let needed: Vec<_> = of.keys.iter().filter_map(|key| of.captured.needed.get(*key)).cloned().collect();
    let cells = decode::row(arena.alloc_str(json), &needed, (Side::After, &mut Vec::new()), arena).ok()?;
    shown(cells.iter().copied())
}
