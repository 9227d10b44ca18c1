//! What a file has of an outbox and what it lacks: `prepare` runs the statements, `open` wants nothing missing.

use lienthong_contract::counted;
use lienthong_contract::source::{Finding, SourceError, TableCapture};
use rusqlite::{Connection, OptionalExtension as _};

use super::catalogue::{self, Table};
use super::error::prepare;
use super::file::plain;
use super::joins;
use super::triggers::{self, Layout, OutboxNames, Trigger, outbox_column};
use crate::identifier::quote;

/// The most columns of one table: two sides and four more columns fit into one table of SQLite.
const MOST_COLUMNS: usize = 990;

/// Everything that a look at one file found.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// What keeps a table from being captured whatever `prepare` does.
    pub(super) obstacles: Vec<String>,
    /// What `prepare` has to make before anything can be read.
    pub(super) missing: Vec<String>,
    /// What cannot be captured of a table, for people to know.
    pub(super) remarks: Vec<String>,
    /// The captured tables that exist.
    pub(super) tables: Vec<Table>,
    /// Pairs of columns that the outbox has.
    pub(super) width: usize,
    statements: Vec<String>,
}

const FIX: &str = "change the participant's tables and keys, or the tables themselves";

impl Plan {
    /// The statements of `prepare`, to be run in one transaction.
    pub(super) fn sql(&self) -> String {
        let remarks: String =
            self.remarks.iter().map(|remark| format!("-- {}\n", remark.replace('\n', " "))).collect();
        format!("{remarks}{}", self.statements.concat())
    }

    /// Each obstacle, each thing that is missing, and each remark.
    pub(super) fn findings(&self, source: &str) -> Vec<Finding> {
        let finding = |problem: &String, fix: &str, halts: bool| Finding {
            problem: problem.clone(),
            fix: fix.to_owned(),
            halts,
        };
        let obstacles = self.obstacles.iter().map(|problem| finding(problem, FIX, true));
        let prepare = prepare(source);
        let missing = self.missing.iter().map(|problem| finding(problem, &prepare, true));
        let remarks = self.remarks.iter().map(|remark| finding(remark, "nothing has to be done", false));
        obstacles.chain(missing).chain(remarks).collect()
    }

    /// The error that names every obstacle.
    pub(super) fn no_obstacle(&self) -> Result<(), SourceError> {
        if self.obstacles.is_empty() {
            return Ok(());
        }
        Err(SourceError::NotPrepared { problem: self.obstacles.join("; "), fix: FIX.to_owned() })
    }

    /// The error that names everything that is wrong.
    pub(super) fn complete(&self, source: &str) -> Result<(), SourceError> {
        self.no_obstacle()?;
        if self.missing.is_empty() {
            return Ok(());
        }
        Err(SourceError::NotPrepared { problem: self.missing.join("; "), fix: prepare(source) })
    }
}

/// Looks at the file.
pub(super) fn plan(
    conn: &Connection,
    names: &OutboxNames,
    captures: &[TableCapture],
) -> rusqlite::Result<Plan> {
    let mut plan = Plan::default();
    for capture in captures {
        if let Some(table) = captured(conn, names, capture, &mut plan)? {
            plan.tables.push(table);
        }
    }
    if !plan.obstacles.is_empty() {
        return Ok(plan);
    }
    own_tables(conn, names, captures, &mut plan)?;
    let present = present_triggers(conn, names)?;
    let wanted: Vec<Vec<Trigger>> = captures
        .iter()
        .zip(&plan.tables)
        .map(|(capture, table)| triggers::triggers(names, capture, table))
        .collect();
    drop_stale(&present, &wanted, &mut plan);
    for (at, capture) in captures.iter().enumerate() {
        layout(conn, names, capture, &mut plan)?;
        let name = plan.tables[at].name.clone();
        table_triggers(&wanted[at], &name, &present, &mut plan);
    }
    Ok(plan)
}

fn captured(
    conn: &Connection,
    names: &OutboxNames,
    capture: &TableCapture,
    plan: &mut Plan,
) -> rusqlite::Result<Option<Table>> {
    let name = plain(&capture.table);
    let Some(table) = catalogue::table(conn, name)? else {
        plan.obstacles.push(format!("table {name} does not exist"));
        return Ok(None);
    };
    let found = &mut plan.obstacles;
    if table.kind != "table" || names.owns(name) {
        found.push(format!("{name} is no plain table of the owner"));
    }
    for column in capture.columns.iter().chain(&capture.key) {
        if table.column(column).is_none() {
            found.push(format!("{name} has no column {column}"));
        }
    }
    if capture.key.is_empty() || !capture.key.iter().all(|key| capture.columns.contains(key)) {
        found.push(format!("the key of {name} must be named and be among the captured columns"));
    }
    if capture.columns.len() > MOST_COLUMNS {
        found.push(format!("more than {MOST_COLUMNS} columns of {name} are captured"));
    }
    for unique in table.unique.iter().filter(|unique| unique.partial) {
        plan.remarks.push(format!(
            "rows of {name} that INSERT OR REPLACE removes because of the partial or expression index {} are not \
             recorded as deleted",
            unique.index
        ));
    }
    found.extend(joins::obstacles(conn, capture)?);
    owners_triggers(conn, names, capture, &table, plan)?;
    Ok(Some(table))
}

