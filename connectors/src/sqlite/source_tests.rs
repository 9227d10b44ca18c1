//! What the outbox source promises, against real files.

use std::path::PathBuf;
use std::time::Duration;

use lienthong_contract::Cell;
use lienthong_contract::position::Position;
use lienthong_contract::source::{
    PollLimit, Polled, RowChange, RowOp, RowVisitor, Source, SourceAdmin, TableCapture,
};
use rusqlite::Connection;
use tempfile::TempDir;

use super::{SqliteSource, SqliteSourceAdmin};
use crate::DEFAULT_OUTBOX;

/// A file with an owner who writes.
pub(super) struct Owner {
    _dir: TempDir,
    pub(super) path: PathBuf,
    pub(super) conn: Connection,
}

impl Owner {
    pub(super) fn new(sql: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("owner.db");
        let conn = Connection::open(&path).expect("a database");
        conn.busy_timeout(Duration::from_secs(5)).expect("timeout");
        let owner = Self { _dir: dir, path, conn };
        owner.run(sql);
        owner
    }

    pub(super) fn run(&self, sql: &str) {
        self.conn.execute_batch(sql).expect("the owner's write must not fail");
    }

    pub(super) fn admin(&self, tables: &[TableCapture]) -> SqliteSourceAdmin {
        SqliteSourceAdmin::new("moj", (&self.path, DEFAULT_OUTBOX), tables.to_vec())
    }

    pub(super) fn source(&self, tables: &[TableCapture]) -> SqliteSource {
        SqliteSource::new("moj", (&self.path, DEFAULT_OUTBOX), tables.to_vec())
    }

    pub(super) async fn prepared(&self, tables: &[TableCapture]) -> SqliteSource {
        self.admin(tables).prepare().await.expect("prepared");
        let mut source = self.source(tables);
        source.open().await.expect("opened");
        source
    }

    pub(super) fn count(&self, sql: &str) -> i64 {
        self.conn.query_row(sql, [], |row| row.get(0)).expect("a number")
    }
}

pub(super) fn capture(table: &str, key: &[&str], columns: &[&str]) -> TableCapture {
    let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    TableCapture::new(table, own(key), own(columns))
}

/// Notes rows as text: operation, values before, values after, broken rule.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) rows: Vec<String>,
    pub(super) ids: Vec<String>,
}

fn show(cells: Option<&[Cell<'_>]>) -> String {
    let one = |cell: &Cell<'_>| match cell {
        Cell::Null => "-".to_owned(),
        Cell::Bytes(bytes) => format!("x{}", bytes.len()),
        Cell::F64(value) => format!("{value:?}"),
        other => crate::text::render(other).unwrap_or_default(),
    };
    cells.map_or_else(String::new, |cells| cells.iter().map(one).collect::<Vec<_>>().join(","))
}

impl RowVisitor for Notes {
    fn row(&mut self, row: &RowChange<'_>) {
        let op = match row.op {
            RowOp::Insert => "I",
            RowOp::Update => "U",
            RowOp::Delete => "D",
            RowOp::Snapshot => "S",
        };
        let broken: String = row.broken.iter().map(|broken| format!(" !{}", broken.rule)).collect();
        self.rows.push(format!("{op}{} [{}>{}]{broken}", row.table, show(row.before), show(row.after)));
        self.ids.push(row.id.to_owned());
    }
}

pub(super) async fn drain(source: &mut SqliteSource, rows: usize) -> (Notes, Polled) {
    let mut notes = Notes::default();
    loop {
        let polled = source.poll(PollLimit { rows }, &mut notes).await.expect("polled");
        if polled.caught_up {
            return (notes, polled);
        }
    }
}

pub(super) const PERSON: &str = "create table person (pin text primary key, name text, born, n integer)";

pub(super) fn person() -> TableCapture {
    capture("person", &["pin"], &["pin", "name", "n"])
}

