//! PostgreSQL: transactions that overlap.

use std::time::{Duration, Instant};

use anyhow::Result;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::kind::{Kind, Postgres};
use crate::publisher::{Publisher, row};

async fn begin<K: Kind>(publisher: &Publisher<K>, statement: &str) -> Result<PgConnection> {
    let mut connection = PgConnection::connect(&publisher.kind.url()).await?;
    connection.execute("begin").await?;
    connection.execute(AssertSqlSafe(statement.to_owned())).await?;
    Ok(connection)
}

pub(crate) async fn transactions_that_commit_in_another_order_than_they_began_are_all_given_out<K: Kind>()
-> Result<()> {
    let mut publisher = Publisher::<K>::person(0).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    let mut open = Vec::new();
    for id in 0..6 {
        open.push(begin(&publisher, &format!("insert into person values ({id}, 'x', 0)")).await?);
    }
    for at in [3, 1, 5] {
        open[at].execute("commit").await?;
        let changes = reader.catch_up(10).await?;
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].after, row(&[&at.to_string(), "x", "0"]));
    }
    let between = reader.position();
    // Nothing of a transaction that is still open may be forgotten with the others.
    reader.source.forget(&between).await?;
    open[4].execute("rollback").await?;
    open[2].execute("commit").await?;
    open[0].execute("commit").await?;
    assert_eq!(reader.catch_up(1).await?.len(), 2);
    drop(reader);
    let again = publisher.reader(Some(&between)).await?.catch_up(10).await?;
    assert_eq!(again.len(), 2, "a position is a set and not a highest number");
    assert_eq!(publisher.state().await?.len(), 5);
    Ok(())
}

pub(crate) async fn a_late_commit_in_the_middle_of_a_paged_transaction_is_not_skipped<K: Kind>() -> Result<()>
{
    let mut publisher = Publisher::<K>::person(0).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    let mut late =
        begin(&publisher, "insert into person select i, 'late', 0 from generate_series(1, 20) i").await?;
    publisher.run(&["insert into person select i, 'early', 0 from generate_series(101, 150) i"]).await?;
    reader.poll(7).await?;
    late.execute("commit").await?;
    let middle = reader.poll(7).await?.position;
    reader.source.forget(&middle).await?;
    reader.catch_up(7).await?;
    assert_eq!(reader.changes.len(), 70);
    let end = reader.position();
    reader.source.forget(&end).await?;
    assert_eq!(reader.source.retained().await?, 0);
    publisher.assert_replays(&reader).await
}

pub(crate) async fn a_transaction_open_during_the_whole_first_load_is_not_lost<K: Kind>() -> Result<()> {
    let mut publisher = Publisher::<K>::person(30).await?;
    let mut late = begin(&publisher, "update person set name = 'late', rev = 1 where id in (2, 29)").await?;
    late.execute("insert into person values (1000, 'late', 0)").await?;
    late.execute("delete from person where id = 5").await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(4).await?;
    late.execute("commit").await?;
    assert_eq!(reader.catch_up(4).await?.len(), 4);
    publisher.assert_replays(&reader).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_held_open_for_a_minute_delays_nobody_and_is_given_out() -> Result<()> {
    let mut publisher = Publisher::<Postgres>::person(1).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    let mut held = begin(&publisher, "insert into person values (-1, 'late', 0)").await?;
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    let mut commits = 0;
    while began.elapsed() < Duration::from_secs(60) {
        commits += 1;
        publisher.run(&[&format!("insert into person values ({commits}, 'x', 0)")]).await?;
        let committed = Instant::now();
        let mut come = reader.catch_up(100).await?;
        while come.is_empty() {
            reader.source.wait(Duration::from_millis(200)).await?;
            come = reader.catch_up(100).await?;
        }
        slowest = slowest.max(committed.elapsed());
        assert_eq!(come.len(), 1);
        if commits % 50 == 0 {
            let position = reader.position();
            reader.source.forget(&position).await?;
            assert_eq!(publisher.outbox_rows().await?, 0, "the outbox does not grow behind the open one");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(slowest < Duration::from_secs(2), "somebody waited {slowest:?}");
    held.execute("commit").await?;
    let late = reader.catch_up(100).await?;
    assert_eq!(late.len(), 1);
    assert_eq!(late[0].after, row(&["-1", "late", "0"]));
    publisher.assert_replays(&reader).await
}

#[tokio::test(flavor = "multi_thread")]
async fn truncating_a_table_deletes_every_row() -> Result<()> {
    let mut publisher = Publisher::<Postgres>::person(12).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(100).await?;
    publisher.run(&["truncate person", "insert into person values (3, 'again', 0)"]).await?;
    assert_eq!(reader.catch_up(5).await?.len(), 13);
    publisher.assert_replays(&reader).await
}

#[tokio::test(flavor = "multi_thread")]
async fn truncating_in_the_middle_of_the_first_load_ends_empty() -> Result<()> {
    let mut publisher = Publisher::<Postgres>::person(30).await?;
    let mut reader = publisher.reader(None).await?;
    reader.poll(10).await?;
    publisher.run(&["truncate person"]).await?;
    reader.catch_up(4).await?;
    publisher.assert_replays(&reader).await
}

pub(crate) async fn keys_that_move_up_in_one_statement_end_right<K: Kind>() -> Result<()> {
    let mut publisher = Publisher::<K>::person(0).await?;
    let mut reader = publisher.reader(None).await?;
    // The highest first, so that the statement does not run into its own rows.
    publisher.run(&["insert into person select i, 'n' || i, 0 from generate_series(20, 1, -1) i"]).await?;
    publisher.run(&["update person set id = id + 1, rev = 1"]).await?;
    reader.catch_up(3).await?;
    publisher.assert_replays(&reader).await
}

pub(crate) async fn cascades_upserts_copies_and_merges_are_captured<K: Kind>() -> Result<()> {
    let mut publisher = Publisher::<K>::person(0).await?;
    publisher
        .run(&[
            "create table family (id integer primary key)",
            "alter table person add column family integer references family on delete cascade on update cascade",
        ])
        .await?;
    let mut reader = publisher.reader(None).await?;
    publisher
        .run(&[
            "insert into family select i from generate_series(1, 3) i",
            "insert into person select i, 'x', 0, 1 + i % 3 from generate_series(1, 30) i",
            "delete from family where id = 1",
            "insert into person values (2, 'upsert', 0, 2), (200, 'upsert', 0, 2) on conflict (id) do update set name = excluded.name",
            "with moved as (delete from person where id < 10 returning *) insert into person select id + 1000, name, rev, family from moved",
            "merge into person p using (select generate_series(15, 40) as id) m on p.id = m.id \
             when matched and p.id < 20 then delete when matched then update set rev = 7 \
             when not matched then insert values (m.id, 'merged', 0, 3)",
        ])
        .await?;
    reader.catch_up(7).await?;
    publisher.assert_replays(&reader).await
}
