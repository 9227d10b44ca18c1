//! What the outbox source notices, holds back and forgets, against real files.

use std::time::{Duration, Instant};

use lienthong_contract::position::Position;
use lienthong_contract::source::{PollLimit, Source, SourceAdmin, SourceError};
use rusqlite::Connection;

use super::poll::FORGET_BATCH;
use super::source_tests::{Notes, Owner, PERSON, capture, drain, person};

#[tokio::test]
async fn a_changed_list_of_columns_gets_new_triggers_and_old_rows_stay_readable() {
    let owner = Owner::new(PERSON);
    let mut source = owner.prepared(&[person()]).await;
    source.seek(None).await.expect("sought");
    let (_, polled) = drain(&mut source, 10).await;
    owner.run("insert into person values ('1', 'An', 1990, 5)");
    drop(source);
    let wider = [capture("person", &["pin"], &["born", "n", "pin", "name"])];
    let mut source = owner.source(&wider);
    let error = source.open().await.expect_err("not prepared");
    match error {
        SourceError::NotPrepared { problem, fix } => {
            assert!(
                problem.contains("columns for values and needs 4") && problem.contains("/person/insert"),
                "{problem}"
            );
            assert_eq!(fix, "lienthong connect moj --prepare");
        }
        other => panic!("{other:?}"),
    }
    let mut source = owner.prepared(&wider).await;
    source.seek(Some(&polled.position)).await.expect("sought");
    owner.run("update person set n = 6");
    let (notes, _) = drain(&mut source, 10).await;
    assert_eq!(
        notes.rows,
        ["I0 [>-,5,1,An] !column-not-recorded", "U0 [1990,5,1,An>1990,6,1,An]"],
        "what was not recorded is not taken for null"
    );
}

#[tokio::test]
async fn prepare_leaves_what_is_right_alone_and_ddl_can_be_run_by_hand() {
    let owner = Owner::new(PERSON);
    let tables = [person()];
    let ddl = owner.admin(&tables).ddl().await.expect("statements");
    owner.run(&ddl);
    owner.run(&ddl);
    let mut source = owner.source(&tables);
    let first = source.open().await.expect("opened");
    let schema = owner.count("pragma schema_version");
    owner.admin(&tables).prepare().await.expect("prepared");
    assert_eq!(owner.count("pragma schema_version"), schema, "nothing was made again");
    assert_eq!(source.open().await.expect("opened"), first);
    assert!(!owner.admin(&tables).ddl().await.expect("statements").contains("TRIGGER"));
    owner.admin(&[]).prepare().await.expect("prepared");
    assert_eq!(owner.count("select count(*) from sqlite_master where type = 'trigger'"), 0);
}

#[tokio::test]
async fn what_is_missing_is_named_also_when_it_goes_missing_under_way() {
    let owner = Owner::new(PERSON);
    let tables = [person()];
    let mut source = owner.prepared(&tables).await;
    source.seek(None).await.expect("sought");
    drain(&mut source, 10).await;
    owner.run("drop trigger \"lienthong_outbox/person/delete\"");
    let error = source.poll(PollLimit { rows: 1 }, &mut Notes::default()).await.expect_err("missing");
    assert!(error.to_string().contains("lienthong_outbox/person/delete"), "{error}");
    let wrong = [capture("person", &["pin"], &["pin", "nome"]), capture("nobody", &["k"], &["k"])];
    let error = owner.admin(&wrong).prepare().await.expect_err("obstacles");
    let text = error.to_string();
    assert!(text.contains("no column nome") && text.contains("table nobody does not exist"), "{text}");
    std::fs::remove_file(&owner.path).expect("removed");
    assert!(matches!(owner.source(&tables).open().await, Err(SourceError::NotPrepared { .. })));
}

