//! What a PostgreSQL server keeps of its log for a slot: told, bounded, given up; and cuts of the connection to it.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use lienthong_connectors::{CaptureConfig, Database as Where, SourceConfig, open_source};
use lienthong_contract::position::Position;
use lienthong_contract::retained::{AtBound, LogBound, RetainedLog};
use lienthong_contract::source::{Source, SourceError};
use lienthong_testkit::eventually;
use lienthong_testkit::proxy::TcpProxy;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::kind::Kind as _;
use crate::log_kind::{OnServer as _, PostgresLog};
use crate::publisher::{Publisher, Reader, secret};

type Log = Publisher<PostgresLog>;

const MIB: u64 = 1 << 20;
const LONG: Duration = Duration::from_secs(90);

/// Makes the server write so many mebibytes of log.
async fn write_log(url: &str, mebibytes: u64) -> Result<()> {
    let mut busy = PgConnection::connect(url).await?;
    let sql = format!(
        "select count(pg_logical_emit_message(false, 'test', repeat('x', {MIB}))) from generate_series(1, {mebibytes})"
    );
    busy.execute(AssertSqlSafe(sql)).await?;
    Ok(())
}

/// `confirmed_flush_lsn` of the publisher's slot; `None` without a slot.
async fn confirmed(publisher: &mut Log) -> Result<Option<String>> {
    let slot = publisher.kind.there().name().to_owned();
    let sql =
        format!("select confirmed_flush_lsn::text from pg_replication_slots where slot_name = '{slot}'");
    Ok(publisher.owner.rows(&sql).await?.into_iter().next().and_then(|row| row.into_iter().next().flatten()))
}

/// The next look; sources look every few seconds.
async fn look(source: &mut dyn Source) -> Result<RetainedLog> {
    let mut found = None;
    eventually(LONG, async || {
        found = source.retained_log().await?;
        Ok(found.is_some())
    })
    .await?;
    found.context("a look")
}

fn bounded(publisher: &Log, most: u64) -> Box<dyn Source> {
    let CaptureConfig::Log { slot, publication, .. } = publisher.config.capture.clone() else {
        panic!("it captures from the log");
    };
    let bound = LogBound { most: Some(most), then: AtBound::DropSlot };
    let capture = CaptureConfig::Log {
        slot,
        publication,
        bound,
        truncate: lienthong_contract::source::WhenEmptied::default(),
        load_rate: None,
    };
    let config = SourceConfig { capture, ..publisher.config.clone() };
    open_source(&config, publisher.tables.clone(), &secret())
}

