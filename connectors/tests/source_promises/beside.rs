//! First load and stream beside owners who go on working.

use anyhow::Result;
use lienthong_contract::source::RowOp;
use lienthong_testkit::database::Database;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::kind::Kind;
use crate::owner::change;
use crate::publisher::{Publisher, row};

pub(crate) async fn random_changes_replay_to_the_tables_rows<K: Kind>() -> Result<()> {
    let seed = lienthong_testkit::seed();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut publisher = Publisher::<K>::person(10).await?;
    let mut reader = publisher.reader(None).await?;
    for _ in 0..20 {
        for _ in 0..15 {
            change(&mut publisher.owner, &mut random, 30).await?;
        }
        reader.catch_up(random.random_range(1..60)).await?;
        publisher.assert_replays(&reader).await?;
    }
    Ok(())
}

pub(crate) async fn changes_between_the_chunks_of_a_first_load_end_right<K: Kind>() -> Result<()> {
    let seed = lienthong_testkit::seed();
    for seed in seed..seed + 5 {
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let mut publisher = Publisher::<K>::person(60).await?;
        let mut reader = publisher.reader(None).await?;
        for _ in 0..40 {
            change(&mut publisher.owner, &mut random, 90).await?;
            reader.poll(random.random_range(1..8)).await?;
        }
        reader.catch_up(5).await?;
        publisher.assert_replays(&reader).await?;
    }
    Ok(())
}

pub(crate) async fn a_row_deleted_before_its_chunk_does_not_come_back<K: Kind>() -> Result<()> {
    let mut publisher = Publisher::<K>::person(20).await?;
    let mut reader = publisher.reader(None).await?;
    reader.poll(4).await?;
    publisher
        .run(&["delete from person where id >= 15", "update person set name = 'new' where id = 14"])
        .await?;
    reader.catch_up(4).await?;
    let snapshots = |id: &str| {
        let of = |change: &&crate::publisher::Change| {
            change.op == RowOp::Snapshot
                && change.after.as_ref().is_some_and(|row| row[0].as_deref() == Some(id))
        };
        reader.changes.iter().filter(of).count()
    };
    assert_eq!(snapshots("17"), 0);
    assert_eq!(snapshots("14"), 1);
    publisher.assert_replays(&reader).await
}

pub(crate) async fn writers_beside_the_reader_are_followed_in_each_rows_order<K: Kind>() -> Result<()> {
    let seed = lienthong_testkit::seed();
    println!("seed {seed}");
    let mut publisher = Publisher::<K>::person(200).await?;
    let mut reader = publisher.reader(None).await?;
    let mut writers = Vec::new();
    for writer in 0..3 {
        let url = publisher.kind.url();
        writers.push(tokio::spawn(async move {
            let mut owner = Database::open(&url).await?;
            let mut random = StdRng::seed_from_u64(seed + writer);
            for _ in 0..80 {
                // Single statements, so that writers never wait for each other in a circle.
                let id = random.random_range(0..40);
                let statement = match random.random_range(0..4) {
                    0 => format!(
                        "insert into person values ({id}, 'w{writer}', 0) on conflict (id) do nothing"
                    ),
                    1 => format!("delete from person where id = {id}"),
                    _ => format!("update person set rev = rev + 1, name = 'w{writer}' where id = {id}"),
                };
                owner.run(&[statement]).await?;
            }
            anyhow::Ok(())
        }));
    }
    let mut random = StdRng::seed_from_u64(seed);
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        reader.poll(random.random_range(1..20)).await?;
    }
    for writer in writers {
        writer.await??;
    }
    reader.catch_up(20).await?;
    publisher.assert_replays(&reader).await
}

pub(crate) async fn a_table_captured_later_is_loaded_and_the_others_are_not_loaded_again<K: Kind>()
-> Result<()> {
    let mut publisher = Publisher::<K>::person(3).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(100).await?;
    let end = reader.position();
    drop(reader);
    publisher
        .run(&[
            "create table house (id integer primary key not null, street text)",
            "insert into house values (1, 'Lê Lợi')",
        ])
        .await?;
    publisher.tables.push(crate::publisher::capture("house", &["id", "street"]));
    publisher.prepare().await?;
    publisher
        .run(&["update person set rev = 1 where id = 1", "insert into house values (2, 'Hàng Bài')"])
        .await?;
    let mut reader = publisher.reader(Some(&end)).await?;
    let changes = reader.catch_up(1).await?;
    assert!(changes.iter().all(|change| change.table == 1 || change.op == RowOp::Update));
    let loaded =
        changes.iter().find(|change| change.op == RowOp::Snapshot).and_then(|change| change.after.clone());
    assert_eq!(loaded, row(&["1", "Lê Lợi"]));
    Ok(())
}

pub(crate) async fn a_large_table_is_loaded_in_chunks<K: Kind>() -> Result<()> {
    let mut publisher = Publisher::<K>::person(0).await?;
    let many = "insert into person with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) select i, 'name ' || i, 0 from n";
    publisher.run(&[many]).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(100_000).await?;
    let end = reader.position();
    reader.source.forget(&end).await?;
    drop(reader);
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(3000).await?;
    assert!(reader.positions.len() >= 6);
    assert_eq!(reader.changes.len(), 20_000);
    publisher.assert_replays(&reader).await
}