#[tokio::test]
async fn forgetting_covers_what_was_given_out_and_ids_never_come_again() {
    let owner = Owner::new(PERSON);
    let mut source = owner.prepared(&[person()]).await;
    source.seek(None).await.expect("sought");
    // A statement that fails half way and keeps its first half: SQLite does not note the ids in its sequence.
    let half =
        "insert or fail into person values ('1', 'a', null, 1), ('2', 'a', null, 1), ('1', 'b', null, 1)";
    owner.conn.execute_batch(half).expect_err("the third row conflicts");
    let (notes, polled) = drain(&mut source, 10).await;
    assert_eq!(notes.ids[..2], ["o1", "o2"]);
    source.forget(&polled.position).await.expect("forgotten");
    assert_eq!(owner.count("select count(*) from lienthong_outbox"), 0);
    owner.run("insert into person values ('3', 'c', null, 1)");
    let (notes, later) = drain(&mut source, 10).await;
    assert_eq!(notes.ids, ["o3"]);
    source.forget(&polled.position).await.expect("forgotten");
    assert_eq!(
        owner.count("select count(*) from lienthong_outbox"),
        1,
        "never more than the position covers"
    );
    source.forget(&later.position).await.expect("forgotten");
    source.seek(Some(&later.position)).await.expect("sought");
    assert!(drain(&mut source, 10).await.0.rows.is_empty());
    assert!(matches!(
        source
            .seek(Some(&polled.position))
            .await
            .and(source.poll(PollLimit { rows: 9 }, &mut Notes::default()).await),
        Err(SourceError::Gap { .. })
    ));
}

#[tokio::test]
async fn many_published_rows_are_forgotten_in_short_transactions() {
    let owner = Owner::new(PERSON);
    let mut source = owner.prepared(&[person()]).await;
    source.seek(None).await.expect("sought");
    owner.run(
        "with recursive c (n) as (select 1 union all select n + 1 from c where n < 12000)
         insert into person select 'p' || n, 'x', null, n from c; delete from person",
    );
    let (notes, polled) = drain(&mut source, 5000).await;
    assert_eq!(notes.rows.len(), 24000);
    let count = || owner.count("select count(*) from lienthong_outbox");
    let mut kept = count();
    for _ in 0..2 {
        assert!(
            source.session().expect("open").forget_batch(&polled.position).expect("some"),
            "there is more"
        );
        let deleted = kept - count();
        assert_eq!(deleted, i64::try_from(FORGET_BATCH).expect("a number"), "in one transaction");
        kept -= deleted;
    }
    source.forget(&polled.position).await.expect("forgotten");
    assert_eq!(count(), 0);
}

#[tokio::test]
async fn a_database_set_back_in_time_is_a_gap() {
    let owner = Owner::new(PERSON);
    let mut source = owner.prepared(&[person()]).await;
    let backup = owner.path.with_extension("backup");
    std::fs::copy(&owner.path, &backup).expect("copied");
    owner.run("insert into person values ('1', 'a', null, 1)");
    source.seek(None).await.expect("sought");
    let (_, polled) = drain(&mut source, 10).await;
    std::fs::rename(&backup, &owner.path).expect("restored");
    let error = source.poll(PollLimit { rows: 1 }, &mut Notes::default()).await.expect_err("another file");
    assert!(matches!(error, SourceError::Unreachable { .. }), "{error}");
    source.open().await.expect("the same lineage");
    let error = source.seek(Some(&polled.position)).await.expect_err("ahead of the file");
    assert!(matches!(error, SourceError::Gap { .. }), "{error}");
}

#[tokio::test]
async fn a_database_set_back_is_a_gap_also_when_its_ids_have_caught_up() {
    let owner = Owner::new(PERSON);
    let mut source = owner.prepared(&[person()]).await;
    let backup = owner.path.with_extension("backup");
    std::fs::copy(&owner.path, &backup).expect("copied");
    owner.run("insert into person values ('1', 'a', null, 1)");
    source.seek(None).await.expect("sought");
    let (_, polled) = drain(&mut source, 10).await;
    source.forget(&polled.position).await.expect("forgotten");
    drop(source);
    std::fs::rename(&backup, &owner.path).expect("restored");
    tokio::time::sleep(Duration::from_millis(5)).await;
    let after = Connection::open(&owner.path).expect("the restored file");
    after
        .execute_batch("insert into person values ('2', 'b', null, 1), ('3', 'c', null, 1)")
        .expect("written");
    let mut source = owner.source(&[person()]);
    source.open().await.expect("the same lineage");
    let error = source.seek(Some(&polled.position)).await.expect_err("another row has the position's id");
    assert!(matches!(error, SourceError::Gap { .. }), "{error}");
}

#[tokio::test]
async fn outbox_rows_removed_by_others_are_a_gap() {
    let owner = Owner::new(PERSON);
    let mut source = owner.prepared(&[person()]).await;
    source.seek(None).await.expect("sought");
    drain(&mut source, 10).await;
    owner.run("insert into person values ('1', 'a', null, 1), ('2', 'a', null, 1); delete from lienthong_outbox where id = 1");
    let error = source.poll(PollLimit { rows: 9 }, &mut Notes::default()).await.expect_err("a hole");
    assert!(error.to_string().contains("outbox ids 1 to 1"), "{error}");
}

