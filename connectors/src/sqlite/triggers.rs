//! The triggers that record changes. They use nothing but what every SQLite since 3.31 has built in, so they work whoever
//! opens the file.
//!
//! What SQLite cannot guarantee: a trigger cannot catch an error, so a full disk, or an outbox dropped by hand, fails the owner's
//! write too; a connection that switches triggers off records nothing. The owner cannot drop a captured column while its trigger
//! is there.
//!
//! `INSERT OR REPLACE` removes the rows it conflicts with without firing their delete triggers. A row of the same key needs no
//! more: an insert on top of a row is taken as its new value. A row of another key, removed because of a further unique index,
//! would be missed. So on tables with such indexes a trigger before the write notes the rows that conflict, and the trigger
//! after it records the deletion of those that are gone. A note left by a write that did not happen (`OR IGNORE`) is
//! discarded by the next write. Partial indexes and indexes over expressions cannot be followed in this way.
//!
//! SQLite does not say in which order the triggers of one write fire. A trigger of the owner that fires before ours and writes the
//! same row has its own change recorded first. Ours sees that, because the row is no longer what it was left as, and then the
//! first of the changes that followed takes up the one it follows: `a` to `b` and `b` to `c` are recorded as `a` to `c`.

use lienthong_contract::source::TableCapture;
use sha2::{Digest, Sha256};

use super::catalogue::{Table, Unique};
use super::file::plain;
use crate::identifier::{literal, quote};

/// The operation of an outbox row that says nothing: a row came and went while its own triggers ran.
pub(super) const VOID: &str = "V";

/// Microseconds since 1970 UTC, to the millisecond that SQLite has.
const CLOCK: &str = "CAST(strftime('%s', 'now') AS INTEGER) * 1000000 \
                     + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000";

/// Names of everything that belongs to one outbox.
#[derive(Clone, Debug)]
pub(super) struct OutboxNames {
    /// The outbox table.
    pub(super) outbox: String,
    /// Which columns a row of the outbox holds.
    pub(super) layout: String,
    /// One row: lineage id and the secret for key digests.
    pub(super) meta: String,
    /// Rows that the statement under way may replace.
    pub(super) replaced: String,
}

impl OutboxNames {
    /// Names beside the outbox table `table`.
    pub(super) fn new(table: &str) -> Self {
        let outbox = plain(table).to_owned();
        let with = |suffix: &str| format!("{outbox}{suffix}");
        Self { layout: with("_layout"), meta: with("_meta"), replaced: with("_replaced"), outbox }
    }

    /// What the names of this outbox's triggers begin with; no other outbox's do.
    pub(super) fn trigger_prefix(&self) -> String {
        format!("{}/", self.outbox)
    }

    /// Whether a table is one of the outbox's own.
    pub(super) fn owns(&self, table: &str) -> bool {
        [&self.outbox, &self.layout, &self.meta, &self.replaced]
            .iter()
            .any(|own| own.eq_ignore_ascii_case(table))
    }
}

/// The columns that a table's outbox rows hold. Its id follows from what it says, so that a changed list is another layout and
/// rows recorded under the old one stay readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Names the layout in outbox rows.
    pub(super) id: i64,
    /// The whole digest, hexadecimal.
    pub(super) digest: String,
    /// The table.
    pub(super) table: String,
    /// Columns in the order in which they lie in the outbox.
    pub(super) columns: Vec<String>,
}

impl Layout {
    /// The layout for what is captured now.
    pub(super) fn of(capture: &TableCapture) -> Self {
        let mut digest = Sha256::new();
        let table = plain(&capture.table);
        let count = capture.key.len().to_string();
        let parts =
            [table, &count].into_iter().chain(capture.key.iter().chain(&capture.columns).map(String::as_str));
        for part in parts {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let digest = crate::text::hex(&digest.finalize());
        // 48 bits: an integer of six bytes in every outbox row.
        let id = i64::from_str_radix(&digest[..12], 16).unwrap_or_default();
        Self { id, digest, table: table.to_owned(), columns: capture.columns.clone() }
    }
}

/// One trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trigger {
    /// Its name.
    pub(super) name: String,
    /// The whole statement, as the catalogue keeps it.
    pub(super) sql: String,
    /// Parts that must be there for changes to be recorded; none for a trigger that only sees what a `REPLACE` removed.
    pub(super) needed: Option<(String, String)>,
}

