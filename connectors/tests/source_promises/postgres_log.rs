//! PostgreSQL's log: slot, publication, places, and what the log cannot tell.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use lienthong_connectors::{Database as Where, SourceConfig, open_source, source_admin};
use lienthong_contract::source::{Place, RowOp, SourceError};
use lienthong_testkit::database::Database;
use lienthong_testkit::eventually;
use lienthong_testkit::postgres::drop_slots;
use pgwire_replication::{ReplicationClient, ReplicationConfig};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::kind::Kind as _;
use crate::log_kind::{OnServer as _, PostgresLog};
use crate::publisher::{PERSON, Publisher, Reader, capture, ops, secret};

type Log = Publisher<PostgresLog>;

fn person() -> Vec<lienthong_contract::source::TableCapture> {
    vec![capture("person", &["id", "name", "rev"])]
}

/// The refusal must name all parts, fix included.
fn refused<T: std::fmt::Debug>(told: Result<T, SourceError>, parts: &[&str]) -> Result<()> {
    match told {
        Err(error @ (SourceError::NotPrepared { .. } | SourceError::Gap { .. })) => {
            let text = error.to_string();
            for part in parts {
                ensure!(text.contains(part), "{part} expected: {text}");
            }
            Ok(())
        }
        other => bail!("{other:?}"),
    }
}

async fn one(publisher: &mut Log, sql: &str) -> Result<String> {
    publisher.owner.rows(sql).await?[0][0].clone().context("a value")
}