#[tokio::test]
async fn a_second_connector_is_held_off_until_the_first_is_gone() {
    let owner = Owner::new(PERSON);
    let first = owner.prepared(&[person()]).await;
    let mut second = owner.source(&[person()]);
    match second.open().await {
        Err(SourceError::Held { holder }) => assert!(holder.contains("lienthong_outbox.lock"), "{holder}"),
        other => panic!("{other:?}"),
    }
    drop(first);
    second.open().await.expect("free");
}

#[tokio::test]
async fn waiting_ends_with_a_commit_and_never_blocks_the_owner() {
    for mode in ["delete", "wal"] {
        let owner = Owner::new(PERSON);
        owner.run(&format!("pragma journal_mode = {mode}"));
        owner.conn.busy_timeout(Duration::ZERO).expect("timeout");
        let mut source = owner.prepared(&[person()]).await;
        source.seek(None).await.expect("sought");
        let (_, polled) = drain(&mut source, 10).await;
        let begin = Instant::now();
        source.wait(Duration::from_millis(60)).await.expect("waited");
        assert!(begin.elapsed() >= Duration::from_millis(55), "{mode}: nothing was new");
        owner.run("begin immediate; insert into person values ('1', 'a', null, 1)");
        source.wait(Duration::from_millis(20)).await.expect("waited beside a writer");
        source.forget(&polled.position).await.expect("what cannot be deleted now waits");
        owner.run("commit");
        let begin = Instant::now();
        source.wait(Duration::from_secs(20)).await.expect("waited");
        assert!(begin.elapsed() < Duration::from_secs(10), "{mode}: a commit before the wait ends it too");
        assert_eq!(drain(&mut source, 10).await.0.rows, ["I0 [>1,a,1]"]);
        let journal: String =
            owner.conn.query_row("pragma journal_mode", [], |row| row.get(0)).expect("mode");
        assert_eq!(journal, mode, "the owner's journal mode is left alone");
    }
}

#[tokio::test]
async fn a_position_of_another_kind_of_source_is_refused() {
    let owner = Owner::new(PERSON);
    let mut source = owner.prepared(&[person()]).await;
    let foreign = Position::new(r#"{"v":1,"lost":0,"from":null,"to":null,"id":0,"loaded":[],"snap":null}"#);
    assert!(matches!(source.seek(Some(&foreign)).await, Err(SourceError::ForeignPosition(_))));
}

#[tokio::test]
async fn times_are_those_of_the_write_and_columns_are_listed() {
    let owner = Owner::new(PERSON);
    let mut source = owner.prepared(&[person()]).await;
    source.seek(None).await.expect("sought");
    let before = super::file::now() - 1000;
    owner.run("insert into person values ('1', 'a', null, 1)");
    let after = super::file::now();
    let recorded = owner.count("select time from lienthong_outbox");
    assert!((before..=after).contains(&recorded), "{before} {recorded} {after}");
    let (_, polled) = drain(&mut source, 10).await;
    assert!(polled.source_time >= after);
    let columns = owner.admin(&[]).columns("person").await.expect("columns");
    let names: Vec<(&str, &str)> =
        columns.iter().map(|column| (column.name.as_str(), column.type_name.as_str())).collect();
    assert_eq!(names, [("pin", "TEXT"), ("name", "TEXT"), ("born", ""), ("n", "INTEGER")]);
    assert!(owner.admin(&[]).columns("nobody").await.is_err());
}

#[test]
fn a_chunk_is_found_by_the_index_of_the_key() {
    let owner = Owner::new(
        "create table two (a text, b integer, v, primary key (a, b)); create table one (k text primary key)",
    );
    for (capture, index) in
        [(capture("two", &["a", "b"], &["a", "b", "v"]), "a>?"), (capture("one", &["k"], &["k"]), "k>?")]
    {
        let table = super::catalogue::table(&owner.conn, &capture.table).expect("read").expect("there");
        let sql = super::load::Loader::new(&capture, &table).next_sql().to_owned();
        let mut statement = owner.conn.prepare(&format!("explain query plan {sql}")).expect("plan");
        let count = statement.parameter_count();
        let plan: Vec<String> = statement
            .query_map(rusqlite::params_from_iter(vec![1; count]), |row| row.get(3))
            .expect("plan")
            .collect::<Result<_, _>>()
            .expect("plan");
        let plan = plan.join("; ");
        assert!(plan.contains("SEARCH") && plan.contains(index), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }
}