#[tokio::test]
async fn changes_come_in_order_and_a_changed_key_is_a_delete_and_an_insert() {
    let owner = Owner::new(PERSON);
    let mut source = owner.prepared(&[person()]).await;
    source.seek(None).await.expect("sought");
    owner.run(
        "insert into person values ('1', 'An', x'00', 5), ('2', 'Binh', null, null);
         update person set name = 'Anh' where pin = '1';
         update person set pin = '3' where pin = '2';
         begin; delete from person; rollback;
         delete from person where pin = '3';",
    );
    let (notes, polled) = drain(&mut source, 100).await;
    let expected = [
        "I0 [>1,An,5]",
        "I0 [>2,Binh,-]",
        "U0 [1,An,5>1,Anh,5]",
        "D0 [2,Binh,->]",
        "I0 [>3,Binh,-]",
        "D0 [3,Binh,->]",
        "S0 [>1,Anh,5]",
    ];
    assert_eq!(notes.rows, expected);
    assert_eq!(notes.ids[..2], ["o1", "o2"]);
    assert!(polled.caught_up && polled.rows == 7);
    let (notes, _) = drain(&mut source, 100).await;
    assert!(notes.rows.is_empty());
}

#[tokio::test]
async fn a_first_load_resumes_at_any_chunk_with_the_same_ids() {
    let owner = Owner::new(PERSON);
    for n in 0..25 {
        owner.run(&format!("insert into person values ('p{n:02}', 'x', null, {n})"));
    }
    let mut source = owner.prepared(&[person()]).await;
    source.seek(None).await.expect("sought");
    let (whole, _) = drain(&mut source, 4).await;
    assert_eq!(whole.rows.len(), 25);
    let mut position: Option<Position> = None;
    let mut ids = Vec::new();
    for _ in 0..8 {
        // Killed and started again after every poll.
        source.open().await.expect("opened");
        source.seek(position.as_ref()).await.expect("sought");
        let mut notes = Notes::default();
        let polled = source.poll(PollLimit { rows: 4 }, &mut notes).await.expect("polled");
        ids.extend(notes.ids);
        position = Some(polled.position);
    }
    assert_eq!(ids, whole.ids, "also the first poll after a kill without a position");
}

#[tokio::test]
async fn a_snapshot_row_stands_where_it_was_read() {
    let owner = Owner::new(PERSON);
    owner.run("insert into person values ('1', 'a', null, 0), ('2', 'a', null, 0), ('3', 'a', null, 0)");
    let mut source = owner.prepared(&[person()]).await;
    source.seek(None).await.expect("sought");
    let mut notes = Notes::default();
    source.poll(PollLimit { rows: 1 }, &mut notes).await.expect("polled");
    owner.run("update person set name = 'b'; delete from person where pin = '2'");
    source.poll(PollLimit { rows: 5 }, &mut notes).await.expect("polled");
    let expected = [
        "S0 [>1,a,0]",
        "U0 [1,a,0>1,b,0]",
        "U0 [2,a,0>2,b,0]",
        "U0 [3,a,0>3,b,0]",
        "D0 [2,b,0>]",
        "S0 [>3,b,0]",
    ];
    assert_eq!(notes.rows, expected);
}

