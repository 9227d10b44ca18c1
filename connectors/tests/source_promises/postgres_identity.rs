//! PostgreSQL's log: what identifies a row.

use anyhow::{Context as _, Result, ensure};
use lienthong_contract::source::{RowOp, SourceError, TableCapture};

use crate::log_kind::PostgresLog;
use crate::publisher::{Publisher, capture, ops};

type Log = Publisher<PostgresLog>;

fn refusal<T>(told: Result<T, SourceError>) -> Result<String> {
    Ok(told.err().context("a refusal")?.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_a_primary_key_wants_the_whole_row_or_an_index_that_is_named() -> Result<()> {
    let setup = [
        "create table card (id integer not null unique, name text not null, rev integer)",
        "create unique index card_id_name on card (id, name)",
    ];
    let mut publisher = Log::new(&setup, vec![capture("card", &["id", "name"])]).await?;
    publisher.run(&["alter table card replica identity default"]).await?;
    let told = refusal(publisher.admin().prepare().await)?;
    let parts =
        ["public.card", "has no primary key", "alter table \"public\".\"card\" replica identity full"];
    ensure!(parts.iter().all(|part| told.contains(part)), "{told}");
    publisher.run(&["alter table card replica identity using index card_id_name"]).await?;
    publisher.admin().prepare().await?;
    let mut reader = publisher.reader(None).await?;
    publisher
        .run(&[
            "insert into card values (1, 'An', 0), (2, 'Bình', 0)",
            "update card set rev = 1 where id = 1",
        ])
        .await?;
    publisher
        .run(&[
            "update card set name = 'Chi' where id = 2",
            "update card set id = 3 where id = 1",
            "delete from card where id = 2",
        ])
        .await?;
    let mut changes = reader.catch_up(10).await?;
    changes.retain(|change| change.op != RowOp::Snapshot);
    assert_eq!(
        ops(&changes)[changes.len() - 4..],
        [RowOp::Update, RowOp::Delete, RowOp::Insert, RowOp::Delete]
    );
    publisher.assert_replays(&reader).await?;
    drop(reader);
    // More than the index holds.
    publisher.tables = vec![capture("card", &["id", "name", "rev"])];
    let told = refusal(publisher.admin().prepare().await)?;
    ensure!(told.contains("replica identity full") && !told.contains("primary key"), "{told}");
    publisher.run(&["alter table card replica identity full"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn composite_keys_of_quoted_names_beside_a_computed_column_are_followed() -> Result<()> {
    let setup = [
        "create schema \"Hồ Sơ\"",
        "create table \"Hồ Sơ\".\"Giấy \"\"Tờ\" (\"Mã\" text not null, double integer generated always as (\"Năm\" * 2) stored, \
         \"Năm\" integer not null, \"ghi Chú\" text, unique (\"Mã\", \"Năm\"))",
        "insert into \"Hồ Sơ\".\"Giấy \"\"Tờ\" values ('a', default, 1, 'x'), ('a', default, 2, 'y'), ('b', default, 1, 'z')",
    ];
    let key = ["Năm", "Mã"].map(str::to_owned).to_vec();
    let columns = ["ghi Chú", "Mã", "Năm"];
    let table = TableCapture { key, ..capture("Hồ Sơ.Giấy \"Tờ", &columns) };
    for limit in [1, 100] {
        let mut publisher = Log::new(&setup, vec![table.clone()]).await?;
        publisher.prepare().await?;
        let mut reader = publisher.reader(None).await?;
        reader.poll(1).await?;
        let table = "\"Hồ Sơ\".\"Giấy \"\"Tờ\"";
        for sql in [
            format!("update {table} set \"Năm\" = 3 where \"Mã\" = 'a' and \"Năm\" = 2"),
            format!("update {table} set \"ghi Chú\" = null where \"Mã\" = 'b'"),
            format!("insert into {table} values ('c', default, 1, '')"),
            format!("update {table} set \"Mã\" = 'd', \"Năm\" = 9 where \"Mã\" = 'c'"),
            format!("delete from {table} where \"Mã\" = 'a' and \"Năm\" = 1"),
        ] {
            publisher.run(&[&sql]).await?;
            reader.poll(limit).await?;
        }
        reader.catch_up(limit).await?;
        // An insert of a changed key says which delete it goes on from, and nothing else does.
        let mut linked = 0;
        for (at, change) in reader.changes.iter().enumerate() {
            let Some(from) = &change.moved_from else { continue };
            let before = &reader.changes[at - 1];
            assert_eq!((change.op, before.op, &before.id), (RowOp::Insert, RowOp::Delete, from));
            linked += 1;
        }
        assert!((1..=2).contains(&linked), "{linked}");
        let mut replay = crate::publisher::Replay::default();
        replay.take(&publisher.tables, &reader.changes)?;
        let mut rows: Vec<_> = replay.rows.into_values().collect();
        rows.sort();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            rows,
            [
                vec![None, some("b"), some("1")],
                vec![some(""), some("d"), some("9")],
                vec![some("y"), some("a"), some("3")],
            ]
        );
    }
    Ok(())
}
