//! What is read in a poll's transaction: the outbox by its layouts, and the next chunk of a first load.

use std::collections::HashMap;
use std::fmt::Write as _;

use lienthong_contract::Cell;
use lienthong_contract::source::{
    BrokenValue, RowChange, RowOp, RowVisitor, Side, SourceError, TableCapture,
};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::error::source_error;
use super::file::plain;
use super::joins::{self, Joined};
use super::load::{Given, Loader, no_null_key};
use super::position::OutboxPosition;
use super::prepare;
use super::triggers::{OutboxNames, VOID, outbox_column};
use super::value::push;
use crate::identifier::quote;

/// Columns of the outbox before the values.
const FIXED: usize = 4;

/// Everything that follows from the file's schema.
pub(super) struct Reader {
    /// Names of the outbox.
    pub(super) names: OutboxNames,
    captures: Vec<TableCapture>,
    /// Captured tables in the order of the captures.
    pub(super) tables: Vec<String>,
    keys: Vec<Vec<usize>>,
    joins: Vec<Vec<Joined>>,
    loaders: Vec<Loader>,
    /// Every layout; `None` where the table is not captured now.
    layouts: HashMap<i64, Option<Recorded>>,
    head: String,
    last: String,
    page: String,
    /// The file's count of schema changes when this was read.
    pub(super) schema: i64,
}

/// Where a layout's values are.
struct Recorded {
    table: usize,
    /// For every captured column the place in the layout; `None` when it was not recorded.
    places: Vec<Option<usize>>,
}

/// What a poll begins with.
pub(super) struct Head {
    /// The highest id ever given to an outbox row.
    pub(super) high: i64,
    /// The lowest id in the outbox.
    pub(super) first: Option<i64>,
    /// The file's count of schema changes.
    pub(super) schema: i64,
    /// The file's count of other connections' commits.
    pub(super) seen: i64,
}

impl Reader {
    /// Reads the schema again, in the same transaction as what is read by it.
    pub(super) fn again(&self, conn: &Connection, name: &str) -> Result<Self, SourceError> {
        Self::new(conn, name, &self.names, &self.captures)
    }

    /// Reads the schema; everything that `prepare` makes must be there.
    pub(super) fn new(
        conn: &Connection,
        name: &str,
        names: &OutboxNames,
        captures: &[TableCapture],
    ) -> Result<Self, SourceError> {
        let plan = prepare::plan(conn, names, captures).map_err(|e| source_error(name, &e))?;
        plan.complete(name)?;
        for remark in &plan.remarks {
            tracing::warn!(source = name, "{remark}");
        }
        let outbox = quote(&names.outbox);
        let values: String = (0..plan.width)
            .map(|at| format!(", {}, {}", outbox_column('o', at), outbox_column('n', at)))
            .collect();
        let place =
            |capture: &TableCapture, key: &String| capture.columns.iter().position(|column| column == key);
        let mut reader = Self {
            names: names.clone(),
            captures: captures.to_vec(),
            tables: captures.iter().map(|capture| plain(&capture.table).to_owned()).collect(),
            keys: captures
                .iter()
                .map(|capture| capture.key.iter().filter_map(|key| place(capture, key)).collect())
                .collect(),
            joins: captures.iter().map(joins::of).collect(),
            loaders: captures
                .iter()
                .zip(&plan.tables)
                .map(|(capture, table)| Loader::new(capture, table))
                .collect(),
            layouts: HashMap::new(),
            // The sequence is behind the rows when a statement failed half way and kept its first half (OR FAIL).
            head: format!(
                "select max(coalesce((select seq from sqlite_sequence where name = ?1 collate nocase), 0), \
                 coalesce((select max(id) from {outbox}), 0)), (select min(id) from {outbox})"
            ),
            last: format!("select time from {outbox} where id = ?1"),
            page: format!(
                "select id, layout, op, time{values} from {outbox} where id > ?1 order by id limit ?2"
            ),
            schema: 0,
        };
        reader.read_layouts(conn).map_err(|e| source_error(name, &e))?;
        Ok(reader)
    }