/// Indexes over which a row may replace one of another key.
pub(super) fn replacing<'t>(capture: &TableCapture, table: &'t Table) -> Vec<&'t Unique> {
    let same_key = |unique: &Unique| {
        capture.key.iter().all(|key| {
            unique
                .columns
                .iter()
                .any(|(name, coll)| name.eq_ignore_ascii_case(key) && coll.eq_ignore_ascii_case("BINARY"))
        })
    };
    table.unique.iter().filter(|unique| !unique.partial && !same_key(unique)).collect()
}

/// The triggers of a captured table.
pub(super) fn triggers(names: &OutboxNames, capture: &TableCapture, table: &Table) -> Vec<Trigger> {
    let layout = Layout::of(capture);
    let writer = Writer { names, capture, table, layout: &layout };
    let replacing = replacing(capture, table);
    let (confirm, forget) = match replacing.is_empty() {
        true => (String::new(), String::new()),
        false => (writer.confirm(), writer.forget()),
    };
    let same_key = equal(&capture.key, "old.", "new.");
    let insert = writer.record(Op::Insert);
    let update = writer.record(Op::Update);
    let delete = writer.record(Op::Delete);
    let mut triggers = vec![
        writer.trigger("insert", "AFTER INSERT", "", &confirm, &insert, ""),
        writer.trigger("update", "AFTER UPDATE", &format!(" WHEN {same_key}"), &confirm, &update, ""),
        // A row whose key changed is a delete and an insert.
        writer.trigger(
            "rekey",
            "AFTER UPDATE",
            &format!(" WHEN NOT ({same_key})"),
            &confirm,
            &format!("{delete}{insert}"),
            &forget,
        ),
        writer.trigger("delete", "AFTER DELETE", "", "", &delete, &forget),
    ];
    if !replacing.is_empty() {
        let other = format!(" AND NOT ({})", equal(&capture.key, "t.", "old."));
        triggers.push(writer.note("before-insert", "BEFORE INSERT", &replacing, ""));
        triggers.push(writer.note("before-update", "BEFORE UPDATE", &replacing, &other));
    }
    triggers
}

/// Equality of keys, null with null, without regard to the columns' collations.
fn equal(key: &[String], left: &str, right: &str) -> String {
    let pairs: Vec<String> =
        key.iter().map(|name| format!("{left}{0} COLLATE BINARY IS {right}{0}", quote(name))).collect();
    pairs.join(" AND ")
}

/// Whether a row is found by its key alone, without looking at every row.
pub(super) fn found_by_key(capture: &TableCapture, table: &Table) -> bool {
    let key: Vec<&str> = capture.key.iter().map(String::as_str).collect();
    table.unique.iter().any(|unique| unique.is_over(&key))
}

/// Column `at` of the outbox for values before (`o`) or after (`n`) the change.
pub(super) fn outbox_column(side: char, at: usize) -> String {
    format!("{side}{at}")
}

/// What a recorded change does to the row of its key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Op {
    Insert,
    Update,
    Delete,
}

impl Op {
    fn letter(self) -> char {
        match self {
            Self::Insert => 'I',
            Self::Update => 'U',
            Self::Delete => 'D',
        }
    }
}

struct Writer<'a> {
    names: &'a OutboxNames,
    capture: &'a TableCapture,
    table: &'a Table,
    layout: &'a Layout,
}

