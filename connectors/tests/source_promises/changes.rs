//! What comes out of single changes and transactions.

use anyhow::Result;
use lienthong_contract::source::RowOp::{Delete, Insert, Snapshot, Update};

use crate::kind::Kind;
use crate::publisher::{PERSON, Publisher, capture, ops, row};

pub(crate) async fn rows_that_were_there_come_as_snapshot_rows_once<K: Kind>() -> Result<()> {
    let publisher = Publisher::<K>::person(3).await?;
    let mut reader = publisher.reader(None).await?;
    let changes = reader.catch_up(100).await?;
    assert_eq!(ops(&changes), [Snapshot; 3]);
    assert_eq!(changes[1].after, row(&["1", "name 1", "0"]));
    assert!(reader.catch_up(100).await?.is_empty());
    let end = reader.position();
    drop(reader);
    assert!(publisher.reader(Some(&end)).await?.catch_up(100).await?.is_empty());
    Ok(())
}

pub(crate) async fn inserts_updates_and_deletes_come_with_what_was_before_and_after<K: Kind>() -> Result<()> {
    let mut publisher = Publisher::<K>::person(0).await?;
    let mut reader = publisher.reader(None).await?;
    assert!(reader.catch_up(100).await?.is_empty());
    publisher.run(&["insert into person values (1, 'An', 0)"]).await?;
    publisher.run(&["update person set name = 'Bình', rev = 1 where id = 1"]).await?;
    publisher.run(&["delete from person where id = 1"]).await?;
    let changes = reader.catch_up(100).await?;
    assert_eq!(ops(&changes), [Insert, Update, Delete]);
    assert_eq!((&changes[0].before, &changes[0].after), (&None, &row(&["1", "An", "0"])));
    assert_eq!(changes[1].before, row(&["1", "An", "0"]));
    assert_eq!(changes[1].after, row(&["1", "Bình", "1"]));
    assert_eq!((&changes[2].before, &changes[2].after), (&row(&["1", "Bình", "1"]), &None));
    publisher.assert_replays(&reader).await
}

pub(crate) async fn a_changed_key_is_a_delete_and_an_insert<K: Kind>() -> Result<()> {
    let mut publisher = Publisher::<K>::person(4).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(100).await?;
    publisher.run(&["update person set id = id + 100, rev = 1 where id < 2"]).await?;
    let changes = reader.catch_up(100).await?;
    let count = |op| changes.iter().filter(|change| change.op == op).count();
    assert_eq!((count(Delete), count(Insert), changes.len()), (2, 2, 4));
    publisher.assert_replays(&reader).await
}

pub(crate) async fn a_key_that_moves_away_and_is_taken_again_in_one_transaction_ends_right<K: Kind>()
-> Result<()> {
    let mut publisher = Publisher::<K>::person(3).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(100).await?;
    let swap = [
        "update person set id = 50 where id = 0",
        "update person set id = 0 where id = 1",
        "update person set id = 1 where id = 50",
        "delete from person where id = 2",
        "insert into person values (2, 'new', 9)",
        "update person set name = 'newer' where id = 2",
    ];
    publisher.run(&swap).await?;
    reader.catch_up(100).await?;
    publisher.assert_replays(&reader).await
}

pub(crate) async fn every_row_of_a_large_transaction_comes_in_small_polls<K: Kind>() -> Result<()> {
    let mut publisher = Publisher::<K>::person(0).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(100).await?;
    let inserts: Vec<String> =
        (0..500).map(|id| format!("insert into person values ({id}, 'x', 0)")).collect();
    let mut statements: Vec<&str> = inserts.iter().map(String::as_str).collect();
    statements.push("update person set rev = rev + 1");
    publisher.run(&statements).await?;
    let changes = reader.catch_up(7).await?;
    assert_eq!(changes.len(), 1000);
    assert!(reader.positions.len() > 20, "{} polls", reader.positions.len());
    publisher.assert_replays(&reader).await
}

pub(crate) async fn a_transaction_that_is_rolled_back_gives_nothing<K: Kind>() -> Result<()> {
    let mut publisher = Publisher::<K>::person(1).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(100).await?;
    let failing = [
        "insert into person values (7, 'ghost', 0)",
        "update person set name = 'ghost'",
        "insert into person values (7, 'twice', 0)",
    ];
    publisher.run(&failing).await.expect_err("the key is there twice");
    publisher.run(&["insert into person values (8, 'real', 0)"]).await?;
    let changes = reader.catch_up(100).await?;
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].after, row(&["8", "real", "0"]));
    Ok(())
}