/// What the server says of the slot.
async fn slot(publisher: &mut Log, what: &str) -> Result<String> {
    let name = publisher.kind.there().name().to_owned();
    one(publisher, &format!("select ({what})::text from pg_replication_slots where slot_name = '{name}'"))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_prepared_is_named_with_its_fix() -> Result<()> {
    let publisher = Log::new(&[PERSON], person()).await?;
    let told = publisher.source().open().await;
    refused(told, &["publication Lên mạng does not exist", publisher.kind.there().name(), "--prepare"])?;
    publisher.prepare().await?;
    let open = async |table: &str, columns: &[&str]| {
        let mut refusal = None;
        eventually(Duration::from_secs(10), async || {
            let mut source = open_source(&publisher.config, vec![capture(table, columns)], &secret());
            refusal = Some(match source.open().await {
                Ok(_) => source.seek(None).await,
                Err(error) => Err(error),
            });
            Ok(!matches!(refusal, Some(Err(SourceError::Held { .. }))))
        })
        .await?;
        refusal.context("a refusal")
    };
    refused(open("nowhere", &["id"]).await?, &["table public.nowhere does not exist"])?;
    refused(open("person", &["id", "age"]).await?, &["public.person has no column age"])?;
    refused(open("person", &["name", "id"]).await?, &["unique index over exactly (name)"])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_table_from_being_captured_is_told_with_the_statement_that_mends_it() -> Result<()> {
    let mut publisher = Log::new(&[PERSON], person()).await?;
    publisher.run(&["alter table person replica identity default"]).await?;
    let told = publisher.admin().prepare().await;
    refused(
        told,
        &["rows of public.person as they were", "alter table \"public\".\"person\" replica identity full"],
    )?;
    // Nothing else of the row is needed than what identifies it.
    source_admin(&publisher.config, vec![capture("person", &["id"])]).prepare().await?;
    let setup = [
        "create type place as (x integer, y integer)",
        "create table thing (id integer primary key, p place, d integer generated always as (id * 2) stored)",
        "alter table thing replica identity full",
    ];
    publisher.run(&setup).await?;
    let told = source_admin(&publisher.config, vec![capture("thing", &["id", "p", "d"])]).prepare().await;
    refused(told, &["column p of public.thing has a type", "column d of public.thing is computed"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_replicate_is_told_so_and_one_that_may_needs_no_more_than_to_own_its_tables()
-> Result<()> {
    let Publisher { mut kind, mut owner, config, tables } = Log::new(&[PERSON], person()).await?;
    let role = kind.0.0.create_role().await?;
    let database = kind.there().name().to_owned();
    let rights = [
        format!("alter table person owner to {role}"),
        format!("grant create on database {database} to {role}"),
    ];
    owner.run(&rights).await?;
    let config = SourceConfig { database: Where::Postgres { url: kind.there().url_as(&role)? }, ..config };
    let told = source_admin(&config, tables.clone()).prepare().await;
    refused(told, &["may not replicate", "alter role"])?;
    owner.run(&[format!("alter role {role} replication")]).await?;
    source_admin(&config, tables.clone()).prepare().await?;
    owner.run(&["insert into person values (1, 'An', 0)".to_owned()]).await?;
    let mut reader = Reader::open(open_source(&config, tables.clone(), &secret()), None).await?;
    assert_eq!(reader.catch_up(10).await?.len(), 2, "by the first load, and as it was made before that");
    drop(reader);
    let mut admin = source_admin(&config, tables);
    eventually(Duration::from_secs(10), async || Ok(admin.remove(true).await.is_ok())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_wait_are_named_and_lost_only_where_that_is_said() -> Result<()> {
    let mut publisher = Log::person(1).await?;
    publisher.run(&["insert into person values (7, 'An', 0)", "update person set rev = 1"]).await?;
    let told = publisher.admin().remove(false).await;
    let Err(error @ SourceError::Unpublished { .. }) = told else { bail!("{told:?}") };
    ensure!(error.to_string().contains("3 changes (public.person: 3)"), "{error}");
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    let end = reader.position();
    reader.source.forget(&end).await?;
    drop(reader);
    // What is published and let go does not wait any more.
    eventually(Duration::from_secs(10), async || match publisher.admin().remove(false).await {
        Ok(()) => Ok(true),
        Err(SourceError::Held { .. } | SourceError::Unreachable { .. }) => Ok(false),
        Err(other) => Err(other.into()),
    })
    .await?;
    let left = "select count(*)::text from pg_publication";
    assert_eq!(one(&mut publisher, left).await?, "0");
    let name = publisher.kind.there().name().to_owned();
    let left = format!("select count(*)::text from pg_replication_slots where slot_name = '{name}'");
    assert_eq!(one(&mut publisher, &left).await?, "0");
    publisher.prepare().await?;
    let told = publisher.reader(Some(&end)).await.err().context("the log in between is gone")?;
    refused(Err::<(), _>(told.downcast()?), &["changes are missing", "keeps the log from", "person"])
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_forgotten_is_let_go_and_then_it_cannot_be_read_again() -> Result<()> {
    let mut publisher = Log::person(2).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(100).await?;
    let begin = reader.position();
    reader.source.forget(&begin).await?;
    assert_eq!(reader.source.retained().await?, 0);
    for id in 100..110 {
        publisher.run(&[&format!("insert into person values ({id}, 'x', 0)")]).await?;
    }
    let first = reader.poll(4).await?.rows;
    let middle = reader.position();
    let rest = reader.catch_up(100).await?;
    assert_eq!((rest.len() + first, reader.source.retained().await?), (10, 10));
    reader.source.forget(&middle).await?;
    let retained = reader.source.retained().await?;
    assert!((6..=10).contains(&retained), "a transaction that may come again is kept: {retained}");
    drop(reader);
    let mut again = publisher.reader(Some(&middle)).await?;
    assert_eq!(again.catch_up(100).await?, rest);
    let end = again.position();
    again.source.forget(&end).await?;
    again.source.forget(&middle).await?;
    drop(again);
    let told = publisher.reader(Some(&begin)).await.err().context("it is gone")?;
    refused(Err::<(), _>(told.downcast()?), &["changes are missing", "public.person"])?;
    assert_eq!(publisher.reader(Some(&end)).await?.catch_up(100).await?, []);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_somebody_else_reads_is_held_and_its_reader_named() -> Result<()> {
    let publisher = Log::person(1).await?;
    let name = publisher.kind.there().name().to_owned();
    let address = publisher.kind.there().address()?;
    let (host, port) = address.split_once(':').context("host and port")?;
    let config = ReplicationConfig::new(host, "postgres", "", &name, &name, "\"Lên mạng\"")
        .with_port(port.parse()?)
        .with_application_name("somebody else");
    let mut other = ReplicationClient::connect(config).await?;
    other.wait_started().await?;
    let told = publisher.source().open().await;
    let Err(SourceError::Held { holder }) = told else { bail!("{told:?}") };
    ensure!(holder.contains("somebody else") && holder.contains("server process"), "{holder}");
    other.shutdown().await?;
    publisher.reader(None).await?.catch_up(10).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn places_are_in_the_order_of_what_happened_and_the_first_load_stands_between() -> Result<()> {
    let mut publisher = Log::person(40).await?;
    let mut reader = publisher.reader(None).await?;
    for round in 0..12 {
        publisher.run(&[&format!("update person set rev = {round} where id % 5 = {}", round % 5)]).await?;
        publisher.run(&[&format!("update person set id = id + 1000 where id = {round}")]).await?;
        reader.poll(5).await?;
    }
    reader.catch_up(5).await?;
    publisher.assert_replays(&reader).await?;
    let places: Vec<Place> = reader.changes.iter().map(|change| change.place.expect("a place")).collect();
    for (at, pair) in places.windows(2).enumerate() {
        let snapshots = [at, at + 1].map(|at| reader.changes[at].op == RowOp::Snapshot);
        ensure!(pair[0] < pair[1] || (pair[0] == pair[1] && snapshots == [true, true]), "{at}: {pair:?}");
    }
    assert!(ops(&reader.changes).contains(&RowOp::Snapshot));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_value_that_has_not_changed_comes_with_the_row() -> Result<()> {
    let mut publisher = Log::person(0).await?;
    publisher.run(&["alter table person alter column name set storage external"]).await?;
    let mut reader = publisher.reader(None).await?;
    publisher.run(&["insert into person values (1, repeat('lớn', 20000), 0)"]).await?;
    publisher.run(&["update person set rev = 1", "update person set id = 2"]).await?;
    let mut changes = reader.catch_up(10).await?;
    changes.retain(|change| change.op != RowOp::Snapshot);
    let whole = Some("lớn".repeat(20000));
    let last = changes.last().and_then(|change| change.after.as_ref()).context("the new key")?;
    assert_eq!((last[0].as_deref(), &last[1]), (Some("2"), &whole));
    assert_eq!(ops(&changes[changes.len() - 3..]), [RowOp::Update, RowOp::Delete, RowOp::Insert]);
    publisher.assert_replays(&reader).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_cannot_tell_is_told_as_a_gap_again_and_again() -> Result<()> {
    let cases = [
        ("truncate person", "", "public.person was emptied by truncate"),
        (
            "alter table person replica identity default",
            "update person set rev = 9",
            "without the row as it was",
        ),
    ];
    for (first, second, gap) in cases {
        let mut publisher = Log::person(3).await?;
        let mut reader = publisher.reader(None).await?;
        reader.catch_up(10).await?;
        publisher.run(&["update person set rev = 1 where id = 1"]).await?;
        publisher.run(&[first]).await?;
        publisher
            .run(&[second, "select 1"].iter().copied().filter(|sql| !sql.is_empty()).collect::<Vec<_>>())
            .await?;
        let given = reader.changes.len();
        let told = async |reader: &mut Reader| loop {
            match reader.poll(10).await {
                Ok(polled) if polled.caught_up => bail!("nothing was told of: {first}"),
                Ok(_) => {}
                Err(error) => break refused(Err::<(), _>(error), &[gap]),
            }
        };
        told(&mut reader).await?;
        assert!(reader.changes.len() <= given + 1, "what came before may have been given out");
        let Some((position, _)) = reader.positions.last().cloned() else { bail!("it was polled") };
        publisher.run(&["alter table person replica identity full"]).await?;
        reader.source.open().await?;
        reader.source.seek(Some(&position)).await?;
        told(&mut reader).await.with_context(|| first.to_owned())?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_whose_type_has_changed_is_read_as_what_it_is() -> Result<()> {
    let mut publisher = Log::person(1).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    publisher.run(&["alter table person alter column rev type text using rev::text"]).await?;
    publisher
        .run(&[
            "create type mood as enum ('vui')",
            "alter table person alter column name type mood using 'vui'",
        ])
        .await?;
    publisher.run(&["update person set rev = 'chín'"]).await?;
    let changes = reader.catch_up(10).await?;
    let last = changes.last().context("a change")?;
    assert_eq!(last.kinds, ["integer", "text", "text"]);
    assert_eq!(
        (last.broken.len(), last.after.as_ref().map(|row| row[2].as_deref())),
        (0, Some(Some("chín")))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_left_the_publication_for_a_time_is_told() -> Result<()> {
    let mut publisher = Log::person(1).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    let end = reader.position();
    drop(reader);
    publisher.run(&["alter publication \"Lên mạng\" drop table person", "update person set rev = 1"]).await?;
    publisher.prepare().await?;
    let told = publisher.reader(Some(&end)).await.err().context("a change is missing")?;
    refused(Err::<(), _>(told.downcast()?), &["public.person was made anew, or was out of publication"])
}

/// What others write on the server, and have not ended, keeps nobody waiting; and the slot does not stay behind them.
#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_database_is_caught_up_soon_and_its_slot_goes_on_with_the_server() -> Result<()> {
    let mut publisher = Log::person(1).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    let end = reader.position();
    reader.source.forget(&end).await?;
    let before: u64 = slot(&mut publisher, "confirmed_flush_lsn - '0/0'").await?.parse()?;
    let neighbour = Log::person(0).await?;
    let mut busy = PgConnection::connect(&neighbour.kind.url()).await?;
    let (mut slowest, mut all) = (Duration::ZERO, Duration::ZERO);
    for round in 0..20 {
        busy.execute("begin").await?;
        let rows =
            format!("insert into person select i, 'x', 0 from generate_series({round}000, {round}999) i");
        busy.execute(AssertSqlSafe(rows)).await?;
        // Begun, and perhaps only in the server's memory.
        let began = Instant::now();
        assert_eq!(reader.catch_up(10).await?, []);
        slowest = slowest.max(began.elapsed());
        all += began.elapsed();
        busy.execute("commit").await?;
    }
    println!("caught up: {:?} on average, {slowest:?} at the most", all / 20);
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    let end = reader.position();
    reader.source.forget(&end).await?;
    eventually(Duration::from_secs(10), async || {
        let now: u64 = slot(&mut publisher, "confirmed_flush_lsn - '0/0'").await?.parse()?;
        Ok(now > before + 1_000_000)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_was_made_anew_does_not_hide_what_was_missed() -> Result<()> {
    let publisher = Log::person(2).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    let end = reader.position();
    drop(reader);
    let mut server = PgConnection::connect(publisher.kind.there().admin_url()).await?;
    server.execute(AssertSqlSafe(drop_slots(publisher.kind.there().name()))).await?;
    let told = publisher.reader(None).await.err().context("there is no slot")?;
    refused(Err::<(), _>(told.downcast()?), &["replication slot", "does not exist", "--prepare"])?;
    let told = publisher.reader(Some(&end)).await.err().context("a slot is missing that was there")?;
    refused(Err::<(), _>(told.downcast()?), &["is gone", "public.person", "the end of the log"])?;
    let mut owner = Database::open(&publisher.kind.url()).await?;
    owner.run(&["update person set rev = 1".to_owned()]).await?;
    publisher.prepare().await?;
    let told = publisher.reader(Some(&end)).await.err().context("a change is missing")?;
    refused(Err::<(), _>(told.downcast()?), &["changes are missing", "public.person"])
}
