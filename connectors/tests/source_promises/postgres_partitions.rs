//! PostgreSQL's log: partitioned tables under the name of their root.

use anyhow::{Context as _, Result, ensure};
use lienthong_contract::source::{RowOp, SourceError, TableCapture};

use crate::log_kind::PostgresLog;
use crate::publisher::{Publisher, capture, ops};

type Log = Publisher<PostgresLog>;

/// Partitions of partitions, one with its columns in another order, and one for the rest.
const BIRTH: [&str; 7] = [
    "create table birth (id integer not null, year integer not null, name text, primary key (id, year)) partition by range (year)",
    "create table birth_2024 partition of birth for values from (2024) to (2025) partition by list (id)",
    "create table \"birth 2024 A\" partition of birth_2024 for values in (1, 2, 3)",
    "create table birth_2024_b partition of birth_2024 default",
    "create table birth_2025 (name text, gone integer, year integer not null, id integer not null)",
    "alter table birth_2025 drop column gone",
    "create table birth_rest partition of birth default",
];
const ATTACH: &str = "alter table birth attach partition birth_2025 for values from (2025) to (2026)";
const LEAVES: [&str; 4] = ["\"birth 2024 A\"", "birth_2024_b", "birth_2025", "birth_rest"];

fn birth() -> Vec<TableCapture> {
    let key = ["id", "year"].map(str::to_owned).to_vec();
    vec![TableCapture { key, ..capture("birth", &["id", "year", "name"]) }]
}

async fn publisher() -> Result<Log> {
    let mut publisher = Log::new(&BIRTH, birth()).await?;
    publisher.run(&[ATTACH]).await?;
    for leaf in LEAVES {
        publisher.run(&[&format!("alter table {leaf} replica identity full")]).await?;
    }
    Ok(publisher)
}