/// Triggers of the owner that write while a row is written: where a change of theirs cannot be told from the one that fired them,
/// the table is refused.
fn owners_triggers(
    conn: &Connection,
    names: &OutboxNames,
    capture: &TableCapture,
    table: &Table,
    plan: &mut Plan,
) -> rusqlite::Result<()> {
    let sql = "select name, sql from sqlite_master where type = 'trigger' and tbl_name = ?1 collate nocase \
               and substr(name, 1, length(?2)) <> ?2 order by name";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
    let triggers: Vec<(String, String)> = conn
        .prepare(sql)?
        .query_map([&table.name, &names.trigger_prefix()], read)?
        .collect::<rusqlite::Result<_>>()?;
    for (trigger, sql) in triggers.iter().filter(|(_, sql)| writes(sql)) {
        if !triggers::found_by_key(capture, table) {
            plan.obstacles.push(format!(
                "{} needs a unique index over exactly ({}): its trigger {trigger} writes, and without one a change of a \
                 row cannot be told from the change that fired the trigger",
                table.name,
                capture.key.join(", ")
            ));
        }
        if has_word(sql, "before") && !triggers::replacing(capture, table).is_empty() {
            plan.remarks.push(format!(
                "rows of {} that INSERT OR REPLACE removes because of a further unique index are not recorded as deleted \
                 when the trigger {trigger} has written the table just before",
                table.name
            ));
        }
    }
    Ok(())
}

/// Whether a trigger does more than check. Its text is looked at as words, so that in doubt it does.
fn writes(sql: &str) -> bool {
    let begin = sql.to_ascii_lowercase().find("begin").unwrap_or_default();
    ["insert", "update", "delete", "replace"].iter().any(|word| has_word(&sql[begin..], word))
}

fn has_word(sql: &str, wanted: &str) -> bool {
    sql.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word.eq_ignore_ascii_case(wanted))
}

/// Outbox, layouts, lineage, and the place for rows that may be replaced.
fn own_tables(
    conn: &Connection,
    names: &OutboxNames,
    captures: &[TableCapture],
    plan: &mut Plan,
) -> rusqlite::Result<()> {
    let needed = captures.iter().map(|capture| capture.columns.len()).max().unwrap_or_default();
    let pairs: Vec<String> =
        (0..needed).flat_map(|at| [outbox_column('o', at), outbox_column('n', at)]).collect();
    let before: Vec<String> = (0..needed).map(|at| outbox_column('o', at)).collect();
    let columns = |columns: &[String]| columns.iter().map(|column| format!(", {column}")).collect::<String>();
    // Columns without a type keep every value exactly as it is.
    plan.statements.push(format!(
        "CREATE TABLE IF NOT EXISTS {} (id INTEGER PRIMARY KEY AUTOINCREMENT, layout INTEGER, op TEXT, time INTEGER{});\n\
         CREATE TABLE IF NOT EXISTS {} (layout INTEGER{});\n\
         CREATE TABLE IF NOT EXISTS {} (id INTEGER PRIMARY KEY, table_name TEXT NOT NULL, columns TEXT NOT NULL, \
         digest TEXT NOT NULL);\n\
         CREATE TABLE IF NOT EXISTS {meta} (one INTEGER PRIMARY KEY CHECK (one = 1), \
         lineage TEXT NOT NULL DEFAULT (lower(hex(randomblob(16)))), \
         secret TEXT NOT NULL DEFAULT (lower(hex(randomblob(32)))));\n\
         INSERT OR IGNORE INTO {meta} (one) VALUES (1);\n",
        quote(&names.outbox),
        columns(&pairs),
        quote(&names.replaced),
        columns(&before),
        quote(&names.layout),
        meta = quote(&names.meta),
    ));
    plan.width = widen(conn, &names.outbox, &["id", "layout", "op", "time"], &['o', 'n'], needed, plan)?;
    widen(conn, &names.replaced, &["layout"], &['o'], needed, plan)?;
    for (table, columns) in [
        (&names.layout, &["id", "table_name", "columns", "digest"][..]),
        (&names.meta, &["lineage", "secret"]),
    ] {
        has_columns(catalogue::table(conn, table)?.as_ref(), table, columns, plan);
    }
    if plan.missing.is_empty() && plan.obstacles.is_empty() {
        let sql = format!("select count(*) from {}", quote(&names.meta));
        if conn.query_row(&sql, [], |row| row.get::<_, i64>(0))? != 1 {
            plan.missing.push(format!("the row of {}", names.meta));
        }
    }
    Ok(())
}

