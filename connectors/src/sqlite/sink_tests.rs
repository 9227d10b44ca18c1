//! What the sink promises, against real files.

use std::path::PathBuf;

use lienthong_contract::Cell;
use lienthong_contract::keys::KeyHash;
use lienthong_contract::sink::{
    Action, Applied, Delivery, GroupWrite, KeyWrite, LaneMove, LanePartition, OffsetState, ReceiptBody,
    Revokes, Sink, SinkAdmin, SinkError,
};
use lienthong_contract::target::{CellKind, ColumnGroup, TargetColumn, TargetTable, VersionStore};
use rusqlite::Connection;
use tempfile::TempDir;

use super::{SqliteSink, SqliteSinkAdmin};
use crate::{Database, ReceiptRow, TargetConfig, chain_hash};

struct Subscriber {
    _dir: TempDir,
    path: PathBuf,
    conn: Connection,
    lane: LanePartition,
    state: Option<OffsetState>,
    sink: SqliteSink,
}

const INSURED: &str = "create table insured (pin text primary key, name text, born date, amount text, gone text, extra) without rowid;";

fn column(name: &str, kind: CellKind) -> TargetColumn {
    TargetColumn { name: name.to_owned(), kind }
}

fn insured(version: VersionStore) -> TargetTable {
    let group = |columns: Vec<TargetColumn>| ColumnGroup {
        name: columns[0].name.clone(),
        columns,
        decides_row: true,
    };
    TargetTable {
        table: "insured".to_owned(),
        key: vec![column("pin", CellKind::Text)],
        groups: vec![
            group(vec![column("name", CellKind::Text), column("born", CellKind::Date)]),
            group(vec![column("amount", CellKind::Decimal)]),
        ],
        version,
    }
}

fn config(path: &std::path::Path) -> TargetConfig {
    TargetConfig { name: "vss".to_owned(), database: Database::Sqlite { path: path.to_owned() } }
}

impl Subscriber {
    async fn new(sql: &str, version: VersionStore) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("vss.db");
        let conn = Connection::open(&path).expect("a database");
        conn.execute_batch(sql).expect("tables");
        SqliteSinkAdmin::new(&config(&path), &path).prepare().await.expect("prepared");
        let sink = SqliteSink::new(&config(&path), &path, vec![insured(version)]);
        let lane = LanePartition {
            subscription: "vss/civil".to_owned(),
            topic: "lt.civil.live".to_owned(),
            partition: 2,
        };
        Self { _dir: dir, path, conn, lane, state: None, sink }
    }

    async fn apply(&mut self, actions: Vec<Action<'_>>) -> Result<Applied, SinkError> {
        let key = [Cell::Str("1")];
        let write = |action| vec![KeyWrite { table: 0, key_hash: KeyHash([7; 16]), key: &key, action }];
        let rounds: Vec<Vec<KeyWrite<'_>>> = actions.into_iter().map(write).collect();
        let next = OffsetState {
            next_offset: self.state.map_or(0, |state| state.next_offset) + 1,
            epoch: 4,
            sequence: 9,
            fresh_through: 0,
        };
        let subjects = [KeyHash([7; 16])];
        let receipt = ReceiptBody {
            offsets: (next.next_offset - 1, next.next_offset - 1),
            writer_epoch: 4,
            events: (1, 1),
            times: (5, 6),
            agreement: "vss/2026-01",
            key_id: "00112233",
            subjects: &subjects,
        };
        let lanes = [LaneMove { lane: &self.lane, expected: self.state, next, receipt: Some(&receipt) }];
        let applied = self.sink.apply(&Delivery { lanes: &lanes, rounds: &rounds }).await?;
        self.state = Some(next);
        Ok(applied)
    }

    fn row(&self) -> Option<String> {
        let sql = "select pin || '|' || coalesce(name, '-') || '|' || coalesce(born, '-') || '|' || \
                   coalesce(amount, '-') || '|' || coalesce(gone, '-') from insured";
        self.conn.query_row(sql, [], |row| row.get(0)).ok()
    }

    fn count(&self, table: &str) -> i64 {
        self.conn.query_row(&format!("select count(*) from {table}"), [], |row| row.get(0)).expect("a number")
    }
}

