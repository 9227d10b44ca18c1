//! SQLite: what only one file can get wrong.

use anyhow::{Result, ensure};
use lienthong_connectors::{CaptureConfig, Database as Place, SourceConfig, open_source};
use lienthong_contract::source::{RowOp, SourceError};

use crate::kind::Sqlite;
use crate::publisher::{Publisher, capture, row, secret};

#[tokio::test(flavor = "multi_thread")]
async fn every_storage_class_comes_as_its_cell() -> Result<()> {
    let table = "create table item (id integer primary key not null, v)";
    let mut publisher = Publisher::<Sqlite>::new(&[table], vec![capture("item", &["id", "v"])]).await?;
    let values = [
        ("9223372036854775807", "integer", "9223372036854775807"),
        ("-1.5", "float", "-1.5"),
        ("0.1", "float", "0.1"),
        ("'chữ'", "text", "chữ"),
        ("x'00ff'", "bytes", "00ff"),
        ("x''", "bytes", ""),
    ];
    let inserts = |from: usize| -> Vec<String> {
        values
            .iter()
            .enumerate()
            .map(|(at, (sql, ..))| format!("insert into item values ({}, {sql})", from + at))
            .collect()
    };
    publisher.owner.run(&inserts(0)).await?;
    publisher.prepare().await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(100).await?;
    publisher.owner.run(&inserts(100)).await?;
    reader.catch_up(100).await?;
    assert_eq!(reader.changes.len(), 2 * values.len());
    for (at, change) in reader.changes.iter().enumerate() {
        let (_, kind, text) = values[at % values.len()];
        let shown = change.after.as_ref().and_then(|row| row[1].clone());
        assert_eq!((change.kinds[1], shown.as_deref()), (kind, Some(text)), "{:?}", change.op);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn text_with_a_nul_comes_whole_and_text_that_is_not_utf8_is_named() -> Result<()> {
    let table = "create table item (id integer primary key not null, v text)";
    let mut publisher = Publisher::<Sqlite>::new(&[table], vec![capture("item", &["id", "v"])]).await?;
    publisher.prepare().await?;
    let mut reader = publisher.reader(None).await?;
    publisher
        .run(&["insert into item values (1, 'a' || char(0) || 'b'), (2, cast(x'61ff' as text)), (3, 'good')"])
        .await?;
    reader.catch_up(100).await?;
    let after = |id: &str| {
        reader
            .changes
            .iter()
            .find(|change| change.after.as_ref().is_some_and(|row| row[0].as_deref() == Some(id)))
    };
    assert_eq!(after("1").and_then(|change| change.after.clone()), row(&["1", "a\0b"]));
    assert!(after("2").is_some_and(|change| change.broken.len() == 1 && change.broken[0].column == 1));
    assert!(after("3").is_some_and(|change| change.broken.is_empty()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn insert_or_replace_and_update_or_replace_end_right() -> Result<()> {
    let mut publisher = Publisher::<Sqlite>::person(5).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(100).await?;
    publisher
        .run(&[
            "insert or replace into person values (1, 'replaced', 7)",
            "replace into person values (20, 'new', 0)",
        ])
        .await?;
    reader.catch_up(100).await?;
    let replaced = reader
        .changes
        .iter()
        .rev()
        .find(|change| change.after.as_ref().is_some_and(|row| row[0].as_deref() == Some("1")));
    assert_eq!(replaced.and_then(|change| change.after.clone()), row(&["1", "replaced", "7"]));
    let mut state = crate::publisher::State::new();
    for change in &reader.changes {
        let row = change.after.as_ref().or(change.before.as_ref()).expect("a row");
        let key = (0, vec![row[0].clone()]);
        match &change.after {
            Some(after) => state.insert(key, after.clone()),
            None => state.remove(&key),
        };
    }
    assert!(state == publisher.state().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_without_rowid_and_strict_tables_are_captured() -> Result<()> {
    for tail in ["without rowid", "strict", "strict, without rowid"] {
        let table = format!("create table item (code text not null primary key, n integer) {tail}");
        let mut publisher = Publisher::<Sqlite>::new(
            &[&table, "insert into item values ('b', 1), ('a', 2), ('c', 3)"],
            vec![capture("item", &["code", "n"])],
        )
        .await?;
        publisher.prepare().await?;
        let mut reader = publisher.reader(None).await?;
        reader.catch_up(1).await?;
        assert_eq!(reader.changes.iter().filter(|change| change.op == RowOp::Snapshot).count(), 3);
        publisher.run(&["update item set code = 'd' where n = 1", "delete from item where n = 3"]).await?;
        reader.catch_up(1).await?;
        publisher.assert_replays(&reader).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_file_is_told_and_not_created() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("nowhere.db");
    let config = SourceConfig {
        name: "moj.test".to_owned(),
        database: Place::Sqlite { path: path.clone() },
        capture: CaptureConfig::Outbox { table: "o".to_owned() },
    };
    let opened = open_source(&config, vec![capture("person", &["id"])], &secret()).open().await;
    ensure!(
        matches!(opened, Err(SourceError::Unreachable { .. } | SourceError::NotPrepared { .. })),
        "{opened:?}"
    );
    assert!(!path.exists());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_emptied_by_other_hands_is_no_silent_loss() -> Result<()> {
    let mut publisher = Publisher::<Sqlite>::person(1).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(100).await?;
    let end = reader.position();
    drop(reader);
    publisher
        .run(&["update person set rev = 1", "update person set rev = 2", "update person set rev = 3"])
        .await?;
    publisher.run(&["delete from lienthong_outbox where rowid in (select rowid from lienthong_outbox order by rowid limit 1)"]).await?;
    let mut source = publisher.source();
    source.open().await?;
    let sought = source.seek(Some(&end)).await;
    let told = match sought {
        Ok(()) => {
            let mut reader = crate::publisher::Reader {
                source,
                lineage: lienthong_contract::position::Lineage { parts: Vec::new() },
                changes: Vec::new(),
                kept: Vec::new(),
                positions: Vec::new(),
            };
            reader.poll(100).await.map(drop)
        }
        other => other,
    };
    ensure!(matches!(told, Err(SourceError::Gap { .. })), "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_replace_removes_are_told_though_a_trigger_of_the_owner_writes_in_between() -> Result<()> {
    for older in [true, false] {
        let setup =
            ["create table item (id integer primary key not null, mail text unique, n integer not null)"];
        let mut publisher =
            Publisher::<Sqlite>::new(&setup, vec![capture("item", &["id", "mail", "n"])]).await?;
        let triggers = [
            "create trigger a_seen after insert on item begin update item set n = n + 10 where n < 10; end",
            "create trigger b_seen after update on item when new.n > 20 begin update item set n = 20 where id = new.id; end",
        ];
        if older {
            publisher.run(&triggers).await?;
        }
        publisher.prepare().await?;
        if !older {
            publisher.run(&triggers).await?;
        }
        let mut reader = publisher.reader(None).await?;
        publisher
            .run(&[
                "insert into item values (1, 'a@x', 0), (2, 'b@x', 0), (3, 'c@x', 0)",
                "insert or replace into item values (9, 'a@x', 1)",
                "update or replace item set mail = 'c@x', n = 25 where id = 2",
                "insert or ignore into item values (10, 'a@x', 2)",
                "insert or replace into item values (9, 'c@x', 3)",
            ])
            .await?;
        reader.catch_up(100).await?;
        let mut state = crate::publisher::State::new();
        for change in &reader.changes {
            let row = change.after.as_ref().or(change.before.as_ref()).expect("a row");
            let key = (0, vec![row[0].clone()]);
            match &change.after {
                Some(after) => state.insert(key, after.clone()),
                None => state.remove(&key),
            };
        }
        assert_eq!(state, publisher.state().await?, "triggers older than ours: {older}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_whose_rows_cannot_be_told_apart_is_refused_when_its_triggers_write() -> Result<()> {
    let setup = [
        "create table item (code text, n integer)",
        "create table log (n integer)",
        "create trigger item_check before insert on item when new.n < 0 begin select raise(abort, 'negative'); end",
    ];
    let mut publisher = Publisher::<Sqlite>::new(&setup, vec![capture("item", &["code", "n"])]).await?;
    publisher.prepare().await?;
    publisher
        .run(&["create trigger item_log after update on item begin insert into log values (new.n); end"])
        .await?;
    let refused = publisher.prepare().await;
    ensure!(
        refused.as_ref().is_err_and(|error| {
            let told = error.to_string();
            told.contains("item_log") && told.contains("unique index") && told.contains("code")
        }),
        "{refused:?}"
    );
    publisher.run(&["create unique index item_code on item (code)"]).await?;
    publisher.prepare().await
}