fn has_columns(table: Option<&Table>, name: &str, columns: &[&str], plan: &mut Plan) {
    match table {
        None => plan.missing.push(format!("table {name} does not exist")),
        Some(table) if columns.iter().any(|column| table.column(column).is_none()) => {
            plan.obstacles
                .push(format!("table {name} is there but is not what the bus makes under this name"));
        }
        Some(_) => {}
    }
}

/// Adds columns to a table that is too narrow; returns how many there are without them.
fn widen(
    conn: &Connection,
    name: &str,
    fixed: &[&str],
    sides: &[char],
    needed: usize,
    plan: &mut Plan,
) -> rusqlite::Result<usize> {
    let table = catalogue::table(conn, name)?;
    has_columns(table.as_ref(), name, fixed, plan);
    let Some(table) = table else { return Ok(0) };
    let has = |at: usize| sides.iter().all(|side| table.column(&outbox_column(*side, at)).is_some());
    let width = (0..).take_while(|at| has(*at)).count();
    for at in width..needed {
        for side in sides {
            plan.statements.push(format!(
                "ALTER TABLE {} ADD COLUMN {};\n",
                quote(name),
                outbox_column(*side, at)
            ));
        }
    }
    if width < needed {
        plan.missing
            .push(format!("table {name} has {} for values and needs {needed}", counted(width, "column")));
    }
    Ok(width)
}

fn layout(
    conn: &Connection,
    names: &OutboxNames,
    capture: &TableCapture,
    plan: &mut Plan,
) -> rusqlite::Result<()> {
    let layout = Layout::of(capture);
    plan.statements.push(triggers::insert_layout(names, &layout));
    if catalogue::table(conn, &names.layout)?.is_none() {
        return Ok(());
    }
    let sql = format!("select digest from {} where id = ?1", quote(&names.layout));
    let digest: Option<String> = conn.query_row(&sql, [layout.id], |row| row.get(0)).optional()?;
    match digest {
        None => plan.missing.push(format!("the present list of columns of {}", layout.table)),
        Some(digest) if digest != layout.digest => {
            plan.obstacles
                .push(format!("the layout of {} in {} has been changed", layout.table, names.layout));
        }
        Some(_) => {}
    }
    Ok(())
}

/// Triggers are wanted to the letter by `prepare`; `open` is content when changes are recorded, so that an owner who adds a
/// unique index does not stop the stream.
fn table_triggers(wanted: &[Trigger], table: &str, present: &[Present], plan: &mut Plan) {
    for trigger in wanted {
        let found = present.iter().find(|other| other.name == trigger.name && other.is_on(table));
        if found.is_some_and(|found| found.sql == trigger.sql) {
            continue;
        }
        plan.statements.push(triggers::create(trigger));
        match &trigger.needed {
            Some((head, core)) if !found.is_some_and(|at| at.sql.starts_with(head) && at.sql.contains(core)) => {
                plan.missing.push(format!("trigger {} is missing or different", trigger.name));
            }
            Some(_) | None => plan.remarks.push(format!(
                "the unique indexes of {table} have changed: rows that INSERT OR REPLACE removes are recorded as \
                 deleted after the next prepare"
            )),
        }
    }
}

/// A trigger of this outbox.
pub(super) struct Present {
    /// Its name.
    pub(super) name: String,
    table: String,
    sql: String,
}

impl Present {
    fn is_on(&self, table: &str) -> bool {
        self.table.eq_ignore_ascii_case(table)
    }
}

/// The triggers of this outbox, on whatever table.
pub(super) fn present_triggers(conn: &Connection, names: &OutboxNames) -> rusqlite::Result<Vec<Present>> {
    let sql = "select name, tbl_name, sql from sqlite_master \
               where type = 'trigger' and substr(name, 1, length(?1)) = ?1 order by name";
    let read =
        |row: &rusqlite::Row<'_>| Ok(Present { name: row.get(0)?, table: row.get(1)?, sql: row.get(2)? });
    conn.prepare(sql)?.query_map([names.trigger_prefix()], read)?.collect()
}

/// What is on a table that is no longer captured, or was made for another form of capture, records no more.
fn drop_stale(present: &[Present], wanted: &[Vec<Trigger>], plan: &mut Plan) {
    for trigger in present {
        let kept = plan.tables.iter().zip(wanted).any(|(table, wanted)| {
            trigger.is_on(&table.name) && wanted.iter().any(|wanted| wanted.name == trigger.name)
        });
        if !kept {
            plan.statements.push(format!("DROP TRIGGER IF EXISTS {};\n", quote(&trigger.name)));
        }
    }
}