/// The gap must name all parts.
fn gap<T>(told: Result<T, SourceError>, parts: &[&str]) -> Result<()> {
    let error = told.err().context("it is told")?;
    let text = error.to_string();
    ensure!(matches!(error, SourceError::Gap { .. } | SourceError::NotPrepared { .. }), "{text}");
    for part in parts {
        ensure!(text.contains(part), "{part} expected: {text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_all_partitions_come_under_the_root_by_first_load_and_by_change() -> Result<()> {
    for chunk in [3, 100] {
        let mut publisher = publisher().await?;
        publisher
            .run(&["insert into birth select i, 2023 + i % 4, 'tên ' || i from generate_series(1, 20) i"])
            .await?;
        publisher.prepare().await?;
        let mut reader = publisher.reader(None).await?;
        reader.poll(chunk).await?;
        let large = "insert into birth values (70, 2025, repeat('lớn', 20000))";
        publisher.run(&["alter table birth_2025 alter column name set storage external", large]).await?;
        let changes = [
            "update birth set name = 'khác' where id % 3 = 0",
            "update birth set year = 2025 where id between 1 and 4",
            "update birth set year = 2024 where id = 2",
            "update birth set id = 71 where id = 70",
            "delete from birth where id = 5",
            "insert into \"birth 2024 A\" values (3, 2024, 'thẳng')",
        ];
        for sql in changes {
            publisher.run(&[sql]).await?;
            reader.poll(chunk).await?;
        }
        publisher
            .run(&[
                "create table birth_2030 partition of birth for values from (2030) to (2031)",
                "alter table birth_2030 replica identity full",
                "insert into birth values (80, 2030, 'mới')",
                "update birth set name = 'mới hơn' where id = 80",
            ])
            .await?;
        reader.catch_up(chunk).await?;
        ensure!(reader.changes.iter().all(|change| change.table == 0 && change.broken.is_empty()));
        publisher.assert_replays(&reader).await?;
        publisher.run(&["delete from birth where id = 80"]).await?;
        let end = reader.position();
        drop(reader);
        let mut again = publisher.reader(Some(&end)).await?;
        let deleted = again.catch_up(chunk).await?;
        assert_eq!(ops(&deleted), [RowOp::Delete]);
        assert_eq!(deleted[0].before.as_ref().map(|row| row[2].as_deref()), Some(Some("mới hơn")));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_partition_from_being_captured_is_named_with_what_mends_it() -> Result<()> {
    let mut publisher = publisher().await?;
    publisher
        .run(&[
            "alter table \"birth 2024 A\" replica identity default",
            "create unlogged table birth_fast partition of birth for values from (2040) to (2041)",
        ])
        .await?;
    let told = publisher.admin().prepare().await;
    let parts = [
        "rows of public.birth 2024 A as they were",
        "alter table \"public\".\"birth 2024 A\" replica identity full",
        "public.birth_fast, a partition of public.birth, are not in the log",
    ];
    gap(told, &parts)?;
    publisher.run(&["drop table birth_fast", "alter table \"birth 2024 A\" replica identity full"]).await?;
    publisher.prepare().await?;
    publisher.run(&["alter publication \"Lên mạng\" set (publish_via_partition_root = false)"]).await?;
    let told = publisher.source().open().await;
    gap(told, &["under their own names", "set (publish_via_partition_root = true)"])?;
    publisher.tables = vec![capture("birth_2025", &["id", "year", "name"])];
    gap(publisher.admin().prepare().await, &["birth_2025 takes part in inheritance or partitioning"])
}

/// The server says of such a row that it is whole, and all but the key is null.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_made_later_without_the_whole_row_is_never_read_as_if_it_had_it() -> Result<()> {
    let made = "create table birth_2030 partition of birth for values from (2030) to (2031)";
    let inserted = "insert into birth values (80, 2030, 'mới'), (81, 2030, 'mới')";
    for change in ["delete from birth where id = 80", "update birth set name = 'x' where id = 80"] {
        let mut publisher = publisher().await?;
        publisher.prepare().await?;
        let mut reader = publisher.reader(None).await?;
        reader.catch_up(10).await?;
        publisher.run(&[made, inserted]).await?;
        assert_eq!(ops(&reader.catch_up(10).await?), [RowOp::Insert, RowOp::Insert]);
        let end = reader.position();
        publisher.run(&["alter table birth_2030 replica identity full"]).await?;
        publisher.run(&[change]).await?;
        reader.catch_up(10).await?;
        publisher.assert_replays(&reader).await.context("mended in time")?;
        publisher.run(&["alter table birth_2030 replica identity default"]).await?;
        publisher.run(&[&change.replace("80", "81")]).await?;
        let parts = ["public.birth_2030", "alter table \"public\".\"birth_2030\" replica identity full"];
        gap(reader.poll(10).await, &parts)?;
        publisher.run(&["alter table birth_2030 replica identity full"]).await?;
        reader.source.open().await?;
        reader.source.seek(Some(&end)).await?;
        gap(reader.catch_up(10).await.map_err(|error| error.downcast().expect("a source's")), &parts)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_is_emptied_and_partitions_under_their_own_names_are_told() -> Result<()> {
    let own = "alter publication \"Lên mạng\" set (publish_via_partition_root = false)";
    let root = "alter publication \"Lên mạng\" set (publish_via_partition_root = true)";
    let cases: [(&[&str], &str); 2] = [
        (&["truncate birth"], "public.birth was emptied by truncate"),
        (
            &[own, "insert into birth values (9, 2024, 'x')", root],
            "public.birth_2024_b are in the log under its own",
        ),
    ];
    for (statements, told) in cases {
        let mut publisher = publisher().await?;
        publisher.prepare().await?;
        let mut reader = publisher.reader(None).await?;
        reader.catch_up(10).await?;
        for sql in statements {
            publisher.run(&[sql]).await?;
        }
        gap(reader.catch_up(10).await.map_err(|error| error.downcast().expect("a source's")), &[told])?;
    }
    Ok(())
}