impl Writer<'_> {
    fn columns(&self, side: char) -> Vec<String> {
        (0..self.capture.columns.len()).map(|at| outbox_column(side, at)).collect()
    }

    fn values(&self, prefix: &str) -> Vec<String> {
        self.capture.columns.iter().map(|name| format!("{prefix}{}", quote(name))).collect()
    }

    /// Writes one row to the outbox, unless a change that followed has been recorded already and takes this one up.
    fn record(&self, op: Op) -> String {
        let mut columns = Vec::new();
        let mut values = Vec::new();
        if op != Op::Insert {
            columns.extend(self.columns('o'));
            values.extend(self.values("old."));
        }
        if op != Op::Delete {
            columns.extend(self.columns('n'));
            values.extend(self.values("new."));
        }
        let (take_up, unless) = match found_by_key(self.capture, self.table) {
            true => (self.take_up(op), " WHERE changes() = 0"),
            false => (String::new(), ""),
        };
        format!(
            "{take_up}\n  INSERT INTO {} (layout, op, time, {}) SELECT {}, '{}', {CLOCK}, {}{unless};",
            quote(&self.names.outbox),
            columns.join(", "),
            self.layout.id,
            op.letter(),
            values.join(", ")
        )
    }

    /// Changes the first of the changes that followed so that it begins where this one began.
    fn take_up(&self, op: Op) -> String {
        let outbox = quote(&self.names.outbox);
        let former = |values: Vec<String>| {
            let pairs = self.columns('o').into_iter().zip(values);
            pairs.map(|(column, value)| format!(", {column} = {value}")).collect::<String>()
        };
        let last = |ops: &str, side: char, row: &str, names: &[String]| {
            format!(
                "(SELECT id FROM {outbox} WHERE layout = {} AND op IN ({ops}) AND {} ORDER BY id DESC LIMIT 1)",
                self.layout.id,
                self.recorded(side, row, names)
            )
        };
        let key = &self.capture.key;
        let (set, first) = match op {
            Op::Insert => {
                let set = format!("op = CASE op WHEN 'U' THEN 'I' WHEN 'D' THEN '{VOID}' ELSE op END");
                (set + &former(vec!["NULL".to_owned(); self.capture.columns.len()]), "new.")
            }
            Op::Update => {
                let set = "op = CASE op WHEN 'I' THEN 'U' ELSE op END".to_owned();
                (set + &former(self.values("old.")), "new.")
            }
            Op::Delete => ("op = 'U'".to_owned() + &former(self.values("old.")), "old."),
        };
        // A row written on top of another by REPLACE is recorded as an insert, without what was there before.
        let followed = match op {
            Op::Delete => last("'I'", 'n', first, key),
            Op::Insert | Op::Update => format!(
                "coalesce({}, {})",
                last("'U', 'D'", 'o', first, &self.capture.columns),
                last("'I'", 'n', first, key)
            ),
        };
        format!(
            "\n  UPDATE {outbox} SET {set} WHERE id = CASE WHEN {} THEN NULL ELSE {followed} END;",
            self.stands(op)
        )
    }

    /// Whether the row is as the change left it. Rows without a key are not told apart.
    fn stands(&self, op: Op) -> String {
        let row = if op == Op::Delete { "old." } else { "new." };
        // By the collation of the index first, so that the index is used.
        let found: Vec<String> =
            self.capture.key.iter().map(|key| format!("t.{0} IS {row}{0}", quote(key))).collect();
        let (not, same) = match op {
            Op::Delete => ("NOT ", &self.capture.key),
            Op::Insert | Op::Update => ("", &self.capture.columns),
        };
        let unknown: String =
            self.capture.key.iter().map(|key| format!("{row}{} IS NULL OR ", quote(key))).collect();
        format!(
            "{unknown}{not}EXISTS (SELECT 1 FROM {} AS t WHERE {} AND {})",
            quote(&self.table.name),
            found.join(" AND "),
            equal(same, "t.", row)
        )
    }

    /// Equality of what the outbox holds with a row, in some of the captured columns.
    fn recorded(&self, side: char, row: &str, names: &[String]) -> String {
        let place = |name: &String| self.capture.columns.iter().position(|column| column == name);
        let pairs: Vec<String> = names
            .iter()
            .filter_map(|name| Some((name, place(name)?)))
            .map(|(name, at)| format!("{row}{} COLLATE BINARY IS {}", quote(name), outbox_column(side, at)))
            .collect();
        pairs.join(" AND ")
    }

    /// Records that noted rows are gone, if they are.
    fn confirm(&self) -> String {
        let columns = self.columns('o').join(", ");
        let (outbox, replaced) = (quote(&self.names.outbox), quote(&self.names.replaced));
        format!(
            "\n  INSERT INTO {outbox} (layout, op, time, {columns}) SELECT layout, 'D', {CLOCK}, {columns} \
             FROM {replaced} AS r WHERE r.layout = {id} AND NOT EXISTS (SELECT 1 FROM {table} AS t WHERE {same});\
             \n  DELETE FROM {replaced} WHERE layout = {id};",
            id = self.layout.id,
            table = quote(&self.table.name),
            same = self.same_as_noted("t.", "r."),
        )
    }

    /// A noted row whose deletion has been recorded (by a connection with recursive triggers) is noted no more.
    fn forget(&self) -> String {
        let replaced = quote(&self.names.replaced);
        let same = self.same_as_noted("old.", "");
        format!("\n  DELETE FROM {replaced} WHERE layout = {} AND {same};", self.layout.id)
    }

    fn same_as_noted(&self, row: &str, noted: &str) -> String {
        let place = |key: &String| self.capture.columns.iter().position(|column| column == key);
        let pairs: Vec<String> = self
            .capture
            .key
            .iter()
            .filter_map(|key| Some((key, place(key)?)))
            .map(|(key, at)| {
                format!("{row}{} COLLATE BINARY IS {noted}{}", quote(key), outbox_column('o', at))
            })
            .collect();
        pairs.join(" AND ")
    }

    /// Notes the rows that conflict with the row to be written. Earlier notes are discarded, but for those of rows that are gone:
    /// their deletion is still to be recorded when a trigger of the owner writes before ours has recorded it.
    fn note(&self, kind: &str, event: &str, indexes: &[&Unique], condition: &str) -> Trigger {
        let conflicts: Vec<String> = indexes.iter().map(|unique| conflict(unique)).collect();
        let name = format!("{}{}/{kind}", self.names.trigger_prefix(), self.table.name);
        let replaced = quote(&self.names.replaced);
        let sql = format!(
            "CREATE TRIGGER {} {event} ON {table} BEGIN\n  DELETE FROM {replaced} WHERE layout = {id} \
             AND EXISTS (SELECT 1 FROM {table} AS t WHERE {same});\
             \n  INSERT INTO {replaced} (layout, {}) SELECT {id}, {} FROM {table} AS t WHERE ({}){condition};\nEND",
            quote(&name),
            self.columns('o').join(", "),
            self.values("t.").join(", "),
            conflicts.join(" OR "),
            table = quote(&self.table.name),
            id = self.layout.id,
            same = self.same_as_noted("t.", &format!("{replaced}.")),
        );
        Trigger { name, sql, needed: None }
    }

    fn trigger(&self, kind: &str, event: &str, when: &str, before: &str, core: &str, after: &str) -> Trigger {
        let name = format!("{}{}/{kind}", self.names.trigger_prefix(), self.table.name);
        let head =
            format!("CREATE TRIGGER {} {event} ON {}{when} BEGIN", quote(&name), quote(&self.table.name));
        let sql = format!("{head}{before}{core}{after}\nEND");
        Trigger { name, sql, needed: Some((head, core.to_owned())) }
    }
}

fn conflict(unique: &Unique) -> String {
    let pairs: Vec<String> = unique
        .columns
        .iter()
        .map(|(name, coll)| format!("t.{0} COLLATE {1} = new.{0}", quote(name), quote(coll)))
        .collect();
    format!("({})", pairs.join(" AND "))
}

/// Creates a trigger, in place of one of the same name.
pub(super) fn create(trigger: &Trigger) -> String {
    format!("DROP TRIGGER IF EXISTS {};\n{};\n", quote(&trigger.name), trigger.sql)
}

/// Writes a layout down.
pub(super) fn insert_layout(names: &OutboxNames, layout: &Layout) -> String {
    let columns = serde_json::Value::from(layout.columns.clone()).to_string();
    format!(
        "INSERT OR IGNORE INTO {} (id, table_name, columns, digest) VALUES ({}, {}, {}, {});\n",
        quote(&names.layout),
        layout.id,
        literal(&layout.table),
        literal(&columns),
        literal(&layout.digest)
    )
}