pub(crate) async fn a_statement_that_hits_no_row_gives_nothing<K: Kind>() -> Result<()> {
    let mut publisher = Publisher::<K>::person(1).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(100).await?;
    publisher.run(&["update person set rev = 1 where id = 99", "delete from person where id = 99"]).await?;
    assert!(reader.catch_up(100).await?.is_empty());
    Ok(())
}

pub(crate) async fn changes_after_prepare_and_before_the_first_open_are_not_lost<K: Kind>() -> Result<()> {
    let mut publisher = Publisher::<K>::person(5).await?;
    publisher.run(&["insert into person values (10, 'after', 0)", "delete from person where id = 0"]).await?;
    publisher.run(&["update person set name = 'changed' where id = 1"]).await?;
    let mut reader = publisher.reader(None).await?;
    let changes = reader.catch_up(2).await?;
    assert!(changes.iter().any(|change| change.op == Delete), "the delete is a change after prepare");
    publisher.assert_replays(&reader).await
}

pub(crate) async fn several_tables_come_with_their_own_columns_only<K: Kind>() -> Result<()> {
    let house = "create table house (secret text, street text, number integer not null, block text not null, primary key (number, block))";
    let mut tables =
        vec![capture("person", &["id", "name", "rev"]), capture("house", &["block", "street", "number"])];
    tables[1].key = vec!["number".to_owned(), "block".to_owned()];
    let setup = [
        PERSON,
        house,
        "insert into person values (1, 'An', 0)",
        "insert into house values ('s', 'Lê Lợi', 5, 'b')",
    ];
    let mut publisher = Publisher::<K>::new(&setup, tables).await?;
    publisher.prepare().await?;
    let mut reader = publisher.reader(None).await?;
    let loaded = reader.catch_up(1).await?;
    assert_eq!(loaded.len(), 2);
    assert_eq!(
        loaded.iter().find(|change| change.table == 1).and_then(|change| change.after.clone()),
        row(&["b", "Lê Lợi", "5"])
    );
    publisher
        .run(&[
            "insert into house values ('s', 'Hàng Bài', 5, 'a')",
            "insert into person values (2, 'Bình', 0)",
        ])
        .await?;
    publisher
        .run(&[
            "update house set block = 'c' where block = 'a'",
            "update house set street = 'x' where block = 'b'",
        ])
        .await?;
    reader.catch_up(100).await?;
    assert!(!format!("{:?}", reader.changes).contains("secret"));
    publisher.assert_replays(&reader).await
}

pub(crate) async fn times_are_the_sources_and_in_microseconds<K: Kind>() -> Result<()> {
    let now =
        || std::time::UNIX_EPOCH.elapsed().map(|since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
    let slack = 2_000_000;
    let mut publisher = Publisher::<K>::person(1).await?;
    let mut reader = publisher.reader(None).await?;
    let begin = now()? - slack;
    publisher.run(&["update person set rev = 1"]).await?;
    reader.catch_up(100).await?;
    let polled = reader.poll(100).await?;
    let end = now()? + slack;
    assert!(polled.caught_up && polled.rows == 0);
    assert!((begin..end).contains(&polled.source_time), "{} is not now", polled.source_time);
    for change in &reader.changes {
        assert!((begin..end).contains(&change.time), "{} is not now", change.time);
    }
    Ok(())
}

pub(crate) async fn what_a_savepoint_takes_back_gives_nothing<K: Kind>() -> Result<()> {
    let mut publisher = Publisher::<K>::person(1).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(100).await?;
    let statements = [
        "insert into person values (1, 'kept', 0)",
        "savepoint one",
        "insert into person values (2, 'ghost', 0)",
        "delete from person where id = 0",
        "rollback to savepoint one",
        "update person set rev = 1 where id = 1",
    ];
    publisher.run(&statements).await?;
    let changes = reader.catch_up(100).await?;
    assert_eq!(ops(&changes), [Insert, Update]);
    publisher.assert_replays(&reader).await
}