fn gap<T: std::fmt::Debug>(told: Result<T, SourceError>, parts: &[&str]) -> Result<()> {
    let Err(error @ SourceError::Gap { .. }) = told else { bail!("{told:?}") };
    let text = error.to_string();
    for part in parts {
        ensure!(text.contains(part), "{part} expected: {text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_database_keeps_little_while_another_writes_and_all_of_it_while_nothing_is_let_go()
-> Result<()> {
    let mut publisher = Log::person(1).await?;
    let mut reader = Reader::open(bounded(&publisher, 1 << 40), None).await?;
    reader.catch_up(10).await?;
    let begin = reader.position();
    reader.source.forget(&begin).await?;
    let neighbour = Log::person(0).await?;
    let before = confirmed(&mut publisher).await?;
    write_log(&neighbour.kind.url(), 110).await?;
    // The bus's log does not commit: nothing is let go, however often it is asked for changes.
    let kept = look(reader.source.as_mut()).await?;
    assert_eq!(reader.catch_up(10).await?, []);
    ensure!(kept.bytes > 110 * MIB && kept.bytes < 1 << 40, "{kept:?}");
    ensure!(kept.bound.most == Some(1 << 40) && kept.room().is_some_and(|room| room < 1 << 40), "{kept:?}");
    ensure!(kept.tables == "public.person" && kept.slot == publisher.kind.there().name(), "{kept:?}");
    ensure!(kept.from.contains('/') && kept.to.contains('/') && kept.state == "reserved", "{kept:?}");
    assert_eq!(
        confirmed(&mut publisher).await?,
        before,
        "it does not move before the bus's log has committed"
    );
    // It does: what others write is let go of, with no row and no write in this database.
    eventually(LONG, async || {
        reader.catch_up(10).await?;
        let end = reader.position();
        reader.source.forget(&end).await?;
        Ok(reader.source.retained_log().await?.is_some_and(|kept| kept.bytes < 60 * MIB))
    })
    .await?;
    assert!(confirmed(&mut publisher).await? != before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_is_a_gap_from_the_position_on_whoever_knows_of_it() -> Result<()> {
    let mut publisher = Log::person(2).await?;
    let mut reader = Reader::open(bounded(&publisher, 16 * MIB), None).await?;
    reader.catch_up(10).await?;
    let end = reader.position();
    reader.source.forget(&end).await?;
    publisher.run(&["update person set rev = 1"]).await?;
    let kept = look(reader.source.as_mut()).await?;
    let recorded = reader.source.given_up(Some(&end))?.context("a position")?;
    reader.source.give_up().await?;
    assert_eq!(confirmed(&mut publisher).await?, None, "the slot is gone");
    ensure!(reader.source.retained_log().await?.is_none(), "it is closed");
    reader.source.give_up().await.context("again without harm")?;
    drop(reader);
    let seek = async |publisher: &Log, from: Option<&Position>| -> Result<(), SourceError> {
        let mut source = publisher.source();
        source.open().await?;
        source.seek(from).await
    };
    // Whether it could be put on record or not.
    gap(seek(&publisher, Some(&end)).await, &["is gone", "public.person from ", "the end of the log"])?;
    gap(seek(&publisher, Some(&recorded)).await, &["was given up", "max_retained_wal", &kept.to])?;
    let told = seek(&publisher, None).await;
    ensure!(matches!(told, Err(SourceError::NotPrepared { .. })), "{told:?}");
    // A slot that is made later has nothing to do with it, and stays.
    publisher.prepare().await?;
    gap(seek(&publisher, Some(&recorded)).await, &["was given up"])?;
    assert!(confirmed(&mut publisher).await?.is_some());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_killed_between_record_and_drop_has_the_slot_dropped_by_the_next() -> Result<()> {
    let mut publisher = Log::person(2).await?;
    let mut reader = Reader::open(bounded(&publisher, 16 * MIB), None).await?;
    reader.catch_up(10).await?;
    let end = reader.position();
    reader.source.forget(&end).await?;
    look(reader.source.as_mut()).await?;
    let recorded = reader.source.given_up(Some(&end))?.context("a position")?;
    drop(reader);
    for _ in 0..2 {
        let mut source = publisher.source();
        eventually(LONG, async || match source.open().await {
            Ok(_) => Ok(true),
            Err(SourceError::Held { .. }) => Ok(false),
            Err(other) => Err(other.into()),
        })
        .await?;
        gap(source.seek(Some(&recorded)).await, &["was given up"])?;
        assert_eq!(confirmed(&mut publisher).await?, None);
    }
    Ok(())
}

/// The connections break in the middle of a transaction and cannot be made again for a time.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_in_the_middle_of_a_transaction_loses_and_doubles_nothing() -> Result<()> {
    let mut publisher = Log::person(3).await?;
    let proxy = TcpProxy::start(&publisher.kind.there().address()?).await?;
    let url = publisher.kind.there().url_through(&proxy.address())?;
    let config = SourceConfig { database: Where::Postgres { url }, ..publisher.config.clone() };
    let source = open_source(&config, publisher.tables.clone(), &secret());
    let mut reader = Reader::open(source, None).await?;
    reader.catch_up(100).await?;
    publisher
        .run(&[
            "insert into person select i, repeat('dài', 300), 0 from generate_series(10, 6000) i",
            "update person set rev = 1 where id % 3 = 0",
        ])
        .await?;
    for cut in 0..3 {
        reader.poll(200).await?;
        if cut == 2 {
            proxy.cut_after_bytes(20_000);
        } else {
            proxy.cut();
        }
        let position = reader.position();
        let told = loop {
            match reader.poll(200).await {
                Ok(polled) => ensure!(!polled.caught_up, "the cut came too late"),
                Err(error) => break error,
            }
        };
        ensure!(matches!(told, SourceError::Unreachable { .. }), "{told}");
        let told = reader.source.open().await;
        ensure!(matches!(told, Err(SourceError::Unreachable { .. })), "{told:?}");
        ensure!(position.as_str().contains("\"given\""), "in the middle of the transaction");
        proxy.heal();
        // What came after the last position that was kept is given out again.
        let (position, given) = reader.positions.last().cloned().context("it was polled")?;
        reader.changes.truncate(given);
        eventually(LONG, async || match reader.source.open().await {
            Ok(_) => Ok(true),
            Err(SourceError::Held { .. } | SourceError::Unreachable { .. }) => Ok(false),
            Err(other) => Err(other.into()),
        })
        .await?;
        reader.source.seek(Some(&position)).await?;
    }
    reader.catch_up(1000).await?;
    let ids: std::collections::HashSet<&str> =
        reader.changes.iter().map(|change| change.id.as_str()).collect();
    assert_eq!(ids.len(), reader.changes.len(), "none twice");
    publisher.assert_replays(&reader).await
}