const AN: &[Cell<'static>] = &[Cell::Str("An"), Cell::Date(0)];
const BINH: &[Cell<'static>] = &[Cell::Str("Binh"), Cell::Null];
const AMOUNT: &[Cell<'static>] =
    &[Cell::Decimal(lienthong_contract::Decimal { unscaled: &[4, 210], scale: 2 })];

fn group(group: usize, version: &'static str, values: &'static [Cell<'static>]) -> GroupWrite<'static> {
    GroupWrite { group, version, record: Some("r1"), values }
}

fn changed(changed: u64, older: u64, unchanged: u64) -> Applied {
    Applied { changed, older, unchanged }
}

#[tokio::test]
async fn each_group_takes_its_newest_value_and_a_replay_changes_nothing() {
    let mut vss = Subscriber::new(INSURED, VersionStore::Ledger).await;
    let first = vec![Action::Upsert(vec![group(1, "5", AMOUNT), group(0, "5", AN)])];
    assert_eq!(vss.apply(first.clone()).await.expect("applied"), changed(1, 0, 0));
    assert_eq!(vss.row().as_deref(), Some("1|An|1970-01-01|12.34|-"));
    assert_eq!(vss.apply(first).await.expect("applied"), changed(0, 0, 1));
    let older = vec![Action::Update(vec![group(0, "4", BINH)]), Action::Update(vec![group(0, "6", BINH)])];
    assert_eq!(vss.apply(older).await.expect("applied"), changed(1, 1, 0));
    assert_eq!(vss.row().as_deref(), Some("1|Binh|-|12.34|-"));
}

#[tokio::test]
async fn an_update_without_a_row_is_skipped_and_not_learned() {
    let mut vss = Subscriber::new(INSURED, VersionStore::Ledger).await;
    let update = Action::Update(vec![group(0, "9", BINH)]);
    assert_eq!(vss.apply(vec![update]).await.expect("applied"), changed(0, 0, 1));
    assert_eq!(vss.count("lienthong_version"), 0);
    let insert = Action::Upsert(vec![group(0, "5", AN)]);
    assert_eq!(vss.apply(vec![insert]).await.expect("applied"), changed(1, 0, 0));
}

#[tokio::test]
async fn deletes_voids_and_revocations_leave_their_marks() {
    for version in [VersionStore::Ledger, VersionStore::Column("extra".to_owned())] {
        let mut vss = Subscriber::new(INSURED, version).await;
        let insert = |version| Action::Upsert(vec![group(0, version, AN)]);
        let void = |version| Action::Void { group: None, column: "gone", at: 0, version, revokes: None };
        let delete = |version| Action::Delete { version, revokes: None };
        assert_eq!(
            vss.apply(vec![insert("3"), void("2"), void("4")]).await.expect("applied"),
            changed(2, 1, 0)
        );
        assert_eq!(vss.row().as_deref(), Some("1|An|1970-01-01|-|1970-01-01T00:00:00.000000Z"));
        assert_eq!(vss.apply(vec![delete("5"), insert("4")]).await.expect("applied"), changed(1, 1, 0));
        assert_eq!(vss.row(), None, "a late insert does not resurrect");
        assert_eq!(
            vss.apply(vec![delete("6"), insert("7"), delete("6")]).await.expect("applied"),
            changed(1, 1, 1)
        );
        assert!(vss.row().is_some(), "a replayed delete leaves the newer row");
        assert_eq!(vss.apply(vec![insert("6")]).await.expect("applied"), changed(0, 1, 0));
        let clear = Action::Clear { group: 0, version: "8", revokes: None };
        assert_eq!(vss.apply(vec![clear]).await.expect("applied"), changed(1, 0, 0));
        assert!(vss.row().expect("there").starts_with("1|-|-|"));
    }
}

#[tokio::test]
async fn a_revocation_undoes_only_its_record_and_needs_the_ledger() {
    let mut vss = Subscriber::new(INSURED, VersionStore::Ledger).await;
    let revoke = |record| Action::Delete { version: "6", revokes: Some(Revokes { record, groups: &[0] }) };
    let insert = Action::Upsert(vec![group(0, "5", AN)]);
    let applied = vss.apply(vec![insert.clone(), revoke("r2"), revoke("r1")]).await.expect("applied");
    assert_eq!(applied, changed(2, 1, 0));
    let mut vss = Subscriber::new(INSURED, VersionStore::Column("extra".to_owned())).await;
    assert!(matches!(vss.apply(vec![insert, revoke("r1")]).await, Err(SinkError::Unfit { .. })));
    assert_eq!((vss.row(), vss.count("lienthong_offset")), (None, 0), "nothing of the batch is there");
}

#[tokio::test]
async fn a_column_of_versions_refuses_what_is_older() {
    let mut vss = Subscriber::new(INSURED, VersionStore::Column("extra".to_owned())).await;
    let upsert = |version, values| Action::Upsert(vec![group(0, version, values)]);
    assert_eq!(vss.apply(vec![upsert("5", AN)]).await.expect("applied"), changed(1, 0, 0));
    assert_eq!(vss.apply(vec![upsert("5", AN), upsert("4", BINH)]).await.expect("applied"), changed(0, 1, 1));
    let update = Action::Update(vec![group(0, "6", BINH)]);
    assert_eq!(vss.apply(vec![update]).await.expect("applied"), changed(1, 0, 0));
    assert_eq!(vss.row().as_deref(), Some("1|Binh|-|-|-"));
    assert_eq!(vss.count("lienthong_version"), 0);
}

#[tokio::test]
async fn a_fenced_worker_writes_nothing() {
    let mut vss = Subscriber::new(INSURED, VersionStore::Ledger).await;
    let insert = |version| vec![Action::Upsert(vec![group(0, version, AN)])];
    vss.apply(insert("5")).await.expect("applied");
    assert_eq!(vss.sink.offset(&vss.lane).await.expect("read"), vss.state);
    let state = vss.state;
    for wrong in [None, state.map(|state| OffsetState { sequence: 8, ..state })] {
        vss.state = wrong;
        assert!(matches!(vss.apply(insert("6")).await, Err(SinkError::Fenced)));
    }
    vss.state = state;
    assert_eq!(vss.count("lienthong_receipt"), 1);
    vss.apply(insert("6")).await.expect("the sink can be used again");
}

#[tokio::test]
async fn receipts_are_chained() {
    let mut vss = Subscriber::new(INSURED, VersionStore::Ledger).await;
    for version in ["5", "6", "7"] {
        vss.apply(vec![Action::Upsert(vec![group(0, version, AN)])]).await.expect("applied");
    }
    let sql = "select number, first_offset, last_offset, applied_at, previous_hash, hash, subjects from lienthong_receipt \
               order by number";
    let mut previous: Option<Vec<u8>> = None;
    let mut statement = vss.conn.prepare(sql).expect("statement");
    let mut rows = statement.query([]).expect("rows");
    let mut number = 0;
    while let Some(row) = rows.next().expect("row") {
        number += 1;
        assert_eq!(row.get::<_, i64>(0).expect("number"), number);
        let receipt = ReceiptRow {
            subscription: vss.lane.subscription.clone(),
            topic: vss.lane.topic.clone(),
            partition: 2,
            offsets: (row.get(1).expect("first"), row.get(2).expect("last")),
            events: (1, 1),
            writer_epoch: 4,
            times: (5, 6),
            applied_at: row.get(3).expect("time"),
            agreement: "vss/2026-01".to_owned(),
            key_id: "00112233".to_owned(),
            subjects: row.get(6).expect("subjects"),
        };
        assert_eq!(row.get::<_, Option<Vec<u8>>>(4).expect("previous"), previous);
        let hash: Vec<u8> = row.get(5).expect("hash");
        assert_eq!(hash, chain_hash(previous.as_deref(), &receipt));
        previous = Some(hash);
    }
    assert_eq!(number, 3);
}

#[tokio::test]
async fn what_cannot_be_written_is_refused_by_name_and_never_by_value() {
    let sql = "create table insured (pin text primary key, name text check (length(name) < 4), born date, \
               amount text, gone text, extra);
               create unique index u on insured (amount);
               insert into insured (pin, amount) values ('2', '12.34');";
    let mut vss = Subscriber::new(sql, VersionStore::Ledger).await;
    let conflict =
        vss.apply(vec![Action::Upsert(vec![group(1, "5", AMOUNT)])]).await.expect_err("a conflict");
    match conflict {
        SinkError::Refused { table, reason } => {
            assert_eq!(table, "insured");
            assert!(reason.ends_with("UNIQUE constraint failed: insured.amount"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    let error = vss.apply(vec![Action::Upsert(vec![group(0, "5", BINH)])]).await.expect_err("a check");
    assert!(matches!(&error, SinkError::Refused { .. }) && !error.to_string().contains("Binh"), "{error}");
    assert_eq!(vss.count("lienthong_offset"), 0);
    vss.conn.execute_batch("drop table insured").expect("dropped");
    let error = vss.apply(vec![Action::Upsert(vec![group(0, "5", AN)])]).await.expect_err("gone");
    assert!(
        matches!(&error, SinkError::Unfit { .. }) && error.to_string().contains("no such table"),
        "{error}"
    );
}

#[tokio::test]
async fn a_foreign_key_that_is_deferred_speaks_at_the_commit() {
    let sql = "create table people (name text primary key);
               create table insured (pin text primary key, name text references people deferrable initially deferred, \
               born date, amount text, gone text, extra);";
    let mut vss = Subscriber::new(sql, VersionStore::Ledger).await;
    let insert = vec![Action::Upsert(vec![group(0, "5", AN)])];
    assert!(matches!(vss.apply(insert.clone()).await, Err(SinkError::Refused { .. })));
    vss.conn.execute_batch("insert into people values ('An')").expect("inserted");
    vss.apply(insert).await.expect("applied");
}

#[tokio::test]
async fn a_busy_file_is_waited_for_and_a_replaced_one_is_opened_anew() {
    let mut vss = Subscriber::new(INSURED, VersionStore::Ledger).await;
    let insert = |version| vec![Action::Upsert(vec![group(0, version, AN)])];
    vss.apply(insert("5")).await.expect("applied");
    vss.conn.execute_batch("begin immediate").expect("locked");
    assert!(matches!(vss.apply(insert("6")).await, Err(SinkError::Busy { .. })));
    vss.conn.execute_batch("rollback").expect("free");
    let copy = vss.path.with_extension("copy");
    std::fs::copy(&vss.path, &copy).expect("copied");
    std::fs::rename(&copy, &vss.path).expect("replaced");
    vss.apply(insert("6")).await.expect("applied");
    let conn = Connection::open(&vss.path).expect("the new file");
    let count: i64 =
        conn.query_row("select count(*) from lienthong_receipt", [], |row| row.get(0)).expect("count");
    assert_eq!(count, 2, "the rows are where the path leads");
    std::fs::remove_file(&vss.path).expect("removed");
    assert!(matches!(vss.apply(insert("7")).await, Err(SinkError::Unfit { .. })));
}

#[tokio::test]
async fn a_check_lists_everything_with_the_statements_that_mend_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("vss.db");
    let mut sink = SqliteSink::new(&config(&path), &path, vec![insured(VersionStore::Ledger)]);
    let error = sink.check().await.expect_err("no file");
    assert!(matches!(error, SinkError::Unfit { .. }) && !path.exists(), "{error}");
    let conn = Connection::open(&path).expect("a database");
    conn.execute_batch("create table other (x)").expect("a table");
    let SinkError::Unfit { problem, fix } = sink.check().await.expect_err("nothing there") else {
        panic!("unfit")
    };
    assert!(
        problem.contains("lienthong_offset") && problem.contains("table insured does not exist"),
        "{problem}"
    );
    assert!(fix.contains("lienthong route --prepare"), "{fix}");
    let create =
        fix.split("; ").find(|statement| statement.starts_with("CREATE TABLE")).expect("the statement");
    conn.execute_batch(create).expect("it runs");
    SqliteSinkAdmin::new(&config(&path), &path).prepare().await.expect("prepared");
    SqliteSinkAdmin::new(&config(&path), &path).prepare().await.expect("prepared again");
    sink.check().await.expect("fits");
    conn.execute_batch("drop table insured; create table insured (pin text, name numeric, born date)")
        .expect("made");
    let SinkError::Unfit { problem, fix } = sink.check().await.expect_err("unfit") else { panic!("unfit") };
    for part in [
        "no unique index over exactly (pin)",
        "no column amount",
        "column name of insured is declared \"numeric\"",
    ] {
        assert!(problem.contains(part), "{problem}");
    }
    assert!(fix.contains("CREATE UNIQUE INDEX \"insured_lienthong_key\" ON \"insured\" (\"pin\")"), "{fix}");
    assert!(fix.contains("ALTER TABLE \"insured\" ADD COLUMN \"amount\" TEXT"), "{fix}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_of_one_file_queue_and_none_is_refused() {
    let vss = Subscriber::new(INSURED, VersionStore::Ledger).await;
    let workers: Vec<_> = (0..6)
        .map(|partition| {
            let path = vss.path.clone();
            tokio::spawn(async move {
                let mut sink = SqliteSink::new(&config(&path), &path, vec![insured(VersionStore::Ledger)]);
                let lane = LanePartition { subscription: "s".to_owned(), topic: "t".to_owned(), partition };
                let mut expected = None;
                for at in 1..=50 {
                    let next = OffsetState { next_offset: at, ..OffsetState::START };
                    let lanes = [LaneMove { lane: &lane, expected, next, receipt: None }];
                    sink.apply(&Delivery { lanes: &lanes, rounds: &[] }).await.expect("applied");
                    expected = Some(next);
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.expect("finished");
    }
    assert_eq!(
        vss.conn.query_row("select sum(next_offset) from lienthong_offset", [], |row| row.get(0)),
        Ok(300)
    );
}