#[tokio::test]
async fn odd_tables_are_captured_as_they_are() {
    let owner = Owner::new(
        "create table \"it's \"\"odd\"\"\" (\"select\" blob, \"a b\" any, primary key (\"select\", \"a b\")) strict, without rowid;
         create table loose (k, v, g generated always as (upper(v)) virtual);
         create table nocase (k text collate nocase, v);",
    );
    owner.run("insert into loose (k, v) values (null, 'x'), (1, 'y'), (1.5, 'z'), ('t', cast(x'ff' as text)), (null, 'w')");
    owner.run("insert into nocase values ('a', 1), ('A', 2), ('b', 3), ('B', 4)");
    let tables = [
        capture("it's \"odd\"", &["select", "a b"], &["select", "a b"]),
        capture("main.loose", &["k"], &["v", "g", "k"]),
        capture("NoCase", &["k"], &["k", "v"]),
    ];
    let mut source = owner.prepared(&tables).await;
    source.seek(None).await.expect("sought");
    owner.run(
        "insert into \"it's \"\"odd\"\"\" values (x'01', 1), (x'01', 'two');
         update loose set v = 'q' where k = 1; update nocase set k = 'C' where v = 3; update nocase set k = 'c' where v = 3;",
    );
    let (notes, _) = drain(&mut source, 1).await;
    let mut rows = notes.rows.clone();
    let expected_changes = [
        "I0 [>x1,1]",
        "I0 [>x1,two]",
        "U1 [y,Y,1>q,Q,1]",
        "D2 [b,3>]",
        "I2 [>C,3]",
        "D2 [C,3>]",
        "I2 [>c,3]",
    ];
    assert_eq!(rows[..7], expected_changes);
    let mut loaded = rows.split_off(7);
    loaded.sort();
    let mut expected = [
        "S0 [>x1,1]",
        "S0 [>x1,two]",
        "S1 [>x,X,-] !null-key",
        "S1 [>w,W,-] !null-key",
        "S1 [>q,Q,1]",
        "S1 [>z,Z,1.5]",
        "S1 [>-,-,t] !not-utf8 !not-utf8",
        "S2 [>a,1]",
        "S2 [>A,2]",
        "S2 [>c,3]",
        "S2 [>B,4]",
    ];
    expected.sort_unstable();
    assert_eq!(loaded, expected);
    let mut ids = notes.ids.clone();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), notes.ids.len(), "every id is given once");
}

#[tokio::test]
async fn rows_that_replace_removes_are_recorded_as_deleted() {
    let owner = Owner::new(
        "create table t (id integer primary key, pin text, mail text collate nocase unique, v);
         create unique index t_pin on t (pin);",
    );
    let tables = [capture("t", &["pin"], &["pin", "mail", "v"])];
    let mut source = owner.prepared(&tables).await;
    source.seek(None).await.expect("sought");
    owner.run(
        "insert into t values (1, 'a', 'a@x', 1), (2, 'b', 'b@x', 1), (3, 'c', 'c@x', 1);
         insert or ignore into t values (9, 'n', 'A@X', 1);
         insert into t values (9, 'n', 'a@x', 1) on conflict (mail) do update set v = 2;
         update t set v = 3 where pin = 'b';
         insert or replace into t values (3, 'd', 'A@x', 4);
         update or replace t set mail = 'zz', pin = 'b2' where pin = 'd';
         update or replace t set mail = 'ZZ' where pin = 'b';
         replace into t (pin, mail, v) values ('b', 'new', 9);",
    );
    let (notes, _) = drain(&mut source, 100).await;
    let expected = [
        "I0 [>a,a@x,1]",
        "I0 [>b,b@x,1]",
        "I0 [>c,c@x,1]",
        "U0 [a,a@x,1>a,a@x,2]",
        "U0 [b,b@x,1>b,b@x,3]",
        "D0 [a,a@x,2>]",
        "D0 [c,c@x,1>]",
        "I0 [>d,A@x,4]",
        "D0 [d,A@x,4>]",
        "I0 [>b2,zz,4]",
        "D0 [b2,zz,4>]",
        "U0 [b,b@x,3>b,ZZ,3]",
        "I0 [>b,new,9]",
        "S0 [>b,new,9]",
    ];
    assert_eq!(notes.rows, expected);
    owner.run(
        "pragma recursive_triggers = on; insert or replace into t (pin, mail, v) values ('e', 'NEW', 1)",
    );
    let (notes, _) = drain(&mut source, 100).await;
    assert_eq!(
        notes.rows,
        ["D0 [b,new,9>]", "I0 [>e,NEW,1]"],
        "once, although the delete trigger fires as well"
    );
}
