//! PostgreSQL's log: partitions that come with rows, and go with them.

use anyhow::{Result, ensure};
use lienthong_contract::source::{RowOp, TableCapture};
use lienthong_testkit::eventually;

use crate::log_kind::PostgresLog;
use crate::publisher::{Publisher, Reader, capture, ops, sorted_ids};

type Log = Publisher<PostgresLog>;

const SOON: std::time::Duration = std::time::Duration::from_secs(30);
const ATTACH: &str = "alter table birth attach partition \"Sinh 2025\" for values from (2025) to (2026)";

fn birth() -> Vec<TableCapture> {
    let key = ["id", "year"].map(str::to_owned).to_vec();
    vec![TableCapture { key, ..capture("birth", &["id", "year", "name"]) }]
}

/// A captured root with a partition of five rows, and a table of twenty that may become its other one.
async fn births() -> Result<(Log, Reader)> {
    let setup = [
        "create table birth (id integer not null, year integer not null, name text, primary key (id, year)) partition by range (year)",
        "create table birth_2024 partition of birth for values from (2024) to (2025)",
        "alter table birth_2024 replica identity full",
        "create table \"Sinh 2025\" (name text, year integer not null, id integer not null)",
        "alter table \"Sinh 2025\" replica identity full",
        "insert into birth select i, 2024, 'tên ' || i from generate_series(1, 5) i",
        "insert into \"Sinh 2025\" select 'tên ' || i, 2025, i from generate_series(1, 20) i",
    ];
    let publisher = Log::new(&setup, birth()).await?;
    publisher.prepare().await?;
    let mut reader = publisher.reader(None).await?;
    assert_eq!(reader.catch_up(100).await?.len(), 5);
    Ok((publisher, reader))
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_partition_that_is_attached_are_loaded_beside_the_changes() -> Result<()> {
    let (mut publisher, mut reader) = births().await?;
    publisher.run(&[ATTACH]).await?;
    for sql in [
        "update birth set name = 'khác' where id in (3, 20)",
        "delete from birth where id = 7 and year = 2025",
        "insert into birth values (30, 2025, 'mới')",
    ] {
        publisher.run(&[sql]).await?;
    }
    // It is noticed while a source is open.
    eventually(SOON, async || {
        reader.poll(4).await?;
        Ok(reader.changes.iter().filter(|change| change.op == RowOp::Snapshot).count() > 5)
    })
    .await?;
    publisher.run(&["update birth set name = 'khác nữa' where id = 15"]).await?;
    reader.catch_up(4).await?;
    publisher.assert_replays(&reader).await?;
    let loaded = reader.changes.len();
    // Nothing comes again, whoever goes on.
    let end = reader.position();
    drop(reader);
    let mut again = publisher.reader(Some(&end)).await?;
    ensure!(again.catch_up(4).await?.is_empty(), "{loaded} were loaded");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_came_while_nobody_looked_is_loaded_from_any_position_and_again_where_it_is_attached_again()
-> Result<()> {
    let (mut publisher, reader) = births().await?;
    let before = reader.position();
    drop(reader);
    publisher.run(&[ATTACH]).await?;
    let mut reader = publisher.reader(Some(&before)).await?;
    let loaded = reader.catch_up(3).await?;
    ensure!(ops(&loaded) == [RowOp::Snapshot; 20], "{} rows", loaded.len());
    let positions = reader.positions.clone();
    for (position, given) in positions.into_iter().step_by(3) {
        drop(reader);
        reader = publisher.reader(Some(&position)).await?;
        let rest = reader.catch_up(100).await?;
        assert_eq!(sorted_ids(&rest), sorted_ids(&loaded[given..]));
    }
    // What goes is not deleted, and what comes back is read again: it may have changed meanwhile.
    publisher.run(&["alter table birth detach partition \"Sinh 2025\""]).await?;
    publisher.run(&["delete from \"Sinh 2025\" where id > 6", ATTACH]).await?;
    let end = reader.position();
    drop(reader);
    reader = publisher.reader(Some(&end)).await?;
    let again = reader.catch_up(100).await?;
    ensure!(ops(&again) == [RowOp::Snapshot; 6], "{} rows", again.len());
    let known = sorted_ids(&loaded);
    ensure!(again.iter().all(|change| !known.contains(&change.id.as_str())), "they are events of their own");
    // One that goes before its rows are loaded is forgotten.
    publisher.run(&["alter table birth detach partition \"Sinh 2025\""]).await?;
    publisher.run(&[ATTACH]).await?;
    let end = reader.position();
    drop(reader);
    reader = publisher.reader(Some(&end)).await?;
    reader.poll(2).await?;
    let middle = reader.position();
    drop(reader);
    publisher.run(&["alter table birth detach partition \"Sinh 2025\"", "drop table \"Sinh 2025\""]).await?;
    reader = publisher.reader(Some(&middle)).await?;
    ensure!(reader.catch_up(100).await?.is_empty());
    publisher.run(&["insert into birth values (50, 2024, 'mới')"]).await?;
    assert_eq!(ops(&reader.catch_up(100).await?), [RowOp::Insert]);
    Ok(())
}