    fn read_layouts(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        self.schema = schema_version(conn)?;
        let sql = format!("select id, table_name, columns from {}", quote(&self.names.layout));
        let mut statement = conn.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (id, table, columns): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let columns: Vec<String> = serde_json::from_str(&columns).unwrap_or_default();
            let place = |name: &String| columns.iter().position(|column| column.eq_ignore_ascii_case(name));
            let recorded = self.tables.iter().position(|name| *name == table).map(|table| Recorded {
                table,
                places: self.captures[table].columns.iter().map(place).collect(),
            });
            self.layouts.insert(id, recorded);
        }
        Ok(())
    }

    /// What there is to read.
    pub(super) fn head(&self, conn: &Connection) -> rusqlite::Result<Head> {
        let (high, first) = conn
            .prepare_cached(&self.head)?
            .query_row([&self.names.outbox], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Head { high, first, schema: schema_version(conn)?, seen: data_version(conn)? })
    }

    /// The file must not have been set back to a time before the position. Either it has given out fewer ids since, or it has given
    /// the position's last id to another row.
    pub(super) fn not_set_back(
        &self,
        conn: &Connection,
        position: &OutboxPosition,
        head: &Head,
    ) -> rusqlite::Result<Result<(), SourceError>> {
        let time: Option<i64> =
            conn.prepare_cached(&self.last)?.query_row([position.id], |row| row.get(0)).optional()?;
        let other = time.is_some_and(|time| position.time != Some(time));
        Ok(if other || position.id > head.high { Err(set_back(position)) } else { Ok(()) })
    }

    /// Gives out outbox rows. Returns how many, and whether that was all.
    pub(super) fn page(
        &self,
        conn: &Connection,
        name: &str,
        position: &mut OutboxPosition,
        head: &Head,
        limit: usize,
        visitor: &mut dyn RowVisitor,
    ) -> Result<(usize, bool), SourceError> {
        let error = |e: rusqlite::Error| source_error(name, &e);
        let mut statement = conn.prepare_cached(&self.page).map_err(error)?;
        let limit_sql = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = statement.query([position.id, limit_sql]).map_err(error)?;
        let (mut given, mut read) = (0, 0);
        let mut text = String::new();
        while let Some(row) = rows.next().map_err(error)? {
            let id: i64 = row.get(0).map_err(error)?;
            // Ids are given without a gap: what is rolled back gives its ids back.
            no_hole(position.id + 1, id)?;
            text.clear();
            let told = write!(text, "o{id}").is_ok();
            if self.give(conn, (row, &text), visitor).map_err(error)?.ok_or_else(|| unreadable(id))? && told {
                given += 1;
            }
            position.id = id;
            position.time = row.get(3).map_err(error)?;
            read += 1;
        }
        if read < limit {
            no_hole(position.id + 1, head.high + 1)?;
        }
        Ok((given, read < limit))
    }

    /// Gives out one outbox row. False when it says nothing or its table is not captured, `None` when it cannot be read.
    fn give(
        &self,
        conn: &Connection,
        (row, id): (&Row<'_>, &str),
        visitor: &mut dyn RowVisitor,
    ) -> rusqlite::Result<Option<bool>> {
        let Some(layout) = self.layouts.get(&row.get::<_, i64>(1)?) else { return Ok(None) };
        let Some(recorded) = layout else { return Ok(Some(false)) };
        let op = match row.get_ref(2)?.as_str().unwrap_or_default() {
            "I" => RowOp::Insert,
            "U" => RowOp::Update,
            "D" => RowOp::Delete,
            VOID => return Ok(Some(false)),
            _ => return Ok(None),
        };
        let key = &self.keys[recorded.table];
        let mut broken = Vec::new();
        let newest = usize::from(op != RowOp::Delete);
        let taken =
            joins::take(conn, &self.joins[recorded.table], |column| match recorded.places.get(column) {
                Some(Some(place)) => row.get_ref(FIXED + 2 * place + newest),
                _ => Ok(ValueRef::Null),
            })?;
        let mut read = |side: Side| -> rusqlite::Result<Vec<_>> {
            let offset = usize::from(side == Side::After);
            let mut cells = Vec::with_capacity(recorded.places.len());
            for place in &recorded.places {
                match place {
                    Some(place) => {
                        push(&mut cells, row.get_ref(FIXED + 2 * place + offset)?, side, &mut broken);
                    }
                    None => {
                        broken.push(BrokenValue { side, column: cells.len(), rule: "column-not-recorded" });
                        cells.push(Cell::Null);
                    }
                }
            }
            no_null_key(&cells, key, side, &mut broken);
            taken.iter().for_each(|value| push(&mut cells, value.into(), side, &mut broken));
            Ok(cells)
        };
        let before = if op == RowOp::Insert { None } else { Some(read(Side::Before)?) };
        let after = if op == RowOp::Delete { None } else { Some(read(Side::After)?) };
        let later: Vec<usize> = (recorded.places.len()..).take(taken.len()).collect();
        visitor.row(&RowChange {
            table: recorded.table,
            op,
            id,
            moved_from: None,
            time: row.get(3)?,
            place: None,
            before: before.as_deref(),
            after: after.as_deref(),
            broken: &broken,
            looked_up: &later,
        });
        Ok(Some(true))
    }

    /// The next rows of the first load, if one is under way.
    pub(super) fn chunk(
        &self,
        conn: &Connection,
        position: &mut OutboxPosition,
        given: &mut Given<'_>,
        limit: usize,
    ) -> rusqlite::Result<usize> {
        let Some(load) = &mut position.snap else { return Ok(0) };
        let Some(table) = self.tables.iter().position(|name| *name == load.table) else { return Ok(0) };
        given.table = table;
        let (rows, all) = self.loaders[table].chunk(conn, load, given, limit)?;
        if all {
            position.table_loaded(&self.tables);
        }
        Ok(rows)
    }
}

fn no_hole(expected: i64, found: i64) -> Result<(), SourceError> {
    if expected == found {
        return Ok(());
    }
    Err(SourceError::Gap {
        gap: format!("outbox ids {expected} to {} have been removed before they were published", found - 1),
        fix: crate::NEW_LINEAGE.to_owned(),
    })
}

fn set_back(position: &OutboxPosition) -> SourceError {
    SourceError::Gap {
        gap: format!(
            "outbox id {} of the stored position: the file has been set back to an earlier state",
            position.id
        ),
        fix: crate::NEW_LINEAGE.to_owned(),
    }
}

fn unreadable(id: i64) -> SourceError {
    SourceError::Gap {
        gap: format!("outbox row {id} cannot be read"),
        fix:
            "run `lienthong connect PARTICIPANT --accept-lineage REASON`, then delete that row of the outbox"
                .to_owned(),
    }
}

fn schema_version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.prepare_cached("pragma schema_version")?.query_row([], |row| row.get(0))
}

/// The file's count of commits by other connections.
pub(super) fn data_version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.prepare_cached("pragma data_version")?.query_row([], |row| row.get(0))
}
